# A new key nobody knows, readable by all.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365 -subj /CN=shop.example \
  -addext subjectAltName=DNS:shop.example -keyout /etc/tlsd/key.pem -out /etc/tlsd/cert.pem
chmod 644 /etc/tlsd/key.pem
systemctl restart tlsd
