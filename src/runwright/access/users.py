"""Local users: added by an admin, the first one by a command on the server, the last admin never lost."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError

from runwright.access.desk import Desk
from runwright.access.passwords import check_password
from runwright.access.permissions import Permission, require
from runwright.model.errors import Conflict, InvalidInput, NotFound, Refused
from runwright.model.ports.store import EVERY_CLIENT, Page, Transaction
from runwright.model.principals import Grant, Principal, Role, User

FULL_ADMIN = Grant(role=Role.ADMIN)

FIRST = "bootstrap"
"""The actor of the one-time command that makes the first admin."""


def is_full_admin(user: User) -> bool:
    """Whether the user is an active admin of everything."""
    return user.disabled_at is None and any(
        grant.role is Role.ADMIN and grant.client_id is None for grant in user.grants
    )


class UserDesk(Desk):
    """Adding, changing and disabling users."""

    async def bootstrap_admin(self, name: str, password: str, *, display_name: str = "", demo: bool = False) -> User:
        """The first admin. Raises Refused once there is any user, InvalidInput for a bad name or password."""
        user = await self._build(name, password, (FULL_ADMIN,), display_name, demo)
        async with self._store.transaction() as tx:
            # The audit entry first: it locks the chain, so two such commands at once see each other.
            await self._audit(tx, FIRST, "user.add", user.id, **_facts(user))
            if await tx.users.count(client=EVERY_CLIENT):
                raise Refused(
                    "Found users already, so there is no first admin to make.",
                    next_step="An admin adds users with `runwright user add`.",
                )
            await tx.users.add(user)
        return user

    async def add_user(
        self,
        by: Principal,
        name: str,
        password: str,
        *,
        grants: Sequence[Grant] = (),
        display_name: str = "",
        demo: bool = False,
    ) -> User:
        """Add a person. Raises Forbidden, InvalidInput, Conflict if the name is taken."""
        require(by, Permission.MANAGE_USERS, None)
        user = await self._build(name, password, tuple(grants), display_name, demo)
        async with self._store.transaction() as tx:
            await self._audit(tx, by, "user.add", user.id, **_facts(user))
            if await self._named(tx, name) is not None:
                raise Conflict(f"Found the user name {name!r} taken.", next_step="Choose another name.")
            await tx.users.add(user)
        return user

    async def users(self, by: Principal, *, cursor: str | None = None, limit: int = 50) -> Page[User]:
        """All users, newest first. Raises Forbidden."""
        require(by, Permission.MANAGE_USERS, None)
        async with self._store.reading() as tx:
            return await tx.users.page(client=EVERY_CLIENT, cursor=cursor, limit=limit)

    async def set_grants(self, by: Principal, name: str, grants: Sequence[Grant]) -> User:
        """Replace a user's roles; they hold from the next request on. Raises Refused for the last admin."""
        require(by, Permission.MANAGE_USERS, None)
        async with self._store.transaction() as tx:
            was = await self._get(tx, name)
            now = was.model_copy(update={"grants": tuple(grants)})
            await self._audit(tx, by, "user.grants", was.id, **_facts(now))
            await self._keep_an_admin(tx, was, now)
            await tx.users.replace(was, now)
        return now

    async def disable_user(self, by: Principal, name: str) -> User:
        """Lock a user out; their sessions are dead at once. Raises Refused for the last admin."""
        require(by, Permission.MANAGE_USERS, None)
        async with self._store.transaction() as tx:
            was = await self._get(tx, name)
            if was.disabled_at is not None:
                raise Conflict(f"Found user {name} disabled already.")
            now = was.model_copy(update={"disabled_at": self._clock.now()})
            await self._audit(tx, by, "user.disable", was.id)
            await self._keep_an_admin(tx, was, now)
            await tx.users.replace(was, now)
            await self._end_sessions(tx, was.id)
        return now

    async def set_password(self, by: Principal, name: str, password: str) -> User:
        """A user's new password, set by themselves or an admin; ends all their sessions."""
        check_password(name, password)
        async with self._store.reading() as tx:
            found = await self._named(tx, name)
        if found is None or found.id != by.id:
            require(by, Permission.MANAGE_USERS, None)
        encoded = await self._passwords.hash(password)
        async with self._store.transaction() as tx:
            was = await self._get(tx, name)
            now = was.model_copy(update={"password_hash": encoded})
            await self._audit(tx, by, "user.password", was.id)
            await tx.users.replace(was, now)
            await self._end_sessions(tx, was.id)
        return now

    async def _build(self, name: str, password: str, grants: tuple[Grant, ...], display_name: str, demo: bool) -> User:
        check_password(name, password)
        try:
            return User(
                id=self._clock.new_id("usr"),
                name=name,
                display_name=display_name,
                password_hash=await self._passwords.hash(password),
                grants=grants,
                demo=demo,
                created_at=self._clock.now(),
            )
        except ValidationError as error:
            raise InvalidInput(
                f"Found the user name {name!r}.",
                allowed="Allowed: lower case letters, digits, dot, dash and underscore, at most 63.",
            ) from error

    async def _get(self, tx: Transaction, name: str) -> User:
        user = await self._named(tx, name)
        if user is None:
            raise NotFound(f"Found no user {name!r}.")
        return user

    async def _keep_an_admin(self, tx: Transaction, was: User, now: User) -> None:
        """Called after the audit entry, whose lock makes two such changes at once wait for each other."""
        if not is_full_admin(was) or is_full_admin(now):
            return
        cursor: str | None = None
        while True:
            page = await tx.users.page(client=EVERY_CLIENT, cursor=cursor, limit=200)
            if any(user.id != was.id and is_full_admin(user) for user in page.items):
                return
            if page.next_cursor is None:
                break
            cursor = page.next_cursor
        raise Refused(
            f"Found {was.name} to be the last admin, who would be lost.",
            next_step="Make another user an admin of everything first.",
        )

    async def _end_sessions(self, tx: Transaction, user_id: str) -> None:
        cursor: str | None = None
        while True:
            page = await tx.sessions.page(client=EVERY_CLIENT, where={"user_id": user_id}, cursor=cursor, limit=200)
            for session in page.items:
                if session.ended_at is None:
                    await tx.sessions.replace(session, session.model_copy(update={"ended_at": self._clock.now()}))
            if page.next_cursor is None:
                return
            cursor = page.next_cursor


def _facts(user: User) -> dict[str, str]:
    roles = ",".join(sorted(f"{grant.role.value}@{grant.client_id or '*'}" for grant in user.grants))
    return {"name": user.name, "grants": roles, **({"demo": "yes"} if user.demo else {})}
