"""The newest archive of a backup: read to its end, a sample restored, compared with the archive before it."""

from __future__ import annotations

import re

from runwright.model.base import Record
from runwright.verification.findings import Finding, failed, unverifiable
from runwright.verification.sections import Section
from runwright.verification.text import visible

READ_PART = r"""
rw_all=$(find "$path" -xdev -maxdepth 3 -type f -exec stat -c '%Y %n' -- {} + 2>/dev/null | sort -rn)
rw_pack=$(printf '%s\n' "$rw_all" | grep -E '\.(tar|tgz|tbz2|txz|tzst|gz|bz2|xz|zst|zip|sql|dump|bak|cpio|db|sqlite)$')
[ -n "$rw_pack" ] || rw_pack=$(printf '%s\n' "$rw_all" | grep -vE '\.(tmp|part|partial|new|lock|log|md5|sha[0-9]*)$')
rw_new=$(printf '%s\n' "$rw_pack" | sed -n 1p); rw_new=${rw_new#* }
rw_old=$(printf '%s\n' "$rw_pack" | sed -n 2p); rw_old=${rw_old#* }
rw_unpack() {
  case $1 in
    *.gz|*.tgz) bounded 40 gzip -dc -- "$1" ;;
    *.bz2|*.tbz2) bounded 40 bzip2 -dc -- "$1" ;;
    *.xz|*.txz) bounded 40 xz -dc -- "$1" ;;
    *.zst|*.tzst) bounded 40 zstd -dcq -- "$1" ;;
    *) cat -- "$1" ;;
  esac
}
rw_magic() { head -c 8 -- "$1" 2>/dev/null | od -An -tx1 | tr -d ' \n'; }
rw_names() {
  case $1 in
    *.zip) bounded 20 unzip -Z1 "$1" 2>/dev/null ;;
    *.cpio|*.cpio.*) rw_unpack "$1" 2>/dev/null | bounded 20 cpio -it --quiet 2>/dev/null ;;
    *) bounded 20 tar -tf "$1" 2>/dev/null ;;
  esac | head -n 20000
}
rw_restore() {
  rw_from=$1; shift
  rw_got=$({ { case $rw_from in
      *.zip) bounded 20 unzip -p "$rw_from" "$@" 2>/dev/null ;;
      *) bounded 20 tar -xOf "$rw_from" -- "$@" 2>/dev/null ;;
    esac; printf '%s ' "$?" >&3; } | tr -d '\000' | wc -c >&3; } 3>&1)
  printf 'rw-restored %s\n' "$rw_got"
}
if [ -n "$rw_new" ]; then
  printf 'rw-newest %s\n' "$rw_new"
  [ -n "$rw_old" ] && cmp -s -- "$rw_new" "$rw_old" && printf 'rw-same\n'
  printf 'rw-magic %s %s\n' "$(rw_magic "$rw_new")" "$([ -n "$rw_old" ] && rw_magic "$rw_old")"
  rw_form=stream
  case $rw_new in
    *.tar|*.tar.*|*.tgz|*.tbz2|*.txz|*.tzst) rw_form=tar ;;
    *.zip) rw_form=zip ;;
    *.cpio|*.cpio.*) rw_form=cpio ;;
    *) [ "$(rw_unpack "$rw_new" 2>/dev/null | head -c 262 | tail -c 5 | tr -d '\000')" = ustar ] && rw_form=tar ;;
  esac
  printf 'rw-form %s\n' "$rw_form"
  case $rw_form in
    tar) printf 'rw-with tar -t\n'; bounded 60 tar -tvf "$rw_new" 2>/dev/null; printf 'rw-status %s\n' "$?" ;;
    zip) printf 'rw-with unzip -t\n'
      if have unzip; then bounded 60 unzip -tq "$rw_new" >/dev/null 2>&1
      elif have python3; then bounded 60 python3 -m zipfile -t "$rw_new" >/dev/null 2>&1; else (exit 127); fi
      rw_code=$?; bounded 20 unzip -l "$rw_new" 2>/dev/null | awk '$1 ~ /^[0-9]+$/ && NF > 3 {
        n = $1; for (i = 0; i < 3; i++) sub(/^ *[^ ]+ +/, ""); if ($0 !~ /\/$/) print "- - " n " - - " $0 }'
      printf 'rw-status %s\n' "$rw_code" ;;
    cpio) printf 'rw-with cpio -t\n'
      if have cpio; then rw_unpack "$rw_new" 2>/dev/null | bounded 60 cpio -it --quiet >/dev/null 2>&1
      else (exit 127); fi
      printf 'rw-status %s\n' "$?" ;;
    *) case $rw_new in
        *.gz) printf 'rw-with gzip -t\n'; bounded 60 gzip -t "$rw_new" 2>/dev/null ;;
        *.bz2) printf 'rw-with bzip2 -t\n'; bounded 60 bzip2 -t "$rw_new" 2>/dev/null ;;
        *.xz) printf 'rw-with xz -t\n'; bounded 60 xz -t "$rw_new" 2>/dev/null ;;
        *.zst) printf 'rw-with zstd -t\n'; bounded 60 zstd -qt "$rw_new" 2>/dev/null ;;
        *) printf 'rw-with cat\n'; bounded 60 cat -- "$rw_new" >/dev/null 2>&1 ;;
      esac; printf 'rw-status %s\n' "$?" ;;
  esac | awk '/^rw-with / { print; next } /^rw-status / { code = $2; next } /^-/ {
      count++; size = $3; for (i = 0; i < 5; i++) sub(/^[^ ]+ +/, "")
      if ($0 !~ /^[A-Za-z0-9.\/_][A-Za-z0-9.\/_ -]*$/ || size < 1 || size > 50000000) next
      if (first == "") first = $0; last = $0; if (size > most) { most = size; big = $0 } }
    END { print "rw-read " code; print "rw-members " count + 0
      if (first != "") { print "rw-sample " first; if (big != first) print "rw-sample " big
        if (last != first && last != big) print "rw-sample " last } }'
fi | {
  rw_said=$(cat); printf '%s\n' "$rw_said"
  rw_form=$(printf '%s\n' "$rw_said" | sed -n 's/^rw-form //p')
  if printf '%s\n' "$rw_said" | grep -q '^rw-read 0$'; then
    case $rw_form in
      tar|zip)
        rw_picked=$(printf '%s\n' "$rw_said" | sed -n 's/^rw-sample //p')
        [ -n "$rw_picked" ] && { rw_ifs=$IFS; IFS='
'; set -f; set -- $rw_picked; set +f; IFS=$rw_ifs; rw_restore "$rw_new" "$@"; } ;;
      stream) rw_unpack "$rw_new" 2>/dev/null | {
          head -c 1024 | tr -d '\000' | tr -c '[:print:]\n' '.' | sed 's/^/rw-head /'; printf '\n'
          tail -c 512 | tr -d '\000' | tr -c '[:print:]\n' '.' | sed 's/^/rw-tail /'; printf '\n'; } ;;
    esac
    case $rw_form in tar|zip|cpio)
      [ -n "$rw_old" ] && { rw_names "$rw_old" | sed 's/^/o /'; rw_names "$rw_new" | sed 's/^/n /'; } | awk '
        { gsub(/[0-9]+/, "#") } /^o / { old[substr($0, 3)] = 1 } /^n / { new[substr($0, 3)] = 1 }
        END { for (one in old) { all++; if (one in new) both++ } print "rw-common " all + 0 " " both + 0 }' ;;
    esac
    case $rw_new in *.tar) printf 'rw-end %s\n' "$(tail -c 1024 -- "$rw_new" | tr -d '\000' | wc -c)" ;; esac
  fi
}; :
"""
"""Reads the newest archive with the tools for its form and restores up to three members of it to nowhere."""

_DUMPS = (
    (re.compile(r"-- (MySQL|MariaDB) dump"), re.compile(r"-- Dump completed")),
    (
        re.compile(r"-- PostgreSQL database( cluster)? dump"),
        re.compile(r"-- PostgreSQL database( cluster)? dump complete"),
    ),
    (re.compile(r"\APRAGMA foreign_keys=OFF;\s*BEGIN TRANSACTION"), re.compile(r"COMMIT;\s*\Z")),
)
"""How a dump begins, and how one that is whole ends."""


class ArchiveRead(Record):
    """What reading the newest archive told."""

    newest: str = ""
    form: str = ""
    status: int | None = None
    tool: str = "no tool"
    members: int | None = None
    """Files in it; None where its form has none or they cannot be listed."""
    restored: int | None = None
    """Bytes other than zero of the members that were restored; None where none was."""
    restore_status: int | None = None
    names_before: int | None = None
    names_common: int | None = None
    """Names of the archive before it, and how many of them are in it too; digits do not count."""
    same_as_before: bool = False
    magic: str = ""
    magic_before: str = ""
    head: str = ""
    tail: str = ""
    unended: bool = False
    """A tar without the zero blocks at its end."""

    @property
    def opaque(self) -> bool:
        """Its form is not one of those that can be looked into."""
        return self.form == "stream" and not any(begin.search(self.head) for begin, _ in _DUMPS)

    def line(self) -> str:
        """One line of evidence."""
        parts = [f"{visible(self.newest) or 'no archive'}: {self.tool} ended with {self.status}"]
        if self.members is not None:
            parts.append(f"{self.members} files")
        if self.restored is not None:
            parts.append(f"{self.restored} bytes of a sample restored")
        if self.names_before is not None:
            parts.append(f"{self.names_common} of {self.names_before} names as in the one before")
        if self.opaque and self.status == 0:
            parts.append("its form is not known: it was read to its end, its content was not checked")
        return "; ".join(parts)


def read_archive(section: Section | None) -> ArchiveRead:
    """Pure: what READ_PART printed."""
    if section is None:
        return ArchiveRead()
    text = section.text
    members = _numbers("members", text)
    form = _word("form", text)
    restored, common = _numbers("restored", text), _numbers("common", text)
    magic = re.search(r"^rw-magic ([0-9a-f]*) ?([0-9a-f]*)$", text, re.MULTILINE)
    read = re.search(r"^rw-read (\d+)(?: (.*))?$", text, re.MULTILINE)
    end = _numbers("end", text)
    return ArchiveRead(
        newest=_word("newest", text),
        form=form,
        status=int(read[1]) if read else None,
        tool=_word("with", text) or (read and read[2]) or "no tool",
        members=members[0] if members and form in ("tar", "zip") else None,
        restored=restored[1] if len(restored) > 1 else None,
        restore_status=restored[0] if restored else None,
        names_before=common[0] if len(common) > 1 else None,
        names_common=common[1] if len(common) > 1 else None,
        same_as_before=re.search(r"^rw-same$", text, re.MULTILINE) is not None,
        magic=magic[1] if magic else "",
        magic_before=magic[2] if magic else "",
        head=_lines("head", text),
        tail=_lines("tail", text),
        unended=bool(end and end[0] > 0),
    )


def _word(key: str, text: str) -> str:
    match = re.search(rf"^rw-{key} (.*)$", text, re.MULTILINE)
    return match[1] if match else ""


def _numbers(key: str, text: str) -> list[int]:
    match = re.search(rf"^rw-{key} ((?:\d+\s*)+)$", text, re.MULTILINE)
    return [int(word) for word in match[1].split()] if match else []


def _lines(key: str, text: str) -> str:
    prefix = f"rw-{key} "
    return "\n".join(line.removeprefix(prefix) for line in text.splitlines() if line.startswith(prefix))


def archive_fault(read: ArchiveRead, size: int) -> Finding | None:
    """What is wrong with the archive itself; None where nothing is."""
    name = visible(read.newest)
    if size == 0:
        return failed(f"The newest archive {name} is empty.")
    if read.status is None or read.status > 125:
        return unverifiable(f"{name} could not be read to its end ({read.tool}, status {read.status}).")
    if read.status != 0:
        return failed(f"{name} is broken: {read.tool} ended with status {read.status}.")
    if read.unended:
        return failed(f"{name} is cut off: it lacks the end mark of a tar archive.")
    if read.members == 0:
        return failed(f"{name} holds no file.")
    if read.restore_status not in (0, None):
        if read.restore_status > 125 or read.restore_status < 0:
            return unverifiable(f"A sample of {name} could not be restored in time.")
        return failed(f"A sample of {name} could not be restored (status {read.restore_status}).")
    if read.restored == 0:
        return failed(f"The sample that was restored from {name} holds nothing but zero bytes.")
    if read.names_before and not read.names_common:
        return failed(f"{name} holds none of the {read.names_before} names of the archive before it: other content.")
    if read.names_before and 2 * (read.names_common or 0) < read.names_before:
        return unverifiable(
            f"{name} holds {read.names_common} of the {read.names_before} names of the archive before it: "
            "whether it is complete is for a person to say."
        )
    return _stream_fault(read, name)


def _stream_fault(read: ArchiveRead, name: str) -> Finding | None:
    if read.form != "stream":
        return None
    for begin, end in _DUMPS:
        if begin.search(read.head) and not end.search(read.tail or read.head):
            return failed(f"{name} is cut off: it lacks the last line of such a dump.")
    if not read.head.strip():
        if read.magic and not read.magic.strip("0"):
            return failed(f"{name} holds nothing but zero bytes.")
        return None
    if read.opaque and read.magic_before and read.magic[:4] != read.magic_before[:4]:
        return unverifiable(f"{name} is of another form than the archive before it, and the form is not known.")
    return None
