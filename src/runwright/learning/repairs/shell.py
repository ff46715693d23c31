"""POSIX sh that repairs share. Only /proc, coreutils or busybox, awk and (guarded) systemctl are needed."""

from __future__ import annotations

BORN_BEFORE = """\
older() { # pid, seconds since 1970: whether the process lives and began no later than that
    [ "$1" -gt 1 ] 2>/dev/null && [ -r "/proc/$1/stat" ] || return 1
    fields=$(sed 's/^.*) //' "/proc/$1/stat")
    case $fields in Z* | X*) return 1 ;; esac # dead, and not yet reaped
    ticks=$(echo "$fields" | awk '{print $20}')
    up=$(cut -d. -f1 /proc/uptime)
    hz=$(getconf CLK_TCK 2>/dev/null || echo 100)
    [ "$(($(date +%s) - up + ticks / hz))" -le "$(($2 + 5))" ]
}
"""
"""A process that began after a file was last written cannot have written it: its number was given again."""

SPOT = """\
enter() { # directory, root: go there, unless a part of its path below the root is a symbolic link
    cd -P -- "$1" 2>/dev/null && [ "$(pwd -P)" = "$(readlink -f -- "$2")${1#"$2"}" ]
}
spot() { # path, root: go to where it lies; $name is its last part
    name=${1##*/}
    case $name in '' | . | ..) return 1 ;; esac
    enter "${1%/*}" "$2"
}
"""
"""Whoever may write below the root could lead a path elsewhere: by a link, or by a parameter with `..` in it.

After `spot`, work on `./$name`: the place stays, whatever becomes of the path meanwhile."""

ONE_LINE = "! -path '*\n*'"
"""For `find` whose paths are read a line each: a directory named `a<line feed>` with `etc/passwd` in it would
otherwise be read as `/etc/passwd`."""

UNIT_OWNER = """\
user=$(systemctl show -p User -- {unit} 2>/dev/null | sed 's/^User=//')
group=$(systemctl show -p Group -- {unit} 2>/dev/null | sed 's/^Group=//')
user=${{user:-root}}
group=${{group:-$(id -gn -- "$user")}}
"""

PROTECTED = """\
kept() {{ # path: whether it or what is above it is protected
    while IFS= read -r keep; do
        case "$1/" in "${{keep:-//}}"/* | "${{keep%/}}/") return 0 ;; esac
    done <<LIST
{protect}
LIST
    return 1
}}
"""
"""`protect` is one path a line, empty lines match nothing."""


def guard(*tests: str) -> str:
    """Tests joined so that all must hold; one a line."""
    return " &&\n".join(tests)
