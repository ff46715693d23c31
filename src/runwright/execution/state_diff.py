"""What changed between two states, in meaning: no text lines, no noise from load."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from runwright.execution.looks import amount
from runwright.model.states import (
    BackupFact,
    CertificateFact,
    DiskFact,
    HostState,
    PortFact,
    ServiceFact,
    StateChange,
    WorkloadFact,
)

DISK_POINTS = 1.0
MEMORY_POINTS = 5.0
"""Percentage points below which a change is the host's ordinary life."""
DISK_KB = 1024 * 1024
"""A change of a disk below a percentage point is still told from 1 GB on."""
SUBJECT_SHARE, SUBJECT_KB = 0.1, 8 * 1024
"""The subject's memory counts as changed from a tenth and 8 MB on."""

_TRANSIENT = re.compile(
    r"^(run-|runwright-|user@|user-runtime-dir@|systemd-(hostnamed|localed|timedated|tmpfiles-clean)$)"
)
_QUIET = frozenset({"inactive", "absent"})


def diff_states(before: HostState | None, after: HostState | None) -> tuple[StateChange, ...]:
    """The differences that mean something; nothing where one of the states or one of the facts is missing."""
    if before is None or after is None:
        return ()
    unknown = {one.fact for one in (*before.missing, *after.missing)}
    changes: list[StateChange] = [*_host(before, after)]
    if "services" not in unknown:
        changes += _services(before.services, after.services)
    if "failed_units" not in unknown:
        changes += _failed(before.failed_units, after.failed_units)
    if "disks" not in unknown:
        changes += _disks(before.disks, after.disks)
    changes += _memory(before, after)
    if "ports" not in unknown:
        changes += _ports(before.ports, after.ports)
    if "certificates" not in {one.fact for one in before.missing}:
        changes += _certificates(before.certificates, after.certificates)
    changes += _backups(before.backups, after.backups)
    changes += _workload(before.workload, after.workload)
    return tuple(changes)


def _change(path: str, before: str | None, after: str | None, text: str | None = None) -> StateChange:
    return StateChange(path=path, before=before, after=after, text=text or f"{path}: {before} -> {after}")


def _host(before: HostState, after: HostState) -> Iterator[StateChange]:
    for name, was, now in (
        ("os", before.os, after.os),
        ("kernel", before.kernel, after.kernel),
        ("init", before.init, after.init),
    ):
        if was and now and was != now:
            yield _change(name, was, now, f"{name}: {was} -> {now}")
    if before.uptime_seconds and after.uptime_seconds and after.uptime_seconds < before.uptime_seconds:
        was, now = f"{before.uptime_seconds:.0f}", f"{after.uptime_seconds:.0f}"
        yield _change("uptime_seconds", was, now, f"the host was started anew {now} s ago")


def _services(before: Iterable[ServiceFact], after: Iterable[ServiceFact]) -> Iterator[StateChange]:
    was_by, now_by = {one.name: one for one in before}, {one.name: one for one in after}
    for name in sorted({*was_by, *now_by}):
        if _TRANSIENT.match(name):
            continue
        yield from _service(name, was_by.get(name), now_by.get(name))


def _service(name: str, was: ServiceFact | None, now: ServiceFact | None) -> Iterator[StateChange]:
    """systemd forgets units that do nothing, so a unit that is not told of is as good as inactive."""
    path = f"services.{name}"
    active_was, active_now = _active(was), _active(now)
    if active_was != active_now and not {active_was, active_now} <= _QUIET:
        yield _change(f"{path}.active", active_was, active_now, f"service {name}: {active_was} -> {active_now}")
    if was is None or now is None:
        return
    if active_was == active_now == "active":
        if was.sub != now.sub:
            yield _change(f"{path}.sub", was.sub, now.sub, f"service {name}: {was.sub} -> {now.sub}")
        elif was.main_pid and now.main_pid and was.main_pid != now.main_pid:
            text = f"service {name}: restarted (process {was.main_pid} -> {now.main_pid})"
            yield _change(f"{path}.main_pid", str(was.main_pid), str(now.main_pid), text)
    if (now.restarts or 0) > (was.restarts or 0):
        more = (now.restarts or 0) - (was.restarts or 0)
        text = f"service {name}: restarted by systemd {more} more time{'' if more == 1 else 's'}"
        yield _change(f"{path}.restarts", str(was.restarts or 0), str(now.restarts), text)
    if was.enabled != now.enabled:
        yield _change(
            f"{path}.enabled",
            was.enabled or "none",
            now.enabled or "none",
            f"service {name}: {was.enabled or 'no enablement'} -> {now.enabled or 'no enablement'}",
        )


def _active(fact: ServiceFact | None) -> str:
    """`not-found` is told apart from inactive, since it says that the unit does not exist."""
    if fact is None:
        return "absent"
    return "absent" if fact.sub == "not-found" else fact.active


def _failed(before: Iterable[str], after: Iterable[str]) -> Iterator[StateChange]:
    was, now = set(before), set(after)
    for name in sorted(now - was):
        yield _change(f"failed_units.{name}", None, "failed", f"unit {name} failed")
    for name in sorted(was - now):
        yield _change(f"failed_units.{name}", "failed", None, f"unit {name} is no longer failed")


def _disks(before: Iterable[DiskFact], after: Iterable[DiskFact]) -> Iterator[StateChange]:
    was_by, now_by = {one.mount: one for one in before}, {one.mount: one for one in after}
    for mount in sorted({*was_by, *now_by}):
        was, now = was_by.get(mount), now_by.get(mount)
        path = f"disks.{mount}"
        if was is None and now is not None:
            yield _change(path, None, now.filesystem, f"{mount}: mounted ({now.filesystem})")
        elif was is not None and now is None:
            yield _change(path, was.filesystem, None, f"{mount}: no longer mounted ({was.filesystem})")
        elif was is not None and now is not None:
            yield from _disk(path, was, now)


def _disk(path: str, was: DiskFact, now: DiskFact) -> Iterator[StateChange]:
    if was.filesystem != now.filesystem:
        text = f"{now.mount}: {was.filesystem} -> {now.filesystem}"
        yield _change(f"{path}.filesystem", was.filesystem, now.filesystem, text)
    for field, word in (("used_percent", ""), ("inodes_used_percent", " inodes")):
        old, new = getattr(was, field), getattr(now, field)
        if old is not None and new is not None and abs(new - old) >= DISK_POINTS:
            text = f"{now.mount}{word}: {old:.0f}% -> {new:.0f}%"
            yield _change(f"{path}.{field}", f"{old:.0f}%", f"{new:.0f}%", text)
    if abs(now.used_percent - was.used_percent) < DISK_POINTS and abs(now.used_kb - was.used_kb) >= DISK_KB:
        text = f"{now.mount}: {amount(now.used_kb - was.used_kb)}"
        yield _change(f"{path}.used_kb", str(was.used_kb), str(now.used_kb), text)


def _certificates(before: Iterable[CertificateFact], after: Iterable[CertificateFact]) -> Iterator[StateChange]:
    """By place; nothing for one that was or is not readable, which `missing` tells of."""
    was_by = {one.place: one for one in before}
    for now in after:
        was = was_by.get(now.place)
        if was is None or was.fingerprint == now.fingerprint:
            continue
        path = f"certificates.{now.place}"
        yield _change(
            f"{path}.not_after",
            was.not_after,
            now.not_after,
            f"certificate {now.place}: valid until {_date(was.not_after)} -> {_date(now.not_after)}",
        )
        for field in ("subject", "issuer"):
            old, new = getattr(was, field), getattr(now, field)
            if old != new:
                yield _change(f"{path}.{field}", old, new, f"certificate {now.place}: {field} {old} -> {new}")


def _date(text: str) -> str:
    """`Jan  5 09:00:00 2027 GMT` -> `2027-01-05`; as it is where it is written otherwise."""
    try:
        return datetime.strptime(text, "%b %d %H:%M:%S %Y %Z").replace(tzinfo=UTC).date().isoformat()
    except ValueError:
        return text or "unknown"


def _backups(was: BackupFact | None, now: BackupFact | None) -> Iterator[StateChange]:
    if was is None or now is None:
        return
    path = f"backups.{now.path}"
    if (was.newest, was.newest_at, was.newest_bytes) != (now.newest, now.newest_at, now.newest_bytes):
        text = f"backups in {now.path}: newest {_archive(was)} -> {_archive(now)}"
        yield _change(f"{path}.newest", _archive(was), _archive(now), text)
    if was.count > now.count:
        text = f"backups in {now.path}: {was.count} files -> {now.count}"
        yield _change(f"{path}.count", str(was.count), str(now.count), text)


def _archive(fact: BackupFact) -> str:
    if fact.newest is None:
        return "none"
    size = f"{(fact.newest_bytes or 0) / 1024:.0f} kB"
    return f"{fact.newest.rsplit('/', 1)[-1]} ({size}, {(fact.newest_at or 'no date')[:16]})"


def _workload(was: WorkloadFact | None, now: WorkloadFact | None) -> Iterator[StateChange]:
    """Processes that are all gone or newly there, and memory. How many workers there are is ordinary life."""
    if was is None or now is None:
        return
    path = f"workload.{now.name}"
    if (was.processes == 0) != (now.processes == 0):
        text = f"{now.name}: {was.processes} processes -> {now.processes}"
        yield _change(f"{path}.processes", str(was.processes), str(now.processes), text)
    old, new = was.resident_kb, now.resident_kb
    if old is not None and new is not None and abs(new - old) >= max(SUBJECT_KB, old * SUBJECT_SHARE):
        text = f"memory of {now.name}: {old // 1024} MB -> {new // 1024} MB"
        yield _change(f"{path}.resident_kb", str(old), str(new), text)


def _memory(before: HostState, after: HostState) -> Iterator[StateChange]:
    was, now = before.memory, after.memory
    if was is None or now is None:
        return
    pairs = [("memory.used", "memory", was.total_kb, was.available_kb, now.total_kb, now.available_kb)]
    if was.swap_total_kb and now.swap_total_kb:
        pairs.append(("memory.swap", "swap", was.swap_total_kb, was.swap_free_kb, now.swap_total_kb, now.swap_free_kb))
    for path, word, total_was, free_was, total_now, free_now in pairs:
        if not total_was or not total_now:
            continue
        old, new = 100 - 100 * free_was / total_was, 100 - 100 * free_now / total_now
        if abs(new - old) >= MEMORY_POINTS:
            yield _change(path, f"{old:.0f}%", f"{new:.0f}%", f"{word} used: {old:.0f}% -> {new:.0f}%")


def _ports(before: Iterable[PortFact], after: Iterable[PortFact]) -> Iterator[StateChange]:
    was_by, now_by = _by_port(before), _by_port(after)
    for key in sorted({*was_by, *now_by}):
        protocol, port = key
        word = f"port {port}" if protocol == "tcp" else f"port {port}/{protocol}"
        path = f"ports.{protocol}.{port}"
        was, now = was_by.get(key), now_by.get(key)
        if was is None and now is not None:
            yield _change(path, None, _said(now), f"{word} opened{_by(now)}")
        elif was is not None and now is None:
            yield _change(path, _said(was), None, f"{word} closed{_was_of(was)}")
        elif was is not None and now is not None and _said(was) != _said(now):
            yield _change(path, _said(was), _said(now), f"{word}: {_said(was)} -> {_said(now)}")


def _by_port(ports: Iterable[PortFact]) -> dict[tuple[str, int], list[PortFact]]:
    found: dict[tuple[str, int], list[PortFact]] = {}
    for fact in ports:
        found.setdefault((fact.protocol, fact.port), []).append(fact)
    return found


def _owners(facts: list[PortFact]) -> str:
    return ", ".join(sorted({fact.process for fact in facts if fact.process}))


def _said(facts: list[PortFact]) -> str:
    addresses = ", ".join(sorted({fact.address for fact in facts}))
    owners = _owners(facts)
    return f"{owners} on {addresses}" if owners else addresses


def _by(facts: list[PortFact]) -> str:
    return f" by {_owners(facts)}" if _owners(facts) else ""


def _was_of(facts: list[PortFact]) -> str:
    return f" (was {_owners(facts)})" if _owners(facts) else ""
