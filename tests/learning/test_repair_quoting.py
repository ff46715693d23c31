"""A text from telemetry enters a step through one function, or not at all."""

from __future__ import annotations

import shlex
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.learning.repairs.quoting import (
    STATE_ROOTS,
    VOLATILE_ROOTS,
    quoted,
    safe_command,
    safe_path,
    safe_port,
    safe_unit,
)

ROOTS = VOLATILE_ROOTS + STATE_ROOTS


@pytest.mark.parametrize("path", ["/run/shopd.lock", "/var/lib/postgresql/15/main/postmaster.pid", "/tmp/a@b+c-1"])
def test_plain_paths_below_a_root(path: str) -> None:
    assert safe_path(path, ROOTS) == path


@pytest.mark.parametrize(
    "path",
    [
        None, "", "run/x", "/run", "/run/", "/etc/passwd", "/run/../etc/passwd", "/run/./x", "/run//x", "/run/a b",
        "/run/$(reboot)", "/run/`id`", "/run/a;b", "/run/a'b", '/run/a"b', "/run/a\nb", "/run/*", "/run/-rf",
        "/run/systemd/system/x.service", "/run/user/0/x", "/running/x", "/run/" + "a" * 300, "/run/ü", "/run/\u202ex",
    ],
)  # fmt: skip
def test_everything_else_is_refused(path: str | None) -> None:
    assert safe_path(path, ROOTS) is None


@given(st.text(max_size=60))
def test_what_is_let_through_is_one_literal_sh_word(text: str) -> None:
    path = safe_path("/run/" + text, ROOTS)
    if path is not None:
        assert shlex.split(quoted(path, {})) == [path]


@pytest.mark.parametrize(
    ("path", "parameters", "word"),
    [
        ("/run/shopd.lock", {"service": "shopd"}, '"/run/${service}.lock"'),
        ("/run/shopd/shopd.pid", {"service": "shopd"}, '"/run/${service}/${service}.pid"'),
        ("/run/shopd.lock", {"service": "shopd.service"}, '"/run/${service%.service}.lock"'),
        ("/run/shopd2.lock", {"service": "shopd"}, '"/run/shopd2.lock"'),
        ("/run/my-shopd_x.lock", {"service": "shopd"}, '"/run/my-${service}_x.lock"'),
        ("/run/db.lock", {"service": "db"}, '"/run/db.lock"'),
        ("/srv/archive/.lock", {"path": "/srv/archive", "job": "archive"}, '"${path}/.lock"'),
    ],
)
def test_the_subject_becomes_its_parameter(path: str, parameters: dict[str, str], word: str) -> None:
    assert quoted(path, parameters) == word
    values = {**parameters, "PATH": "/usr/bin:/bin"}
    printed = subprocess.run(["sh", "-c", f"printf %s {word}"], env=values, capture_output=True, text=True, check=True)
    assert printed.stdout == path


def test_nothing_else_can_be_quoted() -> None:
    with pytest.raises(ValueError, match="allowed"):
        quoted("/run/$(reboot)", {})


def test_names_and_numbers() -> None:
    assert safe_command("fuser") == "fuser"
    assert safe_command("a;b") is None
    assert safe_command("-rf") is None
    assert safe_unit("shopd@1.service") == "shopd@1.service"
    assert safe_unit("shopd.service;reboot") is None
    assert safe_port("8080") == 8080
    assert safe_port("99999") is None
    assert safe_port("80 ") is None
