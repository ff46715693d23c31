"""Tokens of machines: hashed, scoped, expiring, revocable, and not able to decide anything."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from runwright.access.desk import Desk
from runwright.access.passwords import new_secret, secret_digest
from runwright.access.permissions import Permission, require
from runwright.model.errors import Conflict, InvalidInput, Unauthenticated
from runwright.model.ports.store import EVERY_CLIENT, Page
from runwright.model.principals import AuthMethod, Grant, Principal, PrincipalKind, Token

TOKEN_PREFIX = "rwt_"  # noqa: S105 - what scanners for leaked secrets look for, not a secret


def bearer_of(token: Token) -> Principal:
    """The machine that a token stands for. Whether the token still holds is the caller's to check."""
    return Principal(
        id=token.id, kind=PrincipalKind.MACHINE, name=token.name, method=AuthMethod.TOKEN, grants=token.grants
    )


class TokenDesk(Desk):
    """Making, listing, revoking and recognising tokens."""

    async def create_token(
        self, by: Principal, name: str, grants: Sequence[Grant], *, days: int | None = None
    ) -> tuple[Token, str]:
        """A token and its secret, which is shown once. `days` it lives, at most a year by default.

        Raises Forbidden unless `by` manages tokens of every client granted, InvalidInput without a grant.
        """
        for grant in grants:
            require(by, Permission.MANAGE_TOKENS, grant.client_id)
        lifetime = self.settings.token_days if days is None else days
        if not grants or not 1 <= lifetime <= self.settings.token_days_maximum or not name.strip():
            raise InvalidInput(
                f"Found a token named {name!r} with {len(grants)} grants for {lifetime} days.",
                allowed=f"Allowed: a name, at least one grant, 1 to {self.settings.token_days_maximum} days.",
            )
        secret = TOKEN_PREFIX + new_secret()
        now = self._clock.now()
        token = Token(
            id=self._clock.new_id("tok"),
            name=name,
            secret_digest=secret_digest(secret),
            grants=tuple(grants),
            created_at=now,
            expires_at=now + timedelta(days=lifetime),
        )
        async with self._store.transaction() as tx:
            await tx.tokens.add(token)
            roles = ",".join(sorted(f"{grant.role.value}@{grant.client_id or '*'}" for grant in grants))
            await self._audit(tx, by, "token.create", token.id, grants=roles)
        return token, secret

    async def tokens(self, by: Principal, *, cursor: str | None = None, limit: int = 50) -> Page[Token]:
        """All tokens, newest first. Raises Forbidden."""
        require(by, Permission.MANAGE_TOKENS, None)
        async with self._store.reading() as tx:
            return await tx.tokens.page(client=EVERY_CLIENT, cursor=cursor, limit=limit)

    async def revoke_token(self, by: Principal, token_id: str) -> Token:
        """End a token at once. Raises Forbidden, NotFound, Conflict if it is revoked already."""
        async with self._store.transaction() as tx:
            token = await tx.tokens.get(token_id, client=EVERY_CLIENT)
            for grant in token.grants:
                require(by, Permission.MANAGE_TOKENS, grant.client_id)
            if token.revoked_at is not None:
                raise Conflict(f"Found token {token_id} revoked at {token.revoked_at.isoformat()} already.")
            revoked = token.model_copy(update={"revoked_at": self._clock.now()})
            await tx.tokens.replace(token, revoked)
            await self._audit(tx, by, "token.revoke", token.id)
        return revoked

    async def token_principal(self, secret: str) -> Principal:
        """The machine that a token's secret stands for. Raises Unauthenticated."""
        token = await self._token(secret) if secret.startswith(TOKEN_PREFIX) else None
        if token is None or token.revoked_at is not None or token.expires_at <= self._clock.now():
            raise Unauthenticated(
                "Found a token that is unknown, expired or revoked.",
                next_step="Make a new one with `runwright token create`.",
            )
        return bearer_of(token)

    async def _token(self, secret: str) -> Token | None:
        where = {"secret_digest": secret_digest(secret)}
        async with self._store.reading() as tx:
            page = await tx.tokens.page(client=EVERY_CLIENT, where=where, limit=1)
        return next((token for token in page.items if token.secret_digest == where["secret_digest"]), None)
