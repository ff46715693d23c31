"""One module per incident type."""
