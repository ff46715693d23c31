"""Parameter patterns: full matches in a dialect that matches in linear time.

The dialect is that of Rust's regex crate (https://docs.rs/regex, no back-references, no look-around), which
pydantic-core carries; a hostile value cannot make it slow.
"""

from __future__ import annotations

from functools import lru_cache

from pydantic_core import SchemaError, SchemaValidator, ValidationError, core_schema

MAX_PATTERN = 1_000
"""Characters of a pattern."""


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> SchemaValidator:
    schema = core_schema.str_schema(pattern=pattern, regex_engine="rust-regex", strict=True)
    return SchemaValidator(schema)


def problem_of(pattern: str) -> str | None:
    """Why a pattern cannot be used, or None."""
    if len(pattern) > MAX_PATTERN:
        return f"found a pattern of {len(pattern)} characters; allowed: at most {MAX_PATTERN}"
    try:
        _compiled(pattern)
        _compiled(_whole(pattern))
    except SchemaError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = lines[-1].rsplit("rror:", 1)[-1].strip().rstrip(".")
        return f"found a pattern that cannot be used ({reason}); allowed: no back-references and no look-around"
    return None


def matches(pattern: str, value: str) -> bool:
    """Whether the whole value matches. The pattern must have passed `problem_of`."""
    try:
        _compiled(_whole(pattern)).validate_python(value)
    except ValidationError:
        return False
    return True


def _whole(pattern: str) -> str:
    # each pattern is compiled alone first, so `a)(?:b` cannot close the group it is put into
    return rf"\A(?:{pattern})\z"
