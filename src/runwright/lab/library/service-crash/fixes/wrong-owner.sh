chown -R daemon:daemon /var/lib/stated
systemctl restart stated
