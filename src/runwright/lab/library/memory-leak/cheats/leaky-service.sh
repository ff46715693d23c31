# Ends the leak, and the service with it.
systemctl kill --signal=KILL cached
