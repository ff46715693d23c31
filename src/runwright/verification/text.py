"""Text of a host made safe to show: control, bidi and zero-width characters visible, length bounded."""

from __future__ import annotations

import unicodedata

_HIDDEN = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp"})
"""Unicode categories that change how text is read without being seen."""


def visible(text: str, *, keep_newlines: bool = False) -> str:
    r"""The text with every hidden character written as `\xNN` or `\uNNNN`; a tab becomes a space."""
    if text.isascii() and text.isprintable():
        return text
    out = []
    for char in text:
        if char == "\t":
            out.append(" ")
        elif (char == "\n" and keep_newlines) or unicodedata.category(char) not in _HIDDEN:
            out.append(char)
        else:
            code = ord(char)
            out.append(f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}")
    return "".join(out)


def clip(text: str, limit: int = 2000) -> str:
    """Visible text of at most about `limit` characters, head and tail, newlines kept."""
    shown = visible(text, keep_newlines=True).strip("\n")
    if len(shown) <= limit:
        return shown
    half = limit // 2
    return f"{shown[:half]}\n[... {len(shown) - 2 * half} characters left out ...]\n{shown[-half:]}"


def first_line(text: str, limit: int = 200) -> str:
    """The first line that says something, for a sentence."""
    for line in text.splitlines():
        if line.strip():
            return visible(line.strip())[:limit]
    return ""
