"""Promises that types cannot keep, kept by reading the source: who may ask the time, make an admission, be long."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "runwright"

RANDOM_OR_TIME = {"time", "uuid", "random", "secrets"}
"""Modules that answer differently each time they are asked."""

ASKING = re.compile(r"(?:\w+\.)*(?:datetime|date)\.(?:now|utcnow|today)|os\.(?:urandom|getrandom)|.*loop.*\.time")
"""Calls that do the same."""

MAY_ASK = {
    "adapters": "the clock and the host adapters are where time and randomness come from",
    "access/passwords.py": "secrets of sessions and tokens come from the system's own generator, whatever the clock is",
    "surfaces/api/problems.py": "a reference that joins an answer to the log",
    "surfaces/record.py": "runs within other people's automation, where no clock of ours is",
    "surfaces/delivery.py": "the same: it waits between two tries",
    "surfaces/ansible": "runs within Ansible",
    "surfaces/cli/demo": "tells how long its story took, and makes up a password for its own person",
}
"""Path (a folder or a file) -> why it may."""

MAKERS = {
    "ApprovedRunbook": "review/gate.py",
    "LabRunbook": "lab/gate.py",
}
"""Admission type -> the one file that constructs it."""

LONGEST_FILE = 600
LONGEST_FUNCTION = 60


@cache
def trees() -> dict[str, ast.Module]:
    """Every module of the package, by its path in it."""
    return {
        path.relative_to(SOURCE).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(SOURCE.rglob("*.py"))
    }


def within(path: str, places: dict[str, str]) -> bool:
    return any(path == place or path.startswith(f"{place}/") for place in places)


def imported(tree: ast.Module) -> Iterator[str]:
    """Top names of everything a module imports, at its top or within functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module


def called(tree: ast.Module) -> Iterator[str]:
    """Dotted names of everything that is called, as written."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


def test_the_scan_sees_the_package() -> None:
    assert len(trees()) > 250
    assert {"loop.py", "review/gate.py", "model/admission.py"} <= set(trees())


def test_time_and_randomness_come_from_the_clock() -> None:
    asking = {
        path
        for path, tree in trees().items()
        if {name.partition(".")[0] for name in imported(tree)} & RANDOM_OR_TIME
        or any(
            re.fullmatch(
                r"(?:\w+\.)*(?:datetime|date)\.(?:now|utcnow|today)|os\.(?:urandom|getrandom)|.*loop.*\.time", name
            )
            for name in called(tree)
        )
    }
    assert {path for path in asking if not within(path, MAY_ASK)} == set()
    unused = {place for place in MAY_ASK if not any(within(path, {place: ""}) for path in asking)}
    assert unused == set(), "these no longer ask: remove them from the list"


def test_rooms_wait_by_the_clock() -> None:
    """asyncio.sleep in a room would make its tests wait for real. Surfaces and adapters live in real time."""
    waiting = {
        path
        for path, tree in trees().items()
        if any(name in ("asyncio.sleep", "sleep") for name in called(tree))
        and not path.startswith(("adapters/", "surfaces/"))
    }
    assert waiting == set()


@pytest.mark.parametrize("name", MAKERS)
def test_an_admission_has_one_maker(name: str) -> None:
    making = {path for path, tree in trees().items() if any(called_.split(".")[-1] == name for called_ in called(tree))}
    assert making == {MAKERS[name]}


@pytest.mark.parametrize("name", MAKERS)
def test_nobody_goes_around_the_constructor(name: str) -> None:
    """`object.__new__(ApprovedRunbook)`, `cls = ApprovedRunbook`: the name is only called, compared or annotated."""
    odd = []
    for path, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and any(
                isinstance(argument, ast.Name) and argument.id == name for argument in node.args
            ):
                if ast.unparse(node.func) != "isinstance":
                    odd.append(f"{path}:{node.lineno}")
            elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Name) and node.value.id == name:
                odd.append(f"{path}:{node.lineno}")
    assert odd == []


def test_the_types_are_defined_once() -> None:
    found = [
        (path, node.name)
        for path, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and node.name in (*MAKERS, "AdmittedRunbook")
    ]
    assert sorted(found) == [("model/admission.py", name) for name in ("AdmittedRunbook", *MAKERS)]


def test_dbos_is_known_to_its_adapter_alone() -> None:
    knowing = {path for path, tree in trees().items() if any(n.partition(".")[0] == "dbos" for n in imported(tree))}
    assert knowing
    assert all(path.startswith("adapters/durable/") for path in knowing)


@pytest.mark.parametrize(
    ("package", "home"),
    [
        ("sqlalchemy", ("adapters/storage/", "adapters/durable/")),
        ("alembic", ("adapters/storage/",)),
        ("pydantic_ai", ("adapters/llm/",)),
        ("fastapi", ("surfaces/api/", "surfaces/dashboard/")),
        ("jinja2", ("surfaces/dashboard/",)),
        ("typer", ("surfaces/cli/",)),
        ("rich", ("surfaces/cli/",)),
        (
            "subprocess",
            ("adapters/", "surfaces/cli/demo/", "surfaces/record.py", "runbooks/shell.py"),
        ),  # the shell's parser is one
    ],
)
def test_each_part_has_its_home(package: str, home: tuple[str, ...]) -> None:
    knowing = {path for path, tree in trees().items() if any(n.partition(".")[0] == package for n in imported(tree))}
    assert {path for path in knowing if not path.startswith(home)} == set()


def test_the_model_imports_itself_and_pydantic_alone() -> None:
    allowed = {"runwright", "pydantic", "pydantic_core", "rfc8785", "__future__"}
    standard = {
        "base64",  # public keys and signatures are written in it
        "binascii",
        "collections",
        "contextlib",
        "dataclasses",
        "datetime",
        "enum",
        "hashlib",
        "re",
        "typing",
        "unicodedata",
    }
    for path, tree in trees().items():
        if path.startswith("model/"):
            assert {name.partition(".")[0] for name in imported(tree)} <= allowed | standard, path
            assert all(name.startswith("runwright.model") for name in imported(tree) if name.startswith("runwright")), (
                path
            )


def test_no_file_is_too_long() -> None:
    long = {}
    for path in [*SOURCE.rglob("*.py"), *(ROOT / "tests").rglob("*.py")]:
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > LONGEST_FILE:
            long[path.relative_to(ROOT).as_posix()] = lines
    assert long == {}


def test_no_function_is_too_long() -> None:
    long = {
        f"{path}:{node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > LONGEST_FUNCTION
    }
    assert long == {}


IGNORE = re.compile(r"#\s*(?:type:\s*ignore|noqa|pragma)(?P<codes>[\[:]\s*[\w\-, ]+\]?)?(?P<reason>.*)$")


@pytest.mark.parametrize("folder", ["src", "scripts"])
def test_every_ignore_says_what_and_why(folder: str) -> None:
    bad = []
    for path in sorted((ROOT / folder).rglob("*")):
        if path.suffix not in (".py", "") or not path.is_file() or not looks_like_python(path):
            continue
        for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline):
            found = IGNORE.search(token.string) if token.type == tokenize.COMMENT else None
            if found and (not found["codes"] or not reason_of(token.string)):
                bad.append(f"{path.relative_to(ROOT)}:{token.start[0]}: {token.string}")
    assert bad == []


def reason_of(comment: str) -> str:
    """What a comment says beside `noqa: X` and `type: ignore[x]`."""
    without = re.sub(r"#\s*noqa:\s*[A-Z]+[0-9]+(?:,\s*[A-Z]+[0-9]+)*", "", comment)
    return re.sub(r"#\s*type:\s*ignore\[[\w\-, ]+\]", "", without).strip(" #-")


def looks_like_python(path: Path) -> bool:
    return path.suffix == ".py" or "python" in path.read_text(encoding="utf-8").partition("\n")[0]


def test_public_modules_and_classes_of_rooms_say_what_they_are_for() -> None:
    silent = [
        path
        for path, tree in trees().items()
        if tree.body and ast.get_docstring(tree) is None and not path.endswith("__init__.py")
    ]
    assert silent == []
