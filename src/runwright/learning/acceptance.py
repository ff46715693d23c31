"""What a candidate must be before a person is asked to look at it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from runwright.learning.repairs.quoting import CONFIG_ROOTS, STATE_ROOTS, VOLATILE_ROOTS, safe_path
from runwright.learning.signals.telemetry import lines
from runwright.model.documents import RunbookDocument, Verify
from runwright.model.errors import InvalidInput
from runwright.model.executions import ExecutionResult
from runwright.model.risk import RiskReport, RiskVerdict
from runwright.runbooks.lint import lint
from runwright.runbooks.load import LoadedRunbook, load_runbook
from runwright.runbooks.risk import added_risk

_COPIED_LENGTH = 10
"""Characters from which a command that also stands in telemetry counts as copied from there."""

_ADVICE = frozenset({"systemctl daemon-reload"})
"""What the system's own tools tell people to run, word by word; it takes no operand that could be planted."""

_ALLOWED_ROOTS = VOLATILE_ROOTS + STATE_ROOTS + CONFIG_ROOTS
_ABSOLUTE = re.compile(r"(?<![\w.$}-])/[A-Za-z0-9._/@+-]{2,200}")
_URL = re.compile(r"\b[a-z][a-z0-9+.-]{1,20}://[^\s\"']{3,200}", re.IGNORECASE)


def weakened(parent: RunbookDocument, child: RunbookDocument) -> Iterator[str]:
    """How the child proves less than its parent: checks that are gone, changed, or held for a shorter time."""
    there = {check.id: check for check in child.verify}
    for check in parent.verify:
        now = there.get(check.id)
        if now is None:
            yield f"the check {check.id} is gone"
        elif _essence(now) != _essence(check):
            yield f"the check {check.id} asks something else"
        elif (now.hold or 0.0) < (check.hold or 0.0):
            yield f"the check {check.id} must hold for a shorter time"
    for name, parameter in parent.parameters.items():
        if name in child.parameters and child.parameters[name] != parameter:
            yield f"the parameter {name} is constrained otherwise"


def _essence(check: Verify) -> object:
    return check.run, check.service, check.http, check.wait_for


def _new_commands(parent: LoadedRunbook, child: LoadedRunbook) -> Iterator[str]:
    """Shell lines of the child that its parent does not have."""
    known = {line.strip() for line in parent.text.splitlines()}
    texts: list[str | None] = []
    for step in (*child.document.steps, *child.document.rollback):
        texts += [step.run, step.only_if, step.unless, step.until, step.wait_for.run if step.wait_for else None]
    for check in child.document.verify:
        texts += [check.run, check.wait_for.run if check.wait_for else None]
    for text in texts:
        for line in (text or "").splitlines():
            if line.strip() and line.strip() not in known:
                yield line.strip()


def copied(parent: LoadedRunbook, child: LoadedRunbook, result: ExecutionResult) -> Iterator[str]:
    """New commands, addresses and paths that come out of telemetry unchecked (promise 7)."""
    telemetry = "\n".join(line.text for line in lines(result))
    squeezed = " ".join(telemetry.split())
    for command in _new_commands(parent, child):
        plain = " ".join(command.split())
        for part in (plain, *re.split(r"\s*(?:&&|\|\||;|\|)\s*", plain)):
            if len(part) >= _COPIED_LENGTH and part in squeezed and part not in _ADVICE:
                yield f"the command {part[:120]!r} was copied from telemetry"
                break
        for found in _URL.findall(command):
            if found.rstrip("/.,") in telemetry:
                yield f"the address {found[:120]!r} was copied from telemetry"
        for path in _ABSOLUTE.findall(command):
            plain_path = path.rstrip("./")
            if plain_path in telemetry and plain_path not in parent.text and _executable(command, path):
                yield f"the program {plain_path[:120]!r} was taken from telemetry"
            elif plain_path in telemetry and plain_path not in parent.text and not _known(plain_path):
                yield f"the path {plain_path[:120]!r} was taken from telemetry"


def _known(path: str) -> bool:
    return path.startswith(("/proc", "/dev/null", "/etc/fstab", "/sys/fs/cgroup", "/dev/shm")) or (  # noqa: S108 - named
        path in _ALLOWED_ROOTS or safe_path(path, _ALLOWED_ROOTS) is not None
    )


def _executable(command: str, path: str) -> bool:
    """Whether the path stands where a program is called."""
    called = r"(?:^|[;&|(`]\s*|\$\(\s*|\b(?:exec|sh|bash|env|sudo|nohup)\s+)"
    return re.search(called + re.escape(path), command) is not None


def load_candidate(text: str) -> tuple[LoadedRunbook | None, list[str]]:
    """The candidate, or the faults in its text."""
    try:
        return load_runbook(text), []
    except InvalidInput as error:
        return None, [str(fault) for fault in error.faults] or [error.found]


def _problems(parent: LoadedRunbook, child: LoadedRunbook, rejected: frozenset[str]) -> list[str]:
    found: list[str] = []
    if child.digest == parent.digest:
        found.append("it changes nothing")
    if child.digest in rejected:
        found.append("this very version was rejected before")
    if child.document.id != parent.document.id:
        found.append("it is another runbook")
    new = {item.message for item in lint(child) if item.severity == "error"} - {item.message for item in lint(parent)}
    found += sorted(new)
    found += weakened(parent.document, child.document)
    return found


def judge(
    parent: LoadedRunbook, text: str, rejected: frozenset[str], drafted_from: ExecutionResult | None = None
) -> tuple[LoadedRunbook | None, RiskReport, list[str]]:
    """The loaded candidate, the risk that it adds, and why it is not accepted; no reason means that it is.

    `drafted_from` is the telemetry that a model had before its eyes: what a draft copies from there is refused. The
    catalogue needs no such check, since its literals pass `repairs.quoting`.
    """
    child, problems = load_candidate(text)
    if child is None:
        return None, RiskReport(), problems
    problems = _problems(parent, child, rejected)
    if drafted_from is not None:
        problems += dict.fromkeys(copied(parent, child, drafted_from))
    risk = added_risk(parent.document, child.document)
    if risk.verdict is RiskVerdict.REFUSE:
        problems.append(f"it adds a risk that is refused: {risk.explanation}")
    return child, risk, problems
