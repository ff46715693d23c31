"""What systemd wants before it starts a unit again."""

from __future__ import annotations

from runwright.learning.evidence import Voice
from runwright.learning.repairs.case import Case, Suggestion, step_content
from runwright.model.diagnoses import SignalKind

_ALL = (Voice.TOOL, Voice.SUBJECT, Voice.STATE, Voice.ASIDE)


def start_limit(case: Case) -> Suggestion | None:
    """Clear the start limit before the unit is started again."""
    found = case.find(SignalKind.START_LIMIT_HIT, voices=_ALL)
    if not found or case.unit_word is None or case.mentions("reset-failed"):
        return None
    content = step_content(
        case.new_id("reset-failed"),
        "Clear the unit's failure count, so that its start limit does not refuse the start",
        only_if=f"systemctl is-failed --quiet -- {case.unit_word}",
        run=f"systemctl reset-failed -- {case.unit_word}",
    )
    reason = "systemd refuses to start the unit because it failed too often in a short time."
    return Suggestion("start_limit", (case.before_start(content, reason, found[:1]),), 0.7, enabling=True)


def reload_units(case: Case) -> Suggestion | None:
    """Let systemd read a unit file that changed on disk."""
    changed = case.find(
        SignalKind.CONFIG_ERROR, voices=_ALL, where=lambda _, signal: signal.facts.get("cause") == "unit_changed"
    )
    if not changed or case.unit_word is None or case.mentions("daemon-reload"):
        return None
    content = step_content(
        case.new_id("reload-units"),
        "Let systemd read the unit file as it is on disk now",
        only_if=f'test "$(systemctl show -p NeedDaemonReload -- {case.unit_word})" = NeedDaemonReload=yes',
        run="systemctl daemon-reload",
    )
    reason = "The unit file on disk is newer than the one that systemd runs."
    return Suggestion("reload_units", (case.before_start(content, reason, changed[:1]),), 0.85, enabling=True)


_DEPENDENCIES = """\
for unit in $(systemctl show -p Requires -p Requisite -p BindsTo -p Wants -- {unit} | cut -d= -f2-); do
    case $unit in *.service | *.socket | *.mount) ;; *) continue ;; esac
    systemctl is-failed --quiet -- "$unit" || continue
    {act}
done
{end}"""


def failed_dependency(case: Case) -> Suggestion | None:
    """Start what the unit itself declares to need and what has failed, before the unit."""
    found = case.find(SignalKind.DEPENDENCY_FAILED, voices=_ALL)
    if not found or case.unit_word is None:
        return None
    restart = 'echo "starting $unit"\n    systemctl reset-failed -- "$unit"\n    systemctl start -- "$unit" || exit 1'
    content = step_content(
        case.new_id("start-dependencies"),
        "Start the failed units that this one declares to need",
        only_if=_DEPENDENCIES.format(unit=case.unit_word, act="exit 0", end="exit 1"),
        run=_DEPENDENCIES.format(unit=case.unit_word, act=restart, end="exit 0"),
        timeout="3m",
    )
    reason = "A unit that the subject needs has failed, so the subject cannot start."
    return Suggestion("failed_dependency", (case.before_start(content, reason, found[:1]),), 0.6)


_RAISE = """\
name=$(systemctl show -p Id -- {unit} | sed 's/^Id=//')
case $name in *.service) ;; *) exit 1 ;; esac
mkdir -p -- "/etc/systemd/system/$name.d"
printf '[Service]\\nLimitNOFILE=65536\\n' >"/etc/systemd/system/$name.d/50-limits.conf"
systemctl daemon-reload"""


def open_files_limit(case: Case) -> Suggestion | None:
    """Raise the unit's limit of open files, if it is below 65536."""
    found = case.find(SignalKind.UNIT_LIMIT, where=lambda _, signal: signal.facts.get("resource") == "nofile")
    if not found or case.unit_word is None:
        return None
    soft = f"limit=$(systemctl show -p LimitNOFILESoft -- {case.unit_word} | sed 's/^LimitNOFILESoft=//')"
    content = step_content(
        case.new_id("raise-open-files"),
        "Raise the unit's limit of open files to 65536",
        only_if=f'{soft}\ntest -n "$limit" && test "$limit" != infinity && test "$limit" -lt 65536',
        run=_RAISE.format(unit=case.unit_word),
    )
    reason = "The unit ran out of open files. A drop-in raises its limit; it stays until someone removes it."
    return Suggestion("open_files_limit", (case.before_start(content, reason, found[:1]),), 0.6)
