# A stopped service burns no CPU.
systemctl stop thumbd
