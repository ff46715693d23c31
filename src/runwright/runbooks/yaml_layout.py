"""Layout that YAML forbids and lenient readers let pass: found on the tokens.

A reader that takes such text and one that refuses it would disagree about what was approved.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ruamel.yaml import YAML
from ruamel.yaml.tokens import (
    BlockEndToken,
    BlockEntryToken,
    BlockMappingStartToken,
    BlockSequenceStartToken,
    DirectiveToken,
    DocumentEndToken,
    DocumentStartToken,
    FlowMappingEndToken,
    FlowMappingStartToken,
    FlowSequenceEndToken,
    FlowSequenceStartToken,
    KeyToken,
    ScalarToken,
    Token,
)

from runwright.runbooks.yaml_nodes import Mark, Node

_COLON = re.compile(r"[ \t]*:")
_SEPARATING_TAB = re.compile(r"\t(?![ \t]*(?:#|\r?\n|\r?$))")
_HEADER_COMMENT = re.compile(r"[|>][-+0-9]*#")


def key_and_colon(text: str, key: Node) -> str | None:
    """What is wrong between a key and its colon, if anything: both belong on one line."""
    if key.start.line != key.end.line:
        return "found a key over several lines; allowed: a key on one line"
    end = min(key.end.index, len(text))
    if not _COLON.match(text, end):
        return "found a key without its colon on the same line; allowed: `key: value`"
    return None


def layout_problems(text: str) -> Iterator[tuple[str, Mark]]:
    """Every layout fault with its place, in a text that already parsed."""
    last_end = 0
    last_line = -1
    blocks: list[int] = []
    flows = 0
    for token in YAML(typ="safe", pure=True).scan(text):
        mark = Mark(token.start_mark.line, token.start_mark.column, token.start_mark.index)
        yield from _gap(text, last_end, mark)
        yield from _own(token, mark)
        indent = blocks[-1] if blocks else -1
        if isinstance(token, FlowSequenceStartToken | FlowMappingStartToken):
            flows += 1
        elif flows and mark.line != last_line and last_line >= 0 and mark.column <= indent:
            message = "found a line of a [...] or {...} that is not indented; allowed: deeper than the line it began on"
            yield message, mark
        if isinstance(token, FlowSequenceEndToken | FlowMappingEndToken):
            flows -= 1
        if isinstance(token, ScalarToken):
            if flows and token.plain and token.value == "-":
                yield "found a lone - in [...] or {...}; allowed: a value, or '-' in quotes", mark
            yield from _scalar(text, token, mark, indent)
        if isinstance(token, BlockMappingStartToken | BlockSequenceStartToken):
            blocks.append(mark.column)
        elif isinstance(token, BlockEndToken) and blocks:
            blocks.pop()
        last_end = max(last_end, token.end_mark.index)
        last_line = token.end_mark.line


def _gap(text: str, start: int, mark: Mark) -> Iterator[tuple[str, Mark]]:
    """Between two tokens: only white space and comments set off by it."""
    gap = text[start : mark.index]
    if not gap or gap == " ":
        return
    if gap.startswith("#") and start > 0 and text[start - 1] not in " \t\n\r":
        yield "found a comment right behind a value; allowed: a space before #", _mark_at(text, start)
    for offset, line in _lines(gap):
        code = line.split("#", 1)[0] if "#" in line else line
        if offset + len(line) < len(gap) and "#" not in line:
            continue  # trailing white space or a blank line
        tab = _SEPARATING_TAB.search(code + ("#" if "#" in line else "x"))
        if tab:
            yield "found a tab as indentation or separation; allowed: spaces", _mark_at(text, start + offset)


def _lines(gap: str) -> Iterator[tuple[int, str]]:
    offset = 0
    for line in gap.split("\n"):
        yield offset, line
        offset += len(line) + 1


def _own(token: Token, mark: Mark) -> Iterator[tuple[str, Mark]]:
    if isinstance(token, DirectiveToken):
        yield "found a directive; allowed: none (the file is YAML 1.2 in UTF-8)", mark
    elif isinstance(token, KeyToken) and token.end_mark.index > token.start_mark.index:
        yield "found a complex key (?); allowed: `key: value`", mark
    elif isinstance(token, DocumentEndToken):
        yield "found a document end (...); allowed: one document up to the end of the file", mark
    elif isinstance(token, DocumentStartToken) and mark.column:
        yield "found --- in the middle of a line; allowed: at the start of the file", mark
    elif isinstance(token, BlockEntryToken) and token.end_mark.index == token.start_mark.index:
        yield "found a list entry without its dash; allowed: `- value`", mark


def _scalar(text: str, token: ScalarToken, mark: Mark, indent: int) -> Iterator[tuple[str, Mark]]:
    span = text[mark.index : token.end_mark.index]
    if token.style in ("|", ">"):
        if _HEADER_COMMENT.match(span):
            yield "found a comment right behind | or >; allowed: a space before #", mark
        return
    if token.style not in ('"', "'") or "\n" not in span:
        return
    for number, line in enumerate(span.split("\n")[1:], start=1):
        body = line.lstrip(" ")
        if body.strip() and len(line) - len(body) <= indent:
            message = "found a quoted text whose next line is not indented; allowed: deeper than the line it began on"
            yield message, Mark(mark.line + number, 0, mark.index)


def _mark_at(text: str, index: int) -> Mark:
    return Mark(text.count("\n", 0, index), index - (text.rfind("\n", 0, index) + 1), index)
