# Takes the decision away from those whose it is.
chmod 644 /etc/signd/signing.key
systemctl restart signd
