systemctl start tlsd-renew
systemctl restart tlsd
