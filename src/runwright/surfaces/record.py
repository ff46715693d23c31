"""Record what your own automation does, as an `ExecutionResult` that Runwright learns from.

    from runwright.record import record

    with record(runbook="restart-shop.yaml", incident=incident, host="web-1", directory="results") as run:
        with run.step("restart") as step:
            step.command(["systemctl", "restart", "shop"])
        run.verified(answers(), "the shop answers on port 80")

Standard library alone. Wrong arguments raise at once, before anything of yours ran;
from then on nothing here raises into your job, unless `strict=True` asks for it. Exceptions of yours are recorded and
raised on.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import traceback
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from runwright.surfaces.delivery import OUTPUT_LIMIT, NotDelivered, cut, deliver

log = logging.getLogger("runwright.record")

SCHEMA = "runwright/execution-result/v1"


class Step:
    """One step. Each command or result in it is an attempt; the last one decides."""

    def __init__(self, run: Run, step_id: str, kind: str, section: str) -> None:
        self._run = run
        self._began = _now()
        self._record: dict[str, Any] = {"id": step_id, "kind": kind, "section": section, "status": "ok", "attempts": []}

    def command(
        self,
        argv: Sequence[str],
        *,
        timeout: float | None = None,
        success_exit_codes: Iterable[int] = (0,),
        check: bool = False,
        **options: Any,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command and record its outcome; `timeout` in seconds ends its whole session.

        `options` as for `subprocess.Popen`. What is returned has return code -1 after a timeout. With `check` a failure
        raises `subprocess.CalledProcessError`, which is then recorded as any exception of yours.
        """
        began, timed_out = _now(), False
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(list(argv), start_new_session=True, **{**pipes, **options}) as process:
            try:
                out, err = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                timed_out = True
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                out, err = process.communicate()
            except BaseException:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                raise
        code = -1 if timed_out else process.returncode
        self.result(
            None if timed_out else code,
            out or b"",
            err or b"",
            started_at=began,
            timed_out=timed_out,
            success_exit_codes=success_exit_codes,
        )
        if check and self.failed:
            raise subprocess.CalledProcessError(code, list(argv), out, err)
        return subprocess.CompletedProcess(list(argv), code, out, err)

    def result(
        self,
        exit_code: int | None,
        stdout: str | bytes = "",
        stderr: str | bytes = "",
        *,
        started_at: datetime | None = None,
        timed_out: bool = False,
        success_exit_codes: Iterable[int] = (0,),
    ) -> None:
        """Record the outcome of something that ran elsewhere. `exit_code` None: it was ended, or never answered."""
        attempts = self._record["attempts"]
        attempts.append(
            {
                "attempt": len(attempts) + 1,
                "exit_code": exit_code,
                "stdout": self._run._text(stdout),
                "stderr": self._run._text(stderr),
                "started_at": _iso(started_at or self._began),
                "ended_at": _iso(_now()),
                "timed_out": timed_out,
            }
        )
        fine = exit_code is not None and exit_code in tuple(success_exit_codes)
        self._record["status"] = "ok" if fine else "failed"
        self._record["reason"] = "" if fine else "It timed out." if timed_out else f"It ended with status {exit_code}."

    def changed(self, path: str, before: str | None, after: str | None) -> None:
        """Something that this step changed, as `changed("services.shop.active", "failed", "active")`."""
        text = f"{path}: {before} -> {after}"
        change = {"path": path, "before": before, "after": after, "text": self._run._text(text)}
        self._record.setdefault("state_changes", []).append(change)

    def skip(self, reason: str) -> None:
        """There was nothing to do."""
        self._record.update(status="skipped", reason=self._run._text(reason))

    @property
    def failed(self) -> bool:
        return bool(self._record["status"] == "failed")

    def __enter__(self) -> Self:
        self._run._result["steps"].append(self._record)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            return
        if not self.failed:
            said = "".join(traceback.format_exception(kind, error, trace))
            self.result(None, "", said)
        self._record["status"] = "interrupted" if _ended_by_person(error) else "failed"
        self._record["reason"] = self._run._text(_told(error))


class Run:
    """One run of a runbook on a host, as it happens. Made by `record`."""

    def __init__(self, result: dict[str, Any], secrets: Iterable[str]) -> None:
        self._result = result
        self._secrets = sorted({value for value in secrets if value}, key=len, reverse=True)

    @property
    def id(self) -> str:
        return str(self._result["execution_id"])

    @property
    def result(self) -> dict[str, Any]:
        """The `ExecutionResult` as far as it is known."""
        return self._result

    def step(self, step_id: str, kind: str = "run", *, section: str = "steps") -> Step:
        """A step, to be used in a `with` block. `section`: `steps`, `verify` or `rollback`."""
        return Step(self, step_id, kind, section)

    def before(self, state: Mapping[str, Any]) -> None:
        """Facts of the host before the run, as from `local_state`."""
        self._result["state_before"] = dict(state)

    def after(self, state: Mapping[str, Any]) -> None:
        """Facts of the host after the run."""
        self._result["state_after"] = dict(state)

    def verified(self, worked: bool | None, reason: str = "", *, check: str = "reported") -> None:
        """Say whether the incident is over (None: not known). It is kept as reported: nobody else saw it."""
        outcome = {True: "passed", False: "failed", None: "unverifiable"}[worked]
        known = self._result.setdefault("verification", {"method": "reported", "confidence": 0.0, "checks": []})
        known["checks"].append({"id": check, "kind": "reported", "outcome": outcome, "reason": self._text(reason)})
        seen = {item["outcome"] for item in known["checks"]}
        known["outcome"] = next(item for item in ("failed", "unverifiable", "passed") if item in seen)

    def tag(self, **tags: str) -> None:
        self._result["tags"].update({key: str(value) for key, value in tags.items()})

    def _text(self, value: str | bytes) -> str:
        """Text that JSON and the server take: UTF-8, known secrets masked, head and tail of what is long."""
        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
        text = text.encode("utf-8", "replace").decode()
        for secret in self._secrets:
            text = text.replace(secret, "[masked]")
        return cut(text, OUTPUT_LIMIT)

    def _close(self, error: BaseException | None) -> None:
        now = _now()
        result = self._result
        started = datetime.fromisoformat(result["started_at"])
        result.update(completed_at=_iso(now), duration_seconds=round((now - started).total_seconds(), 6))
        failed = next((step for step in result["steps"] if step["status"] in ("failed", "interrupted")), None)
        verdict = result.get("verification", {}).get("outcome")
        where = failed["id"] if failed else None
        if error is not None and _ended_by_person(error):
            result["status"] = "cancelled"
            result["error"] = {"code": "cancelled", "message": _told(error), "step": where}
        elif error is not None:
            result["status"] = "failure"
            result["error"] = {"code": "exception", "message": self._text(_told(error)), "step": where}
        elif failed is not None:
            late = failed["attempts"] and failed["attempts"][-1]["timed_out"]
            result["status"] = "timed_out" if late else "failure"
            code = "step-timed-out" if late else "step-failed"
            result["error"] = {
                "code": code,
                "message": f"Step {where} failed. {failed.get('reason', '')}",
                "step": where,
            }
        elif verdict == "failed":
            result["status"] = "failure"
            result["error"] = {"code": "verification-failed", "message": "The incident is not over.", "step": None}
        else:
            result["status"] = "success" if verdict == "passed" else "partial"


@contextlib.contextmanager
def record(
    *,
    runbook: str | Path | Mapping[str, Any],
    incident: Mapping[str, Any],
    host: str | None = None,
    client: str = "default",
    source: str = "python",
    execution_id: str | None = None,
    directory: str | Path | None = None,
    url: str | None = None,
    token: str | None = None,
    tags: Mapping[str, str] | None = None,
    secrets: Iterable[str] = (),
    strict: bool = False,
) -> Iterator[Run]:
    """Record a run, and hand it over at its end.

    `runbook`: the path of a file, or `{"id", "text", "language"}`. `incident`: `{"id", "incident_type", "subject",
    "severity"}`. `secrets`: values to mask. `url` and `token` (or RUNWRIGHT_URL and RUNWRIGHT_TOKEN): the server;
    `directory` (or RUNWRIGHT_SPOOL): where results are kept without one, or while it is away. `execution_id`: your own
    id of the run; the same id with the same content is taken once.

    Raises ValueError and OSError for arguments that fit nothing, at the start; NotDelivered at the end if `strict`.
    """
    run = Run(_begin(_runbook(runbook), incident, host, client, source, execution_id, tags), secrets)
    error: BaseException | None = None
    try:
        yield run
    except BaseException as raised:
        error = None if isinstance(raised, SystemExit) and raised.code in (0, None) else raised
        raise
    finally:
        failure = _hand_over(run, error, directory, url, token)
        if failure is not None and strict and error is None:
            raise NotDelivered(str(failure)) from failure


def _hand_over(
    run: Run, error: BaseException | None, directory: str | Path | None, url: str | None, token: str | None
) -> Exception | None:
    """Close and deliver; what went wrong with it, if anything. The job matters more than its record."""
    try:
        run._close(error)
        deliver(run.result, directory=directory, url=url, token=token)
    except Exception as failure:  # noqa: BLE001 - whatever it is, the caller's job must not end by it
        log.warning("run %s was not delivered: %s", run.id, failure)
        return failure
    return None


def local_state(units: Iterable[str] = (), mounts: Iterable[str] = ("/",)) -> dict[str, Any]:
    """Facts of this machine for `Run.before` and `Run.after`: kernel, load, memory, these mounts and systemd units.

    What cannot be read is named under `missing`; nothing is raised.
    """
    state: dict[str, Any] = {"captured_at": _iso(_now()), "kernel": platform.release(), "missing": []}
    parts = {"load1": _load, "memory": _memory}
    for name, read in parts.items():
        try:
            state[name] = read()
        except (OSError, ValueError, KeyError) as error:
            state["missing"].append({"fact": name, "reason": str(error)})
    for mount in mounts:
        try:
            state.setdefault("disks", []).append(_disk(mount))
        except OSError as error:
            state["missing"].append({"fact": f"disks.{mount}", "reason": str(error)})
    for unit in units:
        try:
            state.setdefault("services", []).append(_unit(unit))
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            state["missing"].append({"fact": f"services.{unit}", "reason": str(error)})
    return state


def _load() -> float:
    return os.getloadavg()[0]


def _memory() -> dict[str, int]:
    lines = Path("/proc/meminfo").read_text().splitlines()
    found = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines) if rest}
    names = {"total_kb": "MemTotal", "available_kb": "MemAvailable", "swap_total_kb": "SwapTotal"}
    return {key: found[name] for key, name in names.items()} | {"swap_free_kb": found["SwapFree"]}


def _disk(mount: str) -> dict[str, Any]:
    use, facts = shutil.disk_usage(mount), os.statvfs(mount)
    inodes = 100 * (1 - facts.f_favail / facts.f_files) if facts.f_files else None
    reachable = use.used + use.free
    return {
        "mount": mount,
        "filesystem": "",
        "size_kb": use.total // 1024,
        "used_kb": use.used // 1024,
        "available_kb": use.free // 1024,
        "used_percent": round(100 * use.used / reachable, 1) if reachable else 0.0,
        "inodes_used_percent": None if inodes is None else round(inodes, 1),
    }


def _unit(unit: str) -> dict[str, Any]:
    shown = "Id,ActiveState,SubState,UnitFileState,MainPID,NRestarts"
    answer = subprocess.run(
        ["systemctl", "show", "-p", shown, "--", unit], capture_output=True, text=True, timeout=10, check=True
    )
    facts = dict(line.split("=", 1) for line in answer.stdout.splitlines() if "=" in line)
    return {
        "name": facts["Id"],
        "active": facts["ActiveState"],
        "sub": facts["SubState"],
        "enabled": facts.get("UnitFileState", ""),
        "main_pid": int(facts["MainPID"]) or None if "MainPID" in facts else None,
        "restarts": int(facts["NRestarts"]) if "NRestarts" in facts else None,
    }


def _begin(
    runbook: dict[str, Any],
    incident: Mapping[str, Any],
    host: str | None,
    client: str,
    source: str,
    execution_id: str | None,
    tags: Mapping[str, str] | None,
) -> dict[str, Any]:
    missing = {"incident_type", "subject"} - set(incident)
    if missing:
        raise ValueError(f"found an incident without {' and '.join(sorted(missing))}")
    now = _now()
    key = execution_id or f"{now:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:12]}"
    severity = incident.get("severity", "medium")
    known = {
        "id": str(incident.get("id") or key),
        "incident_type": str(incident["incident_type"]),
        "severity": severity,
    }
    return {
        "schema": SCHEMA,
        "execution_id": key,
        "origin": f"external:{source}",
        "client_id": client,
        "host": {"hostname": host or socket.gethostname(), "platform": "linux"},
        "incident": {**known, "severity": severity, "subject": dict(incident["subject"])},
        "runbook": runbook,
        "started_at": _iso(now),
        "status": "running",
        "steps": [],
        "tags": dict(tags or {}),
    }


def _runbook(given: str | Path | Mapping[str, Any]) -> dict[str, Any]:
    """Id, text and digest. Raises ValueError where there is no id, OSError for a file that cannot be read."""
    if isinstance(given, Mapping):
        known = dict(given)
        text = known.get("text")
    else:
        text = Path(given).read_bytes().decode("utf-8")
        known = {"text": text}
    if text is not None:
        known.setdefault("digest", "sha256:" + hashlib.sha256(text.encode()).hexdigest())
        if "language" not in known and (found := re.search(r"^id:[ \t]*[\"']?([A-Z0-9-]+)", text, re.MULTILINE)):
            known.setdefault("id", found[1])
    if not known.get("id") or not known.get("digest"):
        raise ValueError("found a runbook without an id, or with neither text nor digest")
    return known


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": ")


def _ended_by_person(error: BaseException) -> bool:
    return isinstance(error, KeyboardInterrupt)


def _now() -> datetime:
    return datetime.now(UTC)


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()
