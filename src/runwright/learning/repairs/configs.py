"""A configuration file that does not parse, with a good copy beside it."""

from __future__ import annotations

from runwright.learning.repairs.case import Case, Suggestion, step_content
from runwright.learning.repairs.quoting import CONFIG_ROOTS, root_of, safe_path
from runwright.learning.repairs.shell import SPOT
from runwright.model.diagnoses import SignalKind

_COPIES = '"$file.bak" "$file.dpkg-old" "$file.rpmsave" "$file.orig" "$file.old" "$file.save" "$file.backup" "$file~"'
_NEWEST = f"""\
file={{file}}
spot "$file" {{root}} || exit 1
[ -n "$(find . -maxdepth 0 -user "$(id -u)" ! -perm -020 ! -perm -002)" ] || exit 1
file=./$name
[ ! -L "$file" ] || exit 1
good=
for copy in {_COPIES}; do
    [ -f "$copy" ] && [ -s "$copy" ] && ! cmp -s -- "$copy" "$file" || continue
    if [ -z "$good" ] || [ -n "$(find "$copy" -newer "$good" 2>/dev/null)" ]; then good=$copy; fi
done
"""
"""In a directory that only this user may write to: elsewhere the copy, or what it is put over, may be anyone's."""


def restore_configuration(case: Case) -> Suggestion | None:
    """Put back the newest copy beside a broken configuration file; the broken one is kept under another name."""
    kinds = (SignalKind.CONFIG_ERROR, SignalKind.SYNTAX_ERROR)
    for index in case.find(*kinds, where=lambda _, signal: signal.facts.get("cause") != "unit_changed"):
        file = safe_path(case.signal(index).facts.get("file"), CONFIG_ROOTS)
        if file is None:
            continue
        newest = SPOT + _NEWEST.format(file=case.path_word(file), root=root_of(file, CONFIG_ROOTS))
        reload_units = "\nsystemctl daemon-reload" if file.startswith("/etc/systemd/") else ""
        content = step_content(
            case.new_id("restore-configuration"),
            "Put back the newest copy of the broken configuration file",
            only_if=newest + 'test -n "$good"',
            run=newest
            + '[ -n "$good" ] || exit 1\n'
            + '[ ! -e "$file" ] || [ -e "$file.broken" ] || cp -p -- "$file" "$file.broken"\n'
            + 'cp -p -- "$good" "$file" && echo "restored $name from ${good#./}"'
            + reload_units,
        )
        reason = f"{file} does not parse. If a copy lies beside it, the newest is put back and the broken file kept."
        return Suggestion("restore_configuration", (case.before_start(content, reason, (index,)),), 0.65)
    return None
