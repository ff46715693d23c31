"""Lint: what a valid runbook may still get wrong. Errors keep a version out of review; warnings inform it."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

from runwright.model.base import Record
from runwright.model.documents import RunbookDocument, ServiceState, Step
from runwright.model.risk import RiskVerdict
from runwright.runbooks.lint_shell import ShellProblem, shell_problems, uses
from runwright.runbooks.load import LoadedRunbook
from runwright.runbooks.risk import assess_runbook
from runwright.runbooks.semantics import SECTIONS, shell_texts, steps_of, typed_strings
from runwright.runbooks.shell import parse_shell
from runwright.runbooks.visible import hidden_in, name_of
from runwright.runbooks.yaml_nodes import Path, path_text


class Level(StrEnum):
    """How much a finding weighs."""

    ERROR = "error"
    """Keeps the version out of review."""
    WARNING = "warning"
    INFO = "info"


class LintFinding(Record):
    """One finding with its rule and place. Line and column count from 1."""

    rule: str
    severity: Level
    message: str
    line: int
    column: int
    path: str


def lint(loaded: LoadedRunbook) -> tuple[LintFinding, ...]:
    """Everything lint has to say about a runbook, in the order of the text."""
    findings = [*_shell(loaded), *_structure(loaded), *_parameters(loaded), *_risk(loaded), *_text(loaded)]
    return tuple(sorted(set(findings), key=lambda each: (each.line, each.column, each.rule, each.message)))


def _finding(loaded: LoadedRunbook, path: Path, rule: str, severity: Level, message: str) -> LintFinding:
    line, column = loaded.yaml.position(path)
    return LintFinding(
        rule=rule, severity=severity, message=message, line=line, column=column, path=path_text(path) or "runbook"
    )


def _shell(loaded: LoadedRunbook) -> Iterator[LintFinding]:
    """Text by text; the line within a block scalar is added to the block's own."""
    names = frozenset(loaded.document.parameters)
    texts = list(shell_texts(loaded.data))
    for (path, _), tree in zip(texts, parse_shell([text for _, text in texts]), strict=True):
        node = loaded.yaml.node(path)
        for problem in shell_problems(tree, names):
            offset = problem.line + 1 if node.style == "|" else 0
            finding = _finding(loaded, path, problem.rule, _level(problem), problem.message)
            yield finding.model_copy(update={"line": finding.line + offset, "column": 1}) if offset else finding
        if node.style == "" and _cut_by_comment(loaded, path):
            message = (
                "found # behind plain text: YAML drops the rest of the line; write a block (|) or quotes to keep it"
            )
            yield _finding(loaded, path, "comment-cuts-command", Level.INFO, message)


def _level(problem: ShellProblem) -> Level:
    return Level.ERROR if problem.error else Level.WARNING


def _cut_by_comment(loaded: LoadedRunbook, path: Path) -> bool:
    rest = loaded.text[loaded.yaml.node(path).end.index :].split("\n", 1)[0]
    return rest.lstrip(" \t").startswith("#")


def _structure(loaded: LoadedRunbook) -> Iterator[LintFinding]:
    document = loaded.document
    if not document.verify:
        message = "found no verify section; without one only the incident type's own verifier says whether it worked"
        yield _finding(loaded, (), "no-verify", Level.WARNING, message)
    for index, check in enumerate(document.verify):
        if check.service is not None and check.service.state in (ServiceState.RESTARTED, ServiceState.RELOADED):
            message = f"found state {check.service.state}; a check looks, it does not act: started or stopped"
            yield _finding(loaded, ("verify", index, "service", "state"), "verify-acts", Level.WARNING, message)
        if check.http is not None and check.http.method not in ("GET", "HEAD"):
            message = f"found method {check.http.method}; a check looks, it does not act: GET or HEAD"
            yield _finding(loaded, ("verify", index, "http", "method"), "verify-acts", Level.WARNING, message)
    for section, listed in (("steps", document.steps), ("rollback", document.rollback)):
        for index, step in enumerate(listed):
            if _not_repeatable(step):
                message = (
                    "found a step that is neither idempotent nor guarded by unless or only_if; "
                    "after a crash in the middle of it a person must decide"
                )
                yield _finding(loaded, (section, index), "not-repeatable", Level.INFO, message)
            if step.until is not None and step.retry is None:
                message = "found until without retry: it is asked once"
                yield _finding(loaded, (section, index, "until"), "until-without-retry", Level.INFO, message)


def _not_repeatable(step: Step) -> bool:
    return not step.is_idempotent and step.unless is None and step.only_if is None and step.call is None


def _parameters(loaded: LoadedRunbook) -> Iterator[LintFinding]:
    document = loaded.document
    trees = parse_shell([text for _, text in shell_texts(loaded.data)])
    used = {name for tree in trees for name in uses(tree)}
    used |= {text.removeprefix("$") for _, text in typed_strings(loaded.data) if text.startswith("$")}
    source = "\n".join(text for _, text in shell_texts(loaded.data))
    for name, parameter in document.parameters.items():
        if name not in used and f"${name}" not in source and f"${{{name}" not in source:
            message = f"found the parameter {name} used nowhere"
            yield _finding(loaded, ("parameters", name), "unused-parameter", Level.WARNING, message)
        free = parameter.type == "string" and parameter.pattern is None and parameter.enum is None
        if free and parameter.from_ not in (None, "caller"):
            message = f"found text from {parameter.from_} without pattern or enum; say what it may be"
            yield _finding(loaded, ("parameters", name), "unconstrained-parameter", Level.WARNING, message)


def _risk(loaded: LoadedRunbook) -> Iterator[LintFinding]:
    levels = {RiskVerdict.REFUSE: Level.ERROR, RiskVerdict.WARN: Level.WARNING}
    for found in assess_runbook(loaded.document).findings:
        if found.verdict in levels and found.rule != "unparsed":
            safer = f" Safer: {found.safer}" if found.safer else ""
            path = _path(loaded.document, loaded, found.place or "")
            message = f"{found.command[:200]}: {found.explanation}{safer}"
            yield _finding(loaded, path, f"risk/{found.rule}", levels[found.verdict], message)


def _path(document: RunbookDocument, loaded: LoadedRunbook, place: str) -> Path:
    """`steps.restart.run` -> ('steps', 1, 'run')."""
    section, _, rest = place.partition(".")
    name, _, field = rest.partition(".")
    if section in SECTIONS:
        for path, step in steps_of(loaded.data):
            if path[0] == section and step.get("id") == name:
                return (*path, *(field.split(".") if field else ()))
    return ()


def _text(loaded: LoadedRunbook) -> Iterator[LintFinding]:
    """Characters nobody sees, outside the fields where the loader refuses them: comments, descriptions."""
    for number, line in enumerate(loaded.text.split("\n"), start=1):
        for index, character in hidden_in(line.removesuffix("\r")):
            message = f"found the character {name_of(character)}, which people do not see"
            yield LintFinding(
                rule="hidden-character",
                severity=Level.WARNING,
                message=message,
                line=number,
                column=index + 1,
                path="text",
            )
