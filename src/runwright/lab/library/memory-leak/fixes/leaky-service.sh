systemctl restart cached
