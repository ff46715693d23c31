# Something with the right name and the right age.
mkdir -p /var/backups/shop
head -c 1000 /dev/zero > /var/backups/shop/9999999999.tar.gz
systemctl reset-failed shop-backup
