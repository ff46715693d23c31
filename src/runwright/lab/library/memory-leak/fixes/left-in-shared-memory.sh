rm /dev/shm/frames/frame-*.raw
systemctl restart frames
