"""Text of a host made safe to show: control, bidi and zero-width characters visible, length bounded."""

from __future__ import annotations

from runwright.model import redaction


def visible(text: str, *, keep_newlines: bool = False) -> str:
    """The text with every hidden character written as `<U+001B>`; a tab becomes a space."""
    if text.isascii() and text.isprintable():
        return text
    shown = redaction.visible(text.replace("\t", " "))
    return shown if keep_newlines else shown.replace("\n", "<U+000A>")


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
