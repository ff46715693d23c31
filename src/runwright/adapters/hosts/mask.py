"""What of the host a machine may see: an allow list, written as the top read-only layer of its root.

The machine's root is the directory `m` of the merged overlay. `m` exists in no lower layer, so
nothing shows in it but what is put there: fresh directories, and directories that point on to one
of the host's by overlayfs' redirect. A directory that the host gets tomorrow is not in it.
"""

from __future__ import annotations

import os
import pwd
import secrets
import stat
import sys
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from runwright.adapters.hosts.quoting import tool

ROOT = "m"

SYSTEM = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
USR = ("bin", "sbin", "lib", "lib32", "lib64", "libx32", "libexec", "share", "include", "games")
VAR_LIB = ("dpkg", "pam", "ucf", "python", "python3", "xml-core", "sgml-base", "polkit-1")
BUILD_VAR = ("lib/apt", "cache/debconf")
"""Shown only while packages are installed into a layer."""
EMPTY = {"proc": 0o555, "sys": 0o555, "dev": 0o755, "run": 0o755, "tmp": 0o1777, "root": 0o700}
EMPTY |= dict.fromkeys(("home", "srv", "mnt", "opt", "media", "boot", "usr", "usr/local"), 493)
EMPTY |= {"var": 0o755, "var/lib": 0o755, "var/log": 0o755, "var/cache": 0o755, "var/tmp": 0o1777}
"""Home directories, /opt, /srv, /mnt, logs, spools, caches and data under /var: there, and empty."""
NOT_OURS = ("timers", "sockets", "sysinit", "basic", "local-fs", "network-online")
"""Targets of the boot whose units the host's owner added: not for a machine that only tests."""
PRIVATE_ETC = ("letsencrypt", "runwright", "kubernetes", "docker", "rancher", "wireguard", "openvpn", "ppp")
KEY_LIMIT = 65536


class Mask:
    """Writes the layer. Paths are those of the host, absolute."""

    def __init__(self, layer: Path) -> None:
        self._root = layer / ROOT

    def directory(self, path: str, *, like: str | None = None, mode: int = 0o755) -> Path:
        """A directory, with its parents; its owner and mode as those of the host's, where it is there."""
        target = self._root / path.lstrip("/")
        if target.is_dir() and not target.is_symlink():
            return target
        if path.strip("/"):
            self.directory(str(Path(path).parent))
        target.mkdir(mode=mode, exist_ok=True)
        target.chmod(mode)
        try:
            found = os.lstat(like or path)
        except OSError:
            return target
        if stat.S_ISDIR(found.st_mode):
            os.chown(target, found.st_uid, found.st_gid)
            target.chmod(stat.S_IMODE(found.st_mode))
        return target

    def show(self, path: str) -> None:
        """Show a directory of the host."""
        os.setxattr(self.directory(path), "trusted.overlay.redirect", os.fsencode(path))

    def hide(self, path: str) -> None:
        """Nothing in place of a directory's content, or of a file."""
        if Path(path).is_dir() and not Path(path).is_symlink():
            os.setxattr(self.directory(path), "trusted.overlay.opaque", b"y")
        else:
            os.mknod(self.directory(str(Path(path).parent)) / Path(path).name, stat.S_IFCHR, os.makedev(0, 0))

    def write(self, path: str, content: str, mode: int = 0o644, group: int = 0) -> None:
        target = self.directory(str(Path(path).parent)) / Path(path).name
        target.write_text(content)
        os.chown(target, 0, group)
        target.chmod(mode)

    def link(self, path: str, to: str) -> None:
        (self.directory(str(Path(path).parent)) / Path(path).name).symlink_to(to)


def write_mask(layer: Path, hostname: str, private: Sequence[Path], *, building: bool = False) -> None:
    """Write the layer into an empty directory. Raises OSError.

    `private` are further paths to hide wherever they lie. With `building`, what apt needs is shown.
    """
    (layer / ROOT).mkdir(mode=0o755, parents=True)
    mask = Mask(layer)
    for path, mode in EMPTY.items():
        mask.directory(f"/{path}", like="/nonexistent", mode=mode)
    for name in SYSTEM:
        _show_or_link(mask, f"/{name}")
    for name in USR:
        _show_or_link(mask, f"/usr/{name}")
        _show_or_link(mask, f"/usr/local/{name}")
    for name in VAR_LIB:
        if Path(f"/var/lib/{name}").is_dir():
            mask.show(f"/var/lib/{name}")
    for name in BUILD_VAR if building else ():
        if Path(f"/var/{name}").is_dir():
            mask.show(f"/var/{name}")
    mask.link("/var/run", "/run")
    mask.link("/var/lock", "/run/lock")
    for path in packaged_directories():
        mask.directory(path)
    _write_etc(mask, hostname, building)
    for path in hidden_paths(private):
        mask.hide(path)


def _show_or_link(mask: Mask, path: str) -> None:
    found = Path(path)
    if found.is_symlink():
        mask.link(path, str(found.readlink()))
    elif found.is_dir():
        mask.show(path)


def _write_etc(mask: Mask, hostname: str, building: bool) -> None:
    """The host's settings, but not what only some may read, nor keys, nor what is the host's own name."""
    mask.show("/etc")
    replaced = {"/etc/shadow", "/etc/gshadow", "/etc/hostname", "/etc/hosts", "/etc/machine-id", "/etc/fstab"}
    if not building:
        replaced.add("/etc/resolv.conf")
    kept = ("/etc/apt/",) if building else ()
    for path in private_settings():
        if path not in replaced and not path.startswith(kept or ("//",)):
            mask.hide(path)
    mask.write("/etc/shadow", "".join(f"{line}:*:19000:0:99999:7:::\n" for line in _names("/etc/passwd")), 0o640, 42)
    mask.write("/etc/gshadow", "".join(f"{line}:*::\n" for line in _names("/etc/group")), 0o640, 42)
    mask.write("/etc/hostname", f"{hostname}\n")
    mask.write("/etc/hosts", f"127.0.0.1 localhost\n127.0.1.1 {hostname}\n::1 localhost ip6-localhost\n")
    mask.write("/etc/machine-id", f"{secrets.token_hex(16)}\n", 0o444)
    mask.write("/etc/fstab", "")
    if not building:
        if Path("/usr/sbin/policy-rc.d").exists():  # container images forbid services to start by it
            mask.hide("/usr/sbin/policy-rc.d")
        mask.write("/etc/resolv.conf", "")
        for name in ("chattr.pl", "mount.sh"):
            mask.write(f"/usr/local/sbin/{Path(name).stem}", tool(name), 0o755)
        for name in NOT_OURS:
            if Path(f"/etc/systemd/system/{name}.target.wants").is_dir():
                mask.hide(f"/etc/systemd/system/{name}.target.wants")
        if not Path("/etc/systemd/system/systemd-tmpfiles-clean.timer").exists():
            mask.link("/etc/systemd/system/systemd-tmpfiles-clean.timer", "/dev/null")


def _names(file: str) -> Iterable[str]:
    return (line.split(":", 1)[0] for line in Path(file).read_text().splitlines() if ":" in line)


def private_settings() -> list[str]:
    """Paths in /etc that not everybody may read, or that hold a private key, or are known to be secret."""
    found = [f"/etc/{name}" for name in PRIVATE_ETC if Path(f"/etc/{name}").exists()]
    pending = ["/etc"]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.is_symlink() or entry.path in found:
                    continue
                info = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(info.st_mode) and info.st_mode & 0o005 == 0o005:
                    pending.append(entry.path)
                elif not stat.S_ISREG(info.st_mode) or not info.st_mode & 0o004 or _holds_key(entry.path, info):
                    found.append(entry.path)
    return found


def _holds_key(path: str, info: os.stat_result) -> bool:
    """Whether a file holds a PEM private key."""
    return 0 < info.st_size <= KEY_LIMIT and _read_for_key(path, info.st_mtime_ns, info.st_size)


@lru_cache(maxsize=20000)
def _read_for_key(path: str, changed: int, size: int) -> bool:
    """Remembered for as long as the file does not change."""
    return b"PRIVATE KEY-----" in Path(path).read_bytes()


def hidden_paths(private: Sequence[Path]) -> list[str]:
    """Source trees, the running Python's environment, data and homes, where they lie in something that is shown."""
    wanted = [*private, Path.home(), *_own_paths()]
    wanted += [Path(user.pw_dir) for user in pwd.getpwall() if user.pw_uid >= 1000]
    shown = {f"/{name}" for name in SYSTEM} | {"/etc"}
    shown |= {f"/usr/{name}" for name in USR} | {f"/usr/local/{name}" for name in USR}
    shown |= {f"/var/lib/{name}" for name in VAR_LIB}
    found = set()
    for path in wanted:
        real = path.resolve()
        if real.exists() and any(real.is_relative_to(root) and str(real) != root for root in shown):
            found.add(str(real))
    return sorted(found)


def _own_paths() -> list[Path]:
    own = [Path(__file__).resolve().parents[2]]
    for parent in own[0].parents:
        if (parent / "pyproject.toml").exists():
            own.append(parent)
    if sys.prefix != sys.base_prefix:
        own.append(Path(sys.prefix))
    if data := os.environ.get("RUNWRIGHT_DATA_DIR"):
        own.append(Path(data))
    return own


def packaged_directories() -> tuple[str, ...]:
    """The directories under /var that installed packages ship: programs expect them, empty as they are."""
    info = Path("/var/lib/dpkg/info")
    return _packaged(info.stat().st_mtime_ns) if info.is_dir() else ()


@lru_cache(maxsize=1)
def _packaged(changed: int) -> tuple[str, ...]:
    found = set()
    for file in Path("/var/lib/dpkg/info").glob("*.list"):
        for line in file.read_text(errors="replace").splitlines():
            if line.startswith("/var/") and not line.startswith(("/var/run/", "/var/lock/")):
                found.add(line)
    shown = tuple(f"/var/lib/{name}" for name in VAR_LIB)
    kept = (
        path for path in found if not path.startswith(shown) and Path(path).is_dir() and not Path(path).is_symlink()
    )
    return tuple(sorted(kept))
