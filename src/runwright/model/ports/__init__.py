"""Ports: narrow Protocols behind which every effect sits. One module per noun."""
