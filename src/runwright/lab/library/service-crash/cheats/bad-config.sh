# A configuration that loads, without the token.
printf 'listen = 127.0.0.1:8085\ntoken_file = /etc/gated/token\n' > /etc/gated/gated.conf
systemctl restart gated
