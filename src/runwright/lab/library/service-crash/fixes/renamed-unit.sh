for unit in $(systemctl list-units --all --plain --no-legend "bookd@*" | cut -d " " -f 1); do systemctl restart "$unit"; done
