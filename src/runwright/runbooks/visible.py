"""Characters that people do not see: found, named, and made visible (promise 7)."""

from __future__ import annotations

import unicodedata

_FILLERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Letters and symbols that print as nothing."""

_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
"""Controls, formats (bidi, zero-width), surrogates, private use, line and paragraph separators."""


def is_hidden(character: str) -> bool:
    """Whether a character prints as nothing, as a plain space, or changes how others print.

    Tab and line feed are not hidden: shell text needs both.
    """
    if character in "\n\t" or " " <= character <= "~":
        return False
    if character in _FILLERS or 0xFE00 <= ord(character) <= 0xFE0F or 0xE0100 <= ord(character) <= 0xE01EF:
        return True
    if 0x180B <= ord(character) <= 0x180F:
        return True
    category = unicodedata.category(character)
    return category in _HIDDEN_CATEGORIES or category == "Zs"


def name_of(character: str) -> str:
    """`U+202E RIGHT-TO-LEFT OVERRIDE`."""
    name = unicodedata.name(character, "")
    return f"U+{ord(character):04X} {name}".rstrip()


def hidden_in(text: str) -> tuple[tuple[int, str], ...]:
    """Every hidden character of a text with its index."""
    if text.isascii() and text.isprintable():
        return ()
    return tuple((index, character) for index, character in enumerate(text) if is_hidden(character))


def visible(text: str) -> str:
    """The whole text, hidden characters written as `<U+202E>`. Tabs and line feeds stay."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(f"<U+{ord(each):04X}>" if is_hidden(each) else each for each in text)


def shown(value: object, limit: int = 80) -> str:
    """A value for a sentence: quoted, visible, cut."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        text = visible(value).replace("\n", "⏎")
        return f"'{text[:limit]}…'" if len(text) > limit else f"'{text}'"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    return str(value)[:limit]
