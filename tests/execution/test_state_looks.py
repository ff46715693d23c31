"""What a look says becomes changes with a meaning; what it does not say becomes nothing. Pure."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from runwright.execution.looks import TEXT, Looker, amount, merged
from runwright.model.documents import Step
from runwright.model.incidents import IncidentBrief
from runwright.model.states import DiskFact, StateChange
from runwright.runbooks.parameters import ResolvedParameters

NOTHING = ResolvedParameters(values={"service": "nginx"})
RUN = Step(id="a", run="true")
SERVICE = Step.model_validate({"id": "a", "service": {"name": "$service", "state": "restarted"}}, strict=False)
SHOPD = IncidentBrief(incident_type="service_crash", subject={"service": "shopd"})
LEAK = IncidentBrief(incident_type="memory_leak", subject={"service": "shopd"})
FULL = IncidentBrief(incident_type="disk_full", subject={"mount": "/var"})
VAR = DiskFact(mount="/var", filesystem="ext4", size_kb=10**6, used_kb=970_000, available_kb=3, used_percent=97.0)

CASES = [
    ("started", SHOPD, RUN, "- 0=inactive::: / - 0=active:12:300:", ["shopd: inactive -> active"]),
    ("stopped", SHOPD, RUN, "- 0=active:12:300: / - 0=inactive:::", ["shopd: active -> inactive"]),
    ("restarted", SHOPD, RUN, "- 0=active:12:3: / - 0=active:15:3:", ["shopd: restarted (process 12 -> 15)"]),
    ("another worker first", SHOPD, RUN, "- 0=active:12:3: / - 0=active:11:3:kept", []),
    ("no service manager", SHOPD, RUN, "- 0=::: / - 0=:::", []),
    ("its own unit first", SHOPD, SERVICE, "- 0=inactive::: 1=active:1:1: / - 0=active:9:1: 1=active:1:1:kept",
     ["nginx: inactive -> active"]),
    ("memory", LEAK, RUN, "- 0=active:1:200000: / - 0=active:1:10000:kept", ["shopd: memory 781 MB -> 39 MB"]),
    ("a little memory", LEAK, RUN, "- 0=active:1:20000: / - 0=active:1:20500:kept", []),
    ("a disk", FULL, RUN, "- / - d=61%:610000", ["/var: 97% -> 61% (-352 MB)"]),
    ("a disk, little", FULL, RUN, "- / - d=97%:960000", []),
    ("cut short", SHOPD, RUN, "- 0=inactive:::", []),
    ("nothing at all", SHOPD, RUN, "", []),
    ("hostile", SHOPD, RUN, "- 0=active:$(rm):x / 0=gone:-1: \x1b[31m 9=active:1:1: d=999999999999999999%", []),
]  # fmt: skip


@pytest.mark.parametrize(("brief", "step", "said", "texts"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_what_a_look_tells(brief: IncidentBrief, step: Step, said: str, texts: list[str]) -> None:
    looker = Looker(brief)
    looker.begin([VAR], fresh=True)
    assert [change.text for change in looker.changes(step, NOTHING, said)] == texts


def test_a_disk_is_asked_once_a_step_where_its_figures_are_known() -> None:
    looker = Looker(FULL)
    assert looker.look(RUN, NOTHING) is None  # before its state is known: it might hang
    looker.begin([VAR], fresh=True)
    look = looker.look(RUN, NOTHING)
    assert look is not None
    assert (look.parameters["look_mount"], look.parameters["look_known"]) == ("/var", "before")
    looker.changes(RUN, NOTHING, "")  # its answer was lost
    again = looker.look(RUN, NOTHING)
    assert again is not None
    assert again.parameters["look_known"] == ""
    looker.begin([], fresh=True)
    resumed = Looker(FULL)
    resumed.begin([VAR], fresh=False)
    asked = resumed.look(RUN, NOTHING)
    assert asked is not None
    assert asked.parameters["look_known"] == ""


def test_without_a_unit_or_disk_nothing_is_looked_at() -> None:
    assert Looker(IncidentBrief(incident_type="high_cpu", subject={"process": "x"})).look(RUN, NOTHING) is None


def test_changes_of_several_attempts_are_one_steps() -> None:
    def change(before: str, after: str) -> StateChange:
        return StateChange(path="p", before=before, after=after, text=f"x: {before} -> {after}")

    assert [one.text for one in merged([change("a", "b"), change("b", "c")])] == ["x: a -> c"]
    assert merged([change("a", "b"), change("b", "a")]) == ()


@pytest.mark.parametrize(("kb", "text"), [(-1024 * 1024 * 3, "-3 GB"), (300 * 1024, "+300 MB"), (-512, "-0.5 MB")])
def test_amounts(kb: int, text: str) -> None:
    assert amount(kb) == text


@pytest.mark.parametrize("shell", ["dash", "busybox sh", "bash --posix"])
def test_every_shell_reads_it_and_keeps_its_own_names(shell: str) -> None:
    name, *options = shell.split()
    if shutil.which(name) is None:
        pytest.skip(f"no {name}")
    given = "look_0=no-such.service look_1= look_2= look_mount=/ look_known=\n"
    program = f"set -- kept; code=7 d=8\n{given}look_when=before\n{TEXT}\nlook_when=after\n{TEXT}\n"
    program += 'printf "%s|%s|%s|%s\\n" "$look_saw" "$1" "$code" "$d"\n'
    done = subprocess.run([name, *options], input=program, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    saw, *kept = done.stdout.strip().split("|")
    assert kept == ["kept", "7", "8"]
    assert saw.startswith("- 0=")
    assert "d=" in saw
