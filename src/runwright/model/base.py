"""Base of all records: frozen, strict, closed."""

from __future__ import annotations

import re
from typing import Annotated, Any, Self

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

DURATION = re.compile(r"(?P<n>\d+(?:\.\d+)?)(?P<unit>ms|s|m|h|d)", re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_duration(value: object) -> object:
    """Seconds of a text like `500ms`, `5s`, `2m`, `26h` or `3d`; numbers are seconds already.

    Raises ValueError (turned into a fault by pydantic) on any other text.
    """
    if isinstance(value, str):
        match = DURATION.fullmatch(value)
        if match is None:
            raise ValueError(f"found duration {value!r}; allowed: a number and ms, s, m, h or d, as in 30s")
        return float(match["n"]) * _SECONDS[match["unit"]]
    return value


Duration = Annotated[float, BeforeValidator(parse_duration, json_schema_input_type=str | float), Field(ge=0)]
"""Seconds. Written as `30s` in files."""

Moment = AwareDatetime
"""A point in time, always with its zone (UTC in store)."""

Sha256 = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
"""A digest as `sha256:<64 hex digits>`."""


class Record(BaseModel):
    """An immutable record. Unknown fields are refused; types are not coerced."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, populate_by_name=True, use_attribute_docstrings=True
    )


class OpenRecord(Record):
    """A public machine-readable form: fields it does not know are kept under `extra`."""

    model_config = ConfigDict(extra="allow")

    extra: dict[str, Any] = Field(default_factory=dict, exclude_if=lambda value: not value)
    """Fields of a newer form or of another tool, as they came. Not written where there are none."""

    @model_validator(mode="after")
    def _keep_unknown(self) -> Self:
        # Not a "before" validator: pydantic goes on with Python data after one, and strict Python data knows no
        # tuples, enums or moments written as JSON.
        if self.__pydantic_extra__:
            self.__dict__["extra"] = {**self.extra, **self.__pydantic_extra__}
            self.__pydantic_fields_set__.add("extra")
            object.__setattr__(self, "__pydantic_extra__", {})
        return self
