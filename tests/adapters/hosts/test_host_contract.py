"""What every host adapter keeps, whatever the connection: run against all of them, with real processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from pathlib import Path

import pytest

from adapters.hosts.rigs import CANARY, Rig, lose, processes_with, sh
from runwright.model.errors import Conflict, InvalidInput, NotFound, Refused
from runwright.model.hosts import SecretRef
from runwright.model.ports.hosts import AttemptState, HostSession

pytestmark = pytest.mark.asyncio(loop_scope="module")

REFERENCE = {"TOKEN": SecretRef(client_id="acme", name="canary")}


async def until(probe: HostSession, text: str, seconds: float = 10) -> bool:
    """Whether a condition on the host comes true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if (await probe.probe(sh(text))).exit_code == 0:
            return True
    return False


async def test_streams_and_exit_code(rig: Rig, free_id: str) -> None:
    done = await rig.session.run_attempt(free_id, sh("echo out; echo err >&2; exit 7"))
    assert (done.exit_code, done.stdout, done.stderr, done.timed_out) == (7, "out\n", "err\n", False)
    assert done.ended_at is not None
    assert done.ended_at >= done.started_at


async def test_runs_in_root_with_a_clean_environment(rig: Rig, free_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "not-for-steps")
    done = await rig.session.run_attempt(free_id, sh('pwd; umask; echo "$LC_ALL"; cat; env'))
    first, *rest = done.stdout.splitlines()
    assert first == "/"
    assert rest[:2] == ["0022", "C.UTF-8"]
    assert "not-for-steps" not in done.stdout


async def test_text_is_a_shell_program_of_its_own(rig: Rig, free_id: str) -> None:
    text = 'set -e\nf() { printf \'%s\\n\' "$1"; }\nf "it\'s"\ncat <<X\nhere $((1+1))\nX\nfalse\necho never # comment'
    done = await rig.session.run_attempt(free_id, sh(text))
    assert (done.exit_code, done.stdout) == (1, "it's\nhere 2\n")


async def test_a_text_that_does_not_parse_fails_and_says_so(rig: Rig, free_id: str) -> None:
    done = await rig.session.run_attempt(free_id, sh("echo 'open"))
    assert done.exit_code not in (0, None)
    assert done.stderr


async def test_signals_are_as_usual_in_a_step(rig: Rig, free_id: str) -> None:
    done = await rig.session.run_attempt(
        free_id, sh("yes | head -n 1; trap 'echo term; exit 3' TERM; kill -TERM $$; :")
    )
    assert (done.stdout, done.stderr, done.exit_code) == ("y\nterm\n", "", 3)


async def test_an_id_is_never_started_twice(rig: Rig, free_id: str) -> None:
    mark = f"/tmp/{free_id}"
    count = sh(f"echo once >> {mark}; sleep 0.3; echo done; exit 4")
    both = await asyncio.gather(*(rig.session.run_attempt(free_id, count) for _ in range(4)))
    again = await rig.session.run_attempt(free_id, count)
    assert {(done.exit_code, done.stdout) for done in (*both, again)} == {(4, "done\n")}
    assert (await rig.session.probe(sh(f"cat {mark}; rm {mark}"))).stdout == "once\n"


async def test_unknown_attempts_are_unknown(rig: Rig, free_id: str) -> None:
    assert (await rig.session.attempt_status(free_id)).state is AttemptState.UNKNOWN
    with pytest.raises(NotFound):
        await rig.session.wait_attempt(free_id, 1)
    await rig.session.forget_attempt(free_id)
    assert (await rig.session.stop_attempt(free_id)).method == "none"


async def test_a_buried_attempt_never_starts(rig: Rig, free_id: str) -> None:
    for _ in range(2):
        assert (await rig.session.attempt_status(free_id, bury=True)).state is AttemptState.BURIED
    with pytest.raises(Conflict, match="given up"):
        await rig.session.run_attempt(free_id, sh(f"touch /tmp/{free_id}"))
    await rig.session.forget_attempt(free_id)  # what was buried stays so
    assert (await rig.session.attempt_status(free_id)).state is AttemptState.BURIED
    assert (await rig.session.probe(sh(f"test -e /tmp/{free_id}"))).exit_code == 1


async def test_what_has_begun_is_not_buried(rig: Rig, free_id: str) -> None:
    assert (await rig.session.run_attempt(free_id, sh("exit 3"))).exit_code == 3
    status = await rig.session.attempt_status(free_id, bury=True)
    assert status.state is AttemptState.FINISHED
    assert status.outcome is not None
    assert status.outcome.exit_code == 3
    await rig.session.forget_attempt(free_id)


async def test_a_slow_supervisor_that_was_buried_starts_nothing(rig: Rig, free_id: str) -> None:
    """It has the id, and was stalled before it said who it is."""
    base = rig.session._ready().base  # type: ignore[attr-defined]  # where the stalled supervisor's claim would be
    await rig.session.probe(sh(f": >{base}/{free_id}.claim"))
    assert (await rig.session.attempt_status(free_id, bury=True)).state is AttemptState.BURIED
    late = await rig.session.probe(sh(f"set -C; echo x >{base}/{free_id}.meta"))
    assert late.exit_code != 0
    await rig.session.probe(sh(f"rm {base}/{free_id}.*"))


async def test_status_running_then_finished_then_forgotten(rig: Rig, free_id: str) -> None:
    gate = f"/tmp/{free_id}"
    text = f"while [ ! -e {gate} ]; do sleep 0.05; done; rm {gate}; exit 5"
    running = asyncio.ensure_future(rig.session.run_attempt(free_id, sh(text)))
    while (status := await rig.session.attempt_status(free_id)).state is AttemptState.UNKNOWN:
        pass
    assert status.state is AttemptState.RUNNING
    assert status.outcome is None
    with pytest.raises(Refused):
        await rig.session.forget_attempt(free_id)
    await rig.session.probe(sh(f": > {gate}"))
    assert (await running).exit_code == 5
    status = await rig.session.attempt_status(free_id)
    assert status.state is AttemptState.FINISHED
    assert status.outcome is not None
    assert status.outcome.exit_code == 5
    await rig.session.forget_attempt(free_id)
    assert (await rig.session.attempt_status(free_id)).state is AttemptState.UNKNOWN


TREES = {
    "child": "sleep 1000",
    "background": "sleep 1000 & sleep 1000",
    "deaf": "trap '' TERM HUP INT; while :; do sleep 1000; done",
    "own-session": "setsid sleep 1000 & sleep 1000",
    "double-forked": "(setsid sh -c '(sleep 1000 >/dev/null 2>&1 &)' &) ; sleep 1000",
    "without-environment": "env -i setsid sleep 1000 & sleep 1000",
}


@pytest.mark.parametrize("tree", TREES)
async def test_a_timeout_ends_the_whole_tree(rig: Rig, free_id: str, tree: str) -> None:
    if tree == "without-environment" and not rig.contained:
        pytest.skip("without a cgroup nothing ties such a process to its attempt")
    seconds = str(100000 + int.from_bytes(os.urandom(3), "big"))
    begun = time.monotonic()
    done = await rig.session.run_attempt(
        free_id, sh("echo begun; " + TREES[tree].replace("1000", seconds), timeout=0.5)
    )
    assert time.monotonic() - begun < 8
    assert (done.exit_code, done.timed_out, done.stdout) == (None, True, "begun\n")
    assert "could not be ended" not in done.stderr
    assert not processes_with(f"sleep\0{seconds}".encode())


async def test_a_display_that_breaks_leaves_no_tree(rig: Rig, free_id: str) -> None:
    async def broken(stream: str, data: bytes) -> None:
        raise OSError("the page is closed")

    seconds = str(800000 + int.from_bytes(os.urandom(3), "big"))
    with pytest.raises(OSError, match="the page is closed"):
        await rig.session.run_attempt(free_id, sh(f"echo x; sleep {seconds}"), broken)
    assert not processes_with(f"sleep\0{seconds}".encode())


async def test_cancelling_ends_the_whole_tree(rig: Rig, free_id: str) -> None:
    seconds = str(200000 + int.from_bytes(os.urandom(3), "big"))
    running = asyncio.ensure_future(rig.session.run_attempt(free_id, sh(f"setsid sleep {seconds} & sleep {seconds}")))
    while len(processes_with(f"sleep\0{seconds}".encode())) < 2:
        await rig.session.attempt_status(free_id)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not processes_with(f"sleep\0{seconds}".encode())


@pytest.mark.parametrize("moment", [0.0, 0.002, 0.004, 0.006, 0.01, 0.02])
async def test_cancelling_at_any_moment_leaves_nothing_that_starts_later(rig: Rig, free_id: str, moment: float) -> None:
    seconds = str(700000 + int.from_bytes(os.urandom(3), "big"))
    running = asyncio.ensure_future(rig.session.run_attempt(free_id, sh(f"sleep {seconds}")))
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(running), moment)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    status = await rig.session.attempt_status(free_id)
    if moment:
        assert status.state in (AttemptState.FINISHED, AttemptState.BURIED)  # so this id is never started again
    assert not processes_with(f"sleep\0{seconds}".encode())


async def test_stopping_names_method_and_count(rig: Rig, free_id: str) -> None:
    seconds = str(300000 + int.from_bytes(os.urandom(3), "big"))
    running = asyncio.ensure_future(rig.session.run_attempt(free_id, sh(f"sleep {seconds} & sleep {seconds}")))
    while len(processes_with(f"sleep\0{seconds}".encode())) < 2:
        await rig.session.attempt_status(free_id)
    report = await rig.session.stop_attempt(free_id)
    assert report.method == ("cgroup" if rig.contained else "session+environment")
    assert report.ended >= 3
    assert report.survivors == ()
    done = await running
    assert done.exit_code not in (0, None)
    assert not done.timed_out


async def test_stopping_a_finished_attempt_ends_what_it_left(rig: Rig, free_id: str) -> None:
    await rig.session.run_attempt(free_id, sh("true"))
    report = await rig.session.stop_attempt(free_id)
    assert (report.ended, report.survivors, report.method) == (0, (), "none")
    seconds = str(900000 + int.from_bytes(os.urandom(3), "big"))
    other = f"{free_id}-2"
    await rig.session.run_attempt(other, sh(f"setsid sleep {seconds} >/dev/null 2>&1 &"))
    assert (await rig.session.stop_attempt(other)).ended == 1
    assert not processes_with(f"sleep\0{seconds}".encode())


async def test_a_daemon_left_by_a_step_lives_on_and_holds_nothing(rig: Rig, free_id: str) -> None:
    seconds = str(400000 + int.from_bytes(os.urandom(3), "big"))
    begun = time.monotonic()
    # one daemon keeps the streams open, the other one detached itself properly
    text = f"sleep {seconds} & setsid sleep {seconds} >/dev/null 2>&1 & echo started"
    done = await rig.session.run_attempt(free_id, sh(text))
    assert time.monotonic() - begun < 3
    assert (done.exit_code, done.stdout, done.timed_out) == (0, "started\n", False)
    while len(processes_with(f"sleep\0{seconds}".encode())) < 2:
        assert time.monotonic() - begun < 5
    await rig.session.forget_attempt(free_id)
    assert len(processes_with(f"sleep\0{seconds}".encode())) == 2
    await rig.session.probe(sh(f"pkill -f 'sleep {seconds}' || busybox pkill -f 'sleep {seconds}'"))


async def test_an_attempt_outlives_its_connection(rig: Rig, free_id: str) -> None:
    """The caller's side dies without a word; a new session finds the run, and later its outcome."""
    gate = f"/tmp/{free_id}"
    text = f"echo early; while [ ! -e {gate} ]; do sleep 0.05; done; rm {gate}; echo late; echo err >&2; exit 9"
    session = rig.session
    transport = session._transport  # type: ignore[attr-defined]  # only the transport can lose a connection
    channels: list[object] = []
    spawn = transport.spawn

    async def remembered(argv: object, stdin: bytes) -> object:
        channels.append(await spawn(argv, stdin))
        return channels[-1]

    transport.spawn = remembered
    try:
        task = asyncio.ensure_future(session.run_attempt(free_id, sh(text)))
        while (await session.attempt_status(free_id)).state is not AttemptState.RUNNING:
            pass
    finally:
        transport.spawn = spawn
    lose(channels[0])
    async with rig.reopen() as later:  # type: ignore[attr-defined]  # a connector's context manager
        assert (await later.attempt_status(free_id)).state is AttemptState.RUNNING
        await later.probe(sh(f": > {gate}"))
        adopted = await later.wait_attempt(free_id, 20)
        status = await later.attempt_status(free_id)
    assert (adopted.exit_code, adopted.stdout, adopted.stderr) == (9, "early\nlate\n", "err\n")
    assert status.outcome == adopted
    assert (await task).exit_code == 9


async def test_waiting_too_long_ends_the_tree(rig: Rig, free_id: str) -> None:
    seconds = str(500000 + int.from_bytes(os.urandom(3), "big"))
    running = asyncio.ensure_future(rig.session.run_attempt(free_id, sh(f"echo on; sleep {seconds}")))
    while not processes_with(f"sleep\0{seconds}".encode()):
        await rig.session.attempt_status(free_id)
    async with rig.reopen() as other:  # type: ignore[attr-defined]  # a connector's context manager
        done = await other.wait_attempt(free_id, 0.3)
    assert (done.timed_out, done.exit_code, done.stdout) == (True, None, "on\n")
    assert not processes_with(f"sleep\0{seconds}".encode())
    await running


async def test_four_megabytes_come_live_and_are_kept_head_and_tail(rig: Rig, free_id: str) -> None:
    seen = {"stdout": 0, "stderr": 0}

    async def sink(stream: str, data: bytes) -> None:
        seen[stream] += len(data)

    text = "echo first; head -c 4000000 /dev/zero | tr '\\0' x; echo; echo last; echo problem >&2"
    done = await rig.session.run_attempt(free_id, sh(text, output_limit=10_000), sink)
    assert seen == {"stdout": 4_000_012, "stderr": 8}
    assert len(done.stdout) < 10_100
    assert done.stdout.startswith("first\nxxx")
    assert done.stdout.endswith("xxx\nlast\n")
    assert "\n[runwright: 3990012 bytes left out here]\n" in done.stdout
    stored = await rig.session.attempt_status(free_id)
    assert stored.outcome is not None
    assert stored.outcome.stdout.startswith("first\nxxx")
    assert len(stored.outcome.stdout) <= 10_000


async def test_output_comes_while_the_step_runs(rig: Rig, free_id: str) -> None:
    gate = f"/tmp/{free_id}"
    came = asyncio.Event()

    async def sink(stream: str, data: bytes) -> None:
        if data == b"waiting\n":
            came.set()

    text = f"echo waiting; while [ ! -e {gate} ]; do sleep 0.05; done; rm {gate}"
    running = asyncio.ensure_future(rig.session.run_attempt(free_id, sh(text), sink))
    async with asyncio.timeout(10):
        await came.wait()
    await rig.session.probe(sh(f": > {gate}"))
    assert (await running).exit_code == 0


async def test_output_that_is_not_utf8_is_decoded_with_replacement(rig: Rig, free_id: str) -> None:
    done = await rig.session.run_attempt(free_id, sh("printf 'a\\377b\\000c\\n'"))
    assert done.stdout == "a\ufffdb\0c\n"


HOSTILE = ["-rf /", "$(touch /tmp/owned)", "`id`", "a'b\"c\\d", "\n\nexit 1\n", "; reboot", "*", "~", "é\u202e"]


async def test_parameters_are_plain_data_in_no_process_list(rig: Rig, free_id: str) -> None:
    values = {f"p{number}": f"{value}#{free_id}" for number, value in enumerate(HOSTILE)}
    gate = f"/tmp/gate-{free_id[-6:]}"
    text = "".join(f'printf "%s\\0" "$p{number}"; ' for number in range(len(HOSTILE)))
    text += f": secret-text-{free_id}; while [ ! -e {gate} ]; do sleep 0.05; done; rm {gate}"
    running = asyncio.ensure_future(rig.session.run_attempt(free_id, sh(text, parameters=values)))
    while (await rig.session.attempt_status(free_id)).state is AttemptState.UNKNOWN:
        assert not processes_with(b"#" + free_id.encode())
    assert not processes_with(b"#" + free_id.encode())
    assert not processes_with(b"secret-text")
    await rig.session.probe(sh(f": > {gate}"))
    done = await running
    assert done.stdout.split("\0")[:-1] == list(values.values())


async def test_every_byte_but_nul_comes_through(rig: Rig, free_id: str) -> None:
    value = bytes(range(1, 256)).decode("utf-8", "surrogateescape")
    command = sh('printf "%s" "$value" | od -An -v -tx1', parameters={"value": value})
    done = await rig.session.run_attempt(free_id, command)
    assert bytes.fromhex(done.stdout) == bytes(range(1, 256))
    assert bytes.fromhex((await rig.session.probe(command)).stdout) == bytes(range(1, 256))


async def test_nul_is_refused_before_anything_starts(rig: Rig, free_id: str) -> None:
    with pytest.raises(InvalidInput, match="NUL"):
        await rig.session.run_attempt(free_id, sh("echo hi", parameters={"value": "a\0b"}))
    assert (await rig.session.attempt_status(free_id)).state is AttemptState.UNKNOWN


@pytest.mark.parametrize("bad", ["", "../x", "a/b", "-x", ".x", "a b", "a\n", "x" * 300])
async def test_ids_that_could_leave_the_directory_are_refused(rig: Rig, bad: str) -> None:
    with pytest.raises(InvalidInput):
        await rig.session.run_attempt(bad, sh("true"))


async def test_secrets_are_injected_and_masked_everywhere(rig: Rig, free_id: str) -> None:
    live = bytearray()

    async def sink(stream: str, data: bytes) -> None:
        live.extend(data)

    split = """
    printf '%s\\n' "$TOKEN"; printf '%s' "$TOKEN" | head -c 9; sleep 0.1; printf '%s\\n' "$TOKEN" | tail -c +10
    printf '%s' "$TOKEN" | wc -c; echo "$TOKEN" >&2
    """
    done = await rig.session.run_attempt(free_id, sh(split, secrets=REFERENCE), sink)
    assert str(len(CANARY)) in done.stdout
    adopted = (await rig.session.attempt_status(free_id)).outcome
    assert adopted is not None
    for text in (done.stdout, done.stderr, live.decode(), adopted.stdout, adopted.stderr):
        assert CANARY not in text
        assert "[secret canary]" in text
    probed = await rig.session.probe(sh('echo "$TOKEN"', secrets=REFERENCE))
    assert probed.stdout == "[secret canary]\n"


async def test_a_hidden_secret_is_masked_in_what_any_command_shows(rig: Rig, free_id: str) -> None:
    rig.session.hide([REFERENCE["TOKEN"], SecretRef(client_id="acme", name="other")])
    say = {"shown": CANARY}
    assert (await rig.session.probe(sh('echo "$shown"', parameters=say))).stdout == "[secret canary]\n"
    done = await rig.session.run_attempt(free_id, sh('echo "$shown" >&2', parameters=say))
    assert done.stderr == "[secret canary]\n"
    adopted = (await rig.session.attempt_status(free_id)).outcome
    assert adopted is not None
    assert adopted.stderr == "[secret canary]\n"


async def test_an_unknown_secret_starts_nothing(rig: Rig, free_id: str) -> None:
    with pytest.raises(NotFound):
        await rig.session.run_attempt(free_id, sh("true", secrets={"T": SecretRef(client_id="acme", name="other")}))
    assert (await rig.session.attempt_status(free_id)).state is AttemptState.UNKNOWN


async def test_probes_answer_and_time_out(rig: Rig) -> None:
    done = await rig.session.probe(sh('echo "$x"; echo e >&2; exit 3', parameters={"x": "1"}))
    assert (done.exit_code, done.stdout, done.stderr) == (3, "1\n", "e\n")
    seconds = str(600000 + int.from_bytes(os.urandom(3), "big"))
    slow = await rig.session.probe(sh(f"echo begun; sleep {seconds}", timeout=0.3))
    assert (slow.exit_code, slow.stdout) == (None, "begun\n")
    assert not processes_with(f"sleep\0{seconds}".encode())


async def test_a_restart_of_the_host_is_told_not_guessed(rig: Rig, free_id: str) -> None:
    """The boot id in the attempt's files is that of another boot: what the attempt had done is unknown."""
    await rig.session.run_attempt(free_id, sh("echo half"))
    base = rig.session._place.base  # type: ignore[attr-defined]  # no public way to restart this machine
    edit = f"cd {base} && rm {free_id}.exit && sed -i 1s/.*/00000000-0000-0000-0000-000000000000/ {free_id}.meta"
    assert (await rig.session.probe(sh(edit))).exit_code == 0
    status = await rig.session.attempt_status(free_id)
    assert status.state is AttemptState.FINISHED
    assert status.outcome is not None
    assert status.outcome.exit_code is None
    assert status.outcome.stdout == "half\n"
    assert "restarted" in status.outcome.stderr


async def test_a_supervisor_that_was_killed_is_told_not_guessed(rig: Rig, free_id: str) -> None:
    base = rig.session._place.base  # type: ignore[attr-defined]  # as above
    text = f'read -r pid <<X\n$(sed -n 2p "{base}/{free_id}.meta")\nX\nkill -KILL "$pid"; exit 0'
    done = await rig.session.run_attempt(free_id, sh(text))
    assert done.exit_code is None
    assert "before it could record an outcome" in done.stderr


async def test_files_of_an_attempt_are_private(rig: Rig, free_id: str) -> None:
    await rig.session.run_attempt(free_id, sh("echo x", parameters={"p": "private"}))
    base = rig.session._place.base  # type: ignore[attr-defined]  # as above
    listed = (await rig.session.probe(sh(f"stat -c '%a %n' {base} {base}/{free_id}.*"))).stdout
    modes = {Path(name).name: mode for mode, name in (line.split(" ", 1) for line in listed.splitlines())}
    assert modes.pop(Path(base).name) == "700"
    assert set(modes.values()) == {"600"}


async def test_many_are_forgotten_at_once_and_what_runs_is_named(rig: Rig, free_id: str) -> None:
    ids = [f"{free_id}-{number}" for number in range(3)]
    gate = f"/tmp/{free_id}"
    for one in ids[:2]:
        await rig.session.run_attempt(one, sh("echo x"))
    running = asyncio.ensure_future(
        rig.session.run_attempt(ids[2], sh(f"while [ ! -e {gate} ]; do sleep 0.05; done; rm {gate}"))
    )
    while (await rig.session.attempt_status(ids[2])).state is AttemptState.UNKNOWN:
        pass
    assert await rig.session.forget_attempts([*ids, f"{free_id}-unknown"]) == (ids[2],)
    assert [(await rig.session.attempt_status(one)).state for one in ids] == [
        AttemptState.UNKNOWN,
        AttemptState.UNKNOWN,
        AttemptState.RUNNING,
    ]
    await rig.session.probe(sh(f": > {gate}"))
    await running
    assert await rig.session.forget_attempts(ids) == ()
    base, cgroup = rig.session._place.base, rig.session._place.cgroup  # type: ignore[attr-defined]  # as above
    left = await rig.session.probe(sh(f"ls -d {base}/{free_id}* {cgroup or base}/{free_id}*"))
    assert left.stdout == ""


async def test_a_step_that_ends_the_programs_that_pass_its_output_on_is_not_lost(rig: Rig, free_id: str) -> None:
    base = rig.session._place.base  # type: ignore[attr-defined]  # as above
    text = (
        f'read -r pid <<X\n$(sed -n 2p "{base}/{free_id}.meta")\nX\n'
        "for file in /proc/[0-9]*/stat; do read -r line <$file || continue; set -- ${line##*) }; name=${line#* }\n"
        'if [ "$2" = "$pid" ] && [ "${name%% *}" = "(tee)" ]; then kill -KILL ${line%% *}; fi; done 2>/dev/null; exit 5'
    )
    assert (await rig.session.run_attempt(free_id, sh(text))).exit_code == 5
