"""Which version came from which: v1 -> v2 -> v3. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from runwright.model.errors import InvalidInput, NotFound
from runwright.model.versions import RunbookVersion


def chain(version_id: str, versions: Iterable[RunbookVersion]) -> tuple[RunbookVersion, ...]:
    """The version and all it came from, the eldest first.

    Raises NotFound if the version is not among `versions`, InvalidInput if parents run in a circle. A parent
    that is not there ends the chain: it may belong to another client.
    """
    by_id = {version.id: version for version in versions}
    if version_id not in by_id:
        raise NotFound(f"found no version {version_id}.", next_step="See `runwright runbook history`.")
    line: list[RunbookVersion] = []
    here: str | None = version_id
    while here is not None and here in by_id:
        if any(version.id == here for version in line):
            raise InvalidInput(f"found {here} among its own parents.", next_step="Restore the versions from a backup.")
        line.append(by_id[here])
        here = by_id[here].parent
    return tuple(reversed(line))


def children(versions: Iterable[RunbookVersion]) -> Mapping[str, tuple[RunbookVersion, ...]]:
    """Versions by the id of their parent; roots under the empty string. In the order of their numbers."""
    listed: dict[str, list[RunbookVersion]] = {}
    for version in sorted(versions, key=lambda each: (each.runbook_id, each.number)):
        listed.setdefault(version.parent or "", []).append(version)
    return {parent: tuple(below) for parent, below in listed.items()}


def next_number(runbook_id: str, versions: Iterable[RunbookVersion]) -> int:
    """The number that a new version of the runbook gets: one above the highest ever used."""
    return max((version.number for version in versions if version.runbook_id == runbook_id), default=0) + 1
