"""Faults that scenarios make for real: they must work on a machine although its root is nobody on this host."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from runwright.adapters.hosts.machines import NspawnMachines
from runwright.model.ports.machines import Machine, MachineRequest

pytestmark = [pytest.mark.lab, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def machine() -> AsyncIterator[Machine]:
    async with NspawnMachines().boot(MachineRequest()) as booted:
        yield booted


WORKS = {
    "an immutable file": """
        echo 1 >/srv/f; chattr +i /srv/f; lsattr /srv/f | grep -q -- ----i
        refuse rm -f /srv/f; refuse sh -c 'echo 2 >/srv/f'; chattr -i /srv/f; rm /srv/f""",
    "an immutable file of the host's packages": """
        chattr +i /etc/profile; refuse sh -c 'echo x >>/etc/profile'; chattr -i /etc/profile
        echo x >>/etc/profile""",
    "an append-only file": """
        echo 1 >/srv/a; cd /srv; chattr +a a; refuse sh -c 'echo 2 >a'; echo 2 >>a; chattr -a a; rm a""",
    "an immutable tree": """
        mkdir -p /srv/d/e; chattr -R +i /srv/d; refuse touch /srv/d/e/x
        chattr -R -i /srv/d; touch /srv/d/e/x; rm -r /srv/d""",
    "a file system that is full": """
        mount -t tmpfs -o size=1m small /mnt; refuse head -c 2000000 /dev/zero >/mnt/x; umount /mnt""",
    "no inodes left": """
        mount -t tmpfs -o nr_inodes=5 small /mnt; refuse touch /mnt/1 /mnt/2 /mnt/3 /mnt/4 /mnt/5; umount /mnt""",
    "a file system that grows": """
        mount -t tmpfs -o size=1m small /mnt; mount -o remount,size=4m /mnt
        head -c 2000000 /dev/zero >/mnt/x; umount /mnt""",
    "a read-only file system": """
        mount -t tmpfs small /mnt; mount -o remount,ro /mnt; refuse touch /mnt/x; mount -o remount,rw /mnt; touch /mnt/x
        umount /mnt""",
    "a read-only root": """
        mount -o remount,ro /; refuse touch /srv/x; mount -o remount,rw /; touch /srv/x; rm /srv/x""",
    "a read-only directory": """
        mkdir -p /srv/ro; mount --bind /srv/ro /srv/ro; mount -o remount,ro,bind /srv/ro
        refuse touch /srv/ro/x; umount /srv/ro""",
    "users, groups and owners": """
        useradd -m -G adm alice; install -d -o alice -g www-data -m 2750 /srv/w
        test "$(stat -c %U:%G:%a /srv/w)" = alice:www-data:2750
        refuse su alice -c 'touch /etc/x'
        su - alice -c 'test "$PWD" = /home/alice'; passwd -d alice""",
    "a unit with its own user and sandbox": """
        systemd-run --wait -q -p DynamicUser=yes -p PrivateTmp=yes -p ProtectSystem=strict -p StateDirectory=x true
        systemd-run --wait -q -p User=www-data -p AmbientCapabilities=CAP_NET_BIND_SERVICE -p NoNewPrivileges=yes true
        refuse systemd-run --wait -q -p ReadOnlyPaths=/srv touch /srv/x""",
    "a deleted file that is still open": """
        sh -c 'exec 9>/srv/big; rm /srv/big; exec sleep 7777' & sleep 0.1
        ls -l /proc/$!/fd/9 | grep -q deleted; kill $!""",
    "a port that is taken": """
        ip addr add 192.0.2.1/32 dev lo; ip addr | grep -q 192.0.2.1
        sysctl -q -w net.ipv4.ip_local_port_range='20000 30000'""",
    "a file capability": "setcap cap_net_bind_service+ep /usr/bin/yes; getcap /usr/bin/yes | grep -q bind",
    "a journal": "logger -t shopd broken; journalctl --sync; journalctl -t shopd --no-pager | grep -q broken",
    "a renamed package directory": """
        mv /etc/apt /etc/away; test ! -e /etc/apt; mv /etc/away /etc/apt; test -d /etc/apt/sources.list.d""",
}


@pytest.mark.parametrize("fault", WORKS)
async def test_it_can_have(machine: Machine, fault: str) -> None:
    text = "set -e\n" + WORKS[fault]
    done = await machine.script('refuse() { if "$@"; then exit 70; fi; }\n' + text, 20)
    assert done.exit_code == 0, done.output


async def test_the_flag_desk_serves_root_and_the_machine_alone(machine: Machine) -> None:
    text = """
    touch /srv/mine; chmod 666 /srv/mine
    su www-data -s /bin/sh -c 'chattr +i /srv/mine'; lsattr /srv/mine
    ln -s /etc/passwd /srv/link; chattr +i /srv/link; chattr +i /proc/self/root/../../etc/passwd
    chattr +i /dev/null /proc/1/status
    chattr +i ../../../../../../etc/passwd; lsattr /etc/passwd; chattr -i /etc/passwd; chattr +i nothing-here; echo $?
    """
    done = await machine.script(text, 20)
    lines = done.output.splitlines()
    assert any("not permitted" in line for line in lines)
    assert "---------------------- /srv/mine" in lines
    assert "----i----------------- /etc/passwd" in lines
    assert lines[-1] == "1"
    Path("/etc/passwd").open("rb+").close()  # the host's own is as writable as before


async def test_the_hosts_disk_does_not_show(machine: Machine) -> None:
    shown = (await machine.script("df -P | awk 'NR > 1 { print $1 }' | sort -u", 10)).output.split()
    assert set(shown) <= {"overlay", "tmpfs", "none"}
