"""The command line's connection to a server: where it is, and as whom."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runwright.surfaces.client import RunwrightClient


def server_url() -> str:
    """RUNWRIGHT_URL, else the configured host and port."""
    if given := os.environ.get("RUNWRIGHT_URL"):
        return given  # reading all settings takes a tenth of a second

    from runwright.surfaces.settings import Settings

    settings = Settings()
    return settings.url or f"http://{settings.host}:{settings.port}"


def session_file() -> Path:
    """Where `runwright user login` keeps session secrets, by server; only its user may read it."""
    from platformdirs import user_config_path

    return Path(os.environ.get("RUNWRIGHT_SESSION_FILE") or user_config_path("runwright") / "sessions.json")


def stored_secret(url: str) -> str | None:
    """RUNWRIGHT_TOKEN, else the secret of the last login at this server."""
    if token := os.environ.get("RUNWRIGHT_TOKEN"):
        return token
    try:
        secrets = json.loads(session_file().read_text())
    except (FileNotFoundError, ValueError):
        return None
    return secrets.get(url) if isinstance(secrets, dict) else None


def store_secret(url: str, secret: str | None) -> None:
    """Keep or forget (None) the secret for a server, in a file of mode 0600."""
    path = session_file()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        secrets = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        secrets = {}
    if secret is None:
        secrets.pop(url, None)
    else:
        secrets[url] = secret
    fresh = path.with_suffix(".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(secrets, file)
    fresh.replace(path)


def connect(*, anonymous: bool = False) -> RunwrightClient:
    """A client with the stored credential. Raises Unauthenticated where there is none."""
    from runwright.model.errors import Unauthenticated
    from runwright.surfaces.client import RunwrightClient

    url = server_url()
    secret = None if anonymous else stored_secret(url)
    if secret is None and not anonymous:
        raise Unauthenticated(
            f"Found no login for {url}.",
            next_step="Log in with `runwright user login NAME`, or set RUNWRIGHT_TOKEN. "
            "RUNWRIGHT_URL names another server.",
        )
    return RunwrightClient(url, secret)
