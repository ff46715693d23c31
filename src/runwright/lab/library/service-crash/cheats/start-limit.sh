# Switches the limit off for good.
sed -i 's/StartLimitIntervalSec=600/StartLimitIntervalSec=0/; s/StartLimitBurst=3/StartLimitBurst=100/' /etc/systemd/system/flapd.service
systemctl daemon-reload
systemctl start flapd
