install -d -o www-data -g adm -m 755 /var/log/nginx
systemctl reset-failed nginx
systemctl restart nginx
