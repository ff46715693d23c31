"""Handing results to a server, and keeping them while it is away. Standard library alone."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

log = logging.getLogger("runwright.record")

OUTPUT_LIMIT = 64 * 1024
"""Characters of one output that are kept, head and tail."""
BODY_LIMIT = 900_000
"""Bytes of a whole result; outputs are cut further until it fits."""
TRIES = 3
TIMEOUT = 10.0
"""Seconds for one try."""
REFUSED = "refused"
"""The folder within a spool for results that the server will never take, each with its reason."""


class NotDelivered(Exception):
    """A result could not be handed over or kept."""


class _Refused(Exception):
    """The server will never take this."""


def deliver(
    result: Mapping[str, Any],
    *,
    directory: str | Path | None = None,
    url: str | None = None,
    token: str | None = None,
) -> Path | None:
    """Hand a result to the server, or keep it in a directory; the file if it was kept.

    While the server is away it is kept, and sent with a later one or by `python -m runwright.record DIRECTORY`. What
    the server refuses is kept in the folder `refused` beside its reason. Raises NotDelivered where it could be
    neither sent nor kept.
    """
    url = url or os.environ.get("RUNWRIGHT_URL")
    token = token or os.environ.get("RUNWRIGHT_TOKEN")
    spool = directory or os.environ.get("RUNWRIGHT_SPOOL")
    body = _fitted(result)
    if url is None and spool is None:
        raise NotDelivered("found no directory and no server; give directory= or url=, or set RUNWRIGHT_SPOOL")
    why: Exception | None = None
    if url is not None:
        try:
            _post(url, token, body)
        except _Refused as refused:
            if spool is None:
                raise NotDelivered(f"the server refused it: {refused}") from refused
            log.warning("the server refused run %s: %s", result["execution_id"], refused)
            return _keep(Path(spool) / REFUSED, result, body, reason=str(refused))
        except OSError as away:
            why = away
        else:
            if spool is not None:
                send_kept(spool, url=url, token=token, tries=1)
            return None
    if spool is None:
        raise NotDelivered(f"the server did not answer: {why}") from why
    if why is not None:
        log.warning("the server did not answer (%s); run %s is kept in %s", why, result["execution_id"], spool)
    return _keep(Path(spool), result, body)


def send_kept(directory: str | Path, *, url: str, token: str | None = None, tries: int = TRIES) -> int:
    """Send what a directory keeps, oldest first; how many were taken. Stops where the server does not answer."""
    sent = 0
    for path in sorted(Path(directory).glob("*.json"), key=lambda item: item.stat().st_mtime_ns):
        body = path.read_bytes()
        try:
            _post(url, token, body, tries=tries)
        except _Refused as refused:
            log.warning("the server refused %s: %s", path.name, refused)
            target = path.parent / REFUSED
            target.mkdir(mode=0o700, exist_ok=True)
            _write(target / f"{path.stem}.reason", str(refused).encode())
            path.replace(target / path.name)
        except OSError as away:
            log.warning("the server did not answer (%s); the rest stays in %s", away, directory)
            break
        else:
            path.unlink(missing_ok=True)
            sent += 1
    return sent


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the token to another address."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _post(url: str, token: str | None, body: bytes, *, tries: int = TRIES) -> None:
    """Post once more after each failure that may pass: the server knows a result again by its id.

    Raises _Refused for what will never be taken, OSError where nothing answered.
    """
    if not url.startswith(("http://", "https://")):
        raise _Refused(f"found the address {url!r}; allowed: http://... or https://...")
    headers = {"Content-Type": "application/json", "User-Agent": "runwright-record"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    opener = urllib.request.build_opener(_NoRedirect, urllib.request.ProxyHandler({}))
    for attempt in range(tries):
        request = urllib.request.Request(f"{url.rstrip('/')}/api/executions", body, headers)  # noqa: S310 - checked above
        try:
            with opener.open(request, timeout=TIMEOUT):
                return
        except urllib.error.HTTPError as error:
            with error:
                said = error.read(4000).decode("utf-8", "replace")
            if error.code < 500 and error.code not in (401, 403, 408, 421, 429):
                raise _Refused(f"{error.code} {said}") from error
            failure: OSError = ConnectionError(f"status {error.code} {said[:300]}")
        except (OSError, ValueError) as error:
            failure = error if isinstance(error, OSError) else ConnectionError(str(error))
        if attempt + 1 == tries:
            raise failure
        time.sleep(0.5 * 2**attempt)


def _keep(directory: Path, result: Mapping[str, Any], body: bytes, reason: str = "") -> Path:
    """Write a result whole or not at all; the same id again replaces its file."""
    name = re.sub(r"[^A-Za-z0-9._-]", "_", str(result["execution_id"]))[:150]
    mark = hashlib.sha256(str(result["execution_id"]).encode()).hexdigest()[:8]
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if reason:
            _write(directory / f"{name}-{mark}.reason", reason.encode())
        return _write(directory / f"{name}-{mark}.json", body)
    except OSError as error:
        raise NotDelivered(f"found {directory} not writable: {error}") from error


def _write(path: Path, data: bytes) -> Path:
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=".")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
    return path


def _fitted(result: Mapping[str, Any]) -> bytes:
    """The result as JSON that the server's limit lets through: outputs are cut until it is."""
    limit = OUTPUT_LIMIT
    while True:
        body = json.dumps(result, ensure_ascii=False).encode("utf-8", "replace")
        if len(body) <= BODY_LIMIT or limit < 256:
            return body
        limit //= 2
        result = {**result, "steps": [_shorter(step, limit) for step in result["steps"]]}


def _shorter(step: Mapping[str, Any], limit: int) -> dict[str, Any]:
    attempts = [
        {**attempt, **{name: cut(attempt.get(name, ""), limit) for name in ("stdout", "stderr")}}
        for attempt in step.get("attempts", ())
    ]
    return {**step, "attempts": attempts}


def cut(text: str, limit: int) -> str:
    """Head and tail of a long text, with a line between them naming what was left out."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n[runwright: {len(text) - 2 * half} characters left out here]\n{text[-half:]}"


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m runwright.record DIRECTORY`: send what is kept there. Exit 1 if some of it stays."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    url = os.environ.get("RUNWRIGHT_URL")
    if len(given) != 1 or given[0].startswith("-") or url is None:
        sys.stderr.write("usage: RUNWRIGHT_URL=... RUNWRIGHT_TOKEN=... python -m runwright.record DIRECTORY\n")
        return 2
    sent = send_kept(given[0], url=url, token=os.environ.get("RUNWRIGHT_TOKEN"))
    left = len(list(Path(given[0]).glob("*.json")))
    refused = len(list((Path(given[0]) / REFUSED).glob("*.json")))
    sys.stdout.write(f"{sent} sent, {left} left, {refused} refused\n")
    return 1 if left or refused else 0
