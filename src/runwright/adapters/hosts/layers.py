"""Extra packages for machines: installed once into a directory, with network, never onto the host.

A layer is what `apt-get install` writes over the host's own root, kept by the packages' names and
the state of the host's package database. Everything happens in mounts of a process of its own, so
nothing of it stays when that process ends, however it ends.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from runwright.adapters.hosts.mask import ROOT, write_mask
from runwright.adapters.hosts.quoting import PATH, program
from runwright.model.errors import NoMachine

FORMAT = "2"
STATUS = Path("/var/lib/dpkg/status")
PASSED_ON = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE")
DROPPED = (
    *("var/lib/apt", "var/cache/apt", "var/cache/debconf"),
    *("var/log/apt", "var/log/dpkg.log", "var/log/alternatives.log"),
    *("tmp", "run", "root", "etc/apt", "etc/resolv.conf", "usr/sbin/policy-rc.d"),
)
"""What building leaves behind that no machine needs."""
BUILD_SECONDS = 600


def default_cache() -> Path:
    """Where layers are kept: for root in /var/cache, else in the user's cache directory."""
    if os.geteuid() == 0:
        return Path("/var/cache/runwright/layers")
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "runwright" / "layers"


def installed(packages: Sequence[str]) -> bool:
    """Whether the host itself has all of them, so that no layer is needed."""
    wanted = set(packages)
    name = ""
    for line in STATUS.read_text(errors="replace").splitlines():
        if line.startswith("Package: "):
            name = line[9:]
        elif line == "Status: install ok installed":
            wanted.discard(name)
    return not wanted


def layer_key(packages: Sequence[str]) -> str:
    """Names a layer: the same packages over the same host packages give the same one."""
    digest = hashlib.sha256(FORMAT.encode())
    digest.update("\n".join(sorted(set(packages))).encode())
    digest.update(STATUS.read_bytes())
    return digest.hexdigest()[:32]


def layer(packages: Sequence[str], cache: Path, private: Sequence[Path]) -> Path | None:
    """The directory of the layer with these packages, built if it is not there; None if none is needed.

    Blocks while another process builds the same one. Raises NoMachine with apt's own words.
    """
    if not packages or installed(packages):
        return None
    key = layer_key(packages)
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    ready = cache / key
    if ready.is_dir():
        return ready
    with (cache / f"{key}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.is_dir():
            _build(packages, cache, ready, private)
    return ready


def _build(packages: Sequence[str], cache: Path, ready: Path, private: Sequence[Path]) -> None:
    for left in cache.glob(f"{ready.name}.tmp-*"):
        shutil.rmtree(left, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix=f"{ready.name}.tmp-", dir=cache))
    try:
        for name in ("mask", "upper", "work", "root"):
            (work / name).mkdir()
        write_mask(work / "mask", "layer", private, building=True)
        environment = {
            "PATH": PATH,
            "LC_ALL": "C.UTF-8",
            "DEBIAN_FRONTEND": "noninteractive",
            "LAYER_MASK": str(work / "mask"),
            "LAYER_UPPER": str(work / "upper"),
            "LAYER_WORK": str(work / "work"),
            "LAYER_ROOT": str(work / "root"),
            **{name: os.environ[name] for name in PASSED_ON if name in os.environ},
        }
        inside = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
        argv = [*inside, "sh", "-c", program("install").decode(), "install", *sorted(set(packages))]
        try:
            done = subprocess.run(
                argv, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=BUILD_SECONDS, check=False
            )
        except subprocess.TimeoutExpired as problem:
            raise NoMachine(f"Installing {', '.join(packages)} for a machine took over {BUILD_SECONDS} s.") from problem
        if done.returncode != 0:
            words = (done.stderr or done.stdout).decode("utf-8", "replace").strip()[-600:]
            raise NoMachine(
                f"The packages {', '.join(packages)} could not be installed for a machine: {words}",
                next_step="Check the names and that this host's apt can reach its sources.",
            )
        for name in DROPPED:
            _drop(work / "upper" / ROOT / name)
        (work / "upper").rename(ready)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _drop(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif path.exists() or path.is_symlink():
        path.unlink()
