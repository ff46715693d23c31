"""Which engine learns. Without pydantic: the command line offers it before anything heavy loads."""

from __future__ import annotations

from enum import StrEnum


class Engine(StrEnum):
    """Which engine diagnoses and writes: rules alone, or rules first and then the model."""

    AUTO = "auto"
    """The model if one is configured, else rules."""
    RULES = "rules"
    LLM = "llm"
