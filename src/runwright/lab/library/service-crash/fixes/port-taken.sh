fuser -k -TERM 8083/tcp
sleep 0.5
systemctl reset-failed webd
systemctl restart webd
