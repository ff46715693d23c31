# Logs everybody out, and more.
find /srv/mail -type f -delete
