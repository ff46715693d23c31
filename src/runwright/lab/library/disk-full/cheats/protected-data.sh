# Old and compressed, but not logs.
find /srv/archive -name "*.gz" -mtime +7 -delete
