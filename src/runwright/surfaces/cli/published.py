"""The machine-readable forms that the command line prints and reads: their names, records and JSON Schemas.

What a form prints names itself: `"schema": "runwright/<name>/v1"`. Forms may grow, so their schemas let unknown
fields through; a reader keeps them. The two languages (`runbook`, `scenario`) are strict: a field that is not known
is a mistake of the writer, and refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from runwright.surfaces.cli.output import plain

if TYPE_CHECKING:
    from pydantic import BaseModel

FORMS: dict[str, str] = {
    "execution-result": "runwright.model.executions:ExecutionResult",
    "diagnosis": "runwright.model.diagnoses:Diagnosis",
    "improvement": "runwright.model.proposals:Improvement",
    "risk": "runwright.model.risk:RiskReport",
    "redact": "runwright.model.redaction:Redacted",
    "trial": "runwright.model.lab:TrialReport",
    "scenario": "runwright.model.lab:Scenario",
    "runbook": "runwright.model.documents:RunbookDocument",
}
"""Name of the form -> its record. One file `docs/reference/schemas/<name>.json` each."""

READ = frozenset({"execution-result", "scenario", "runbook"})
"""Forms that Runwright takes from others; their schemas say what may be left out."""

LANGUAGES = frozenset({"scenario", "runbook"})
"""Written by people, read strictly."""

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def stamped(name: str, value: BaseModel) -> dict[str, Any]:
    """A record as its form, ready for `print_json`: the form's name first, then the record's fields."""
    return {"schema": schema_name(name), **plain(value)}


def schema_name(name: str) -> str:
    """`risk` -> `runwright/risk/v1`."""
    return f"runwright/{name}/v1"


def record_of(name: str) -> type[BaseModel]:
    """The record of a form."""
    from importlib import import_module

    module, _, record = FORMS[name].partition(":")
    found: type[BaseModel] = getattr(import_module(module), record)
    return found


def json_schema(name: str) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a form, with the field names used in files and in output."""
    if name == "runbook":
        from runwright.runbooks.schema import json_schema as of_the_language

        return {**of_the_language(), "$id": schema_name(name)}
    from pydantic.json_schema import GenerateJsonSchema

    class Published(GenerateJsonSchema):
        """In what Runwright prints, a field with a default is always there; `extra` only where there is any."""

        def field_is_required(self, field: Any, total: bool) -> bool:
            if self.mode == "serialization" and field["type"] == "model-field":
                return field.get("serialization_exclude_if") is None
            return super().field_is_required(field, total)

    mode: Literal["validation", "serialization"] = "validation" if name in READ else "serialization"
    schema = record_of(name).model_json_schema(by_alias=True, mode=mode, schema_generator=Published)
    if name not in LANGUAGES:
        _open(schema)
        names = schema["properties"].get("schema", {"description": "Which form this is."})
        schema["properties"] = {"schema": {**names, "type": "string"}, **schema["properties"]}
    schema["properties"]["schema"]["const"] = schema_name(name)
    return {"$schema": DIALECT, "$id": schema_name(name), **schema}


def _open(schema: Any) -> None:
    """Let unknown fields through at every depth."""
    if isinstance(schema, dict):
        if schema.get("additionalProperties") is False:
            schema["additionalProperties"] = True
        for part in schema.values():
            _open(part)
    elif isinstance(schema, list):
        for part in schema:
            _open(part)
