"""Server-rendered pages over the same services as the API; no page decides anything by itself."""
