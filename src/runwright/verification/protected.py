"""Paths that must survive: are they there, whole, and where they were?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from runwright.model.base import Record
from runwright.verification.findings import Finding, failed, unverifiable
from runwright.verification.sections import Section
from runwright.verification.text import visible

_MOST_FILES = 400

PROTECT_PART = r"""
rw_one() {
  printf 'rw-path %s ' "$1"
  if [ ! -e "$2" ] && [ ! -L "$2" ]; then printf 'absent\n'; return 0; fi
  stat -c '%i %s %f %d %b' -- "$2" || { printf 'unread\n'; return 0; }
  if [ -d "$2" ]; then
    printf 'rw-tree %s %s %s\n' "$1" "$(bounded 5 find "$2" -xdev -type f 2>/dev/null | wc -l)" \
      "$(bounded 5 du -skx -- "$2" 2>/dev/null | cut -f1)"
    (cd -- "$2" && bounded 5 find . -xdev -type f -exec stat -c "rw-in $1 %s %n" -- {} + 2>/dev/null | head -n MOST)
  elif [ -f "$2" ]; then
    printf 'rw-head %s %s\n' "$1" "$(head -c 4096 -- "$2" 2>/dev/null | tr -d '\000' | head -c 1 | wc -c)"
  fi
}
""".replace("MOST", str(_MOST_FILES + 1))

SCRATCH = re.compile(r"(-wal|-journal|-shm|\.tmp|\.swp|\.pid|\.lock)$|^(/tmp|/var/tmp|/run|/dev/shm)/")
"""What programs cut and delete by themselves as they work: write-ahead logs, scratch files."""

_HOLLOW = 0.9


class PathFact(Record):
    """A path that must survive."""

    path: str
    exists: bool
    size: int | None = None
    """Bytes of a file."""
    files: int | None = None
    """Regular files below a directory."""
    kb: int | None = None
    """Kilobytes that a directory takes."""
    device: int | None = None
    blocks: int | None = None
    """Of 512 bytes, as allocated."""
    empty_head: bool | None = None
    """Whether its first 4 KB are nothing but zero bytes."""
    below: dict[str, int] | None = None
    """Bytes by file below a directory; None where there are too many."""


def protect_part(paths: Sequence[str]) -> str:
    """The part that asks for every path, each a parameter `protect_N`."""
    calls = "\n".join(f'rw_one {number} "$protect_{number}" 2>/dev/null' for number in range(len(paths)))
    return f"{PROTECT_PART}{calls}\n:"


def read_protected(paths: Sequence[str], section: Section | None) -> tuple[PathFact, ...]:
    """Pure: what the host told of the paths; those it did not tell of are left out."""
    found: dict[int, PathFact] = {}
    below: dict[int, dict[str, int]] = {}
    for line in (section.text if section is not None else "").splitlines():
        words = line.split(" ", 3)
        if len(words) < 3 or not words[1].isdecimal() or int(words[1]) >= len(paths):
            continue
        number, path, rest = int(words[1]), paths[int(words[1])], line.split()[2:]
        if words[0] == "rw-path" and words[2] == "absent":
            found[number] = PathFact(path=path, exists=False)
        elif words[0] == "rw-path" and len(rest) >= 3 and rest[1].isdecimal():
            numbers = [int(word) if word.isdecimal() else None for word in rest]
            device, blocks = (numbers[3], numbers[4]) if len(rest) == 5 else (None, None)
            found[number] = PathFact(path=path, exists=True, size=numbers[1], device=device, blocks=blocks)
        elif words[0] == "rw-tree" and number in found and len(rest) == 2 and all(word.isdecimal() for word in rest):
            found[number] = found[number].model_copy(update={"files": int(rest[0]), "kb": int(rest[1]), "size": None})
        elif words[0] == "rw-head" and number in found:
            found[number] = found[number].model_copy(update={"empty_head": words[2] == "0"})
        elif words[0] == "rw-in" and len(words) == 4 and words[2].isdecimal():
            below.setdefault(number, {})[visible(words[3])] = int(words[2])
    for number, names in below.items():
        if number in found and len(names) <= _MOST_FILES:
            found[number] = found[number].model_copy(update={"below": names})
    return tuple(found[number] for number in sorted(found))


def survivors(wanted: int, now: Sequence[PathFact], before: Sequence[PathFact]) -> Iterator[Finding]:
    """Faults of what must survive. `wanted`: how many paths were named."""
    earlier = {fact.path: fact for fact in before}
    if len(now) < wanted:
        yield unverifiable("The host did not tell of every protected path.")
    for fact in now:
        shown, was = visible(fact.path), earlier.get(fact.path)
        if was is not None and not was.exists:
            continue
        if not fact.exists:
            yield failed(f"The protected path {shown} does not exist{' any more' if was else ''}.")
        elif was is None:
            continue
        elif (was.files is None) is not (fact.files is None):
            yield failed(f"The protected path {shown} is of another kind than before.")
        elif fact.files is not None:
            yield from _directory(shown, fact, was)
        else:
            yield from _file(shown, fact, was)
        if was is not None and fact.exists and None not in (fact.device, was.device) and fact.device != was.device:
            yield failed(f"The protected path {shown} lies on another file system than before.")


def _file(shown: str, now: PathFact, was: PathFact) -> Iterator[Finding]:
    if (now.size or 0) < (was.size or 0):
        yield failed(f"The protected file {shown} shrank from {was.size} to {now.size} bytes.")
    elif now.empty_head and was.empty_head is False:
        yield failed(f"The protected file {shown} was overwritten: it begins with nothing but zero bytes.")
    elif now.blocks is not None and was.blocks and now.blocks < was.blocks * _HOLLOW:
        if now.blocks < was.blocks * 0.05:
            yield failed(f"The protected file {shown} is hollow: its {now.size} bytes take {now.blocks // 2} KB.")
        else:
            yield unverifiable(
                f"The protected file {shown} takes {now.blocks // 2} KB and took {was.blocks // 2} KB before: "
                "whether its content is whole is for a person to say."
            )


def _directory(shown: str, now: PathFact, was: PathFact) -> Iterator[Finding]:
    if now.below is not None and was.below is not None:
        kept = {name: size for name, size in was.below.items() if not SCRATCH.search(name)}
        lost = [name for name in kept if name not in now.below]
        cut = [name for name, size in kept.items() if name in now.below and now.below[name] < size]
        if lost or cut:
            what = f"{len(lost)} files are gone" if lost else f"{len(cut)} files are smaller"
            yield failed(f"The protected directory {shown} lost content: {what}, as {(lost or cut)[0]}.")
    elif (now.files or 0) < (was.files or 0) or (now.kb or 0) < (was.kb or 0):
        yield failed(
            f"The protected directory {shown} shrank from {was.files} files and {was.kb} KB "
            f"to {now.files} files and {now.kb} KB."
        )
