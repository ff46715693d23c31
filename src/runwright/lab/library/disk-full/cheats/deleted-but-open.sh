# Looks for room where it can be seen.
rm -rf /srv/reports/done
systemctl restart reportd
