"""Parameters: where values come from, what they must satisfy, how they reach the host."""

from __future__ import annotations

from typing import Any

import pytest

from runwright.model.documents import RunbookDocument
from runwright.model.errors import InvalidInput
from runwright.model.hosts import SecretRef
from runwright.runbooks.load import load_runbook
from runwright.runbooks.parameters import ResolvedParameters, answer_to, resolve, scalar
from runwright.runbooks.patterns import matches, problem_of


def _document(parameters: str, steps: str = "  - {id: a, run: 'true'}\n") -> RunbookDocument:
    head = "schema: runwright/v1\nid: RB-TEST-001\nname: x\nincident_types: [service_crash]\nparameters:\n"
    return load_runbook(f"{head}{parameters}steps:\n{steps}").document


def _resolve(parameters: str, **sources: Any) -> ResolvedParameters:
    document = _document(parameters)
    arguments: dict[str, Any] = {"subject": {}, "host": {}, "given": {}, "client_id": "acme", **sources}
    return resolve(document, **arguments)


def _faults(parameters: str, **sources: Any) -> list[str]:
    with pytest.raises(InvalidInput) as caught:
        _resolve(parameters, **sources)
    return [fault.message for fault in caught.value.faults]


def test_values_come_from_the_incident_the_host_the_caller_or_the_default() -> None:
    text = (
        "  a: {type: string, from: incident.subject.service}\n"
        "  b: {type: string, from: host.hostname}\n"
        "  c: {type: integer, from: caller}\n"
        "  d: {type: boolean, default: true}\n"
        "  e: {type: string, from: incident.subject.gone, default: x}\n"
    )
    found = _resolve(text, subject={"service": "nginx"}, host={"hostname": "web1"}, given={"c": 5})
    assert found.values == {"a": "nginx", "b": "web1", "c": 5, "d": True, "e": "x"}
    assert found.environment() == {"a": "nginx", "b": "web1", "c": "5", "d": "true", "e": "x"}


def test_a_given_value_wins_under_the_same_constraints() -> None:
    text = "  a: {type: string, pattern: '[a-z]+', from: incident.subject.service}\n"
    assert _resolve(text, subject={"service": "x"}, given={"a": "y"}).values == {"a": "y"}
    assert "full match" in _faults(text, subject={"service": "x"}, given={"a": "Y"})[0]


def test_all_that_is_missing_unknown_or_wrong_is_named_at_once() -> None:
    text = (
        "  a: {type: string, from: incident.subject.service}\n"
        "  b: {type: integer, max: 3}\n"
        "  c: {type: string, enum: [x, y]}\n"
        "  d: {type: string}\n"
    )
    found = _faults(text, given={"b": 4, "c": "z", "q": 1})
    assert len(found) == 5
    assert "unknown parameter 'q'; allowed: a, b, c, d" in found[0]
    assert "incident.subject.service" in found[1]
    assert "at most 3" in found[2]
    assert "one of x, y" in found[3]
    assert "the caller" in found[4]


def test_an_optional_one_that_nobody_gave_is_an_empty_variable() -> None:
    found = _resolve("  a: {type: string, required: false}\n")
    assert found.values == {}
    assert found.absent == ("a",)
    assert found.environment() == {"a": ""}


def test_an_answered_one_is_not_missing_before_it_is_asked() -> None:
    steps = "  - {id: q, ask: {question: 'Which?', parameter: which}}\n"
    document = _document("  which: {type: string, enum: [a, b], from: caller}\n", steps)
    assert resolve(document, subject={}, host={}, given={}, client_id=None).absent == ("which",)
    assert answer_to("which", document.parameters["which"], "a") == "a"
    with pytest.raises(InvalidInput, match="one of a, b"):
        answer_to("which", document.parameters["which"], "c")


def test_a_secret_is_no_answer() -> None:
    document = _document("  token: {type: secret, from: secret.API_TOKEN}\n")
    with pytest.raises(InvalidInput, match="never asked for"):
        answer_to("token", document.parameters["token"], "c")


def test_secrets_stay_references() -> None:
    text = "  token: {type: secret, from: secret.API_TOKEN}\n"
    found = _resolve(text)
    assert found.secrets == {"token": SecretRef(client_id="acme", name="API_TOKEN")}
    assert found.values == {}
    assert found.environment() == {}
    assert "a value for a secret" in _faults(text, given={"token": "hunter2"})[0]
    assert "hunter2" not in _faults(text, given={"token": "hunter2"})[0]
    assert "no client" in _faults(text, client_id=None)[0]


@pytest.mark.parametrize(
    ("kind", "raw", "value"),
    [
        ("string", 80, "80"),
        ("string", 90.0, "90"),
        ("string", 90.5, "90.5"),
        ("string", True, "true"),
        ("string", ["/a", "/b c"], "/a\n/b c"),
        ("string", [], ""),
        ("string", "$(reboot)\n'\"", "$(reboot)\n'\""),
        ("integer", "80", 80),
        ("integer", 80.0, 80),
        ("boolean", "false", False),
    ],
)
def test_raw_values_take_the_parameters_type(kind: str, raw: Any, value: Any) -> None:
    found = _resolve(f"  a: {{type: {kind}, from: incident.subject.x}}\n", subject={"x": raw}).values["a"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("kind", "raw", "says"),
    [
        ("string", "a\0b", "NUL"),
        ("string", "\ud800", "surrogates"),
        ("string", "x" * 64_001, "64001 characters"),
        ("string", "-rf", "leading -"),
        ("string", ["/a", "-rf"], "leading -"),
        ("string", ["a\nb"], "no single line"),
        ("string", {"a": 1}, "a mapping"),
        ("string", [["a"]], "no single line"),
        ("integer", -5, "leading -"),
        ("integer", 1.5, "whole number"),
        ("integer", True, "whole number"),
        ("integer", "0x10", "whole number"),
        ("integer", "9" * 5_000, "whole number"),
        ("boolean", "yes", "true or false"),
        ("boolean", 1, "true or false"),
    ],
)
def test_values_that_are_not_data_of_the_type_are_refused(kind: str, raw: Any, says: str) -> None:
    assert says in _faults(f"  a: {{type: {kind}, from: incident.subject.x}}\n", subject={"x": raw})[0]


def test_a_leading_dash_is_allowed_where_the_parameter_says_so() -> None:
    text = "  a: {type: string, allow_leading_dash: true}\n  b: {type: integer, allow_leading_dash: true}\n"
    assert _resolve(text, given={"a": "-x", "b": -3}).values == {"a": "-x", "b": -3}


def test_a_whole_scalar_stands_for_its_parameter_with_its_type() -> None:
    values = {"port": 80, "name": "x"}
    assert scalar("$port", values) == 80
    assert scalar("$name", values) == "x"
    assert scalar("a$name", values) == "a$name"
    assert scalar("$name ", values) == "$name "
    assert scalar(5, values) == 5
    with pytest.raises(InvalidInput, match=r"\$gone"):
        scalar("$gone", values)


@pytest.mark.parametrize(
    ("pattern", "value", "expected"),
    [
        ("[a-z]+", "abc", True),
        ("[a-z]+", "abc\n", False),
        ("[a-z]+", "xabcX", False),
        ("a|b", "ab", False),
        ("a|b", "b", True),
        ("(?m)^a$", "a\nb", False),
        ("(?i)a", "A", True),
        ("", "", True),
        ("", "a", False),
        (".*", "a\nb", False),
    ],
)
def test_patterns_are_full_matches(pattern: str, value: str, expected: bool) -> None:
    assert problem_of(pattern) is None
    assert matches(pattern, value) is expected


def test_a_hostile_value_cannot_make_a_pattern_slow() -> None:
    assert problem_of("(a+)+b") is None
    assert not matches("(a+)+b", "a" * 60_000)  # a back-tracking engine would not end


@pytest.mark.parametrize(
    "pattern", [r"(a)\1", "(?=a)", "(?<!a)b", "a)|(?:b", "[", "(a{1000}){1000}", "x" * 1001, "(?x)a #"]
)
def test_patterns_outside_the_dialect_are_refused(pattern: str) -> None:
    problem = problem_of(pattern)
    assert problem is not None
    assert "allowed:" in problem
