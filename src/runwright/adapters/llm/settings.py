"""Which endpoint and models are asked, how long, and at what price."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr

from runwright.model.base import Record


class Price(Record):
    """US dollars per million tokens; overrides the published price of a model."""

    input_per_million: float = Field(ge=0)
    output_per_million: float = Field(ge=0)


class ModelSettings(Record):
    """An OpenAI-compatible endpoint. Without `base_url` it is OpenAI's own."""

    base_url: str | None = None
    api_key: SecretStr | None = None
    categorise_model: str = "gpt-4o-mini"
    generate_model: str = "gpt-4o"
    timeout: float = Field(default=60.0, gt=0)
    """Seconds for one request."""
    total_timeout: float = Field(default=180.0, gt=0)
    """Seconds for one answer with all its retries."""
    max_retries: int = Field(default=2, ge=0, le=5)
    """Further requests after a refusal, an error or an answer that does not fit."""
    longest_wait: float = Field(default=20.0, ge=0)
    """Seconds of a Retry-After that are still waited for; a longer one ends the asking."""
    max_answer_tokens: int = Field(default=4000, gt=0)
    max_answer_bytes: int = Field(default=1_000_000, gt=0)
    """A larger HTTP answer is not read to its end."""
    output: Literal["tool", "json_schema"] = "tool"
    """How the typed answer is asked for: as a tool call (plain JSON text is taken too) or as a JSON schema."""
    prices: dict[str, Price] = Field(default_factory=dict)
    """By model name, where the published price does not hold."""
