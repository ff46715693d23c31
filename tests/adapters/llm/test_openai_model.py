"""The model adapter against real HTTP: every way in which an endpoint can fail ends in one clear error."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from pydantic import BaseModel, SecretStr

from runwright.adapters.llm import ModelSettings, OpenAICompatibleModel, Price
from runwright.model.errors import ModelUnavailable
from runwright.model.ports.clock import Clock
from runwright.model.ports.llm import ModelAnswer, ModelTask
from support.scripted_model import (
    Entry,
    ScriptedModel,
    answer,
    cut,
    hang,
    huge,
    prompt_of,
    status,
    text,
    truncated,
)


class Colour(BaseModel):
    name: str
    share: float


GOOD = {"name": "red", "share": 0.5}


def settings(server: ScriptedModel, **more: object) -> ModelSettings:
    given: dict[str, object] = {"base_url": server.base_url, "api_key": SecretStr("test-key-123"), "timeout": 5.0}
    return ModelSettings.model_validate({**given, **more})


async def ask(server: ScriptedModel, clock: Clock, **more: object) -> ModelAnswer[Colour]:
    model = OpenAICompatibleModel(settings(server, **more), clock)
    return await model.ask(ModelTask.CATEGORISE, instructions="Name a colour.", prompt="Which?", answer=Colour)


@pytest.mark.parametrize("output", ["tool", "json_schema"])
async def test_a_typed_answer_comes_with_its_cost(clock: Clock, output: str) -> None:
    with ScriptedModel(answer(GOOD)) as server:
        found = await ask(server, clock, output=output)
    assert found.value == Colour(name="red", share=0.5)
    assert (found.model, found.tokens_in, found.tokens_out, found.retries) == ("gpt-4o-mini", 1000, 100, 0)
    assert found.usd == pytest.approx(1000 * 0.15e-6 + 100 * 0.60e-6)
    assert server.headers[0]["authorization"] == "Bearer test-key-123"
    assert server.requests[0]["model"] == "gpt-4o-mini"
    assert "Name a colour." in prompt_of(server.requests[0])


@pytest.mark.parametrize("content", ['{"name": "red", "share": 0.5}', '```json\n{"name": "red", "share": 0.5}\n```'])
async def test_plain_json_text_is_taken_too(clock: Clock, content: str) -> None:
    with ScriptedModel(text(content)) as server:
        assert (await ask(server, clock)).value == Colour(name="red", share=0.5)


async def test_each_task_has_its_model(clock: Clock) -> None:
    with ScriptedModel(answer(GOOD)) as server:
        model = OpenAICompatibleModel(settings(server, generate_model="big-one"), clock)
        found = await model.ask(ModelTask.GENERATE, instructions="x", prompt="y", answer=Colour)
    assert server.requests[0]["model"] == "big-one"
    assert found.usd == 0.0, "an unknown model has no published price"


async def test_an_own_price_overrides_the_published_one(clock: Clock) -> None:
    with ScriptedModel(answer(GOOD)) as server:
        found = await ask(server, clock, prices={"gpt-4o-mini": Price(input_per_million=1, output_per_million=10)})
    assert found.usd == pytest.approx(0.002)


async def test_retry_after_is_waited_for(clock: Clock) -> None:
    before = clock.monotonic()
    with ScriptedModel([status(429, {"Retry-After": "7"}), answer(GOOD)]) as server:
        found = await ask(server, clock)
    assert found.retries == 1
    assert clock.monotonic() - before == pytest.approx(7.0)


async def test_a_long_retry_after_is_not_waited_for(clock: Clock) -> None:
    before = clock.monotonic()
    with ScriptedModel([status(429, {"Retry-After": "3600"}), answer(GOOD)]) as server:
        with pytest.raises(ModelUnavailable, match=r"429.*3600 s"):
            await ask(server, clock)
        assert len(server.requests) == 1
    assert clock.monotonic() == before


RECOVERS: dict[str, Entry] = {
    "server error": status(500),
    "overloaded": status(503),
    "cut connection": cut(),
    "truncated JSON": truncated(GOOD),
    "wrong schema": answer({"name": 3}),
    "empty": text(""),
    "prose": text("I think it is red."),
    "not JSON at all": status(200, body="<html>gateway</html>"),
}


@pytest.mark.parametrize("first", RECOVERS.values(), ids=RECOVERS.keys())
async def test_a_passing_fault_is_asked_again(clock: Clock, first: Entry) -> None:
    with ScriptedModel([first, answer(GOOD)]) as server:
        found = await ask(server, clock)
    assert found.value == Colour(name="red", share=0.5)
    assert found.retries == 1
    assert len(server.requests) == 2


LASTING: dict[str, tuple[Sequence[Entry], str, int]] = {
    "server error": ([status(500)], "500", 3),
    "wrong key": ([status(401)], "401", 1),
    "unknown model": ([status(404)], "404", 1),
    "cut connection": ([cut()], "cut", 3),
    "truncated JSON": ([truncated(GOOD)], "does not fit|no usable", 3),
    "wrong schema": ([answer({"name": 3})], "does not fit", 3),
    "empty": ([text("")], "does not fit|no usable", 3),
    "refusal": ([text(None, refusal="I cannot help with that.")], "refus", 1),
    "content filter": ([text("", finish="content_filter")], "refus", 1),
    "huge": ([huge(2_000_000)], "above 1000000 bytes", 1),
}


@pytest.mark.parametrize(("script", "said", "requests"), LASTING.values(), ids=LASTING.keys())
async def test_a_lasting_fault_says_what_it_was(clock: Clock, script: list[Entry], said: str, requests: int) -> None:
    with ScriptedModel(script) as server:
        with pytest.raises(ModelUnavailable, match=said) as caught:
            await ask(server, clock)
        assert len(server.requests) == requests
    assert caught.value.next_step


async def test_a_hanging_endpoint_ends_in_time(clock: Clock) -> None:
    with ScriptedModel(hang()) as server, pytest.raises(ModelUnavailable, match="within"):
        await ask(server, clock, timeout=0.2, max_retries=0)


async def test_an_answer_has_one_time_limit_for_all_its_retries(clock: Clock) -> None:
    with ScriptedModel(hang()) as server, pytest.raises(ModelUnavailable, match="within"):
        await ask(server, clock, timeout=30.0, total_timeout=0.3)


async def test_nobody_listening_is_no_connection(clock: Clock) -> None:
    with ScriptedModel(answer(GOOD)) as server:
        gone = settings(server, max_retries=0)
    with pytest.raises(ModelUnavailable, match="no connection"):
        await OpenAICompatibleModel(gone, clock).ask(ModelTask.CATEGORISE, instructions="x", prompt="y", answer=Colour)


async def test_the_next_question_says_what_was_wrong_with_the_last_answer(clock: Clock) -> None:
    with ScriptedModel([answer({"name": 3}), answer(GOOD)]) as server:
        await ask(server, clock)
    assert "could not be used" in prompt_of(server.requests[1])


async def test_the_key_is_in_no_error_and_no_settings_text(clock: Clock) -> None:
    with ScriptedModel(status(401, body='{"error": {"message": "bad key test-key-123"}}')) as server:
        with pytest.raises(ModelUnavailable) as caught:
            await ask(server, clock)
        assert "test-key-123" not in str(caught.value) + repr(settings(server))
