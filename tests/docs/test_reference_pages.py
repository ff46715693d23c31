"""The reference says what the code does: generated pages are up to date, the written ones name every word."""

from __future__ import annotations

import re
from enum import Enum
from pathlib import Path
from types import ModuleType

import pytest
from pydantic import BaseModel

from runwright.lab.scenarios import parse_scenario
from runwright.model.diagnoses import FailureType
from runwright.model.documents import (
    Ask,
    BooleanParameter,
    Call,
    HttpCheck,
    IntegerParameter,
    Retry,
    RunbookDocument,
    SecretParameter,
    ServiceAction,
    ServiceState,
    Step,
    StepKind,
    StringParameter,
    Verify,
    WaitFor,
)
from runwright.model.executions import ExecutionStatus, StepStatus
from runwright.model.incidents import IncidentStatus, incident_kinds
from runwright.model.lab import Expectation, Scenario, TrialOutcome
from runwright.model.reviews import ActivationState, ReviewStatus
from runwright.model.risk import RiskClass
from runwright.model.severity import Severity
from runwright.model.verdicts import VerificationOutcome
from runwright.runbooks.lint import Level, lint
from runwright.runbooks.load import load_runbook
from support.doc_pages import first_example

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"


def page(name: str) -> str:
    return (REFERENCE / name).read_text(encoding="utf-8")


def quoted(text: str) -> set[str]:
    """Every word in backquotes, lists within one pair taken apart."""
    return {word for span in re.findall(r"`([^`\n]+)`", text) for word in re.split(r"[\s,()]+", span)}


def test_generated_pages_are_up_to_date(reference: ModuleType) -> None:
    stale = [
        path.relative_to(ROOT).as_posix()
        for path, text in reference.pages().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    assert stale == [], "run: .venv/bin/python scripts/write-reference"


def test_no_schema_is_left_over(reference: ModuleType) -> None:
    assert set(REFERENCE.rglob("schemas/*")) <= set(reference.pages())


def test_every_variable_that_is_read_is_documented() -> None:
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py")]
    read = {name for text in texts for name in re.findall(r"RUNWRIGHT_[A-Z_]*[A-Z]", text)}
    assert len(read) > 8
    assert read <= quoted(page("settings.md"))


def test_codes_of_runs_that_are_documented_exist(reference: ModuleType) -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "src/runwright/execution").glob("*.py"))
    assert {code for code in reference.RUN_ERRORS if f'"{code}"' not in source} == set()


def test_codes_of_answers_that_are_documented_exist(reference: ModuleType) -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "src/runwright/surfaces/api").glob("*.py"))
    assert {code for code in reference.PLAIN_HTTP if f'"{code}"' not in source} == set()


@pytest.mark.parametrize(
    "words",
    [
        IncidentStatus,
        ExecutionStatus,
        StepStatus,
        ReviewStatus,
        ActivationState,
        FailureType,
        RiskClass,
        VerificationOutcome,
    ],
    ids=lambda kind: kind.__name__,
)
def test_the_glossary_knows_every_word(words: type[Enum]) -> None:
    assert {item.value for item in words} <= quoted(page("glossary.md"))


LANGUAGE: list[type[BaseModel] | type[Enum]] = [
    RunbookDocument,
    Step,
    Verify,
    ServiceAction,
    HttpCheck,
    WaitFor,
    Call,
    Ask,
    Retry,
    StringParameter,
    IntegerParameter,
    BooleanParameter,
    SecretParameter,
    StepKind,
    ServiceState,
    Severity,
]


@pytest.mark.parametrize("kind", LANGUAGE, ids=lambda kind: kind.__name__)
def test_the_language_page_names_every_field(kind: type[BaseModel] | type[Enum]) -> None:
    words = quoted(page("runbook-language.md"))
    assert names_of(kind) - words == set()


@pytest.mark.parametrize("kind", [Scenario, Expectation, TrialOutcome], ids=lambda kind: kind.__name__)
def test_the_scenario_page_names_every_field(kind: type[BaseModel] | type[Enum]) -> None:
    assert names_of(kind) - quoted(page("scenario-format.md")) == set()


def names_of(kind: type[BaseModel] | type[Enum]) -> set[str]:
    if issubclass(kind, Enum):
        return {str(item.value) for item in kind}
    return {field.alias or name for name, field in kind.model_fields.items()}


def test_the_language_page_names_every_subject_with_its_fields_and_runbook() -> None:
    table = page("runbook-language.md").partition("## Subjects")[2]
    for name, kind in incident_kinds().items():
        if kind.standard_runbook is None or not kind.standard_runbook.startswith("RB-LINUX-"):
            continue
        (row,) = [line for line in table.splitlines() if line.startswith(f"| `{name}` |")]
        assert {str(name), kind.standard_runbook, *kind.subject.model_fields} <= quoted(row)


def test_the_runbook_in_the_page_is_one() -> None:
    loaded = load_runbook(first_example(REFERENCE / "runbook-language.md"))
    assert [finding for finding in lint(loaded) if finding.severity is not Level.INFO] == []
    assert set(loaded.data) >= {"controls", "parameters", "verify", "rollback"}


def test_the_scenario_in_the_page_is_one() -> None:
    scenario = parse_scenario(first_example(REFERENCE / "scenario-format.md"))
    assert scenario.keeps


def test_links_between_pages_lead_somewhere(doc_pages: dict[str, str]) -> None:
    broken = []
    for name, text in doc_pages.items():
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            found = (ROOT / name).parent / path if path else ROOT / name
            if not found.exists() or (anchor and anchor not in anchors(found)):
                broken.append(f"{name}: {target}")
    assert broken == []


def anchors(path: Path) -> set[str]:
    heads = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def test_pages_that_name_files_of_the_project_name_real_ones(doc_pages: dict[str, str]) -> None:
    missing = []
    for name, text in doc_pages.items():
        for path in re.findall(r"`((?:src|tests|docs|scripts)/[\w./-]+)`", text):
            if not (ROOT / path.rstrip("/")).exists():
                missing.append(f"{name}: {path}")
    assert missing == []
