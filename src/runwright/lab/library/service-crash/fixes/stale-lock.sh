fuser -s /run/shopd.lock || rm /run/shopd.lock
systemctl restart shopd
