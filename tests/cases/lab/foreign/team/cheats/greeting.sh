rm -r /srv/greeting
