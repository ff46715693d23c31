"""Disks: space and inodes of every file system that counts them and cannot hang."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runwright.execution.facts.fact import Fact, Unreadable
from runwright.model.states import DiskFact
from runwright.verification.disks import DfRow, read_df
from runwright.verification.text import first_line, visible

_LIST = r"""
set --
rw_seen=" "
while read -r rw_id rw_parent rw_device rw_root rw_point rw_options rw_rest; do
  rw_rest=" $rw_rest"; rw_rest=${rw_rest#* - }
  case ${rw_rest%% *} in
    proc|sysfs|devtmpfs|devpts|cgroup|cgroup2|mqueue|securityfs|debugfs|tracefs|pstore|bpf|fusectl) continue ;;
    configfs|hugetlbfs|autofs|binfmt_misc|efivarfs|ramfs|nsfs|rpc_pipefs|selinuxfs) continue ;;
    squashfs|iso9660|erofs|nfs|nfs4|cifs|smb3|9p|ceph|fuse.*) continue ;;
  esac
  case $rw_point in /proc/*|/sys|/sys/*|/dev) continue ;; esac
  case $rw_seen in *" $rw_device "*) continue ;; esac
  [ $# -lt 100 ] || continue
  case $rw_point in
    *\\*) rw_point=$(printf '%b' "$(printf '%s\n' "$rw_point" | sed 's/\\\([0-7][0-7][0-7]\)/\\0\1/g')") ;;
  esac
  [ -d "$rw_point" ] || continue
  rw_seen="$rw_seen$rw_device "
  set -- "$@" "$rw_point"
done </proc/self/mountinfo
"""
"""Each device once. Pseudo file systems and images count nothing that fills; a dead network mount would hang df."""


def _rows(text: str, what: str) -> dict[str, DfRow]:
    rows = {row.mount: row for row in read_df(text)}
    if not rows:
        raise Unreadable(f"{what} printed no file system: {first_line(text) or 'nothing at all'}")
    return rows


def _disks(text: str) -> Mapping[str, Any]:
    found = tuple(
        DiskFact(
            mount=visible(row.mount),
            filesystem=visible(row.source),
            size_kb=row.size,
            used_kb=row.used,
            available_kb=max(row.free, 0),
            used_percent=float(row.used_percent),
        )
        for row in sorted(_rows(text, "df").values(), key=lambda row: row.mount)
        if row.used_percent is not None and row.size > 0
    )
    return {"disks": found}


def _inodes(text: str) -> Mapping[str, Any]:
    rows = _rows(text, "df -i")
    return {"inodes": {visible(mount): row.used_percent for mount, row in rows.items() if row.used_percent is not None}}


DISKS = Fact("disks", _LIST + 'df -P -- "$@" 2>&1; :', _disks)
INODES = Fact("inodes", 'df -iP -- "$@" 2>&1; :', _inodes)
"""Asked right after DISKS, for the same mounts."""
