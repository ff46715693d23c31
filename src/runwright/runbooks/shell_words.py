"""Words of shell text: what they say literally, what is expanded in them, and whether that is quoted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from runwright.runbooks.shell import Json, Tree


@dataclass(frozen=True)
class Expansion:
    """`$name` in a word."""

    name: str
    quoted: bool
    length: bool = False
    """`${#name}` or arithmetic: a number, whatever the value is."""
    operator: str = ""
    """As `:?` or `%`."""


@dataclass(frozen=True)
class Word:
    """One word."""

    text: str
    """As the shell would see it, with `$name` left standing where something is expanded."""
    source: str
    expansions: tuple[Expansion, ...] = ()
    substituted: bool = False
    """Holds a command substitution."""
    disguised: bool = False
    """Quotes or backslashes inside what is a plain word without them, as `r\\m`."""
    splits: bool = False
    """Something is expanded outside of quotes: it may become several words, or none, or names of files."""
    dialect: bool = False
    """`{a,b}` or `$'...'`: to POSIX what stands there, to bash, which many hosts have as sh, something else."""

    @property
    def literal(self) -> bool:
        return not self.expansions and not self.substituted


_PLAIN = re.compile(r"[A-Za-z0-9._/-]+")


def read_word(tree: Tree, node: Json) -> Word:
    """A word node as a `Word`."""
    text: list[str] = []
    expansions: list[Expansion] = []
    substituted = False
    quoted_parts = 0
    escaped = splits = dialect = False
    before = ""
    todo = [(part, False) for part in reversed(node.get("Parts") or ())]
    while todo:
        part, quoted = todo.pop()
        kind = part.get("Type")
        number = kind == "ParamExp" and part.get("Length")
        splits = splits or (not quoted and kind in ("ParamExp", "CmdSubst") and not number)
        dialect = dialect or (kind in ("SglQuoted", "DblQuoted") and _ends_with_dollar(before))
        before = ""
        if kind == "Lit":
            value = part.get("Value", "")
            before = "" if quoted else value
            dialect = dialect or (not quoted and "{" in value)
            plain = _unescape(value, quoted)
            escaped = escaped or (plain != value and not quoted)
            text.append(plain)
        elif kind == "SglQuoted":
            quoted_parts += 1
            text.append(part.get("Value", ""))
        elif kind == "DblQuoted":
            quoted_parts += 1
            todo.extend((below, True) for below in reversed(part.get("Parts") or ()))
        elif kind == "ParamExp":
            expansion = _expansion(part, quoted)
            expansions.append(expansion)
            text.append(f"${{{expansion.name}{expansion.operator}}}" if expansion.operator else f"${expansion.name}")
        elif kind in ("CmdSubst", "ProcSubst"):
            substituted = True
            text.append("$(...)")
        elif kind == "ArithmExp":
            text.append("$((...))")
        else:
            text.append(tree.text(part) if "Pos" in part else "")
    joined = "".join(text)
    source = tree.text(node) if "Pos" in node else joined
    parts = len(node.get("Parts") or ())
    disguised = not expansions and not substituted and bool(_PLAIN.fullmatch(joined))
    disguised = disguised and (escaped or (quoted_parts > 0 and parts > 1))
    return Word(joined, source, tuple(expansions), substituted, disguised, splits, dialect)


def _ends_with_dollar(literal: str) -> bool:
    found = re.search(r"(\\*)\$$", literal)
    return found is not None and len(found[1]) % 2 == 0


def _unescape(value: str, quoted: bool) -> str:
    pattern = r'\\([$`"\\])|\\\n' if quoted else r"\\(.)|\\\n"
    return re.sub(pattern, lambda match: match[1] or "", value)


def _expansion(part: Json, quoted: bool) -> Expansion:
    below = part.get("Exp") or {}
    name = (part.get("Param") or {}).get("Value", "")
    return Expansion(name, quoted, bool(part.get("Length")), str(below.get("Op", "")))


def words_below(node: Json) -> Iterator[Json]:
    """Every word node at or below a node, nested ones too; iterative."""
    for below in nodes(node):
        if "Parts" in below and below.get("Type") not in ("DblQuoted",):
            yield below


def nodes(root: Json | list[Json]) -> Iterator[Json]:
    """Every dict of a tree in the order of the text; iterative, so depth does not matter."""
    todo: list[object] = [root]
    while todo:
        here = todo.pop()
        if isinstance(here, dict):
            yield here
            todo.extend(reversed([value for key, value in here.items() if key not in ("Pos", "End")]))
        elif isinstance(here, list):
            todo.extend(reversed(here))
