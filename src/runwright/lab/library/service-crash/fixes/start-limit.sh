systemctl reset-failed flapd
systemctl start flapd
