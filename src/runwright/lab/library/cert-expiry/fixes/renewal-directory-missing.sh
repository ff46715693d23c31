install -d -o daemon /var/lib/mailcert/challenges
systemctl restart mailcert-renew
