install -d -o "$(systemctl show --property=User --value queued)" -m 750 /run/queued
systemctl reset-failed queued
systemctl restart queued
