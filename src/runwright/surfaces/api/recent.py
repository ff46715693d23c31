"""Deciding asks for the password again where the login is old."""

from __future__ import annotations

from datetime import timedelta

from runwright.model.errors import Unauthenticated
from runwright.surfaces.api.guard import Caller
from runwright.surfaces.services import Services


def login_is_old(services: Services, caller: Caller) -> bool:
    """Whether deciding asks for the password again."""
    if caller.session is None:
        return False
    limit = timedelta(minutes=services.access.settings.reauthenticate_minutes)
    return services.clock.now() - caller.session.authenticated_at > limit


async def require_recent_login(services: Services, caller: Caller, password: str | None) -> None:
    """Raise Unauthenticated unless the session's password was given lately, or is given now."""
    if not login_is_old(services, caller):
        # Or a token, which the review service refuses by itself, with the better sentence.
        return
    if password is None:
        raise Unauthenticated(
            "Found a login that is too old to decide with.",
            allowed=f"Allowed: a password given within {services.access.settings.reauthenticate_minutes:.0f} minutes.",
            next_step="Give your password with the decision, or log in again.",
        )
    await services.access.reauthenticate(caller.secret, password)
