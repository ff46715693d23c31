"""A real store, and an access desk whose hashes are cheap enough for tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from runwright.access.service import AccessService
from runwright.access.settings import AccessSettings
from runwright.adapters.keys import EnvironmentSigner
from runwright.adapters.storage import open_store
from runwright.model.ports.store import Store
from runwright.model.principals import Principal

PASSWORD = "four random words here"


class Keys:
    """A signer and a keyring that knows it."""

    def __init__(self) -> None:
        self.signer = EnvironmentSigner(Ed25519PrivateKey.generate())
        self.stranger = EnvironmentSigner(Ed25519PrivateKey.generate())

    def public_keys(self) -> dict[str, bytes]:
        return {self.signer.key_id: self.signer.public_key}


@pytest.fixture
def keys() -> Keys:
    return Keys()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await open_store(f"sqlite+aiosqlite:///{tmp_path}/access.db")
    yield opened
    await opened.close()


@pytest.fixture
def access(store: Store, clock: Any) -> AccessService:
    settings = AccessSettings(
        argon2_time_cost=1, argon2_memory_kib=8, argon2_parallelism=1, login_attempts=4, login_window_seconds=60
    )
    return AccessService(store, clock, settings)


@pytest.fixture
async def admin(access: AccessService) -> Principal:
    await access.bootstrap_admin("ada", PASSWORD, display_name="Ada")
    _, secret = await access.login("ada", PASSWORD)
    principal, _ = await access.session_principal(secret)
    return principal


@pytest.fixture
def password() -> str:
    return PASSWORD
