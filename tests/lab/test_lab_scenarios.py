"""Scenario files: strict where the format is, tolerant where it says so; the library keeps its own rules."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from runwright.lab.library import folder
from runwright.lab.references import find_references
from runwright.lab.scenarios import load_files, load_folder, load_scenario, scenario_files
from runwright.model.errors import InvalidInput
from runwright.model.incidents import incident_kinds
from runwright.model.lab import Expectation, Scenario

CASES = Path(__file__).parent.parent / "cases" / "lab"
LIBRARY = load_files(scenario_files(folder()))
STANDARD = {kind.standard_runbook for kind in incident_kinds().values()}


@pytest.mark.parametrize("path", sorted((CASES / "invalid").glob("*.yaml")), ids=lambda path: path.stem)
def test_faults_have_places(path: Path) -> None:
    """The first lines of each file say which faults are wanted: `# wants: LINE:COLUMN a word of the message`."""
    wanted = re.findall(r"^# wants: (\d+):(\d+) (.+)$", path.read_text(), re.MULTILINE)
    assert wanted
    with pytest.raises(InvalidInput) as caught:
        load_scenario(path)
    faults = caught.value.faults
    assert len(faults) == len(wanted)
    for line, column, word in wanted:
        assert any((f.line, f.column) == (int(line), int(column)) and word in str(f) for f in faults), faults
        assert all(fault.file == str(path) for fault in faults)


def test_a_foreign_file_gets_the_defaults_of_the_format() -> None:
    scenario = load_scenario(CASES / "foreign" / "team" / "scenarios" / "greeting.yaml")
    assert scenario.expect is Expectation.HEALED
    assert scenario.failure_type is None
    assert (scenario.settle, scenario.hold, scenario.timeout) == (1.0, 0.5, 60.0)
    assert scenario.requires == ()
    assert scenario.incident.severity.value == "high"
    assert scenario.incident.subject == {"mount": "/srv/greeting", "ticket": 4711}


def test_a_folder_reports_the_faults_of_all_files_at_once() -> None:
    files = scenario_files(CASES / "invalid")
    with pytest.raises(InvalidInput) as caught:
        load_folder(CASES / "invalid")
    assert {fault.file for fault in caught.value.faults} == {str(path) for path in files}


def test_fixes_and_cheats_and_hidden_files_are_no_scenarios(tmp_path: Path) -> None:
    for name in ("fixes/a.yaml", "cheats/deep/b.yaml", ".git/c.yaml", "d.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("not: a scenario")
    with pytest.raises(InvalidInput, match="Found no scenario"):
        scenario_files(tmp_path)


def test_an_id_is_used_once(tmp_path: Path) -> None:
    text = (CASES / "foreign" / "team" / "scenarios" / "greeting.yaml").read_text()
    for name in ("one.yaml", "two.yaml"):
        (tmp_path / name).write_text(text)
    with pytest.raises(InvalidInput) as caught:
        load_folder(tmp_path)
    assert [fault.file for fault in caught.value.faults] == [str(tmp_path / "two.yaml")]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"gone\.yaml"):
        load_scenario(tmp_path / "gone.yaml")


@pytest.mark.parametrize(
    ("scenario", "fix", "root"),
    [
        ("set/a.yaml", "set/fixes/a.sh", None),
        ("set/a.yaml", "fixes/a.sh", None),
        ("set/deep/er/a.yaml", "set/fixes/a.sh", "set"),
        ("set/deep/er/a.yaml", "fixes/deep/er/a.sh", "set"),
        ("set/a.yaml", None, "set"),
    ],
)
def test_fixes_are_found_beside_the_folder(tmp_path: Path, scenario: str, fix: str | None, root: str | None) -> None:
    for name in (scenario, fix, "elsewhere/fixes/a.sh"):
        if name is not None:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text("true")
    found = find_references(tmp_path / scenario, tmp_path / root if root else None)
    assert found.fix == (tmp_path / fix if fix else None)


def test_a_scenario_has_its_own_cheats_only(tmp_path: Path) -> None:
    (tmp_path / "cheats").mkdir()
    for name in ("lock.yaml", "lock-two.yaml"):
        (tmp_path / name).write_text("")
    for name in ("lock", "lock-rm", "lock.chmod", "lock-two", "lock-two-b", "locksmith"):
        (tmp_path / "cheats" / f"{name}.sh").write_text("true")
    cheats = {path.stem for path in find_references(tmp_path / "lock.yaml").cheats}
    assert cheats == {"lock", "lock-rm", "lock.chmod"}
    assert {path.stem for path in find_references(tmp_path / "lock-two.yaml").cheats} == {"lock-two", "lock-two-b"}


@pytest.mark.parametrize(("path", "scenario"), LIBRARY, ids=[scenario.id for _, scenario in LIBRARY])
def test_every_library_scenario_can_be_proven(path: Path, scenario: Scenario) -> None:
    references = find_references(path, folder())
    assert references.cheats, "a scenario without a cheat does not show that shortcuts are caught"
    assert references.fix or scenario.expect is not Expectation.HEALED
    assert scenario.id == f"{path.parent.name}/{path.stem}"
    assert scenario.incident.incident_type.replace("_", "-") == path.parent.name
    assert scenario.keeps
    assert scenario.note
    assert scenario.runbook in STANDARD
    assert scenario.right_runbook is None or scenario.right_runbook in STANDARD - {scenario.runbook}


def test_the_library_covers_all_incident_types_and_several_families() -> None:
    scenarios = [scenario for _, scenario in LIBRARY]
    assert {scenario.incident.incident_type for scenario in scenarios} == set(incident_kinds())
    assert len({scenario.family for scenario in scenarios}) >= 12
    assert {scenario.expect for scenario in scenarios} == set(Expectation)
    assert sum(scenario.failure_type is None for scenario in scenarios) >= 4


def test_no_reference_script_is_left_over() -> None:
    found = [find_references(path, folder()) for path, _ in LIBRARY]
    used = {script for references in found for script in (references.fix, *references.cheats) if script is not None}
    assert {script.resolve() for script in folder().rglob("*.sh")} == {script.resolve() for script in used}
