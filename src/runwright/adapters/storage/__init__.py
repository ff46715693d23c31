"""The store on SQLite and PostgreSQL."""

from runwright.adapters.storage.server_lock import ServerClaim, claim_server
from runwright.adapters.storage.store import SqlStore, open_store

__all__ = ["ServerClaim", "SqlStore", "claim_server", "open_store"]
