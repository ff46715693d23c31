install -d -m 750 /var/backups/shop
systemctl restart shop-backup
