"""Shell text as syntax trees, by shfmt (https://github.com/mvdan/sh). Fails closed: no tree, no statement made."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TIMEOUT_SECONDS = 10.0
MAX_TEXT = 256 * 1024
MAX_TREE = 40_000_000
"""Bytes of JSON that are still read; a runbook's 64 kB of text make a few million."""

Json = dict[str, Any]


@dataclass(frozen=True)
class Tree:
    """One text's statements. Offsets in nodes count bytes of `source`, from `base`."""

    statements: tuple[Json, ...]
    source: bytes
    base: int = 0
    problem: str | None = None
    """Why there is no tree, in the parser's words."""
    dialect: str = "posix"

    def text(self, node: Json) -> str:
        """The source of a node."""
        start, end = node["Pos"]["Offset"] - self.base, node["End"]["Offset"] - self.base
        return self.source[start:end].decode("utf-8", "replace")


BATCH = 100
"""Texts parsed in one call."""

_CACHE: OrderedDict[tuple[str, str], Tree] = OrderedDict()
_CACHE_SIZE = 2_000


def parse_shell(texts: Sequence[str], dialect: str = "posix") -> tuple[Tree, ...]:
    """Trees for texts, in their order; few calls of the parser for all that are new.

    Arguments: `dialect`, `posix` or `bash`. A text that does not parse has `problem` set and no statements.
    """
    fresh = [text for text in dict.fromkeys(texts) if (dialect, text) not in _CACHE]
    for start in range(0, len(fresh), BATCH):
        for text, tree in _parse_many(fresh[start : start + BATCH], dialect):
            _CACHE[dialect, text] = tree
    result = tuple(_CACHE[dialect, text] for text in texts)
    while len(_CACHE) > _CACHE_SIZE:
        _CACHE.popitem(last=False)
    return result


def _parse_many(texts: Sequence[str], dialect: str) -> Iterator[tuple[str, Tree]]:
    """Each text with its tree. Where they do not parse together, halves are tried: one bad text costs few calls."""
    if len(texts) == 1:
        yield texts[0], _parse_one(texts[0], dialect)
        return
    found = _parse_together(texts, dialect)
    if found:
        for text in texts:
            yield text, found.get(text) or _parse_one(text, dialect)
        return
    half = len(texts) // 2
    yield from _parse_many(texts[:half], dialect)
    yield from _parse_many(texts[half:], dialect)


def _parse_one(text: str, dialect: str) -> Tree:
    source = text.encode("utf-8", "replace")
    if len(source) > MAX_TEXT:
        return Tree((), source, problem=f"found {len(source)} bytes of shell text; allowed: at most {MAX_TEXT}")
    file, problem = _shfmt(source, dialect)
    if file is None:
        return Tree((), source, problem=problem, dialect=dialect)
    return Tree(tuple(file.get("Stmts") or ()), source, dialect=dialect)


def _parse_together(texts: Sequence[str], dialect: str) -> dict[str, Tree]:
    """All texts in one call; empty if any statement reaches over the seam between two of them."""
    sources = [text.encode("utf-8", "replace") for text in texts]
    if sum(len(source) for source in sources) > MAX_TEXT:
        return {}
    file, _ = _shfmt(b"".join(source + b"\n\n" for source in sources), dialect)
    if file is None:
        return {}
    statements = list(file.get("Stmts") or ())
    found: dict[str, Tree] = {}
    base = 0
    for text, source in zip(texts, sources, strict=True):
        end = base + len(source)
        if source.rstrip(b" \t\n").endswith(b"\\") or b"<<" in source:
            # a continuation or a here-document could swallow what follows: parse this one alone
            mine = [each for each in statements if each["Pos"]["Offset"] < end]
            statements = statements[len(mine) :]
            if any(each["End"]["Offset"] > end + 2 for each in mine):
                return {}
        else:
            mine = [each for each in statements if each["Pos"]["Offset"] < end]
            statements = statements[len(mine) :]
            if any(each["Pos"]["Offset"] < base or each["End"]["Offset"] > end for each in mine):
                return {}
            found[text] = Tree(tuple(mine), source, base, dialect=dialect)
        base = end + 2
    return found


def _shfmt(source: bytes, dialect: str) -> tuple[Json | None, str]:
    """The file node, or None and why."""
    beside = Path(sys.executable).with_name("shfmt")
    program = str(beside) if beside.exists() else shutil.which("shfmt")
    if program is None:
        return None, "the shell parser shfmt is not installed (package shfmt-py)"
    try:
        done = subprocess.run(
            [program, "--to-json", "-ln", dialect],
            input=source,
            capture_output=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, f"the shell parser gave no answer ({error})"
    if done.returncode != 0:
        return None, done.stderr.decode("utf-8", "replace").strip().removeprefix("<standard input>:")[:300]
    if len(done.stdout) > MAX_TREE:
        return None, "the shell text is too large to judge"
    try:
        file = json.loads(done.stdout)
    except (ValueError, RecursionError) as error:
        return None, f"the shell text is too deep to judge ({type(error).__name__})"
    return (file, "") if isinstance(file, dict) else (None, "the shell parser answered nonsense")
