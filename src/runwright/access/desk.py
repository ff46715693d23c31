"""What users, sessions and tokens share: store, clock, settings, and writing an audit entry with the change."""

from __future__ import annotations

from runwright.access.attempts import LoginAttempts
from runwright.access.passwords import Passwords
from runwright.access.settings import AccessSettings
from runwright.model.audit import SYSTEM_CHAIN, AuditEvent
from runwright.model.ports.clock import Clock
from runwright.model.ports.store import EVERY_CLIENT, Store, Transaction
from runwright.model.principals import Principal, User


async def record(
    tx: Transaction,
    clock: Clock,
    actor: Principal | str,
    action: str,
    subject: str,
    *,
    chain: str = SYSTEM_CHAIN,
    digest: str | None = None,
    **facts: str,
) -> None:
    """Append an audit entry in the transaction of the change. Facts are short and hold no telemetry."""
    who = actor if isinstance(actor, str) else actor.id
    event = AuditEvent(
        chain=chain, actor=who, action=action, subject=subject, digest=digest, at=clock.now(), facts=facts
    )
    await tx.audit.append(event)


class Desk:
    """Base of the desks that make up `AccessService`."""

    def __init__(self, store: Store, clock: Clock, settings: AccessSettings | None = None) -> None:
        self.settings = settings or AccessSettings()
        self._store = store
        self._clock = clock
        self._passwords = Passwords(
            time_cost=self.settings.argon2_time_cost,
            memory_kib=self.settings.argon2_memory_kib,
            parallelism=self.settings.argon2_parallelism,
        )
        self._attempts = LoginAttempts(
            clock, limit=self.settings.login_attempts, window=self.settings.login_window_seconds
        )

    async def _named(self, tx: Transaction, name: str) -> User | None:
        page = await tx.users.page(client=EVERY_CLIENT, where={"name": name}, limit=1)
        return page.items[0] if page.items else None

    async def _audit(self, tx: Transaction, actor: Principal | str, action: str, subject: str, **facts: str) -> None:
        await record(tx, self._clock, actor, action, subject, **facts)
