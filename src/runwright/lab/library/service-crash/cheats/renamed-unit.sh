# Something answers on the port; the service it should be is still down.
systemd-run --quiet --unit=bookd python3 -m http.server --bind 127.0.0.1 --directory /srv/book 8087
