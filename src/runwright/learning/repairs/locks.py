"""Files that a dead process left behind: locks, pid files, sockets."""

from __future__ import annotations

from runwright.learning.repairs.case import Case, Suggestion, step_content
from runwright.learning.repairs.quoting import STATE_ROOTS, VOLATILE_ROOTS, root_of, safe_path
from runwright.learning.repairs.shell import BORN_BEFORE, SPOT
from runwright.model.diagnoses import Signal, SignalKind

_ROOTS = VOLATILE_ROOTS + STATE_ROOTS

_HELD = """\
spot {file} {root} || exit 1
test -e "./$name" || exit 1
real=$(readlink -f -- "./$name") || exit 1
ls -l /proc/[0-9]*/fd 2>/dev/null | grep -qF -e "-> $real" && exit 1
wrote=$(stat -c %Y -- "$real") || exit 1
note=$real
[ -d "$real" ] && note="$real/pid"
pids=$(head -n 5 -- "$note" 2>/dev/null | head -c 400 | tr -c '0-9\\n' ' ')
{fallback}\
for pid in $pids; do
    older "$pid" "$wrote" && exit 1
done
exit 0"""
_FALLBACK = """\
[ -n "$(printf %s "$pids" | tr -d ' \\n')" ] ||
    pids=$(systemctl show -p MainPID -- {unit} 2>/dev/null | sed 's/^MainPID=//')
"""
_REMOVE = """\
file={file}
spot "$file" {root} || exit 1
if [ -d "./$name" ] && [ ! -L "./$name" ]; then
    (enter "$file" {root} && rm -f -- ./pid)
    rmdir -- "./$name"
else
    rm -f -- "./$name"
fi"""


def left_behind(signal: Signal) -> str | None:
    """The path of a stale lock or pid file that a signal names; None if none, or if telemetry says it is in use."""
    if "held_by" in signal.facts or signal.facts.get("live") == "maybe":
        return None
    path = signal.facts.get("path")
    if path is None and "directory" in signal.facts and "name" in signal.facts:
        path = f"{signal.facts['directory']}/{signal.facts['name']}"
    return safe_path(path, _ROOTS)


def stale_file(case: Case) -> Suggestion | None:
    """Remove a lock or pid file that keeps the subject from starting, if no live process can be its holder.

    A holder has the file open, or is named in it and began before it was last written.
    """
    for index in case.find(SignalKind.STALE_LOCK, SignalKind.STALE_PID):
        signal = case.signal(index)
        path = left_behind(signal)
        if path is None:
            continue
        word, root = case.path_word(path), root_of(path, _ROOTS)
        fallback = _FALLBACK.format(unit=case.unit_word) if case.unit_word else ""
        content = step_content(
            case.new_id("drop-stale-lock" if signal.kind is SignalKind.STALE_LOCK else "drop-stale-pid-file"),
            "Remove the file that a dead process left behind, if no live process holds it",
            only_if=BORN_BEFORE + SPOT + _HELD.format(file=word, root=root, fallback=fallback),
            run=SPOT + _REMOVE.format(file=word, root=root),
        )
        reason = (
            f"The subject refuses to start over {path}. Removed only if no live process has it open or is named in it."
        )
        return Suggestion("stale_file", (case.before_start(content, reason, (index,)),), 0.9)
    return None


def stale_socket(case: Case) -> Suggestion | None:
    """Remove a socket file that nothing listens on."""
    for index in case.find(SignalKind.PORT_IN_USE, where=lambda _, signal: "path" in signal.facts):
        path = safe_path(case.signal(index).facts["path"], _ROOTS)
        if path is None:
            continue
        there = SPOT + f"spot {case.path_word(path)} {root_of(path, _ROOTS)} || exit 1\n"
        listening = (
            'file=$(readlink -f -- "./$name")\n'
            """awk -v f="$file" '$NF == f {found = 1} END {exit !found}' /proc/net/unix && exit 1"""
        )
        content = step_content(
            case.new_id("drop-stale-socket"),
            "Remove the socket file that nothing listens on any more",
            only_if=there + f'test -S "./$name" || exit 1\n{listening}\nexit 0',
            run=there + 'rm -f -- "./$name"',
        )
        reason = f"The address {path} is taken by a socket file. Removed only if no process listens on it."
        return Suggestion("stale_socket", (case.before_start(content, reason, (index,)),), 0.85)
    return None
