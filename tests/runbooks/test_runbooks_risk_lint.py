"""Risk and lint: cases as data, and that hostile shell text cannot hide or break them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runwright.model.risk import RiskClass, RiskVerdict
from runwright.runbooks import shell
from runwright.runbooks.commands import INTERPRETERS, SHELLS, WRAPPERS, analyse
from runwright.runbooks.lint import Level, lint
from runwright.runbooks.load import load_runbook
from runwright.runbooks.risk import added_risk, assess_command, assess_commands, assess_runbook
from runwright.runbooks.risk_rules import risk_rules

HEAD = """\
schema: runwright/v1
id: RB-TEST-001
name: x
incident_types: [service_crash]
parameters:
  service: {type: string, pattern: '[a-z]+', from: incident.subject.service}
"""


def test_commands_are_judged_by_what_they_run_in_the_end(risk_case: dict[str, Any]) -> None:
    report = assess_command(risk_case["command"])
    rules = {finding.rule for finding in report.findings}
    assert report.verdict.value == risk_case["verdict"], rules
    assert set(risk_case.get("rules", ())) <= rules
    assert set(risk_case.get("runs", ())) <= set(report.commands)
    assert {each for finding in report.findings for each in finding.classes} == set(report.classes)


def test_every_rule_has_a_case(all_risk_cases: list[dict[str, Any]]) -> None:
    ids = [rule.id for rule in risk_rules()]
    assert len(ids) == len(set(ids))
    met = {finding.rule for case in all_risk_cases for finding in assess_command(case["command"]).findings}
    assert set(ids) <= met


@pytest.mark.parametrize("wrapper", sorted(set(WRAPPERS) - {"xargs", "watch"}))
def test_no_wrapper_hides_a_command(wrapper: str) -> None:
    operands = "1 " * {"timeout": 1, "chroot": 1, "taskset": 1, "chrt": 1, "flock": 1}.get(wrapper, 0)
    report = assess_command(f"{wrapper} {operands}rm -rf /etc")
    assert report.verdict is RiskVerdict.REFUSE
    assert "rm -rf /etc" in report.commands


@pytest.mark.parametrize("interpreter", sorted(INTERPRETERS - {"awk", "gawk", "mawk", "nawk"}))
def test_no_interpreter_may_read_a_pipe(interpreter: str) -> None:
    assert assess_command(f"fetch-it | {interpreter}").verdict is RiskVerdict.REFUSE


@pytest.mark.parametrize("name", sorted(SHELLS - {"su"}))
def test_no_shell_hides_its_text(name: str) -> None:
    assert assess_command(f"{name} -euc 'rm -rf /etc'").verdict is RiskVerdict.REFUSE


def test_text_that_cannot_be_read_is_never_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "_shfmt", lambda source, dialect: (None, "no parser here"))
    report = assess_command("true # read without a parser")
    assert report.verdict is RiskVerdict.WARN
    assert report.classes == (RiskClass.UNPARSED,)
    assert "no parser here" in report.explanation


@pytest.mark.parametrize(
    "text", ["(" * 1_500 + "true" + ")" * 1_500, "$(" * 3_000 + "true" + ")" * 3_000, "if true; then " * 2_000]
)
def test_deep_text_is_unparsed_not_an_error(text: str) -> None:
    assert assess_command(text).verdict is not RiskVerdict.OK


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.one_of(
        st.text(max_size=60),
        st.lists(
            st.sampled_from(
                [
                    "rm",
                    " ",
                    "'",
                    '"',
                    "$x",
                    "$(",
                    ")",
                    "`",
                    "\\",
                    "\n",
                    "|",
                    "&&",
                    ";",
                    "<<E\n",
                    "E\n",
                    "sh -c ",
                    "eval ",
                    "find . -exec ",
                    "{",
                    "}",
                    "#",
                    ">",
                ]
            ),
            max_size=14,
        ).map("".join),
    )
)
def test_no_text_breaks_the_judge(text: str) -> None:
    report = assess_command(text)
    assert report.explanation
    if not report.commands and not report.findings:
        assert analyse(shell.parse_shell([text])[0]).problems == []


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.sampled_from(
            [
                "echo a",
                "echo a \\",
                "cat <<E\nx\nE",
                "cat <<E\nx",
                "# only",
                "",
                "if true; then",
                "fi",
                "(",
                "a &&",
                "'",
                "{ a; }",
                "}",
                "x=1",
                "a;",
                "é ü",
            ]
        ),
        min_size=2,
        max_size=6,
        unique=True,
    )
)
def test_parsing_together_is_parsing_apart(texts: list[str]) -> None:
    shell._CACHE.clear()
    together = shell.parse_shell(texts)
    apart = []
    for text in texts:
        shell._CACHE.clear()
        apart += shell.parse_shell([text])
    for one, other in zip(together, apart, strict=True):
        assert (one.problem is None) == (other.problem is None)
        assert [str(each) for each in analyse(one).commands] == [str(each) for each in analyse(other).commands]


def test_many_commands_are_few_calls_of_the_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"echo {number}" for number in range(300)]
    texts[150] = "echo '"
    calls = []
    real = shell._shfmt
    monkeypatch.setattr(shell, "_shfmt", lambda source, dialect: calls.append(source) or real(source, dialect))
    shell._CACHE.clear()
    found = list(assess_commands(texts))
    assert [report.commands for report in found[:2]] == [("echo 0",), ("echo 1",)]
    assert found[150].classes == (RiskClass.UNPARSED,)
    assert len(calls) < 30
    shell._CACHE.clear()
    assert found == [assess_command(text) for text in texts]


def test_a_runbook_is_one_call_of_the_parser(example: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    real = shell._shfmt
    monkeypatch.setattr(shell, "_shfmt", lambda source, dialect: calls.append(source) or real(source, dialect))
    shell._CACHE.clear()
    loaded = load_runbook(example)
    assess_runbook(loaded.document)
    lint(loaded)
    assert len(calls) == 1


def test_findings_name_their_place_and_typed_steps_count() -> None:
    text = HEAD + (
        "steps:\n  - {id: a, run: 'rm -rf /etc', only_if: 'test -e \"$service\"'}\n"
        "  - {id: b, http: {host: example.org}}\n"
        "  - {id: c, service: {name: x, state: started, enabled: true}, become: true}\n"
        "verify:\n  - {id: d, wait_for: {run: 'curl https://x/'}}\n"
    )
    report = assess_runbook(load_runbook(text).document)
    places = {finding.rule: finding.place for finding in report.findings}
    assert report.verdict is RiskVerdict.REFUSE
    assert places["delete-system-tree"] == "steps.a.run"
    assert places["http-egress"] == "steps.b"
    assert places["enable-unit"] == "steps.c"
    assert places["become"] == "steps.c"
    assert places["fetch"] == "verify.d.wait_for.run"


def test_added_risk_is_what_the_parent_did_not_have() -> None:
    parent = load_runbook(HEAD + "steps:\n  - {id: a, run: 'rm -r /x'}\n").document
    moved = load_runbook(HEAD + "steps:\n  - {id: z, run: 'rm -r /x'}\n").document
    worse = load_runbook(HEAD + "steps:\n  - {id: a, run: 'rm -r /x; rm -r /x; reboot'}\n").document
    assert added_risk(parent, moved).findings == ()
    assert added_risk(parent, moved).verdict is RiskVerdict.OK
    assert sorted(each.rule for each in added_risk(parent, worse).findings) == ["delete-file", "delete-tree", "power"]
    assert added_risk(None, parent) == assess_runbook(parent)


def _lint(run: str) -> dict[str, str]:
    from runwright.runbooks.emit import emit

    text = HEAD + emit({"steps": [{"id": "a", "run": run, "idempotent": True}], "verify": [{"id": "v", "run": "true"}]})
    return {each.rule: each.severity.value for each in lint(load_runbook(text))}


def test_lint_finds_what_the_case_says(lint_case: dict[str, Any]) -> None:
    found = _lint(lint_case["run"])
    expected = dict(lint_case["finds"])
    if "service" not in lint_case["run"]:
        expected.setdefault("unused-parameter", "warning")
    assert {
        rule: level for rule, level in found.items() if rule != "risk/code-made-at-run-time" or rule in expected
    } == expected


def test_lint_names_the_line_inside_a_block(example: str) -> None:
    text = example.replace("      echo two\n", "      echo $service\n")
    found = [each for each in lint(load_runbook(text)) if each.rule == "unquoted-parameter"]
    assert [text.split("\n")[each.line - 1].strip() for each in found] == ["echo $service"]


def test_lint_looks_at_the_structure() -> None:
    text = HEAD + (
        "steps:\n  - {id: a, run: 'echo \"$service\"'}\n"
        "  - {id: b, run: 'true', idempotent: true, until: 'true'}\n"
        "  - id: c\n    run: echo hi # cut\n    idempotent: true\n"
    )
    found = {(each.rule, each.severity, each.path) for each in lint(load_runbook(text))}
    assert ("no-verify", Level.WARNING, "runbook") in found
    assert ("not-repeatable", Level.INFO, "steps[0]") in found
    assert ("until-without-retry", Level.INFO, "steps[1].until") in found
    assert ("comment-cuts-command", Level.INFO, "steps[2].run") in found
    acting = text + "verify:\n  - {id: v, service: {name: x, state: restarted}}\n  - {id: w, http: {method: POST}}\n"
    paths = {each.path for each in lint(load_runbook(acting)) if each.rule == "verify-acts"}
    assert paths == {"verify[0].service.state", "verify[1].http.method"}


def test_lint_sees_hidden_characters_in_comments() -> None:
    text = HEAD + "steps:\n  - {id: a, run: 'echo \"$service\"', idempotent: true} # \u202e evil\n"
    found = [each for each in lint(load_runbook(text)) if each.rule == "hidden-character"]
    assert len(found) == 1
    assert "RIGHT-TO-LEFT OVERRIDE" in found[0].message


def test_free_text_from_an_incident_is_a_warning() -> None:
    text = HEAD.replace(", pattern: '[a-z]+'", "") + "steps:\n  - {id: a, run: 'echo \"$service\"'}\n"
    assert "unconstrained-parameter" in {each.rule for each in lint(load_runbook(text))}


def test_a_call_is_named_with_the_digest_that_it_runs() -> None:
    digest = "sha256:" + "a" * 64
    text = (
        "schema: runwright/v1\nid: RB-CALLER-001\nname: Calls\nincident_types: [disk_full]\n"
        f"steps:\n  - {{id: other, call: {{runbook: RB-OTHER-001, version: 3, digest: '{digest}'}}}}\n"
    )
    (finding,) = assess_runbook(load_runbook(text).document).findings
    assert (finding.command, finding.place) == (f"call RB-OTHER-001-v3 {digest}", "steps.other")
