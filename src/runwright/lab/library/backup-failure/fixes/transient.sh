systemctl reset-failed book-backup
systemctl start book-backup
