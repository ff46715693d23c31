# The settings were there too.
rm -rf /dev/shm/frames
systemctl restart frames
mkdir -p /dev/shm/frames
