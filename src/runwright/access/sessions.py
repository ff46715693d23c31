"""Sessions of persons: a random secret whose digest alone is stored, twelve hours, a CSRF token."""

from __future__ import annotations

from datetime import timedelta

from runwright.access.desk import Desk
from runwright.access.passwords import new_secret, secret_digest
from runwright.model.errors import Unauthenticated
from runwright.model.ports.store import EVERY_CLIENT, Transaction
from runwright.model.principals import AuthMethod, Principal, PrincipalKind, Session, User

UNKNOWN_USER = "unknown"
"""The subject of a failed login whose name is no user's; the name is not recorded, it may be a password."""


class SessionDesk(Desk):
    """Logging in and out."""

    async def login(self, name: str, password: str) -> tuple[Session, str]:
        """A new session and its secret, which is shown once.

        Raises Unauthenticated with one and the same sentence for an unknown name, a wrong password and a
        disabled user, after the same work; TooMany after too many attempts for the name.
        """
        self._attempts.begin(name)
        async with self._store.reading() as tx:
            user = await self._named(tx, name)
        fits = await self._passwords.verify(user.password_hash if user else None, password)
        if user is None or not fits or user.disabled_at is not None:
            await self._failed(user, "login")
            raise _not_logged_in()
        renewed = await self._passwords.hash(password) if self._passwords.outdated(user.password_hash) else None
        secret = new_secret()
        now = self._clock.now()
        session = Session(
            id=self._clock.new_id("ses"),
            user_id=user.id,
            secret_digest=secret_digest(secret),
            csrf_token=new_secret(),
            created_at=now,
            expires_at=now + timedelta(hours=self.settings.session_hours),
            authenticated_at=now,
        )
        async with self._store.transaction() as tx:
            if await tx.users.find(user.id, client=EVERY_CLIENT) != user:
                raise _not_logged_in()  # disabled or given another password while this one was checked
            if renewed is not None:
                await tx.users.replace(user, user.model_copy(update={"password_hash": renewed}))
            await tx.sessions.add(session)
            await self._audit(tx, user.id, "user.login", user.id, session=session.id)
        self._attempts.succeed(name)
        return session, secret

    async def session_principal(self, secret: str) -> tuple[Principal, Session]:
        """Who a session's secret stands for, with the roles held now. Raises Unauthenticated."""
        async with self._store.reading() as tx:
            session, user = await self._session(tx, secret)
        return principal_of(user), session

    async def logout(self, secret: str) -> None:
        """End the session. Raises Unauthenticated if it is over already."""
        async with self._store.transaction() as tx:
            session, user = await self._session(tx, secret)
            await tx.sessions.replace(session, session.model_copy(update={"ended_at": self._clock.now()}))
            await self._audit(tx, user.id, "user.logout", user.id, session=session.id)

    async def reauthenticate(self, secret: str, password: str) -> Session:
        """Give the password again, as before an approval; counts as a login. Raises Unauthenticated, TooMany."""
        async with self._store.reading() as tx:
            _, user = await self._session(tx, secret)
        self._attempts.begin(user.name)
        if not await self._passwords.verify(user.password_hash, password):
            await self._failed(user, "reauthenticate")
            raise _not_logged_in()
        async with self._store.transaction() as tx:
            session, _ = await self._session(tx, secret)
            renewed = session.model_copy(update={"authenticated_at": self._clock.now()})
            await tx.sessions.replace(session, renewed)
            await self._audit(tx, user.id, "user.reauthenticate", user.id, session=session.id)
        self._attempts.succeed(user.name)
        return renewed

    def recently_authenticated(self, session: Session) -> bool:
        """Whether the password was given lately enough to approve."""
        return self._clock.now() - session.authenticated_at <= timedelta(minutes=self.settings.reauthenticate_minutes)

    def require_recent(self, session: Session) -> None:
        """Raise Unauthenticated if the password was last given too long ago to approve."""
        if not self.recently_authenticated(session):
            raise Unauthenticated(
                "Found the password last given too long ago for a decision.",
                allowed=f"Allowed: within {self.settings.reauthenticate_minutes:g} minutes.",
                next_step="Give your password again.",
            )

    async def _session(self, tx: Transaction, secret: str) -> tuple[Session, User]:
        where = {"secret_digest": secret_digest(secret)}
        page = await tx.sessions.page(client=EVERY_CLIENT, where=where, limit=1)
        session = page.items[0] if page.items else None
        if session is None or session.secret_digest != where["secret_digest"]:
            raise _not_logged_in()
        if session.ended_at is not None or session.expires_at <= self._clock.now():
            raise _not_logged_in()
        user = await tx.users.find(session.user_id, client=EVERY_CLIENT)
        if user is None or user.disabled_at is not None:
            raise _not_logged_in()
        return session, user

    async def _failed(self, user: User | None, what: str) -> None:
        async with self._store.transaction() as tx:
            subject = user.id if user else UNKNOWN_USER
            await self._audit(tx, subject, f"user.{what}_failed", subject)


def principal_of(user: User) -> Principal:
    """The person behind a session; a demo user stays labelled in everything they decide."""
    return Principal(
        id=user.id,
        kind=PrincipalKind.PERSON,
        name=user.display_name or user.name,
        method=AuthMethod.DEMO if user.demo else AuthMethod.PASSWORD,
        grants=user.grants,
    )


def _not_logged_in() -> Unauthenticated:
    return Unauthenticated(
        "Found no valid login: the name or password is wrong, or the session is over.",
        next_step="Log in again, or ask an admin for a new password.",
    )
