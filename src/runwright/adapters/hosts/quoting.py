"""The one way in which data becomes shell text (promise 3), and the requests that carry it.

Everything here travels on standard input; nothing of it is ever an argument of a process.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from runwright.model.errors import InvalidInput

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
ATTEMPT_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,190}")

LOCALE = "C.UTF-8"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def quote(value: str | bytes) -> bytes:
    """One shell word that stands for exactly these bytes: between single quotes nothing is special.

    Raises InvalidInput on NUL, which no environment variable can hold.
    """
    raw = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
    if b"\0" in raw:
        raise InvalidInput(
            "found a NUL character in a value for the shell; allowed: any other character",
            next_step="Remove it where the value comes from.",
        )
    return b"'" + raw.replace(b"'", b"'\\''") + b"'"


def check_attempt_id(attempt_id: str) -> str:
    """The id itself, if it can be a file name. Raises InvalidInput."""
    if not ATTEMPT_ID.fullmatch(attempt_id):
        raise InvalidInput(
            f"found attempt id {attempt_id!r}",
            allowed="Allowed: up to 191 letters, digits, '_', '.' and '-', not starting with '.' or '-'.",
        )
    return attempt_id


def assignments(values: Mapping[str, str | bytes], *, export: bool = False) -> bytes:
    """Lines that set shell variables. Raises InvalidInput on a name that is no shell name."""
    lines = []
    for name, value in values.items():
        if not NAME.fullmatch(name):
            raise InvalidInput(
                f"found parameter name {name!r}; allowed: letters, digits and '_', not starting with a digit"
            )
        lines.append((b"export " if export else b"") + name.encode() + b"=" + quote(value) + b"\n")
    return b"".join(lines)


def payload(text: str, values: Mapping[str, str], marker: str) -> bytes:
    """The command as a program for `sh` on standard input: its values exported, then its text, in `/`.

    The braces make the shell read all of it before it starts any of it, and let the text have
    /dev/null for its own standard input. Files it makes get the usual 022 mask on every host.
    """
    environment = {**values, "LC_ALL": LOCALE, "RUNWRIGHT_ATTEMPT": marker}
    return (
        b"{ exec </dev/null; umask 022; cd /\n"
        + assignments(environment, export=True)
        + b"eval "
        + quote(text)
        + b"\n}\n"
    )


@cache
def tool(file: str) -> str:
    """One of the tools of `sh/` that are put into machines."""
    return files("runwright.adapters.hosts").joinpath("sh", file).read_text()


@cache
def program(name: str) -> bytes:
    """One of the constant programs of `sh/`, without its comments."""
    text = files("runwright.adapters.hosts").joinpath("sh", f"{name}.sh").read_bytes()
    return re.sub(rb"(?m)^ *# .*\n", b"", text)


def script(name: str, **values: str | bytes) -> bytes:
    """A request: variables, then one of the constant programs beside this module.

    In braces, so that a connection lost halfway through starts nothing.
    """
    return b"{\n" + assignments(values) + program(name) + b"}\n"
