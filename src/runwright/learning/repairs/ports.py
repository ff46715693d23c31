"""A port that an earlier instance of the same program still holds."""

from __future__ import annotations

from runwright.learning.repairs.case import Case, Suggestion, step_content
from runwright.learning.repairs.quoting import safe_port
from runwright.model.diagnoses import SignalKind
from runwright.model.documents import IntegerParameter

_LISTENING = """\
port={port}
end=$(printf ':%04X' "$port")
sockets=$(cat /proc/net/tcp /proc/net/tcp6 2>/dev/null |
    awk -v e="$end" '$4 == "0A" && substr($2, length($2) - 4) == e {{print $10}}' | sort -u)
"""
_END_INSTANCE = """\
argv=$(systemctl show -p ExecStart -- {unit} | sed -n 's/.*argv\\[\\]=\\(.*\\) ; ignore_errors=.*/\\1/p' | head -n 1)
program=$(systemctl show -p ExecStart -- {unit} | sed -n 's/.*path=\\([^ ]*\\) ;.*/\\1/p' | head -n 1)
own=$(systemctl show -p Id -- {unit} | sed 's/^Id=//')
main=$(systemctl show -p MainPID -- {unit} | sed 's/^MainPID=//')
[ -n "$argv" ] && [ -n "$program" ] || exit 1
same() {{ # pid: whether it runs the unit's own program
    line=$(tr '\\0' ' ' <"/proc/$1/cmdline" | sed 's/ *$//')
    case "$line" in "$argv" | *" $argv") return 0 ;; esac
    case ${{program##*/}} in sh | bash | dash | env | python* | perl* | ruby* | node* | java | php*) return 1 ;; esac
    [ "$(readlink "/proc/$1/exe")" = "$(readlink -f -- "$program")" ]
}}
pids=$(for socket in $sockets; do
    ls -l /proc/[0-9]*/fd 2>/dev/null |
        awk -v s="-> socket:[$socket]" '
            /^\\/proc\\// {{split($1, part, "/"); pid = part[3]}}
            index($0, s) {{print pid}}'
done | sort -u)
for pid in $pids; do
    [ "$pid" != "$main" ] || continue
    unit=$(sed -n 's/.*\\/\\([^/]*\\.service\\)$/\\1/p' "/proc/$pid/cgroup" | head -n 1)
    if [ -n "$unit" ] && [ "$unit" != "$own" ] && systemctl is-active --quiet -- "$unit"; then
        echo "port $port belongs to $unit, which is left alone" >&2
        exit 1
    fi
    if ! same "$pid"; then
        echo "port $port is held by process $pid, which is no instance of $own and is left alone" >&2
        exit 1
    fi
done
for pid in $pids; do
    [ "$pid" != "$main" ] || continue
    echo "ending process $pid, an earlier instance of $own"
    kill -TERM "$pid"
    for second in 1 2 3 4 5; do
        [ -d "/proc/$pid" ] || break
        sleep 1
    done
    [ ! -d "/proc/$pid" ] || kill -KILL "$pid"
done
exit 0"""


def port_held_by_earlier_instance(case: Case) -> Suggestion | None:
    """End an earlier instance of the subject's own program that still listens; any other holder is left alone."""
    if case.unit_word is None:
        return None
    for index in case.find(SignalKind.PORT_IN_USE):
        port = safe_port(case.signal(index).facts.get("port"))
        if port is None and "path" not in case.signal(index).facts:
            port = case.evidence.subject.port
        if port is None or case.evidence.another_service_holds(str(port)):
            continue
        word = str(port)
        for name, parameter in case.document.parameters.items():
            declared = isinstance(parameter, IntegerParameter) and parameter.from_ == "incident.subject.port"
            if declared and case.evidence.subject.port == port:
                word = f'"${name}"'
        start = _LISTENING.format(port=word)
        content = step_content(
            case.new_id("end-earlier-instance"),
            "End an earlier instance of the unit's own program that still holds its port",
            only_if=start + 'test -n "$sockets"',
            run=start + _END_INSTANCE.format(unit=case.unit_word),
        )
        reason = (
            f"Port {port} is taken. Only a process that runs the unit's own program outside any other unit is ended."
        )
        return Suggestion("port_held", (case.before_start(content, reason, (index,)),), 0.75)
    return None
