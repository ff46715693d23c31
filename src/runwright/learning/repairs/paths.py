"""Directories that are missing, and files that the subject's own user cannot use."""

from __future__ import annotations

import posixpath
import re

from runwright.learning.repairs.case import Case, Suggestion, step_content
from runwright.learning.repairs.quoting import STATE_ROOTS, VOLATILE_ROOTS, root_of, safe_path
from runwright.learning.repairs.shell import SPOT, UNIT_OWNER
from runwright.learning.signals.subjects import stem_of
from runwright.model.diagnoses import Signal, SignalKind

_ROOTS = VOLATILE_ROOTS + STATE_ROOTS
_DIRECTORY_WORDS = re.compile(r"chdir|change_dir|change directory|working directory|namespac|opendir|scandir", re.I)
_FILE_WORDS = re.compile(r"open|bind|creat|touch|writ|\.sock|\.pid|\.log|socket|listen", re.I)

_NOT_A_LOST_MOUNT = """\
dir={dir}
test ! -e "$dir" || exit 1
up=$dir
while [ "$up" != / ]; do
    if awk -v p="$up" '$1 !~ /^#/ && $2 == p {{found = 1}} END {{exit !found}}' /etc/fstab 2>/dev/null; then
        awk -v p="$up" '$2 == p {{found = 1}} END {{exit !found}}' /proc/self/mounts || exit 1
    fi
    up=$(dirname -- "$up")
done
there=$dir
while [ ! -e "$there" ] && [ "$there" != / ]; do there=$(dirname -- "$there"); done
enter "$there" {root} || exit 1
exit 0"""
"""Never fill in for a file system that should be mounted there, and never follow a link out of the root."""

_MAKE = """\
dir={dir}
here={root}
rest=${{dir#"$here"/}}
while [ -n "$rest" ]; do
    spot "$here/${{rest%%/*}}" {root} || exit 1
    made=
    [ -e "./$name" ] || {{ mkdir -m 0755 -- "./$name" && made=yes; }} || exit 1
    here=$here/$name
    rest=${{rest#"$name"}}
    rest=${{rest#/}}
    enter "$here" {root} || exit 1
done
"""
_OWN = '[ -z "$made" ] || chown -- "$user:$group" .'


def missing_directory_of(signal: Signal) -> str | None:
    """The directory that is missing, if the signal names one that may be made: below a place for data or run time."""
    path = safe_path(signal.facts.get("path"), _ROOTS)
    if path is None:
        return None
    parent = posixpath.dirname(path)
    plain_name = "." not in posixpath.basename(path)
    if _DIRECTORY_WORDS.search(signal.excerpt) or (plain_name and not _FILE_WORDS.search(signal.excerpt)):
        return path
    if safe_path(parent, _ROOTS) is not None:
        return parent
    return path if plain_name and parent in _ROOTS and not _FILE_WORDS.search(signal.excerpt) else None


def missing_directory(case: Case) -> Suggestion | None:
    """Make a missing directory, owned by the user that the subject runs as."""
    for index in case.find(SignalKind.PATH_MISSING):
        directory = missing_directory_of(case.signal(index))
        if directory is None:
            continue
        word, root = case.path_word(directory), root_of(directory, _ROOTS)
        make = SPOT + _MAKE.format(dir=word, root=root)
        if case.unit_word is not None:
            make = UNIT_OWNER.format(unit=case.unit_word) + make + _OWN
        content = step_content(
            case.new_id("make-directory"),
            "Make the directory that is missing, for the user that needs it",
            only_if=SPOT + _NOT_A_LOST_MOUNT.format(dir=word, root=root),
            run=make,
        )
        reason = f"{directory} is missing. Made with the unit's own user, unless a file system should be mounted there."
        return Suggestion("missing_directory", (case.before_start(content, reason, (index,)),), 0.8)
    return None


_WORKING_DIRECTORY = """\
dir=$(systemctl show -p WorkingDirectory -- {unit} | sed 's/^WorkingDirectory=[!-]*//')
case $dir in /run/?* | /var/?* | /srv/?* | /opt/?*) ;; *) exit 1 ;; esac
"""


def missing_working_directory(case: Case) -> Suggestion | None:
    """Make the working directory that the unit itself declares."""
    found = case.find(SignalKind.PATH_MISSING, where=lambda _, signal: signal.facts.get("role") == "working_directory")
    if not found or case.unit_word is None:
        return None
    declared = _WORKING_DIRECTORY.format(unit=case.unit_word)
    content = step_content(
        case.new_id("make-working-directory"),
        "Make the working directory that the unit declares",
        only_if=declared + 'test ! -e "$dir"',
        run=declared + UNIT_OWNER.format(unit=case.unit_word) + 'install -d -m 0755 -o "$user" -g "$group" -- "$dir"',
    )
    reason = "The unit's working directory is missing."
    return Suggestion("missing_working_directory", (case.before_start(content, reason, found[:1]),), 0.8)


def own_path(path: str | None, unit: str | None) -> str | None:
    """The path, if it is data or run-time state that bears the unit's own name (as `/var/lib/<unit>/db`)."""
    safe = safe_path(path, _ROOTS)
    if safe is None or unit is None:
        return None
    stem = stem_of(unit).partition("@")[0]
    named = any(re.search(rf"(?<![A-Za-z0-9]){re.escape(stem)}(?![A-Za-z0-9])", part) for part in safe.split("/"))
    return safe if named and len(stem) >= 3 else None


_TREE = """\
path={path}
user=$(systemctl show -p User -- {unit} 2>/dev/null | sed 's/^User=//')
test -n "$user" || exit 1
its_own() {{ # file: neither a link nor a second name of a file that lies elsewhere
    [ ! -L "$1" ] && {{ [ -d "$1" ] || [ "$(stat -c %h -- "$1" 2>/dev/null)" = 1 ]; }}
}}
"""
_WRONG = """\
while [ "$path" != "$stop" ] && [ "$path" != / ]; do
    if spot "$path" "$stop" && its_own "./$name"; then
        test -n "$(find "./$name" -maxdepth 0 \\( ! -user "$user" -o ! -perm -u+rw \\) 2>/dev/null)" && exit 0
    fi
    path=$(dirname -- "$path")
done
exit 1"""
_RIGHT = """\
while [ "$path" != "$stop" ] && [ "$path" != / ]; do
    if spot "$path" "$stop" && its_own "./$name"; then
        chown -h -- "$user" "./$name"
        chmod u+rwX -- "./$name"
    fi
    path=$(dirname -- "$path")
done"""


def wrong_owner(case: Case) -> Suggestion | None:
    """Give the subject's own state back to the user it runs as; nothing that does not bear its name."""
    unit = case.evidence.subject.unit
    for index in case.find(SignalKind.PERMISSION_REFUSED):
        path = own_path(case.signal(index).facts.get("path"), unit)
        if path is None or case.unit_word is None:
            continue
        start = SPOT + _TREE.format(path=case.path_word(path), unit=case.unit_word) + f"stop={root_of(path, _ROOTS)}\n"
        content = step_content(
            case.new_id("own-state"),
            "Give the unit's own state back to the user it runs as",
            only_if=start + _WRONG,
            run=start + _RIGHT,
        )
        reason = f"The unit's user cannot use {path}, which bears the unit's name. Owner and owner's rights are set."
        return Suggestion("wrong_owner", (case.before_start(content, reason, (index,)),), 0.75)
    return None
