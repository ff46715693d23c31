"""Hosts that are made differently: tools and paths that a step takes for granted."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib import resources

from runwright.learning.repairs.case import Case, Suggestion
from runwright.learning.repairs.quoting import safe_command
from runwright.model.diagnoses import SignalKind
from runwright.model.proposals import Edit, SetField

_SHELL_FIELDS = ("run", "only_if", "unless", "until")


@cache
def alternatives() -> dict[str, str]:
    """Missing command -> sh function of its name that does the same with other tools (`data/tools.toml`)."""
    text = (resources.files("runwright.learning") / "data" / "tools.toml").read_text(encoding="utf-8")
    return {entry["command"]: entry["body"].strip() for entry in tomllib.loads(text)["tool"]}


def _uses(text: str, command: str) -> bool:
    return re.search(rf"(?<![A-Za-z0-9_./-]){re.escape(command)}(?![A-Za-z0-9_./-])", text) is not None


def alternative_tool(case: Case) -> Suggestion | None:
    """Give a step a function of the missing command's name that uses what this host has; its text stays as it is."""
    for index in case.find(SignalKind.COMMAND_MISSING):
        command = safe_command(case.signal(index).facts.get("command"))
        body = alternatives().get(command) if command else None
        if command is None or body is None:
            continue
        shim = f"command -v {command} >/dev/null 2>&1 || {command}() {{\n    " + body.replace("\n", "\n    ") + "\n}\n"
        edits: list[Edit] = []
        for step in case.document.steps:
            for field in _SHELL_FIELDS:
                text = getattr(step, field)
                if text is not None and _uses(text, command) and f"|| {command}()" not in text:
                    reason = f"This host has no {command}; the step gets the same from what is there."
                    edits.append(
                        SetField(step=step.id, field=field, value=shim + text, reason=reason, signals=(index,))
                    )
        if edits:
            return Suggestion("alternative_tool", tuple(edits), 0.8)
    return None


def step_without_its_tool(case: Case) -> Suggestion | None:
    """Skip a step, that the rest does not build on, where its tool is missing and nothing replaces it."""
    step = case.failed_step
    if step is None or step.run is None or step.only_if is not None or step is case.starter:
        return None
    if step is case.document.steps[-1] and case.starter is None:
        return None
    for index in case.find(SignalKind.COMMAND_MISSING):
        command = safe_command(case.signal(index).facts.get("command"))
        if command is None or command in alternatives() or not _uses(step.run, command):
            continue
        reason = f"This host has no {command}, and the rest of the runbook does not need this step to go on."
        edit = SetField(
            step=step.id,
            field="only_if",
            value=f"command -v {command} >/dev/null 2>&1",
            reason=reason,
            signals=(index,),
        )
        return Suggestion("step_without_its_tool", (edit,), 0.45)
    return None


def step_without_its_path(case: Case) -> Suggestion | None:
    """Skip a step where the path that it writes out does not exist on this host."""
    step = case.failed_step
    if step is None or step.run is None or step.only_if is not None or step is case.starter:
        return None
    for index in case.find(SignalKind.PATH_MISSING):
        path = case.signal(index).facts.get("path", "")
        if not re.fullmatch(r"/[A-Za-z0-9._/@+-]{1,199}", path) or path not in step.run:
            continue
        reason = f"{path} does not exist on every host; where it does not, there is nothing for this step to do."
        edit = SetField(step=step.id, field="only_if", value=f'test -e "{path}"', reason=reason, signals=(index,))
        return Suggestion("step_without_its_path", (edit,), 0.5)
    return None
