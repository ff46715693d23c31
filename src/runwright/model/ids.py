"""Identifiers: how they are made, parsed and compared. Pure; time and randomness are handed in."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import rfc8785
from pydantic import Field

RunbookId = Annotated[str, Field(pattern=r"^[A-Z0-9](?:[A-Z0-9-]{0,118}[A-Z0-9])?$", max_length=120)]
"""As `RB-LINUX-SERVICE-001`; may not end in `-v<digits>` (upper case makes that impossible)."""

VersionId = Annotated[str, Field(pattern=r"^[A-Z0-9][A-Z0-9-]*-v[1-9][0-9]*$")]
"""As `RB-LINUX-SERVICE-001-v2`."""

ClientId = Annotated[str, Field(pattern=r"^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$")]

ALL = "all"
"""The scope of library content. No client may have this id."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_VERSION = re.compile(r"(?P<runbook>[A-Z0-9][A-Z0-9-]*)-v(?P<number>[1-9][0-9]*)")


def version_id(runbook: str, number: int) -> str:
    """`RB-X-001`, 2 -> `RB-X-001-v2`."""
    return f"{runbook}-v{number}"


def split_version_id(value: str) -> tuple[str, int]:
    """`RB-X-001-v2` -> (`RB-X-001`, 2). Raises ValueError if it is not a version id."""
    match = _VERSION.fullmatch(value)
    if match is None:
        raise ValueError(f"found {value!r}; allowed: a version id such as RB-LINUX-SERVICE-001-v2")
    return match["runbook"], int(match["number"])


def make_id(prefix: str, moment: datetime, randomness: bytes) -> str:
    """A sortable id: prefix, milliseconds since 1970 in 12 hex digits, 16 hex digits of randomness."""
    milliseconds = (moment - _EPOCH) // timedelta(milliseconds=1)
    return f"{prefix}_{milliseconds:012x}{randomness[:8].hex()}"


def sha256(data: bytes) -> str:
    """`sha256:<hex>` of bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def digest(data: Any) -> str:
    """Digest of plain data in the canonical form of RFC 8785."""
    return sha256(rfc8785.dumps(data))


def external_execution_id(client_id: str, source: str, external_id: str) -> str:
    """Our id of a run that another executor reports. No client and no source can name one of another's, or of ours."""
    return "ext_" + digest([client_id, source, external_id]).removeprefix("sha256:")[:32]


def is_external(execution_id: str) -> bool:
    """Whether an id is that of a reported run."""
    return execution_id.startswith("ext_")


def incident_fingerprint(client_id: str, host_id: str, incident_type: str, subject: Mapping[str, Any]) -> str:
    """Same client, host, type and canonical subject (None left out) -> same fingerprint."""
    plain = {key: value for key, value in subject.items() if value is not None}
    return digest([client_id, host_id, incident_type, plain])
