"""Reference fixes and cheats of scenarios. Only `lab/check.py` reads them; trials and learning never do.

For a scenario `stem.yaml` the scripts are `fixes/stem.sh` and `cheats/stem.sh`, and further cheats
`cheats/stem-<name>.sh` or `cheats/stem.<name>.sh`. They stand beside the scenario or beside its folder;
looked into, in this order, the first folder that has a match wins:

1. `fixes/` in the scenario's own folder, 2. `fixes/` in the folder above it,
3. `fixes/` in the folder given on the command line, 4. `fixes/` beside that folder,

in 3 and 4 also under the scenario's path below the given folder, as `fixes/service-crash/stem.sh`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class References:
    """The scripts that prove a scenario: one fix at most, any number of cheats."""

    fix: Path | None
    cheats: tuple[Path, ...]


def find_references(path: Path, root: Path | None = None) -> References:
    """The reference scripts of the scenario file `path`; `root` is the folder given on the command line."""
    fixes = _first(path, root, "fixes")
    exact = next((script for script in fixes if script.stem == path.stem), None)
    return References(fix=exact, cheats=_first(path, root, "cheats"))


def _first(path: Path, root: Path | None, kind: str) -> tuple[Path, ...]:
    others = {other.stem for other in path.parent.glob("*.y*ml")} - {path.stem}
    for folder in _folders(path, root, kind):
        found = tuple(script for script in sorted(folder.glob("*.sh")) if _belongs(script.stem, path.stem, others))
        if found:
            return found
    return ()


def _belongs(script: str, stem: str, others: set[str]) -> bool:
    """`stale-lock-rm.sh` belongs to `stale-lock`, unless a scenario `stale-lock-rm` stands beside it."""
    if script == stem:
        return True
    if not script.startswith((f"{stem}-", f"{stem}.", f"{stem}_")):
        return False
    longer = (other for other in others if other.startswith(stem))
    return not any(script == other or script.startswith((f"{other}-", f"{other}.", f"{other}_")) for other in longer)


def _folders(path: Path, root: Path | None, kind: str) -> tuple[Path, ...]:
    """Where to look, nearest first, each once."""
    own = path.resolve().parent
    places = [own / kind, own.parent / kind]
    if root is not None:
        top = root.resolve()
        for base in (top / kind, top.parent / kind):
            if own.is_relative_to(top):
                places.append(base / own.relative_to(top))
            places.append(base)
    return tuple(place for place in dict.fromkeys(places) if place.is_dir())
