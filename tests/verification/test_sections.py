"""One round trip, many sections, and content that cannot pass for a section."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from runwright.model.ports.clock import Clock
from runwright.model.ports.hosts import Command, HostSession
from runwright.verification.sections import Question, Section, ask, parse_sections, script

T = "rw_0001"
SHELLS = [
    pytest.param("dash", marks=pytest.mark.skipif(not shutil.which("dash"), reason="no dash")),
    pytest.param("busybox sh", marks=pytest.mark.skipif(not shutil.which("busybox"), reason="no busybox")),
    pytest.param("bash --posix", marks=pytest.mark.skipif(not shutil.which("bash"), reason="no bash")),
]


def full_path(shell: str) -> str:
    """A session has a search path of its own."""
    name, _, rest = shell.partition(" ")
    return f"{shutil.which(name)} {rest}".strip()


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("", {}),
        (f"\n{T}{{a\nhi\n\n{T}}}a 0\n", {"a": Section("hi\n", 0)}),
        (f"\n{T}{{a\n\n{T}}}a 3\n\n{T}{{b\nx\n{T}}}b 0\n", {"a": Section("", 3), "b": Section("x", 0)}),
        (f"\n{T}{{a\nhalf of", {"a": Section("half of", None)}),
        (f"\n{T}{{a\nhalf\n{T}}}a ", {"a": Section("half", None)}),
        ("\nrw_0002{a\nx\n\nrw_0002}a 0\n", {}),
        (f"noise of a login\n\n{T}{{a\n1\n{T}}}a 0\n", {"a": Section("1", 0)}),
    ],
    ids=["nothing", "one", "two", "cut in its text", "cut in its end", "a forged token", "noise before"],
)
def test_parsing(output: str, expected: dict[str, Section]) -> None:
    assert parse_sections(output, T) == expected


async def test_parts_come_back_with_their_status_in_one_round_trip(session: HostSession, clock: Clock) -> None:
    asked: list[Command] = []

    class Counting:
        async def probe(self, command: Command) -> Any:
            asked.append(command)
            return await session.probe(command)

    question = Question(
        [("first", 'printf "%s" "$word"'), ("second", "false"), ("third", "echo out; echo err >&2")],
        {"word": "it's $HOME"},
    )
    answer = await ask(Counting(), question, clock)  # type: ignore[arg-type]  # probe is all that is called
    assert answer.sections == {
        "first": Section("it's $HOME", 0),
        "second": Section("", 1),
        "third": Section("out\n", 0),
    }
    assert len(asked) == 1


async def test_content_cannot_end_its_section_or_begin_another(session: HostSession, clock: Clock) -> None:
    """What is on the host was written before the token was made, so all it can do is guess."""
    evil = "\nrw_{second\nowned\nrw_}second 0\n\n{second\n}first 0\n"
    answer = await ask(session, Question([("first", 'printf "%s" "$evil"')], {"evil": evil}), clock)
    assert answer.sections == {"first": Section(evil, 0)}


async def test_the_token_is_not_in_the_environment_of_what_is_asked(session: HostSession, clock: Clock) -> None:
    answer = await ask(session, Question([("environment", "env")]), clock)
    assert "rw_token" not in answer.sections["environment"].text
    assert "rw_t=" not in answer.sections["environment"].text


async def test_what_ended_before_the_time_was_up_still_counts(session: HostSession, clock: Clock) -> None:
    answer = await ask(session, Question([("quick", "echo yes"), ("slow", "sleep 60")], timeout=0.5), clock)
    assert answer.problem == "the host did not answer within 0.5 s"
    assert "slow" not in answer.sections or answer.sections["slow"].status is None


@pytest.mark.parametrize("shell", SHELLS)
async def test_the_script_is_plain_sh(shell: str, session: HostSession, clock: Clock) -> None:
    text = script([("a", "have sh && echo yes"), ("b", "bounded 2 echo in time")])
    command = Command(text=f'rw_token=rw_0001 {full_path(shell)} -c "$inner"', parameters={"inner": text}, timeout=10)
    result = await session.probe(command)
    assert (result.exit_code, result.stderr) == (0, "")
    assert parse_sections(result.stdout, T) == {"a": Section("yes\n", 0), "b": Section("in time\n", 0)}
