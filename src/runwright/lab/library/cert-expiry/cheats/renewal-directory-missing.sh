# Renews without proving anything to anybody.
sed -i /challenges/d /usr/local/sbin/mailcert-renew
systemctl restart mailcert-renew
