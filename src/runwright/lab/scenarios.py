"""Scenario files (`schema: runwright/scenario/v1`): found, read strictly, every fault with its place.

The format is a contract with other people's files (docs/reference/scenario-format.md): optional fields may be left out,
`failure_type` may be null, durations are texts like `5s`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from runwright.model.errors import Fault, InvalidInput
from runwright.model.lab import Scenario
from runwright.runbooks import strict_yaml

REFERENCE_FOLDERS = ("fixes", "cheats")
"""Never searched for scenarios: they hold what `lab check` alone may read."""

_SUFFIXES = (".yaml", ".yml")


def parse_scenario(text: str, file: str | None = None) -> Scenario:
    """A scenario from its text. Raises InvalidInput with every fault, its line and column."""
    return strict_yaml.validate(strict_yaml.parse(text, file), Scenario)


def load_scenario(path: Path | str) -> Scenario:
    """A scenario from its file.

    Raises InvalidInput where the file cannot be read, is not UTF-8, or does not follow the format.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as cause:
        raise InvalidInput(
            f"Found no readable scenario at {path}: {cause}.",
            allowed="Allowed: a UTF-8 YAML file with `schema: runwright/scenario/v1`.",
        ) from cause
    return parse_scenario(text, str(path))


def scenario_files(place: Path | str) -> tuple[Path, ...]:
    """The scenario files of a folder and its folders, in the order of their names; a file stands for itself.

    Folders named `fixes` and `cheats`, and hidden ones, are left out. Raises InvalidInput where there are none.
    """
    place = Path(place)
    if place.is_file():
        return (place,)
    found = tuple(_walk(place)) if place.is_dir() else ()
    if not found:
        raise InvalidInput(
            f"Found no scenario in {place}.",
            allowed="Allowed: a scenario file, or a folder with *.yaml files somewhere below it.",
        )
    return found


def _walk(folder: Path) -> Iterator[Path]:
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            if entry.name not in REFERENCE_FOLDERS:
                yield from _walk(entry)
        elif entry.suffix in _SUFFIXES:
            yield entry


def load_files(paths: tuple[Path, ...]) -> tuple[tuple[Path, Scenario], ...]:
    """Every file with its scenario. Raises one InvalidInput with the faults of all files, twice used ids included."""
    loaded: list[tuple[Path, Scenario]] = []
    faults: list[Fault] = []
    seen: dict[str, Path] = {}
    for path in paths:
        try:
            scenario = load_scenario(path)
        except InvalidInput as refused:
            faults += refused.faults or (Fault(message=str(refused), file=str(path)),)
            continue
        if scenario.id in seen:
            message = f"found id {scenario.id!r}, which {seen[scenario.id]} has already; ids are used once"
            faults.append(Fault(message=message, file=str(path), path="id"))
            continue
        seen[scenario.id] = path
        loaded.append((path, scenario))
    if faults:
        raise InvalidInput(
            f"Found {len(faults)} fault{'s' if len(faults) != 1 else ''} in scenario files.", faults=faults
        )
    return tuple(loaded)


def load_folder(folder: Path | str) -> tuple[Scenario, ...]:
    """All scenarios of a folder, in the order of their file names. Raises InvalidInput with all faults at once."""
    return tuple(scenario for _, scenario in load_files(scenario_files(folder)))
