"""Plain scalars of YAML 1.2's core schema, without its surprises.

Source: https://yaml.org/spec/1.2.2/#103-core-schema. Ours is narrower: numbers that readers disagree about
(a leading zero, `0o17`, `0x1F`, `.inf`) are refused rather than guessed.
"""

from __future__ import annotations

import math
import re

Scalar = str | int | float | bool | None

MAX_INTEGER = 2**53 - 1
"""Beyond it JSON readers and RFC 8785 disagree."""

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?[0-9]+", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", re.ASCII)
_OTHER_BASE = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+", re.ASCII)
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]+", re.ASCII)


def resolve(text: str) -> tuple[Scalar, str | None]:
    """The value of a plain scalar, and what is wrong with it if anything is."""
    if text in _NULL:
        return None, None
    if text in _BOOLEANS:
        return _BOOLEANS[text], None
    if _NOT_FINITE.fullmatch(text):
        return None, f"found {text}; allowed: a finite number, or the text in quotes"
    if _OTHER_BASE.fullmatch(text) or _LEADING_ZERO.fullmatch(text):
        return None, (
            f"found {text[:40]}, which readers take for different numbers; "
            "allowed: a decimal number without leading zeros, or the text in quotes"
        )
    if _INTEGER.fullmatch(text):
        # the length comes first: Python refuses to convert thousands of digits
        if len(text) > 17 or abs(int(text)) > MAX_INTEGER:
            return None, f"found the number {text[:40]}; allowed: at most {MAX_INTEGER} either way"
        return int(text), None
    if _FLOAT.fullmatch(text):
        number = float(text)
        if not math.isfinite(number):
            return None, f"found the number {text[:40]}; allowed: a number that a double can hold"
        return number, None
    return text, None
