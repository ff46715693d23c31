"""Service units, failed units, and the recent journal of the subject's unit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runwright.execution.facts.fact import Fact, Unreadable
from runwright.model.states import ServiceFact
from runwright.verification.text import first_line, visible
from runwright.verification.verifier import integer, properties

JOURNAL_LINES = 40
JOURNAL_MINUTES = 15
_LINE = 1000

_NO_SYSTEMD = "rw-no-systemd"


def _refuse_without_systemd(text: str) -> None:
    """Raise Unreadable where the section says that systemd does not run the host, or could not be asked."""
    if text.startswith(_NO_SYSTEMD):
        name = visible(text.removeprefix(_NO_SYSTEMD).strip())
        raise Unreadable(f"process 1 of the host is {name or 'unknown'}, not systemd")
    if text.startswith("rw-failed"):
        raise Unreadable(f"systemctl could not be asked: {first_line(text.removeprefix('rw-failed')) or 'no answer'}")


def _services(text: str) -> Mapping[str, Any]:
    _refuse_without_systemd(text)
    found: dict[str, ServiceFact] = {}
    for block in properties(text):
        name, load = block.get("Id", ""), block.get("LoadState", "")
        if not name or "ActiveState" not in block:
            continue
        if load == "not-found" and block["ActiveState"] == "inactive" and name in found:
            continue
        found[name] = ServiceFact(
            name=visible(name).removesuffix(".service"),
            active=visible(block["ActiveState"]),
            sub="not-found" if load == "not-found" else visible(block.get("SubState", "")),
            enabled=visible("masked" if load == "masked" else block.get("UnitFileState", "")),
            main_pid=integer(block.get("MainPID")) or None,
            restarts=integer(block.get("NRestarts")),
        )
    if not found:
        raise Unreadable("systemctl named no service")
    return {"services": tuple(sorted(found.values(), key=lambda fact: fact.name))}


def _failed(text: str) -> Mapping[str, Any]:
    _refuse_without_systemd(text)
    names = (line.split()[0] for line in text.splitlines() if line.split())
    return {"failed_units": tuple(sorted(visible(name).removesuffix(".service") for name in names if "." in name))}


def _journal(text: str) -> Mapping[str, Any]:
    if text.startswith(_NO_SYSTEMD):
        raise Unreadable("the host has no journalctl")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith(("-- ", "Hint: "))]
    if not lines and "Hint: " in text:
        raise Unreadable("this user may not read the journal")
    if lines and lines[0].startswith(("Failed ", "No journal files")):
        raise Unreadable(f"journalctl could not be asked: {first_line(lines[0])}")
    return {"journal": tuple(visible(line)[:_LINE] for line in lines[-JOURNAL_LINES:])}


_ASK = r"""
if [ ! -d /run/systemd/system ] || ! have systemctl; then
  read -r rw_line </proc/1/comm; printf 'rw-no-systemd %s\n' "$rw_line"
else rw_out=$(COMMAND 2>&1) || printf 'rw-failed '; printf '%s\n' "$rw_out"; fi
"""
_SHOW = "Id,LoadState,ActiveState,SubState,UnitFileState,MainPID,NRestarts"


def services(units: tuple[str, ...]) -> Fact:
    """All loaded services in one call, and always the subject's units, whether loaded or not."""
    named = " ".join(f'"$unit_{number}"' for number in range(len(units)))
    command = f"systemctl show --no-pager -p {_SHOW} -- '*.service' {named}".rstrip()
    return Fact("services", _ASK.replace("COMMAND", command), _services)


def journal(units: tuple[str, ...]) -> Fact:
    """The recent lines of the subject's units."""
    named = " ".join(f'-u "$unit_{number}"' for number in range(len(units)))
    script = (
        "if have journalctl; then journalctl --no-pager -o short-iso "
        f"-n {JOURNAL_LINES} --since '-{JOURNAL_MINUTES}min' {named} 2>&1\n"
        "else printf 'rw-no-systemd\\n'; fi"
    )
    return Fact("journal", script, _journal)


FAILED_UNITS = Fact(
    "failed_units",
    _ASK.replace("COMMAND", "systemctl list-units --all --state=failed --plain --no-legend --no-pager"),
    _failed,
)
