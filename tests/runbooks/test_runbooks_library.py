"""The starter library: it loads, it is clean, and its careful parts are careful when run."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from runwright.model.incidents import incident_kinds, parse_subject
from runwright.model.risk import RiskVerdict
from runwright.runbooks.library import starter_runbooks
from runwright.runbooks.lint import Level, lint
from runwright.runbooks.load import LoadedRunbook
from runwright.runbooks.parameters import resolve
from runwright.runbooks.risk import assess_runbook
from runwright.runbooks.semantics import shell_texts

SUBJECTS = {
    "service_crash": {"service": "nginx.service"},
    "disk_full": {"mount": "/", "protect": ["/var/log/audit", "/srv/data"]},
    "high_cpu": {"process": "busy"},
    "memory_leak": {"service": "leaky@1", "limit_mb": 300.5},
    "cert_expiry": {"endpoint": "127.0.0.1:443", "path": "/etc/ssl/x.pem", "renew_unit": "renew.service"},
    "backup_failure": {"job": "backup.service", "path": "/srv/backup"},
}


def _named(runbook: str) -> LoadedRunbook:
    return next(loaded for loaded in starter_runbooks() if loaded.document.id == runbook)


def test_each_incident_type_has_its_standard_runbook() -> None:
    ids = {loaded.document.id for loaded in starter_runbooks()}
    for kind in incident_kinds().values():
        if kind.name in SUBJECTS:
            assert kind.standard_runbook in ids
            assert _named(str(kind.standard_runbook)).document.incident_types == (kind.name,)
    assert len(ids) == 6


@pytest.mark.parametrize("which", range(6))
def test_starters_lint_without_errors_and_refuse_nothing(which: int) -> None:
    loaded = starter_runbooks()[which]
    assert [finding for finding in lint(loaded) if finding.severity is Level.ERROR] == []
    assert assess_runbook(loaded.document).verdict is RiskVerdict.OK
    assert loaded.document.verify


@pytest.mark.parametrize("which", range(6))
@pytest.mark.parametrize("shell", ["dash", "bash", "busybox"])
def test_starters_are_posix_sh(which: int, shell: str) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")
    command = [program, *(["sh"] if shell == "busybox" else []), "-n"]
    for path, text in shell_texts(starter_runbooks()[which].data):
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (path, done.stderr)


@pytest.mark.parametrize("incident_type", sorted(SUBJECTS))
@pytest.mark.parametrize("filled", [True, False], ids=["with defaults", "as given"])
def test_starters_run_with_the_subjects_of_their_incidents(incident_type: str, filled: bool) -> None:
    subject = parse_subject(incident_type, SUBJECTS[incident_type])
    data = subject.model_dump(mode="json") if filled else dict(SUBJECTS[incident_type])
    document = _named(str(incident_kinds()[incident_type].standard_runbook)).document
    found = resolve(document, subject=data, host={}, given={}, client_id=None)
    assert set(found.environment()) == set(document.parameters)


def _sh(text: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh"], input=text, capture_output=True, text=True, check=False, env={"PATH": os.environ["PATH"], **environment}
    )


def _remove_rotated(root: Path, protect: str) -> str:
    step = next(step for step in _named("RB-LINUX-DISK-001").document.steps if step.id == "remove-rotated-logs")
    assert step.run is not None
    return _sh(step.run.replace("/var/log", str(root)), protect=protect).stdout


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    for name in ("old.gz", "keep/old.gz", "keep too/a b.1", "new.gz", "app.log", "odd\nname.1", "keeper/old.2"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text("x")
        if file.name != "new.gz":
            os.utime(file, (1, 1))
    return tmp_path


def _left(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def test_only_old_rotated_logs_go(logs: Path) -> None:
    _remove_rotated(logs, "")
    assert _left(logs) == {"new.gz", "app.log"}


@pytest.mark.parametrize("slash", ["", "/"])
def test_what_is_protected_stays(logs: Path, slash: str) -> None:
    _remove_rotated(logs, f"{logs}/keep{slash}\n\n{logs}/keep too/a b.1")
    assert _left(logs) == {"new.gz", "app.log", "keep/old.gz", "keep too/a b.1"}


@pytest.mark.parametrize("above", ["/", "parent", "itself"])
def test_protecting_a_directory_above_protects_all(logs: Path, above: str) -> None:
    before = _left(logs)
    _remove_rotated(logs, {"/": "/", "parent": str(logs.parent), "itself": str(logs)}[above])
    assert _left(logs) == before


@pytest.mark.parametrize(
    ("protect", "runs"),
    [
        ("", True),
        ("/srv", True),
        ("/var/logs", True),
        ("/", False),
        ("/var/log/", False),
        ("/var/log/journal/abc", False),
    ],
)
def test_the_journal_is_vacuumed_only_where_nothing_in_it_is_protected(protect: str, runs: bool) -> None:
    step = next(step for step in _named("RB-LINUX-DISK-001").document.steps if step.id == "vacuum-journal")
    guard = str(step.only_if)
    loop = guard[guard.index("while ") :]
    done = _sh(loop, protect=protect)
    assert (done.returncode == 0) is runs, done.stderr


@pytest.mark.parametrize(
    ("threshold", "status"), [("100", 0), ("0", 1), ("0.5", 1)], ids=["below", "above", "with a fraction"]
)
def test_the_disk_check_measures(threshold: str, status: int) -> None:
    check = _named("RB-LINUX-DISK-001").document.verify[0]
    done = _sh(str(check.run), mount="/", inodes="false", threshold_percent=threshold)
    assert done.returncode == status
    assert "use of /" in done.stdout


@pytest.mark.parametrize(("age", "status"), [("26h", 0), ("93600", 0), ("93600.0", 0), ("2d", 0), ("1m", 1), ("60", 1)])
def test_the_backup_check_reads_ages(tmp_path: Path, age: str, status: int) -> None:
    archive = tmp_path / "a.tar"
    archive.write_text("x")
    old = archive.stat().st_mtime - 3_600
    os.utime(archive, (old, old))
    check = next(check for check in _named("RB-LINUX-BACKUP-001").document.verify if check.id == "fresh-archive")
    done = _sh(str(check.run), path=str(tmp_path), max_age=age)
    assert done.returncode == status, done.stdout + done.stderr


def test_the_cpu_check_measures_a_busy_process(tmp_path: Path) -> None:
    if shutil.which("pgrep") is None:
        pytest.skip("pgrep is not installed")
    program = tmp_path / "rwbusy"
    shutil.copy(str(shutil.which("sh")), program)
    busy = subprocess.Popen([program, "-c", "while :; do :; done"])
    try:
        check = next(check for check in _named("RB-LINUX-CPU-001").document.verify if check.id == "calm")
        done = _sh(str(check.run), service="", process="rwbusy", threshold_percent="5")
        assert done.returncode == 1, done.stdout + done.stderr
        assert "of one core" in done.stdout
    finally:
        busy.kill()
        busy.wait()
    assert _sh(str(check.run), service="", process="rwbusy", threshold_percent="5").returncode == 0
