systemctl start payd-renew
systemctl restart payd
