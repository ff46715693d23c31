"""The one way in which a text from telemetry may enter a step: checked here, quoted here, or not at all."""

from __future__ import annotations

import re
from collections.abc import Mapping

_PATH = re.compile(r"/[A-Za-z0-9._/@+-]{1,199}")
_COMMAND = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
_UNIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9@._:-]{0,199}\.(?:service|socket|mount|timer|target|path)")
_PORT = re.compile(r"[1-9][0-9]{0,4}")

VOLATILE_ROOTS = ("/run", "/var/run", "/var/lock", "/run/lock", "/tmp", "/var/tmp")  # noqa: S108 - named, not used
STATE_ROOTS = ("/var/lib", "/var/log", "/var/cache", "/var/spool", "/var/backups", "/var/opt", "/srv", "/opt")
CONFIG_ROOTS = ("/etc", "/usr/local/etc", "/opt", "/srv")

NEVER = ("/run/systemd", "/run/udev", "/run/dbus", "/run/user", "/var/lib/systemd", "/var/lib/dbus", "/run/credentials")
"""Below these nothing is touched, whatever telemetry says."""


def safe_path(text: str | None, roots: tuple[str, ...]) -> str | None:
    """The path if it is absolute, plain, and truly below one of the roots; else None.

    Plain: only `A-Za-z0-9._/@+-`, no empty, `.` or `..` part, at most 200 characters.
    """
    if text is None or not _PATH.fullmatch(text):
        return None
    parts = text.split("/")[1:]
    if any(part in ("", ".", "..") or part.startswith("-") for part in parts):
        return None
    if any(text == never or text.startswith(never + "/") for never in NEVER):
        return None
    return text if any(text.startswith(root + "/") for root in roots) else None


def root_of(path: str, roots: tuple[str, ...]) -> str:
    """The longest of the roots that a safe path lies below. Raises ValueError if none is."""
    return max((root for root in roots if path.startswith(root + "/")), key=len)


def safe_command(text: str | None) -> str | None:
    """A plain command name without a path; else None."""
    return text if text is not None and _COMMAND.fullmatch(text) else None


def safe_unit(text: str | None) -> str | None:
    """A unit name with its suffix; else None."""
    return text if text is not None and _UNIT.fullmatch(text) else None


def safe_port(text: str | None) -> int | None:
    """A port number; else None."""
    return int(text) if text is not None and _PORT.fullmatch(text) and int(text) <= 65535 else None


def quoted(path: str, parameters: Mapping[str, str]) -> str:
    """A safe path as a double-quoted sh word, with parameter values in it replaced by their parameters.

    `parameters` maps names to the values of this incident. A value is replaced where it stands as a whole word of
    the path (`/run/shopd.lock` -> `"/run/${service}.lock"`), the longest value first, so that the step answers the
    next incident too. A value ending in `.service` also stands for its stem.
    Raises ValueError if the path is not plain: nothing else may be quoted.
    """
    if not _PATH.fullmatch(path):
        raise ValueError(f"found {path!r}; allowed: a path that safe_path let through")
    spots: list[tuple[int, int, str]] = []
    candidates = []
    for name, value in parameters.items():
        if len(value) >= 3:
            candidates.append((value, f"${{{name}}}"))
            stem = value.removesuffix(".service")
            if stem != value and len(stem) >= 3:
                candidates.append((stem, f"${{{name}%.service}}"))
    for value, word in sorted(candidates, key=lambda item: (-len(item[0]), item[1])):
        for match in re.finditer(rf"(?<![A-Za-z0-9]){re.escape(value)}(?![A-Za-z0-9])", path):
            if not any(start < match.end() and match.start() < end for start, end, _ in spots):
                spots.append((match.start(), match.end(), word))
    pieces, at = [], 0
    for start, end, word in sorted(spots):
        pieces += [path[at:start], word]
        at = end
    return '"' + "".join(pieces) + path[at:] + '"'
