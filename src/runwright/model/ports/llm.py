"""A language model that answers in typed form."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

from pydantic import BaseModel

A = TypeVar("A", bound=BaseModel)


class ModelTask(StrEnum):
    """Which of the two configured models is asked."""

    CATEGORISE = "categorise"
    GENERATE = "generate"


@dataclass(frozen=True)
class ModelAnswer(Generic[A]):
    """A validated answer with what it cost."""

    value: A
    model: str
    tokens_in: int
    tokens_out: int
    usd: float
    seconds: float
    retries: int


class LanguageModel(Protocol):
    """Asks a model for one typed answer."""

    async def ask(self, task: ModelTask, *, instructions: str, prompt: str, answer: type[A]) -> ModelAnswer[A]:
        """Raises ModelUnavailable when no valid answer came, saying why; never returns a guess."""
        ...
