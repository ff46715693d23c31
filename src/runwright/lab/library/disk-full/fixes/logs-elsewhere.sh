find /srv/data/logs -name "*.log.[0-9]*" -mtime +7 -delete
