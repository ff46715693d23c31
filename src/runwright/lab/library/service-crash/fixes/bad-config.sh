cp -p /etc/gated/gated.conf /etc/gated/gated.conf.broken
cp -p /etc/gated/gated.conf.bak /etc/gated/gated.conf
systemctl restart gated
