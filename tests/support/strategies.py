"""Hypothesis strategies for records, made from their fields."""

from __future__ import annotations

import types
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import BaseMetadata
from hypothesis import strategies as st
from pydantic import AwareDatetime, BaseModel
from pydantic.fields import FieldInfo

from runwright.model.clients import Client
from runwright.model.documents import BooleanParameter, IntegerParameter, StringParameter
from runwright.model.incidents import Incident, IncidentBrief
from runwright.model.questions import Question

_TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
"""Any characters but lone surrogates, which no text of a file or process has here."""

_SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | _TEXT
)
_JSON = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_TEXT, inner, max_size=2), max_leaves=4
)

_MOMENTS = st.datetimes(
    datetime(1970, 1, 2),  # noqa: DTZ001 - the zone is drawn beside it
    datetime(2200, 1, 1),  # noqa: DTZ001 - the zone is drawn beside it
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=-5)), timezone(timedelta(hours=5, minutes=45))]),
)

_INCIDENTS = st.sampled_from(
    [
        ("service_crash", {"service": "shopd", "team": ["a", 1, None]}),
        ("disk_full", {"mount": "/", "threshold_percent": 90.5, "protect": ["/srv"]}),
        ("high_cpu", {"process": "spin"}),
    ]
)

_SIMPLE: dict[Any, st.SearchStrategy[Any]] = {
    str: _TEXT,
    int: st.integers(-(2**31), 2**31 - 1),
    float: st.floats(-1e9, 1e9, allow_nan=False),
    bool: st.booleans(),
    datetime: _MOMENTS,
    AwareDatetime: _MOMENTS,
    Any: _JSON,
    type(None): st.none(),
}


@cache
def records_of(model: type[BaseModel]) -> st.SearchStrategy[Any]:
    """Records of a model: every field drawn within its type and constraints."""
    fields = {name: _field(info) for name, info in model.model_fields.items() if name != "extra"}
    if issubclass(model, Incident | IncidentBrief):
        del fields["incident_type"], fields["subject"]
        return st.builds(
            lambda kind, rest: model(incident_type=kind[0], subject=kind[1], **rest),
            _INCIDENTS,
            st.fixed_dictionaries(fields),
        )
    if model is Question:
        del fields["answer"], fields["value"]
        return st.builds(
            lambda asked, rest: Question(answer=asked[0], value=asked[1], **rest),
            st.one_of(
                st.tuples(records_of(StringParameter), st.none() | _TEXT),
                st.tuples(records_of(IntegerParameter), st.none() | _SIMPLE[int]),
                st.tuples(records_of(BooleanParameter), st.none() | st.booleans()),
            ),
            st.fixed_dictionaries(fields),
        )
    if model is Client:
        fields["id"] = fields["id"].filter(lambda key: key != "all")
    return st.builds(lambda given: model(**given), st.fixed_dictionaries(fields))


def _field(info: FieldInfo) -> st.SearchStrategy[Any]:
    return _constrained(info.annotation, info.metadata)


def _constrained(annotation: Any, metadata: list[Any]) -> st.SearchStrategy[Any]:
    """A type with its constraints: patterns, bounds, lengths."""
    if get_origin(annotation) is Annotated:
        inner, *more = get_args(annotation)
        return _constrained(inner, [*more, *metadata])
    flat: list[Any] = []
    for part in metadata:
        flat += part.metadata if isinstance(part, FieldInfo) else [part]
    pattern = next((part.pattern for part in flat if getattr(part, "pattern", None)), None)
    if pattern is not None:
        longest = next((part.max_length for part in flat if getattr(part, "max_length", None)), 300)
        return st.from_regex(pattern.replace("$", r"\Z"), fullmatch=True).filter(lambda text: len(text) <= longest)
    bounds = {
        name: getattr(part, name)
        for part in flat
        if isinstance(part, BaseMetadata)
        for name in ("ge", "le", "gt", "lt")
        if hasattr(part, name)
    }
    if bounds and annotation is int:
        return st.integers(bounds.get("ge", -(2**31)), bounds.get("le", 2**31 - 1))
    if bounds and annotation is float:
        return st.floats(bounds.get("ge", -1e9), bounds.get("le", 1e9), allow_nan=False)
    return _plain(annotation)


def _plain(annotation: Any) -> st.SearchStrategy[Any]:
    if annotation in _SIMPLE:
        return _SIMPLE[annotation]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _constrained(annotation, [])
    if origin in (Union, types.UnionType):
        return st.one_of([_plain(argument) for argument in arguments])
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is tuple and arguments[-1] is Ellipsis:
        return st.lists(st.deferred(lambda: _plain(arguments[0])), max_size=2).map(tuple)
    if origin is list:
        return st.lists(_plain(arguments[0]), max_size=2)
    if origin is dict:
        return st.dictionaries(_plain(arguments[0]), _plain(arguments[1]), max_size=2)
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return st.sampled_from(list(annotation))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return st.deferred(lambda: records_of(annotation))
    raise TypeError(f"no strategy for {annotation!r}; add one to {__name__}")
