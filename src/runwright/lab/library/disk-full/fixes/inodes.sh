find /srv/mail/sessions -name "sess_*" -mtime +30 -delete
