"""Host patterns of Ansible: `web[01:20]`, `db-[a:f]`, `node[1:9:2]:2222`."""

from __future__ import annotations

import re
import string

_BRACKETED_PORT = re.compile(r"\[(?P<host>.+)\]:(?P<port>[0-9]+)")
_PORT = re.compile(r"(?P<host>(?:[^:\[\]]|\[[^\]]*\])*):(?P<port>[0-9]+)")
_RANGE = re.compile(r"(?P<head>[^\[\]]*)\[(?P<range>[^\[\]]*)\](?P<tail>.*)")

MOST = 2000
"""Names out of one pattern."""


def expand(pattern: str) -> tuple[list[str], int | None]:
    """The host names that a pattern stands for, and the port it names.

    Raises ValueError saying what was found and what is allowed.
    """
    match = _BRACKETED_PORT.fullmatch(pattern) or _PORT.fullmatch(pattern)
    port = None
    if match is not None:
        pattern, port = match["host"], int(match["port"])
        if not 1 <= port <= 65535:
            raise ValueError(f"found port {port}; allowed: 1 to 65535")
    elif pattern.endswith(":"):
        raise ValueError(f"found {pattern[:80]!r}; allowed: a port after the colon")
    return _names(pattern), port


def _names(pattern: str) -> list[str]:
    names = [""]
    rest = pattern
    while True:
        match = _RANGE.fullmatch(rest)
        if match is None:
            if "[" in rest or "]" in rest:
                raise ValueError(f"found {pattern[:80]!r}; allowed: ranges as [01:20], [a:f], [1:9:2]")
            return [name + rest for name in names]
        values = _values(match["range"])
        if len(names) * len(values) > MOST:
            raise ValueError(f"found a range of more than {MOST} hosts in {pattern[:80]!r}; allowed: as many")
        names = [f"{name}{match['head']}{value}" for name in names for value in values]
        rest = match["tail"]


def _values(text: str) -> list[str]:
    """`01:03` -> 01, 02, 03; `a:c` -> a, b, c; a third part is the step."""
    parts = text.split(":")
    if len(parts) not in (2, 3) or not parts[1]:
        raise ValueError(f"found the range [{text[:40]}]; allowed: begin:end or begin:end:step")
    begin, end = parts[0] or "0", parts[1]
    step = int(parts[2]) if len(parts) == 3 and re.fullmatch("[0-9]{1,6}", parts[2]) else 0 if len(parts) == 3 else 1
    if step < 1:
        raise ValueError(f"found the range [{text[:40]}]; allowed: a step of at least 1")
    if len(begin) == len(end) == 1 and begin in string.ascii_letters and end in string.ascii_letters:
        letters = string.ascii_letters
        first, last = letters.index(begin), letters.index(end)
        found = list(letters[first : last + 1 : step])
    elif re.fullmatch("[0-9]{1,9}", begin) and re.fullmatch("[0-9]{1,9}", end):
        padded = begin[0] == "0" and len(begin) > 1
        if padded and len(begin) != len(end):
            raise ValueError(f"found the range [{text[:40]}]; allowed: begin and end of one length, as [01:20]")
        numbers = range(int(begin), int(end) + 1, step)
        if len(numbers) > MOST:
            raise ValueError(f"found the range [{text[:40]}]; allowed: at most {MOST} hosts")
        found = [str(number).zfill(len(begin)) if padded else str(number) for number in numbers]
    else:
        raise ValueError(f"found the range [{text[:40]}]; allowed: two numbers or two letters")
    if not found:
        raise ValueError(f"found the range [{text[:40]}]; allowed: an end that is not before the begin")
    return found
