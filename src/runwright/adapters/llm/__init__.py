"""Language models behind the `LanguageModel` port. Cheap to import: pydantic-ai comes with the first question."""

from __future__ import annotations

from typing import Any

from runwright.adapters.llm.settings import ModelSettings, Price

__all__ = ["ModelSettings", "OpenAICompatibleModel", "Price"]


def __getattr__(name: str) -> Any:
    """`OpenAICompatibleModel`, whose module needs httpx2, only when it is asked for."""
    if name == "OpenAICompatibleModel":
        from runwright.adapters.llm.openai import OpenAICompatibleModel

        return OpenAICompatibleModel
    raise AttributeError(name)
