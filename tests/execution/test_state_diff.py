"""Differences keep their meaning and leave out the ordinary life of a host."""

from __future__ import annotations

from typing import Any

import pytest

from runwright.execution.state_diff import diff_states
from runwright.model.states import (
    BackupFact,
    CertificateFact,
    DiskFact,
    HostState,
    MemoryFact,
    MissingFact,
    PortFact,
    ProcessFact,
    ServiceFact,
    WorkloadFact,
)

ANYWHERE = ".".join("0000")


def state(**fields: Any) -> HostState:
    return HostState(captured_at="2026-01-05T09:00:00+00:00", **fields)


def service(active: str = "active", name: str = "nginx", **fields: Any) -> ServiceFact:
    given = {"sub": {"active": "running", "failed": "failed"}.get(active, "dead"), "enabled": "enabled"}
    return ServiceFact(name=name, active=active, **{**given, **fields})


def disk(used: float, mount: str = "/var", **fields: Any) -> DiskFact:
    given = {"filesystem": "/dev/sda1", "size_kb": 100, "used_kb": 1, "available_kb": 1}
    return DiskFact(mount=mount, used_percent=used, **{**given, **fields})


def port(number: int, process: str | None = "nginx", address: str = ANYWHERE, protocol: str = "tcp") -> PortFact:
    return PortFact(protocol=protocol, address=address, port=number, process=process)


def memory(available: int, swap_free: int = 100) -> MemoryFact:
    return MemoryFact(total_kb=1000, available_kb=available, swap_total_kb=100, swap_free_kb=swap_free)


def certificate(not_after: str, **fields: Any) -> CertificateFact:
    given = {"place": "/etc/x.pem", "subject": "CN = shop", "issuer": "CN = ca", "fingerprint": not_after}
    return CertificateFact(not_after=not_after, **{**given, **fields})


def backup(newest: str, count: int = 3) -> BackupFact:
    when = "2026-01-05T09:00:00+00:00"
    return BackupFact(path="/srv/b", count=count, newest=newest, newest_bytes=2048, newest_at=when)


def workload(processes: int, resident: int | None) -> WorkloadFact:
    return WorkloadFact(name="shopd", processes=processes, resident_kb=resident)


MEANT = [
    ({"services": (service("inactive"),)}, {"services": (service(),)}, ["service nginx: inactive -> active"]),
    ({"services": (service(),)}, {"services": (service("failed"),)}, ["service nginx: active -> failed"]),
    (
        {"services": (service("inactive", sub="not-found"),)},
        {"services": (service(),)},
        ["service nginx: absent -> active"],
    ),
    (
        {"services": (service(main_pid=10),)},
        {"services": (service(main_pid=20),)},
        ["service nginx: restarted (process 10 -> 20)"],
    ),
    ({"services": (service(),)}, {"services": (service(sub="exited"),)}, ["service nginx: running -> exited"]),
    (
        {"services": (service(restarts=1),)},
        {"services": (service(restarts=4),)},
        ["service nginx: restarted by systemd 3 more times"],
    ),
    ({"services": (service(),)}, {"services": (service(enabled="masked"),)}, ["service nginx: enabled -> masked"]),
    ({"failed_units": ()}, {"failed_units": ("nginx",)}, ["unit nginx failed"]),
    (
        {"certificates": (certificate("Jan  5 09:00:00 2026 GMT"),)},
        {"certificates": (certificate("Jan  5 09:00:00 2027 GMT"),)},
        ["certificate /etc/x.pem: valid until 2026-01-05 -> 2027-01-05"],
    ),
    (
        {"certificates": (certificate("a"),)},
        {"certificates": (certificate("b", subject="CN = other"),)},
        ["certificate /etc/x.pem: valid until a -> b", "certificate /etc/x.pem: subject CN = shop -> CN = other"],
    ),
    (
        {"backups": backup("/srv/b/old.tgz")},
        {"backups": backup("/srv/b/new.tgz", count=4)},
        [
            "backups in /srv/b: newest old.tgz (2 kB, 2026-01-05T09:00) -> new.tgz (2 kB, 2026-01-05T09:00)",
        ],
    ),
    ({"backups": backup("/srv/b/a")}, {"backups": backup("/srv/b/a", count=1)}, ["backups in /srv/b: 3 files -> 1"]),
    (
        {"workload": workload(2, 900_000)},
        {"workload": workload(2, 100_000)},
        ["memory of shopd: 878 MB -> 97 MB"],
    ),
    ({"workload": workload(3, None)}, {"workload": workload(0, None)}, ["shopd: 3 processes -> 0"]),
    (
        {"disks": (disk(50, size_kb=10**9, used_kb=5 * 10**8),)},
        {"disks": (disk(50, size_kb=10**9, used_kb=5 * 10**8 - 3 * 1024**2),)},
        ["/var: -3 GB"],
    ),
    ({"failed_units": ("nginx",)}, {"failed_units": ()}, ["unit nginx is no longer failed"]),
    ({"disks": (disk(97),)}, {"disks": (disk(61),)}, ["/var: 97% -> 61%"]),
    (
        {"disks": (disk(50, inodes_used_percent=99.0),)},
        {"disks": (disk(50, inodes_used_percent=4.0),)},
        ["/var inodes: 99% -> 4%"],
    ),
    ({"disks": (disk(50),)}, {"disks": ()}, ["/var: no longer mounted (/dev/sda1)"]),
    ({"disks": ()}, {"disks": (disk(50),)}, ["/var: mounted (/dev/sda1)"]),
    ({"disks": (disk(50),)}, {"disks": (disk(50, filesystem="tmpfs"),)}, ["/var: /dev/sda1 -> tmpfs"]),
    ({"memory": memory(80)}, {"memory": memory(600)}, ["memory used: 92% -> 40%"]),
    ({"memory": memory(500, 10)}, {"memory": memory(500, 90)}, ["swap used: 90% -> 10%"]),
    ({"ports": ()}, {"ports": (port(80),)}, ["port 80 opened by nginx"]),
    ({"ports": (port(80, None),)}, {"ports": ()}, ["port 80 closed"]),
    (
        {"ports": (port(80, "apache2"),)},
        {"ports": (port(80),)},
        ["port 80: apache2 on 0.0.0.0 -> nginx on 0.0.0.0"],
    ),
    ({"ports": ()}, {"ports": (port(53, "named", protocol="udp"),)}, ["port 53/udp opened by named"]),
    ({"uptime_seconds": 5000.0}, {"uptime_seconds": 12.0}, ["the host was started anew 12 s ago"]),
    ({"kernel": "6.1"}, {"kernel": "6.2"}, ["kernel: 6.1 -> 6.2"]),
]

NOISE = [
    ({"load1": 0.1, "cpu_percent": 1.0}, {"load1": 9.0, "cpu_percent": 99.0}),
    (
        {"processes": (ProcessFact(pid=1, name="a", cpu_percent=0, rss_kb=1),)},
        {"processes": (ProcessFact(pid=2, name="b", cpu_percent=90, rss_kb=9),)},
    ),
    ({"disks": (disk(50.2),)}, {"disks": (disk(50.9),)}),
    ({"memory": memory(500)}, {"memory": memory(460)}),
    ({"services": ()}, {"services": (service("inactive", "once"),)}),
    ({"services": (service("inactive", "once"),)}, {"services": ()}),
    ({"services": ()}, {"services": (service("active", "run-r123"), service("active", "user@0"))}),
    ({"journal": ()}, {"journal": ("a line",)}),
    ({"workload": workload(3, 100_000)}, {"workload": workload(4, 105_000)}),
    ({"workload": workload(3, 20_000)}, {"workload": workload(3, 26_000)}),
    ({"backups": backup("/srv/b/a")}, {"backups": backup("/srv/b/a", count=4)}),
    ({"backups": backup("/srv/b/a")}, {}),
    ({"certificates": (certificate("a"),)}, {}),
    ({"disks": (disk(50, used_kb=1000),)}, {"disks": (disk(50.4, used_kb=200_000),)}),
    ({"uptime_seconds": 50.0}, {"uptime_seconds": 60.0}),
]


@pytest.mark.parametrize(("before", "after", "texts"), MEANT, ids=[case[2][0] for case in MEANT])
def test_what_is_told(before: dict[str, Any], after: dict[str, Any], texts: list[str]) -> None:
    assert [change.text for change in diff_states(state(**before), state(**after))] == texts
    assert diff_states(state(**before), state(**before)) == ()


@pytest.mark.parametrize(("before", "after"), NOISE)
def test_what_is_not_told(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert diff_states(state(**before), state(**after)) == ()


@pytest.mark.parametrize(
    ("fact", "values"),
    [
        ("services", {"services": (service(),)}),
        ("disks", {"disks": (disk(97),)}),
        ("ports", {"ports": (port(80),)}),
        ("failed_units", {"failed_units": ("nginx",)}),
    ],
)
def test_what_could_not_be_read_has_not_changed(fact: str, values: dict[str, Any]) -> None:
    unread = state(missing=(MissingFact(fact=fact, reason="cut short"),))
    assert diff_states(state(**values), unread) == ()
    assert diff_states(unread, state(**values)) == ()
    assert diff_states(state(**values), state()) != ()


def test_without_one_of_the_states_there_is_nothing_to_tell() -> None:
    assert diff_states(None, state()) == ()
    assert diff_states(state(), None) == ()


def test_a_change_has_a_path_and_both_values() -> None:
    (change,) = diff_states(state(services=(service("inactive"),)), state(services=(service(),)))
    assert (change.path, change.before, change.after) == ("services.nginx.active", "inactive", "active")
