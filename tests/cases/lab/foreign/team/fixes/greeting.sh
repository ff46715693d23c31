echo hello > /srv/greeting/text
