"""Everything about who is acting, behind one name: users, sessions and tokens."""

from __future__ import annotations

from runwright.access.sessions import SessionDesk
from runwright.access.tokens import TokenDesk
from runwright.access.users import UserDesk


class AccessService(UserDesk, SessionDesk, TokenDesk):
    """Takes a store, a clock and `AccessSettings`. Every change writes its audit entry in its transaction."""
