"""Configuration files that do not parse or are gone, with a good copy beside them."""

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


_PUT_BACK = """\
[ -n "$good" ] || exit 1
[ ! -e "$file" ] || [ -e "$file.broken" ] || cp -p -- "$file" "$file.broken"
cp -p -- "$good" "$file" && echo "restored $name from ${good#./}\""""


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
            run=newest + _PUT_BACK + reload_units,
        )
        reason = f"{file} does not parse. If a copy lies beside it, the newest is put back and the broken file kept."
        return Suggestion("restore_configuration", (case.before_start(content, reason, (index,)),), 0.65)
    return None


_DECLARED = """\
declared=$(systemctl show -p EnvironmentFiles -- {unit} |
    sed -n 's/^EnvironmentFiles=\\(.*\\) (ignore_errors=no)$/\\1/p' |
    while IFS= read -r each; do
        [ -e "$each" ] || {{ printf '%s\\n' "$each"; break; }}
    done)
case $declared in /etc/*[*?[]*) exit 1 ;; /etc/?*) ;; *) exit 1 ;; esac
"""
"""The first file below /etc that the unit must have and that is missing; a pattern is no file."""


def restore_environment_file(case: Case) -> Suggestion | None:
    """Put back the newest copy beside a missing file that the unit itself names as `EnvironmentFile=`."""
    found = case.find(SignalKind.PATH_MISSING, where=lambda _, signal: signal.facts.get("role") == "environment_file")
    if not found or case.unit_word is None:
        return None
    newest = _DECLARED.format(unit=case.unit_word) + SPOT + _NEWEST.format(file='"$declared"', root="/etc")
    content = step_content(
        case.new_id("restore-environment-file"),
        "Put back the newest copy of the environment file that is missing",
        only_if=newest + 'test ! -e "$file" && test -n "$good"',
        run=newest + '[ ! -e "$file" ] || exit 0\n' + _PUT_BACK,
    )
    reason = "A file that the unit takes its environment from is missing. If a copy lies beside it, it is put back."
    return Suggestion("restore_environment_file", (case.before_start(content, reason, found[:1]),), 0.65)
