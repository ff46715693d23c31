"""The `LanguageModel` port on pydantic-ai, for any OpenAI-compatible endpoint. Imported lazily: it takes seconds."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from runwright.adapters.llm.settings import ModelSettings
from runwright.adapters.llm.transport import AnswerTooLarge, LimitedTransport
from runwright.model.errors import ModelUnavailable
from runwright.model.ports.clock import Clock
from runwright.model.ports.llm import ModelAnswer, ModelTask

A = TypeVar("A", bound=BaseModel)

_NO_KEY = "no-key-set"
"""Local servers take no key, and the client insists on one."""

_FENCED = re.compile(r"^\s*```(?:json)?\s*\n(?P<body>.*)\n\s*```\s*$", re.DOTALL)


def _unavailable(found: str, cause: BaseException | None = None) -> ModelUnavailable:
    error = ModelUnavailable(found, next_step="Rules work without it; see `runwright doctor` for the endpoint.")
    error.__cause__ = cause
    return error


def _causes(error: BaseException) -> tuple[BaseException, ...]:
    chain: list[BaseException] = []
    here: BaseException | None = error
    while here is not None and here not in chain:
        chain.append(here)
        here = here.__cause__ or here.__context__
    return tuple(chain)


class OpenAICompatibleModel:
    """Asks the two configured models. Holds no connection between questions."""

    def __init__(self, settings: ModelSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock

    def name(self, task: ModelTask) -> str:
        """The model that a task is put to."""
        return {
            ModelTask.CATEGORISE: self._settings.categorise_model,
            ModelTask.GENERATE: self._settings.generate_model,
        }[task]

    async def ask(self, task: ModelTask, *, instructions: str, prompt: str, answer: type[A]) -> ModelAnswer[A]:
        """One typed answer. Waits as Retry-After says, up to `longest_wait`, and asks again up to `max_retries`.

        Raises ModelUnavailable when no valid answer came, saying why.
        """
        try:
            async with asyncio.timeout(self._settings.total_timeout):
                return await self._ask(task, instructions, prompt, answer)
        except TimeoutError as error:
            text = f"Found no answer of {self.name(task)} within {self._settings.total_timeout:.0f} s."
            raise _unavailable(text, error) from error

    async def _ask(self, task: ModelTask, instructions: str, prompt: str, answer: type[A]) -> ModelAnswer[A]:
        from pydantic_ai.exceptions import AgentRunError

        started = self._clock.monotonic()
        name = self.name(task)
        problem: ModelUnavailable | None = None
        used = [0, 0]
        for attempt in range(self._settings.max_retries + 1):
            try:
                value, usage = await self._once(name, instructions, prompt, answer, problem)
            except AgentRunError as error:
                problem = self._explained(name, error)
                spent = getattr(error, "runwright_usage", (0, 0))
                used = [used[0] + spent[0], used[1] + spent[1]]
                wait = self._wait(error, attempt)
                if wait is None:
                    raise problem from error
                await self._clock.sleep(wait)
                continue
            tokens = (used[0] + usage[0], used[1] + usage[1])
            return ModelAnswer(
                value=value,
                model=name,
                tokens_in=tokens[0],
                tokens_out=tokens[1],
                usd=self._price(name, *tokens),
                seconds=self._clock.monotonic() - started,
                retries=attempt,
            )
        raise problem or _unavailable(f"Found no answer of {name}.")

    async def _once(
        self, name: str, instructions: str, prompt: str, answer: type[A], earlier: ModelUnavailable | None
    ) -> tuple[A, tuple[int, int]]:
        """One request. What an unusable answer cost is kept at the error."""
        import httpx2
        from openai import AsyncOpenAI
        from pydantic_ai import Agent, NativeOutput, TextOutput, ToolOutput
        from pydantic_ai.exceptions import AgentRunError
        from pydantic_ai.models.openai import OpenAIChatModel
        from pydantic_ai.providers.openai import OpenAIProvider
        from pydantic_ai.settings import ModelSettings as RequestSettings
        from pydantic_ai.usage import RunUsage

        def plain(text: str) -> A:
            return _parsed(text, answer)

        usage = RunUsage()
        key = self._settings.api_key.get_secret_value() if self._settings.api_key is not None else _NO_KEY
        client = httpx2.AsyncClient(
            transport=LimitedTransport(self._settings.max_answer_bytes), timeout=self._settings.timeout
        )
        async with client:
            endpoint = AsyncOpenAI(
                base_url=self._settings.base_url or "https://api.openai.com/v1",
                api_key=key,
                http_client=client,
                max_retries=0,
                timeout=self._settings.timeout,
            )
            output: Any = (
                NativeOutput(answer)
                if self._settings.output == "json_schema"
                else [ToolOutput(answer, name="answer"), TextOutput(plain)]
            )
            agent: Agent[None, Any] = Agent(
                OpenAIChatModel(name, provider=OpenAIProvider(openai_client=endpoint)),
                output_type=output,
                instructions=instructions,
                retries=0,
                model_settings=RequestSettings(max_tokens=self._settings.max_answer_tokens, temperature=0.0),
            )
            question = prompt if earlier is None else f"{prompt}\n\nYour last answer could not be used: {earlier.found}"
            try:
                run = await agent.run(question, usage=usage)
            except AgentRunError as error:
                error.runwright_usage = (usage.input_tokens, usage.output_tokens)  # type: ignore[attr-defined] # costs stay
                raise
        return run.output, (usage.input_tokens, usage.output_tokens)

    def _explained(self, name: str, error: BaseException) -> ModelUnavailable:
        from pydantic_ai.exceptions import (
            ContentFilterError,
            ModelAPIError,
            ModelConnectionError,
            ModelHTTPError,
            ModelTimeoutError,
            UnexpectedModelBehavior,
        )

        if any(isinstance(cause, AnswerTooLarge) for cause in _causes(error)):
            return _unavailable(f"Found an answer of {name} above {self._settings.max_answer_bytes} bytes.", error)
        if isinstance(error, ModelHTTPError):
            wait = f", to be asked again in {error.retry_after:.0f} s" if error.retry_after is not None else ""
            return _unavailable(f"Found the endpoint of {name} answering {error.status_code}{wait}.", error)
        if isinstance(error, ModelTimeoutError):
            return _unavailable(f"Found no answer of {name} within {self._settings.timeout:.0f} s.", error)
        if isinstance(error, ModelConnectionError):
            return _unavailable(f"Found no connection to the endpoint of {name}, or one that was cut.", error)
        if isinstance(error, ContentFilterError):
            return _unavailable(f"Found {name} refusing to answer.", error)
        if isinstance(error, UnexpectedModelBehavior | ModelAPIError):
            details = next((str(c) for c in _causes(error) if isinstance(c, ValidationError | ValueError)), str(error))
            return _unavailable(
                f"Found an answer of {name} that does not fit: {' '.join(details.split())[:600]}", error
            )
        return _unavailable(f"Found no usable answer of {name}: {' '.join(str(error).split())[:300]}", error)

    def _wait(self, error: BaseException, attempt: int) -> float | None:
        """Seconds until the next attempt; None where another would not help or none is left."""
        from pydantic_ai.exceptions import ContentFilterError, ModelHTTPError

        if attempt >= self._settings.max_retries or isinstance(error, ContentFilterError):
            return None
        if any(isinstance(cause, AnswerTooLarge) for cause in _causes(error)):
            return None
        if isinstance(error, ModelHTTPError):
            if error.status_code not in (408, 409, 425, 429) and error.status_code < 500:
                return None
            if error.retry_after is not None:
                return error.retry_after if error.retry_after <= self._settings.longest_wait else None
        return min(float(2**attempt), self._settings.longest_wait)

    def _price(self, name: str, tokens_in: int, tokens_out: int) -> float:
        """US dollars, by the override, else by the published price; 0 for models without one."""
        own = self._settings.prices.get(name)
        if own is not None:
            return (tokens_in * own.input_per_million + tokens_out * own.output_per_million) / 1e6
        from genai_prices import Usage, calc_price

        try:
            price = calc_price(Usage(input_tokens=tokens_in, output_tokens=tokens_out), model_ref=name)
        except LookupError:
            return 0.0
        return float(price.total_price)


def _parsed(text: str, answer: type[A]) -> A:
    """A typed answer out of plain text. Raises UnexpectedModelBehavior where it is none."""
    from pydantic_ai.exceptions import UnexpectedModelBehavior

    match = _FENCED.match(text)
    body = match["body"] if match is not None else text
    if not body.strip():
        raise UnexpectedModelBehavior("the answer is empty")
    try:
        return answer.model_validate(json.loads(body))
    except (ValueError, RecursionError) as error:
        raise UnexpectedModelBehavior(f"the answer is no valid {answer.__name__}: {error}") from error
