"""Names of units, as an alert gives them and as systemd wants them."""

from __future__ import annotations

from typing import Any

from runwright.model.incidents import IncidentBrief
from runwright.verification.findings import NoEvidence

_SUFFIXES = (
    ".service", ".socket", ".timer", ".mount", ".automount", ".swap", ".target", ".path", ".slice", ".scope", ".device",
)  # fmt: skip

_BY_TYPE: dict[str, tuple[str, ...]] = {"cert_expiry": ("renew_unit", "service"), "backup_failure": ("job",)}
_OTHERS = ("service", "unit", "job")


def unit_name(name: str) -> str:
    """`nginx` -> `nginx.service`; other unit types stay. Raises NoEvidence for a pattern or a path."""
    if not name or any(char in name for char in "*?[]/") or not name.isprintable() or name.startswith("-"):
        raise NoEvidence(f"found {name!r}, which is not the name of one unit")
    return name if name.endswith(_SUFFIXES) else f"{name}.service"


def subject_units(brief: IncidentBrief) -> tuple[str, ...]:
    """The units an incident is about, the one whose journal tells most first. Names that are none are left out."""
    found: list[str] = []
    for field in _BY_TYPE.get(brief.incident_type, _OTHERS):
        value: Any = brief.typed_subject.value(field)
        if not isinstance(value, str):
            continue
        try:
            unit = unit_name(value)
        except NoEvidence:
            continue
        if unit not in found:
            found.append(unit)
    return tuple(found)
