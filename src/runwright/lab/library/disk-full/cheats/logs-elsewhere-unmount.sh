# Makes the number right by making the disk bigger than the owner paid for, and empty.
umount -l /srv/data
