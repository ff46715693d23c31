"""Strict YAML: a small, unsurprising part of YAML 1.2, every fault with its place, all at once.

ruamel.yaml reads the events; what is allowed is decided here. Refused: anchors, aliases, tags, merge keys,
duplicate keys, keys that are not strings, several documents, directives, byte order marks, control characters,
and whatever is too deep, too large or too many. Nothing recurses, so no input can exhaust the stack.
"""

from __future__ import annotations

import json
from pathlib import Path as FilePath
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    DocumentStartEvent,
    Event,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceStartEvent,
)

from runwright.model.errors import Fault, InvalidInput
from runwright.runbooks.faults import explain
from runwright.runbooks.visible import name_of, shown
from runwright.runbooks.yaml_layout import key_and_colon, layout_problems
from runwright.runbooks.yaml_nodes import Mark, Node, YamlDocument
from runwright.runbooks.yaml_scalars import resolve

MAX_BYTES = 256 * 1024
MAX_DEPTH = 40
MAX_NODES = 20_000
MAX_FAULTS = 100
"""Beyond it a person is not helped by more."""

# What ruamel's scanner was seen to raise on hostile text, beside its own errors: chr() of a huge \U escape,
# int() of endless digits in %YAML. Turned into a fault with the place reached, never swallowed.
_PARSER_ERRORS = (YAMLError, ValueError, OverflowError, IndexError, TypeError, AttributeError, AssertionError)

_LAYOUT_HINT = "`key: value` and `- ` lines, brothers at one indentation, quotes around text that holds ': ' or ' #'"

M = TypeVar("M", bound=BaseModel)


class _Stop(Exception):
    """Reading on would only cost time: the document is too deep or has too many nodes."""


def parse(text: str | bytes, file: str | None = None) -> YamlDocument:
    """Read one document into plain data with positions.

    Arguments: `text`, at most 256 KiB of UTF-8; `file`, the name to show in faults.
    Raises InvalidInput with every fault found.
    """
    document, faults = read(text, file)
    if document is None or faults:
        raise refused(faults, file)
    return document


def validate(document: YamlDocument, model: type[M]) -> M:
    """The document as a record. Raises InvalidInput; each fault has its line and column."""
    record, faults = check(document, model)
    if record is None or faults:
        raise refused(faults, document.file)
    return record


def check(document: YamlDocument, model: type[M]) -> tuple[M | None, list[Fault]]:
    """The document as a record or None, and what is wrong with it; never raises on data."""
    try:
        return model.model_validate_json(json.dumps(document.data, allow_nan=False)), []
    except ValidationError as error:
        return None, explain(error, document, model)


def refused(faults: list[Fault], file: str | None) -> InvalidInput:
    """The error that carries these faults, in the order of the text."""
    ordered = tuple(sorted(faults, key=lambda fault: (fault.line or 0, fault.column or 0)))[:MAX_FAULTS]
    name = FilePath(file).name if file else "the document"
    count = f"{len(faults)} faults" if len(faults) != 1 else "one fault"
    listed = "\n".join(f"  {fault}" for fault in ordered)
    return InvalidInput(
        f"found {count} in {name}:\n{listed}\n", next_step="Correct them and try again.", faults=ordered
    )


def read(text: str | bytes, file: str | None = None) -> tuple[YamlDocument | None, list[Fault]]:
    """Read as far as possible: the document (None if there is none) and every fault. Never raises on text."""
    decoded, faults = _decode(text, file)
    if decoded is None or faults:
        return None, faults
    builder = _Builder(decoded, file)
    try:
        for event in YAML(typ="safe", pure=True).parse(decoded):
            builder.take(event)
        if builder.root is None:
            builder.fault("found an empty document; allowed: a mapping", Mark(0, 0, 0))
            return None, builder.faults
        for message, mark in layout_problems(decoded):
            builder.fault(message, mark)
    except _Stop:
        return None, builder.faults
    except _PARSER_ERRORS as error:
        builder.faults.append(_syntax_fault(error, builder.last, file))
        return None, builder.faults
    return YamlDocument(builder.root.value, builder.root, decoded, file), builder.faults


def _decode(text: str | bytes, file: str | None) -> tuple[str | None, list[Fault]]:
    """Text without anything that YAML cannot hold; or the faults."""
    raw = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    size = len(raw)
    if size > MAX_BYTES:
        return None, [Fault(message=f"found {size} bytes; allowed: at most {MAX_BYTES}", file=file, line=1, column=1)]
    if isinstance(text, bytes):
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            before = raw[: error.start].decode("utf-8")
            line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
            found = f"found byte 0x{raw[error.start]:02x}; allowed: text in UTF-8"
            return None, [Fault(message=found, file=file, line=line, column=column)]
    faults = []
    for number, line_text in enumerate(text.split("\n"), start=1):
        body = line_text.removesuffix("\r")
        if body.isascii() and body.isprintable():
            continue
        for column, character in enumerate(body, start=1):
            if _forbidden(character):
                what = "a byte order mark" if character == "\ufeff" else f"the character {name_of(character)}"
                message = f"found {what}; allowed: printable text, tabs and line feeds (write it as an escape)"
                faults.append(Fault(message=message, file=file, line=number, column=column))
                if len(faults) >= MAX_FAULTS:
                    return None, faults
    return text, faults


def _forbidden(character: str) -> bool:
    """Not printable in YAML, or a line break to some readers and not to others."""
    code = ord(character)
    return (
        (code < 0x20 and character != "\t")
        or 0x7F <= code <= 0x9F
        or 0xD800 <= code <= 0xDFFF
        or code in (0x2028, 0x2029, 0xFEFF, 0xFFFE, 0xFFFF)
    )


def _syntax_fault(error: Exception, last: Mark, file: str | None) -> Fault:
    if isinstance(error, MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        if error.context_mark is not None and "end of stream" in (error.problem or ""):
            mark = error.context_mark  # where it began tells more than the end of the file
        problem = " ".join(part for part in (error.context, error.problem) if part)
        if mark is not None:
            message = f"not YAML: {problem}; allowed: {_LAYOUT_HINT}"
            return Fault(message=message, file=file, line=mark.line + 1, column=mark.column + 1)
    first = str(error).splitlines()[0] if str(error) else type(error).__name__
    return Fault(message=f"not YAML: {first[:200]}", file=file, line=last.line + 1, column=last.column + 1)


class _Builder:
    """Nodes out of events, with an explicit stack."""

    def __init__(self, text: str, file: str | None) -> None:
        self.text = text
        self.file = file
        self.faults: list[Fault] = []
        self.root: Node | None = None
        self.last = Mark(0, 0, 0)
        self._stack: list[Node] = []
        self._keys: list[Node | None] = []
        self._count = 0
        self._documents = 0

    def fault(self, message: str, mark: Mark) -> None:
        self.faults.append(Fault(message=message, file=self.file, line=mark.line + 1, column=mark.column + 1))
        if len(self.faults) >= MAX_FAULTS:
            raise _Stop

    def take(self, event: Event) -> None:
        start = Mark(event.start_mark.line, event.start_mark.column, event.start_mark.index)
        end = Mark(event.end_mark.line, event.end_mark.column, event.end_mark.index)
        self.last = start
        if isinstance(event, DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                self.fault("found a second document; allowed: one document in a file", start)
                raise _Stop
        elif isinstance(event, NodeEvent):
            self._node(event, start, end)
        elif isinstance(event, CollectionEndEvent):
            self._stack[-1].end = end
            closed = self._stack.pop()
            self._keys.pop()
            self._place(closed)

    def _node(self, event: NodeEvent, start: Mark, end: Mark) -> None:
        self._count += 1
        if self._count > MAX_NODES:
            self.fault(f"found more than {MAX_NODES} values; allowed: at most {MAX_NODES}", start)
            raise _Stop
        if isinstance(event, AliasEvent):
            self.fault(f"found an alias *{str(event.anchor)[:40]}; allowed: the value itself, written out", start)
            self._place(Node("scalar", start, end))
            return
        if event.anchor is not None:
            self.fault(f"found an anchor &{event.anchor[:40]}; allowed: none", start)
        tag = getattr(event, "tag", None)
        if tag is not None:
            self.fault(f"found a tag {str(tag)[:60]}; allowed: none", start)
        if isinstance(event, ScalarEvent):
            self._scalar(event, start, end)
            return
        if len(self._stack) >= MAX_DEPTH:
            self.fault(f"found nesting deeper than {MAX_DEPTH}; allowed: at most {MAX_DEPTH} levels", start)
            raise _Stop
        flow = bool(event.flow_style) if isinstance(event, MappingStartEvent | SequenceStartEvent) else False
        if isinstance(event, MappingStartEvent):
            self._stack.append(Node("mapping", start, end, value={}, flow=flow))
        else:
            self._stack.append(Node("sequence", start, end, value=[], flow=flow))
        self._keys.append(None)

    def _scalar(self, event: ScalarEvent, start: Mark, end: Mark) -> None:
        style = event.style or ""
        value = event.value
        if not style:
            as_key = bool(self._stack) and self._stack[-1].kind == "mapping" and self._keys[-1] is None
            if as_key and value == "<<":
                self.fault("found a merge key <<; allowed: the fields themselves, written out", start)
            value, problem = resolve(value)
            if problem is not None:
                self.fault(problem, start)
        elif any(ch == "\0" or 0xD800 <= ord(ch) <= 0xDFFF for ch in value):
            self.fault("found an escaped NUL or half a surrogate pair; allowed: characters of Unicode but NUL", start)
            value = ""
        self._place(Node("scalar", start, end, value=value, style=style))

    def _place(self, node: Node) -> None:
        """Put a finished node where it belongs."""
        if not self._stack:
            self.root = node
            return
        parent = self._stack[-1]
        if parent.kind == "sequence":
            parent.items.append(node)
            parent.value.append(node.value)
            return
        key = self._keys[-1]
        if key is None:
            self._keys[-1] = self._checked_key(parent, node)
            return
        self._keys[-1] = None
        if key.value not in parent.value:
            parent.entries.append((key, node))
            parent.value[key.value] = node.value

    def _checked_key(self, parent: Node, key: Node) -> Node:
        if key.kind != "scalar":
            self.fault(f"found {shown(key.value)} as a key; allowed: a string", key.start)
            return Node("scalar", key.start, key.end, value=f"?{key.start.index}")
        if not isinstance(key.value, str):
            found = self.text[key.start.index : key.end.index] or "no key"
            self.fault(f"found {found[:40]} as a key; allowed: a string (put quotes around it)", key.start)
            return Node("scalar", key.start, key.end, value=f"?{key.start.index}")
        problem = key_and_colon(self.text, key)
        if problem:
            self.fault(problem, key.start)
        first = parent.key(key.value) if key.value in parent.value else None
        if first is not None:
            message = f"found the key {shown(key.value)} again (first on line {first.start.line + 1}); allowed: once"
            self.fault(message, key.start)
        return key
