mv /var/spool/crunchd/0.job /var/spool/crunchd/failed/
systemctl restart crunchd
