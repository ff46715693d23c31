"""The JSON Schema of the runbook language, for editors and other people's tools."""

from __future__ import annotations

from typing import Any

from runwright.model.documents import RunbookDocument


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of `schema: runwright/v1`, with the names used in files.

    It says what a schema can say; `load_runbook` also checks references, ids, patterns and characters.
    """
    schema = RunbookDocument.model_json_schema(by_alias=True, mode="validation")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "runwright/runbook/v1",
        **schema,
        "title": "Runwright runbook",
    }
