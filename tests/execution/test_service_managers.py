"""The `service` step and `wait_for` on hosts without systemd: real SysV scripts, and OpenRC's commands.

In a mount namespace of its own, in which /etc is written to memory and /run is empty: so `service` sees no systemd
and nothing of this machine changes.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from runwright.execution.commands import script

INIT_SCRIPT = """\
#!/bin/sh
### BEGIN INIT INFO
# Provides: shopd
# Required-Start:
# Required-Stop:
# Default-Start: 2 3 4 5
# Default-Stop: 0 1 6
### END INIT INFO
case $1 in
start) touch /run/shopd; echo started >> /run/shopd.log ;;
stop) rm -f /run/shopd; echo stopped >> /run/shopd.log ;;
restart) $0 stop; $0 start ;;
reload) echo reloaded >> /run/shopd.log ;;
status) test -e /run/shopd ;;
*) exit 3 ;;
esac
"""

WORLD = r"""
mount -t tmpfs tmpfs /mnt && mkdir /mnt/upper /mnt/work || exit 77
mount -t overlay overlay -o lowerdir=/etc,upperdir=/mnt/upper,workdir=/mnt/work /etc || exit 77
mount -t tmpfs tmpfs /run || exit 77
printf '%s' "$INIT_SCRIPT" > /etc/init.d/shopd && chmod 755 /etc/init.d/shopd
service_step() { rw_unit=$1 rw_state=$2 rw_enabled=$3 sh -c "$SERVICE"; }
wait_step() { rw_kind=service rw_value=shopd rw_for=0 rw_every=1 rw_port_hex= sh -c "$WAIT_FOR"; }
"""

needs_namespaces = pytest.mark.skipif(
    shutil.which("unshare") is None or shutil.which("service") is None, reason="no unshare or no service program"
)


def in_a_host(commands: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run commands in that world; skips where it cannot be made."""
    found = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", WORLD + commands],
        env={
            "PATH": more.pop("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
            "INIT_SCRIPT": INIT_SCRIPT,
            "SERVICE": script("service"),
            "WAIT_FOR": script("wait_for"),
            **more,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if found.returncode == 77:
        pytest.skip(f"no mount namespace here: {found.stderr.strip()}")
    return found


@pytest.mark.lab
@needs_namespaces
def test_a_real_sysv_script_is_started_stopped_and_waited_for() -> None:
    found = in_a_host(
        """
        for state in start restart reload; do service_step shopd $state '' || echo "$state failed"; done
        wait_step && echo waited
        service_step shopd stop ''
        wait_step 2>/dev/null || echo "not running"
        service_step nosuch start '' 2>/dev/null || echo "refused"
        cat /run/shopd.log
        """
    )
    said = ["waited", "not running", "refused", "started", "stopped", "started", "reloaded", "stopped"]
    assert found.stdout.splitlines() == said, found.stderr


@pytest.mark.lab
@needs_namespaces
@pytest.mark.skipif(shutil.which("update-rc.d") is None, reason="no update-rc.d")
def test_a_real_sysv_script_is_enabled_and_disabled() -> None:
    found = in_a_host(
        """
        for enabled in true true false false; do
            service_step shopd start $enabled >/dev/null 2>&1 || echo failed
            ls /etc/rc3.d | grep shopd | cut -c1
        done
        """
    )
    assert found.stdout.split() == ["S", "S", "K", "K"], found.stderr


RC_UPDATE = """\
#!/bin/sh
case $* in
show) test ! -e "$STATE" || echo "             shopd | default" ;;
"add shopd default") touch "$STATE" ;;
"--all del shopd") rm -f "$STATE"; echo "rc-update: service shopd is not in the runlevel boot" >&2; exit 1 ;;
*) echo "rc-update: unknown $*" >&2; exit 2 ;;
esac
"""


def test_openrc_is_told_of_runlevels_though_its_own_status_says_nothing(tmp_path: Path) -> None:
    """`rc-update --all del` exits 1 where one runlevel did not have the service; seen with OpenRC 0.45."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in {"rc-service": '#!/bin/sh\necho "$@"\n', "rc-update": RC_UPDATE}.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    for tool in ("sh", "grep", "cut", "tr", "touch", "rm"):
        (folder / tool).symlink_to(str(shutil.which(tool)))

    def set_enabled(enabled: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/sh", "-c", script("service")],
            env={
                "PATH": str(folder),
                "STATE": str(tmp_path / "state"),
                "rw_unit": "shopd",
                "rw_state": "start",
                "rw_enabled": enabled,
            },
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    for enabled, there in (("true", True), ("false", False), ("false", False)):
        found = set_enabled(enabled)
        assert (found.returncode, found.stdout) == (0, "-- shopd start\n"), found.stderr
        assert (tmp_path / "state").exists() is there
