find /var/log/app -name "app.log.*" -mtime +7 -delete
systemctl is-active appd || systemctl restart appd
