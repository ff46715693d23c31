systemctl restart reportd
