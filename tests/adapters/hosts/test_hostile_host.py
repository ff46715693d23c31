"""A host that is not what it was: somebody else answers there in the supervisor's place, and knows its mark."""

from __future__ import annotations

import re
import resource
from collections.abc import Callable, Sequence

import pytest

from adapters.hosts.rigs import sh
from runwright.adapters.hosts.local import clean_environment
from runwright.adapters.hosts.session import ShellSession
from runwright.adapters.hosts.transport import LocalChannel, LocalTransport
from runwright.model.errors import HostUnreachable
from runwright.model.hosts import HostIdentity, SecretRef

READY = "printf '%s 1000 - /tmp/x\\n' \"$nonce\""


class Imposter:
    """A `Transport` to a real program that got the request and answers as it likes."""

    def __init__(self, answers: dict[str, str]) -> None:
        self._answers = answers
        self._local = LocalTransport(clean_environment())

    async def spawn(self, argv: Sequence[str], stdin: bytes) -> LocalChannel:
        nonce = re.search(rb"^nonce='([0-9a-f]+)'$", stdin, re.MULTILINE)
        assert nonce is not None
        kind = "prepare" if b"\ndays=" in stdin else "start" if b"\nmost=" in stdin else "question"
        text = f"nonce={nonce[1].decode()}\n{self._answers[kind]}\n"
        return await self._local.spawn(("/bin/sh",), text.encode())


class Vault:
    """Every client's secrets, and whose were asked for."""

    def __init__(self) -> None:
        self.asked: list[SecretRef] = []

    def resolve(self, reference: SecretRef) -> str:
        self.asked.append(reference)
        return f"{reference.client_id}-swordfish"


async def session(question: str, start: str = "exit 0", vault: Vault | None = None) -> ShellSession:
    imposter = Imposter({"prepare": READY, "start": start, "question": question})
    made = ShellSession(HostIdentity(host_id="hst_1", kind="ssh"), imposter, secrets=vault or Vault(), client_id="acme")
    await made.prepare()
    return made


NONSENSE = {
    "no words": "",
    "few words": "F 0",
    "no numbers": "F zero 1 1 x x x -",
    "huge numbers": f"F 0 {'9' * 5000} 1 1 1 1 -",
    "a time without end": "F 0 999999999999 1 0 0 0 -",
    "other digits": "F ² 1 1 0 0 0 -",
    "negative sizes": "F 0 1 1 -5 -5 -5 -",
}


@pytest.mark.parametrize("name", NONSENSE)
async def test_an_answer_that_makes_no_sense_is_a_lost_way(name: str) -> None:
    host = await session(f"printf '%s %s\\n' \"$nonce\" '{NONSENSE[name]}'")
    ask: list[Callable[[], object]] = [lambda: host.attempt_status("a"), lambda: host.stop_attempt("a")]
    for question in ask:
        with pytest.raises(HostUnreachable, match="no sense"):
            await question()  # type: ignore[misc]  # coroutines of two kinds


async def test_the_first_answer_may_make_no_sense_either() -> None:
    imposter = Imposter({"prepare": "printf '%s root\\n' \"$nonce\"", "start": "", "question": ""})
    made = ShellSession(HostIdentity(host_id="hst_1", kind="ssh"), imposter)
    with pytest.raises(HostUnreachable, match="no sense"):
        await made.prepare()


@pytest.mark.parametrize(
    "start",
    [
        pytest.param('printf "%s " "$nonce" >&2; exec cat /dev/zero >&2', id="a word without end"),
        pytest.param('printf "%s ²\\n" "$nonce" >&2', id="an exit code that is none"),
        pytest.param('printf "%s %0400d\\n" "$nonce" 1 >&2', id="an exit code without end"),
    ],
)
async def test_a_step_whose_host_talks_nonsense_is_lost(start: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    host = await session("exec cat /dev/zero", start)
    with pytest.raises(HostUnreachable):
        await host.run_attempt("a", sh("true", timeout=20))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000, "kilobytes"


async def test_an_answer_without_end_is_cut_off() -> None:
    host = await session("exec cat /dev/zero")
    with pytest.raises(HostUnreachable, match="without end"):
        await host.attempt_status("a")


async def test_what_comes_after_the_last_word_is_not_kept() -> None:
    many = "head -c 50000000 /dev/zero"
    host = await session("exit 0", f'printf %s "$nonce"; {many}; {many} >&2; printf "%s 0\\n" "$nonce" >&2; {many} >&2')
    done = await host.run_attempt("a", sh("true", timeout=20))
    assert (done.exit_code, done.stdout) == (0, "")


async def test_a_host_learns_nothing_of_another_clients_secrets_by_what_is_masked() -> None:
    """It says which secrets an attempt had. Guesses at them come back masked, or they do not."""
    vault = Vault()
    names = "TOKEN beta api\\n"
    guess = "beta-swordfish\\n"
    host = await session(f"printf '%s F 0 1 1 15 0 15 -\\n{names}{guess}' \"$nonce\"", vault=vault)
    status = await host.attempt_status("a")
    assert status.outcome is not None
    assert status.outcome.stdout == "beta-swordfish\n"
    assert all(each.client_id == "acme" for each in vault.asked)


async def test_its_own_clients_secrets_are_masked_still() -> None:
    host = await session("printf '%s F 0 1 1 15 0 15 -\\nTOKEN acme api\\nacme-swordfish\\n' \"$nonce\"")
    status = await host.attempt_status("a")
    assert status.outcome is not None
    assert status.outcome.stdout == "[secret api]\n"
