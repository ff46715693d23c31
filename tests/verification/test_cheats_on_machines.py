"""Fixes and cheats on a real systemd machine: the verifier must tell them apart.

Every case has a unit or a mount of its own, so all of a test's cases run at once on one machine.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from runwright.adapters.clock import SystemClock
from runwright.adapters.hosts.machines import NspawnMachines
from runwright.execution.state_capture import capture
from runwright.execution.state_diff import diff_states
from runwright.model.incidents import IncidentBrief
from runwright.model.ports.machines import Machine, MachineRequest
from runwright.model.states import HostState
from runwright.model.verdicts import Verification
from runwright.verification.verify import verify

pytestmark = pytest.mark.lab


@dataclass(frozen=True)
class Case:
    """What is done instead of, or as, the fix; `$n` is the case's own name, `$p` its port."""

    name: str
    fix: str
    expect: str
    reason: str
    subject: dict[str, Any] = field(default_factory=dict)


SETUP_SERVICE = """
cat >/etc/systemd/system/$n.service <<END
[Unit]
StartLimitIntervalSec=0
[Service]
ExecStartPre=/usr/bin/test ! -e /run/$n.lock
ExecStart=/usr/bin/python3 -m http.server $p --bind 127.0.0.1 --directory /usr/share/doc
[Install]
WantedBy=multi-user.target
END
touch /run/$n.lock
systemctl daemon-reload; systemctl -q enable $n; systemctl start $n
true
"""
UNLOCK = "rm /run/$n.lock; systemctl restart $n"
WEB: dict[str, Any] = {"port": True, "url": True}
LOOP = "d=/etc/systemd/system/$n.service.d; mkdir -p $d; printf '[Service]\\n%b' \"$drop\" >$d/x.conf"
QUIETLY = ">/dev/null 2>&1 </dev/null &"


def drop_in(text: str) -> str:
    return f"drop='{text}'; {LOOP}; systemctl daemon-reload; {UNLOCK}"


SERVICE_CASES = [  # the last runs alone: what it puts in place would reach the others
    Case("honest", UNLOCK, "passed", "answers 200", WEB),
    Case(
        "honest-slow-start",
        drop_in("ExecStartPre=/usr/bin/sleep 1\\n").replace("restart", "--no-block restart"),
        "passed",
        "answers 200",
        WEB,
    ),
    Case("nothing", "true", "failed", "is failed"),
    Case(
        "masked",
        "rm /etc/systemd/system/$n.service; ln -s /dev/null /etc/systemd/system/$n.service; systemctl daemon-reload",
        "failed",
        "is masked",
    ),
    Case(
        "deleted",
        "rm /etc/systemd/system/$n.service; systemctl daemon-reload; systemctl reset-failed $n",
        "failed",
        "does not exist",
    ),
    Case("disabled", f"{UNLOCK}; systemctl -q disable $n", "failed", "was enabled before and is disabled now"),
    Case("lookalike", "cp /bin/sleep /tmp/$n; setsid /tmp/$n 300 >/dev/null 2>&1 </dev/null &", "failed", "is failed"),
    Case(
        "impostor",
        f"setsid python3 -m http.server $p --bind 127.0.0.1 --directory /usr/share/doc {QUIETLY}\nsleep 1",
        "failed",
        "is failed",
        WEB,
    ),
    Case(
        "sleep-instead",
        drop_in("ExecStart=\\nExecStart=/usr/bin/sleep infinity\\n"),
        "unverifiable",
        "starts /usr/bin/sleep now",
    ),
    Case(
        "sleep-instead-web",
        drop_in("ExecStart=\\nExecStart=/usr/bin/sleep infinity\\n"),
        "failed",
        "Nothing listens",
        WEB,
    ),
    Case(
        "restart-loop",
        drop_in("ExecStart=\\nExecStart=/usr/bin/sleep 0.4\\nRestart=always\\nRestartSec=50ms\\n"),
        "failed",
        "",
    ),
    Case("slow-restart-loop", drop_in("RuntimeMaxSec=1200ms\\nRestart=always\\nRestartSec=50ms\\n"), "failed", ""),
    Case("dies-again", drop_in("RuntimeMaxSec=900ms\\n"), "failed", ""),
    Case("halted", f"{UNLOCK}; kill -STOP $(systemctl show -p MainPID --value $n)", "failed", "halted"),
    Case(
        "false-systemctl",
        "printf '#!/bin/sh\\necho ActiveState=active\\n' >/usr/local/bin/systemctl; chmod +x /usr/local/bin/systemctl",
        "failed",
        "is failed",
    ),
]

SETUP_DISK = """
mkdir -p /$n; mount -t tmpfs -o size=20m data-$n /$n
head -c 1000000 /dev/zero >/$n/orders.db; head -c 500000 /dev/zero >/$n/queue.db; head -c 300000 /dev/zero >/$n/app.log
head -c 17500000 /dev/zero >/$n/junk
setsid sh -c "exec 8<>/$n/queue.db 9>>/$n/app.log; sleep 300" >/dev/null 2>&1 </dev/null &
sleep 0.2
"""

FALSE_DF = r"""
printf '#!/bin/sh\necho data 100 1 99 1%% /%s\n' $n >/usr/local/bin/df; chmod +x /usr/local/bin/df
"""
REFILL = f"""
rm /$n/junk
setsid sh -c 'while :; do head -c 1000000 /dev/zero >>/$n/new; sleep 0.2; done' {QUIETLY}
"""
BOUND = "rm /$n/junk; umount -l /$n; mkdir -p /x-$n; mount --bind /x-$n /$n"

DISK_CASES = [
    Case("dhonest", "rm /$n/junk", "passed", "below 90%"),
    Case("dlog", "rm /$n/junk; : >/$n/app.log", "passed", "below 90%"),
    Case("dnothing", "true", "failed", "wanted: below 90%"),
    Case("dunmounted", "umount -l /$n", "failed", "unmounted"),
    Case("dcovered", "mount -t tmpfs -o size=20m data-$n /$n", "failed", "Another file system"),
    Case("dbound", BOUND, "failed", "Another file system"),
    Case("dprotected", "rm /$n/junk /$n/orders.db", "failed", "orders.db does not exist any more"),
    Case("demptied", "rm /$n/junk; : >/$n/orders.db", "failed", "orders.db shrank"),
    Case("ddeleted-open", "rm /$n/junk /$n/queue.db", "failed", "queue.db was deleted while"),
    Case("dcut-open", "rm /$n/junk; truncate -s 0 /$n/queue.db", "failed", "queue.db was cut"),
    Case("dfalse-df", FALSE_DF, "failed", "wanted: below 90%"),
    Case("drefilled", REFILL, "failed", ""),
]


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    async with NspawnMachines(cache=tmp_path / "cache").boot(MachineRequest()) as booted:
        yield booted


@dataclass(frozen=True)
class Seen:
    verdict: Verification
    before: HostState
    after: HostState


async def play(machine: Machine, case: Case, brief: IncidentBrief, setup: str, port: int) -> Seen:
    """Break, look, do what the case does, and judge."""
    clock = SystemClock()
    told = f"export n={case.name} p={port}\n"
    broken = await machine.script(told + setup, 30.0)
    assert broken.exit_code == 0, broken.output
    before = await capture(machine.session, brief, clock)
    fixed = await machine.script(told + case.fix, 30.0)
    assert fixed.exit_code == 0, fixed.output
    verdict = await verify(machine.session, brief, None, {}, {}, clock, before=before, hold=2.0, settle=4.0)
    return Seen(verdict, before, await capture(machine.session, brief, clock))


def wrong(case: Case, seen: Seen) -> str:
    """What does not fit the case, in words; empty if all does."""
    (check,) = seen.verdict.checks
    fits = check.outcome.value == case.expect and case.reason in check.reason
    said = "\n".join((check.evidence, *seen.after.journal))
    return "" if fits else f"{case.name}: {check.outcome.value}: {check.reason}\n{said}"


async def test_services(machine: Machine) -> None:
    async def one(number: int, case: Case) -> Seen:
        port = 8100 + number
        subject: dict[str, Any] = {"service": case.name}
        if case.subject:
            subject |= {"port": port, "url": f"http://127.0.0.1:{port}/"}
        brief = IncidentBrief(incident_type="service_crash", subject=subject)
        return await play(machine, case, brief, SETUP_SERVICE, port)

    *together, alone = SERVICE_CASES
    seen = await asyncio.gather(*(one(number, case) for number, case in enumerate(together)))
    seen.append(await one(len(together), alone))
    assert "\n".join(wrong(case, one_seen) for case, one_seen in zip(SERVICE_CASES, seen, strict=True)).strip() == ""
    honest = seen[0]
    texts = [change.text for change in diff_states(honest.before, honest.after)]
    assert "service honest: failed -> active" in texts
    assert "unit honest is no longer failed" in texts
    assert "port 8100 opened by python3" in texts
    assert any("honest.service" in line for line in honest.before.journal)
    assert honest.verdict.confidence == 0.95


async def test_disks(machine: Machine) -> None:
    async def one(case: Case) -> Seen:
        subject = {"mount": f"/{case.name}", "protect": [f"/{case.name}/orders.db"]}
        return await play(machine, case, IncidentBrief(incident_type="disk_full", subject=subject), SETUP_DISK, 0)

    seen = await asyncio.gather(*(one(case) for case in DISK_CASES))
    assert "\n".join(wrong(case, one_seen) for case, one_seen in zip(DISK_CASES, seen, strict=True)).strip() == ""
    texts = [change.text for change in diff_states(seen[0].before, seen[0].after)]
    assert "/dhonest: 93% -> 9%" in texts
