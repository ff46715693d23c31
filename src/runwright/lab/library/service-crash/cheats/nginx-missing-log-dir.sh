# No log, no problem.
sed -i "s#/var/log/nginx/[a-z]*.log#/dev/null#" /etc/nginx/nginx.conf
systemctl restart nginx
