# Throws away what the till holds in memory.
systemctl restart tilld
