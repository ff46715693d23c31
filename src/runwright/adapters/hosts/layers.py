"""Extra packages for machines: installed once into a directory, with network, never onto the host.

A layer is what `apt-get install` writes over the host's own root, kept by the packages' names and
the state of the host's package database. Everything happens in mounts of a process of its own, so
nothing of it stays when that process ends, however it ends.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from runwright.adapters.hosts.mask import write_mask
from runwright.adapters.hosts.quoting import PATH, program
from runwright.model.errors import NoMachine

FORMAT = "3"
STATUS = Path("/var/lib/dpkg/status")
PASSED_ON = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE")
NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+")
TAR = ("--xattrs", "--xattrs-include=*", "--numeric-owner", "--same-owner", "--preserve-permissions")
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


def layer(packages: Sequence[str], cache: Path, place: Path | None, private: Sequence[Path]) -> Path | None:
    """The directory of the layer with these packages, made in `place` if it is not there; None if none is needed.

    Blocks while another process makes the same one. Raises NoMachine with apt's own words.
    """
    if not packages or installed(packages):
        return None
    for package in packages:
        if not NAME.fullmatch(package):
            raise NoMachine(f"Found package name {package!r}.", allowed="Allowed: names of Debian packages.")
    key = layer_key(packages)
    place = place or default_ready()
    ready = place / key
    _private(place)
    if ready.is_dir():
        return ready
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (cache / f"{key}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        archive = cache / f"{key}.tar"
        if not archive.exists():
            _build(packages, archive, private)
        if not ready.is_dir():
            _unpack(archive, ready)
    return ready


def default_ready() -> Path:
    """Where layers lie ready: on another file system than `/`, since overlayfs takes no layer inside another.

    Raises NoMachine where there is no such place.
    """
    for place in (Path("/run/runwright/layers"), Path("/dev/shm/runwright-layers")):  # noqa: S108 - made 0700 below
        nearest = next(parent for parent in place.parents if parent.exists())
        if nearest.stat().st_dev != Path("/").stat().st_dev:
            return place
    raise NoMachine("Packages for machines need /run or /dev/shm to be a file system of its own.")


def _private(place: Path) -> None:
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    if place.is_symlink() or place.stat().st_uid != os.geteuid():
        raise NoMachine(f"{place} belongs to somebody else.", next_step="Remove it.")
    place.chmod(0o700)


def _unpack(archive: Path, ready: Path) -> None:
    with tempfile.TemporaryDirectory(prefix=f"{ready.name}.tmp-", dir=ready.parent) as work:
        try:
            subprocess.run(
                ["tar", "--extract", *TAR, f"--directory={work}", f"--file={archive}"], capture_output=True, check=True
            )
        except subprocess.CalledProcessError as problem:
            raise NoMachine(
                f"{archive} could not be unpacked: {problem.stderr.decode('utf-8', 'replace').strip()[-300:]}",
                next_step="Remove it, so that it is built again; check the room in /run and /dev/shm.",
            ) from problem
        (Path(work) / "upper").rename(ready)


def _build(packages: Sequence[str], archive: Path, private: Sequence[Path]) -> None:
    """Install into an overlay whose upper layer, on a tmpfs of the installing process, becomes the archive."""
    with tempfile.TemporaryDirectory(prefix=f"{archive.stem}.tmp-", dir=archive.parent) as work:
        environment = {
            "PATH": PATH,
            "LC_ALL": "C.UTF-8",
            "DEBIAN_FRONTEND": "noninteractive",
            "LAYER_WORK": work,
            **{name: os.environ[name] for name in PASSED_ON if name in os.environ},
        }
        write_mask(Path(work) / "mask", "layer", private, building=True)
        inside = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
        argv = [*inside, "sh", "-c", program("install").decode(), "install", *sorted(set(packages))]
        try:
            done = subprocess.run(
                argv, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=BUILD_SECONDS, check=False
            )
        except subprocess.TimeoutExpired as problem:
            raise NoMachine(f"Installing {', '.join(packages)} for a machine took over {BUILD_SECONDS} s.") from problem
        if done.returncode != 0:
            words = " ".join((done.stderr or done.stdout).decode("utf-8", "replace").split())[-600:]
            raise NoMachine(
                f"The packages {', '.join(packages)} could not be installed for a machine: {words}",
                next_step="Check the names and that this host's apt can reach its sources.",
            )
        (Path(work) / "layer.tar").rename(archive)
