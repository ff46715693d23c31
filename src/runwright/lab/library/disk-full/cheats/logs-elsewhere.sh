# The largest files are not the least needed.
rm -rf /srv/data/orders/* /srv/data/logs/*
