find /var/log/spoold -name "*.log.[0-9]*" -mtime +7 -delete
systemctl restart spoold
