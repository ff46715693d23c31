systemctl restart thumbd
