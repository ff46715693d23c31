"""A runbook from its text: strict YAML, the schema, and what the schema cannot say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from runwright.model.documents import RunbookDocument
from runwright.model.errors import Fault
from runwright.model.ids import digest, sha256
from runwright.runbooks.semantics import problems
from runwright.runbooks.strict_yaml import check, read, refused
from runwright.runbooks.yaml_nodes import YamlDocument, path_text


@dataclass(frozen=True)
class LoadedRunbook:
    """A valid runbook, exactly as written."""

    document: RunbookDocument
    data: dict[str, Any]
    """The parsed data as written: before defaults, durations as text. Do not change it."""
    text: str
    digest: str
    """Of `data` in the canonical form of RFC 8785: key order, comments and layout do not count."""
    raw_digest: str
    """sha-256 of the bytes of `text`: comments count."""
    yaml: YamlDocument
    """Where everything stands."""


def load_runbook(text: str | bytes, file: str | None = None) -> LoadedRunbook:
    """Load a runbook.

    Arguments: `text`, at most 256 KiB of UTF-8; `file`, the name to show in faults.
    Raises InvalidInput with every fault: file, line, column, what was found, what is allowed.
    """
    document, faults = read(text, file)
    if document is None:
        raise refused(faults, file)
    record, schema_faults = check(document, RunbookDocument)
    faults = _first_stage_of_each_place(faults, schema_faults, _beyond_the_schema(document))
    if record is None or faults:
        raise refused(faults, file)
    # what was decoded is what was given: UTF-8 without a byte order mark, line ends untouched
    return LoadedRunbook(
        document=record,
        data=document.data,
        text=document.text,
        digest=digest(document.data),
        raw_digest=sha256(document.text.encode("utf-8")),
        yaml=document,
    )


def _beyond_the_schema(document: YamlDocument) -> list[Fault]:
    faults = []
    for path, message in problems(document.data):
        line, column = document.position(path)
        faults.append(Fault(message=message, file=document.file, line=line, column=column, path=path_text(path)))
    return faults


def _first_stage_of_each_place(*stages: list[Fault]) -> list[Fault]:
    """For each place what the earliest stage says: layout, then schema, then meaning; each follows from the last."""
    kept: list[Fault] = []
    for stage in stages:
        taken = {(fault.line, fault.column) for fault in kept}
        kept += [fault for fault in stage if (fault.line, fault.column) not in taken]
    return kept
