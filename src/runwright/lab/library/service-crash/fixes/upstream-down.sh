for i in $(seq 40); do
  curl -fs -m 1 http://rates.partner.example:9099/ > /dev/null && break
  sleep 1
done
systemctl restart fetchd
