"""Ansible callback plugin: every playbook run becomes results that Runwright learns from, one for each host.

A single file for Ansible's own Python, standard library alone. `runwright ansible-plugin-path` prints its folder.
"""

# Ansible's own Python loads this, with classes that have no types: the tests with the real ansible-core check it.
# mypy: ignore-errors

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from datetime import datetime, timezone
from pathlib import Path

from ansible import context
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
    name: runwright
    type: notification
    short_description: hand playbook runs to Runwright
    version_added: "2.15"
    description:
      - Writes one ExecutionResult for each host into a directory, or posts it to a Runwright server.
      - Does nothing unless it is enabled and a directory or an address is given; nothing with C(--check).
      - Output of tasks with C(no_log) is never written or sent. A fault of this plugin never breaks a play.
    requirements:
      - enable it with C(callbacks_enabled = runwright)
    options:
      directory:
        description: Where results are kept; beside an address, while the server is away.
        env: [{name: RUNWRIGHT_SPOOL}]
        ini: [{section: callback_runwright, key: directory}]
        type: path
      url:
        description: Address of a Runwright server.
        env: [{name: RUNWRIGHT_URL}]
        ini: [{section: callback_runwright, key: url}]
        type: str
      token:
        description: A machine's token with the role reporter.
        env: [{name: RUNWRIGHT_TOKEN}]
        type: str
      client:
        description: The client that the hosts belong to.
        default: default
        env: [{name: RUNWRIGHT_CLIENT}]
        ini: [{section: callback_runwright, key: client}]
        type: str
      source:
        description: The name behind C(external:) in the results' origin.
        default: ansible
        env: [{name: RUNWRIGHT_SOURCE}]
        ini: [{section: callback_runwright, key: source}]
        type: str
      runbook:
        description:
          - A Runwright runbook of which the playbook is the implementation; what is learned becomes a version of it.
          - Without it the playbook is named by its digest, and failures are explained but no edit is proposed.
        env: [{name: RUNWRIGHT_RUNBOOK}]
        ini: [{section: callback_runwright, key: runbook}]
        type: path
      incident:
        description:
          - The incident as JSON, with C(incident_type), C(subject) and, if known, C(id) and C(severity).
          - The extra variable C(runwright_incident) goes before it.
        env: [{name: RUNWRIGHT_INCIDENT}]
        ini: [{section: callback_runwright, key: incident}]
        type: str
      run_id:
        description: An id of this run; made up if not given. The same id with the same content is taken once.
        env: [{name: RUNWRIGHT_RUN_ID}]
        type: str
      verify_tag:
        description: Tasks with this tag check whether the incident is over.
        default: verify
        env: [{name: RUNWRIGHT_VERIFY_TAG}]
        ini: [{section: callback_runwright, key: verify_tag}]
        type: str
"""

OUTPUT_LIMIT = 64 * 1024
BODY_LIMIT = 900_000
TIMEOUT = 10.0
TRIES = 3
HIDDEN = "hidden by no_log"
KINDS = {
    **dict.fromkeys(("command", "shell", "raw", "script", "expect"), "run"),
    **dict.fromkeys(("service", "systemd", "systemd_service", "sysvinit"), "service"),
    **dict.fromkeys(("wait_for", "wait_for_connection"), "wait_for"),
    "uri": "http",
}
NOT_STEPS = ("include_tasks", "include_role", "import_tasks", "import_role", "include_vars", "meta", "set_fact")
NOT_STEPS_WHEN_FINE = ("setup", "gather_facts")


class CallbackModule(CallbackBase):
    """Collects what happens on each host, and hands it over when the playbook has ended."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "runwright"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._hosts = {}
        self._began = {}
        self._playbook = None
        self._incident = None

    def set_options(self, task_keys=None, var_options=None, direct=None):
        super().set_options(task_keys=task_keys, var_options=var_options, direct=direct)
        if not self.get_option("directory") and not self.get_option("url"):
            self.disabled = True

    # -- what Ansible tells

    def v2_playbook_on_start(self, playbook):
        with self._safely():
            self._playbook = Path(playbook._file_name)
            self._run_id = self.get_option("run_id") or uuid.uuid4().hex

    def v2_playbook_on_play_start(self, play):
        with self._safely():
            given = (play.get_variable_manager().extra_vars or {}).get("runwright_incident")
            if given is not None:
                self._incident = json.loads(given if isinstance(given, str) else json.dumps(given, default=str))

    def v2_runner_on_start(self, host, task):
        with self._safely():
            self._began[host.get_name(), task._uuid] = _now()
            self._host(host.get_name())

    def v2_runner_retry(self, result):
        with self._safely():
            self._attempt(result, failed=True, part=_task(result).loop is not None)

    def v2_runner_item_on_ok(self, result):
        with self._safely():
            self._finished(result, "ok", item=True)

    def v2_runner_item_on_failed(self, result):
        with self._safely():
            self._finished(result, "failed", item=True)

    def v2_runner_item_on_skipped(self, result):
        with self._safely():
            self._finished(result, "skipped", item=True)

    def v2_runner_on_ok(self, result):
        with self._safely():
            self._finished(result, "ok")

    def v2_runner_on_failed(self, result, ignore_errors=False):
        with self._safely():
            self._finished(result, "failed", ignored=ignore_errors)

    def v2_runner_on_skipped(self, result):
        with self._safely():
            self._finished(result, "skipped")

    def v2_runner_on_unreachable(self, result):
        with self._safely():
            ignored = bool(getattr(_task(result), "ignore_unreachable", False))
            self._finished(result, "failed", ignored=ignored, unreachable=True)

    def v2_playbook_on_stats(self, stats):
        with self._safely():
            if context.CLIARGS.get("check"):
                self._display.v("runwright: nothing is handed over of a run with --check")
                return
            results = [self._result(name, facts, stats.summarize(name)) for name, facts in sorted(self._hosts.items())]
            self._hand_over(results)

    @contextlib.contextmanager
    def _safely(self):
        try:
            yield
        except Exception as error:  # noqa: BLE001 - a fault of ours must not break a play
            self._display.warning(f"runwright: {type(error).__name__}: {error}")

    # -- steps

    def _host(self, name):
        return self._hosts.setdefault(
            name, {"started": _now(), "steps": {}, "items": {}, "failed": None, "platform": "linux"}
        )

    def _attempt(self, result, *, failed, part, timed_out=False):
        """Add an attempt to the step of this task, or of one item of its loop (`part`); the step."""
        host, task, data = _host(result), _task(result), _data(result)
        facts = self._host(host)
        hidden = _hidden(task, data)
        label = self._label(facts, task, data, hidden) if part else None
        key = (task._uuid, None if label is None else str(label))
        step = facts["steps"].get(key)
        if step is None:
            step = facts["steps"][key] = self._step(facts, task, label, hidden)
        began = self._began.get((host, task._uuid), facts["started"])
        if step["attempts"]:
            began = step["attempts"][-1]["ended_at"]
        out, err = ("", HIDDEN) if hidden else _output(data, failed)
        code = data.get("rc")
        step["attempts"].append(
            {
                "attempt": len(step["attempts"]) + 1,
                "exit_code": code if isinstance(code, int) and not isinstance(code, bool) else (1 if failed else 0),
                "stdout": out,
                "stderr": err,
                "started_at": began,
                "ended_at": _now(),
                "timed_out": timed_out,
            }
        )
        return step

    def _label(self, facts, task, data, hidden):
        """What tells an item from the others; of a hidden one its number alone."""
        if hidden:
            return f"item {facts['items'].get(task._uuid, 0) + 1}"
        return data.get("_ansible_item_label", data.get(data.get("ansible_loop_var", "item")))

    def _step(self, facts, task, label, hidden):
        name = _name(task, hidden)
        if label is not None:
            name = f"{name} [{str(label)[:80]}]"
        taken = {step["id"] for step in facts["steps"].values()}
        unique, number = name, 2
        while unique in taken:
            unique, number = f"{name} #{number}", number + 1
        action = task.action.rsplit(".", 1)[-1]
        verifies = self.get_option("verify_tag") in task.tags
        return {
            "id": unique,
            "kind": KINDS.get(action, action),
            "section": "verify" if verifies else "steps",
            "status": "ok",
            "attempts": [],
            "reason": "",
        }

    def _finished(self, result, status, *, item=False, ignored=False, unreachable=False):
        task, data, facts = _task(result), _data(result), self._host(_host(result))
        action = task.action.rsplit(".", 1)[-1]
        system = (data.get("ansible_facts") or {}).get("ansible_system")
        if isinstance(system, str):
            facts["platform"] = system.lower()
        if status != "failed" and (action in NOT_STEPS or action in NOT_STEPS_WHEN_FINE):
            return
        items = [step for (owner, label), step in facts["steps"].items() if owner == task._uuid and label is not None]
        if not item and items and not unreachable:
            broken = [step for step in items if step["status"] == "failed"]
            step = broken[-1] if broken else items[-1]
        else:
            late = status == "failed" and not _hidden(task, data) and "timed out" in str(data.get("msg", "")).lower()
            step = self._attempt(result, failed=status == "failed", part=item, timed_out=late)
            facts["items"][task._uuid] = facts["items"].get(task._uuid, 0) + item
            step["status"] = status
            step["changed"] = bool(data.get("changed"))
            step["reason"] = self._reason(task, data, status, unreachable)
            if status == "skipped":
                step["attempts"] = []
        if status == "failed" and ignored:
            step["reason"] = f"{step['reason']} It was allowed to fail."
        elif status == "failed" and not item:
            facts["failed"] = {"step": step["id"], "unreachable": unreachable, "why": step["reason"]}

    def _reason(self, task, data, status, unreachable):
        if status == "ok":
            return "In check mode: nothing was changed." if task.check_mode else ""
        if _hidden(task, data):
            return f"The task was {'unreachable' if unreachable else status}; its output is {HIDDEN}."
        if status == "skipped":
            return _cut(str(data.get("skip_reason") or data.get("msg") or "It was skipped."), 2000)
        return _cut(str(data.get("msg") or "It failed."), 2000)

    # -- results

    def _result(self, name, facts, summary):
        now = _now()
        steps = list(facts["steps"].values())
        checks = [step for step in steps if step["section"] == "verify" and step["status"] != "skipped"]
        broken = bool(summary["failures"] or summary["unreachable"]) and facts["failed"] is not None
        result = {
            "schema": "runwright/execution-result/v1",
            "execution_id": f"{self._run_id}:{_plain(name)}",
            "origin": f"external:{self.get_option('source')}",
            "client_id": self.get_option("client"),
            "host": {"hostname": name, "platform": facts["platform"]},
            "incident": self._told_incident(),
            "runbook": self._runbook(),
            "started_at": facts["started"],
            "completed_at": now,
            "duration_seconds": (_moment(now) - _moment(facts["started"])).total_seconds(),
            "status": "partial",
            "steps": steps,
            "tags": {"playbook": self._playbook.name, "rescued": str(summary.get("rescued", 0))},
        }
        if checks:
            failed = [step for step in checks if step["status"] == "failed"]
            result["verification"] = {
                "outcome": "failed" if failed else "passed",
                "method": "reported",
                "confidence": 0.0,
                "checks": [
                    {
                        "id": step["id"],
                        "kind": step["kind"],
                        "outcome": "failed" if step["status"] == "failed" else "passed",
                        "reason": step["reason"],
                    }
                    for step in checks
                ],
            }
            result["status"] = "failure" if failed else "success"
        if broken:
            last = facts["failed"]
            verifying = any(step["id"] == last["step"] for step in checks)
            code = "host-unreachable" if last["unreachable"] else "verification-failed" if verifying else "step-failed"
            result["status"] = "failure"
            result["error"] = {"code": code, "message": last["why"], "step": last["step"]}
        return result

    def _told_incident(self):
        given = self._incident
        if given is None and self.get_option("incident"):
            given = json.loads(self.get_option("incident"))
        given = given or {}
        told = {
            "id": str(given.get("id") or self._run_id),
            "incident_type": str(given.get("incident_type") or "playbook"),
            "subject": given.get("subject") or {},
        }
        return {**told, "severity": given["severity"]} if given.get("severity") else told

    def _runbook(self):
        """The runbook with its text; a playbook by its digest alone, since it may spell out what tasks hide."""
        path = self.get_option("runbook")
        data = Path(path or self._playbook).read_bytes()
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        if not path:
            return {"id": _plain(self._playbook.stem), "digest": digest, "language": "ansible"}
        text = data.decode("utf-8")
        found = re.search(r"^id:[ \t]*[\"']?([A-Z0-9-]+)", text, re.MULTILINE)
        return {"id": found[1] if found else _plain(Path(path).stem), "digest": digest, "text": text}

    # -- handing over

    def _hand_over(self, results):
        """Post each, or keep it. After one that nobody answered the rest is kept at once."""
        url, directory, away = self.get_option("url"), self.get_option("directory"), None
        for result in results:
            body = _fitted(result)
            if url and away is None:
                try:
                    _post(url, self.get_option("token"), body)
                    continue
                except _Refused as refused:
                    self._display.warning(f"runwright: the server refused {result['execution_id']}: {refused}")
                    if directory:
                        _keep(Path(directory) / "refused", result, body, reason=str(refused))
                    continue
                except OSError as error:
                    away = error
                    kept = f"results are kept in {directory}" if directory else "results are lost: no directory is set"
                    self._display.warning(f"runwright: {url} did not take them ({error}); {kept}")
            if directory:
                _keep(Path(directory), result, body)


class _Refused(Exception):
    """The server will never take this."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the token to another address."""

    def redirect_request(self, *args, **kwargs):
        return None


def _post(url, token, body):
    """Raises _Refused for what will never be taken, OSError where nothing answered."""
    if not url.startswith(("http://", "https://")):
        raise _Refused(f"found the address {url!r}; allowed: http://... or https://...")
    headers = {"Content-Type": "application/json", "User-Agent": "runwright-ansible"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    opener = urllib.request.build_opener(_NoRedirect, urllib.request.ProxyHandler({}))
    for attempt in range(TRIES):
        request = urllib.request.Request(f"{url.rstrip('/')}/api/executions", body, headers)  # noqa: S310 - checked above
        try:
            with opener.open(request, timeout=TIMEOUT):
                return
        except urllib.error.HTTPError as error:
            with error:
                said = error.read(4000).decode("utf-8", "replace")
            if error.code < 500 and error.code not in (401, 403, 408, 421, 429):
                raise _Refused(f"{error.code} {said}") from error
            failure = ConnectionError(f"status {error.code} {said[:300]}")
        except OSError as error:
            failure = error
        except ValueError as error:
            failure = ConnectionError(str(error))
        if attempt + 1 == TRIES:
            raise failure
        time.sleep(0.5 * 2**attempt)


def _keep(directory, result, body, reason=""):
    """Write a result whole or not at all."""
    mark = hashlib.sha256(result["execution_id"].encode()).hexdigest()[:8]
    name = re.sub(r"[^A-Za-z0-9._-]", "_", result["execution_id"])[:150] + f"-{mark}"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path, data in ((directory / f"{name}.reason", reason.encode()), (directory / f"{name}.json", body)):
        if data:
            descriptor, draft = tempfile.mkstemp(dir=directory, prefix=".")
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            Path(draft).replace(path)


# -- small things: ansible-core 2.19 gives names without the underscore


def _task(result):
    return getattr(result, "task", None) or result._task


def _host(result):
    return (getattr(result, "host", None) or result._host).get_name()


def _data(result):
    found = getattr(result, "result", None)
    return found if found is not None else result._result


def _hidden(task, data):
    """Whether nothing of it may be told. A no_log that is still a template counts."""
    return bool(task.no_log) or bool(data.get("_ansible_no_log")) or "censored" in data


def _name(task, hidden):
    """The step that a task stands for: its variable `runwright_step`, else its name."""
    step = task.vars.get("runwright_step")
    written = getattr(task, "_ds", None)
    # As written where output is hidden: filled in, the name may tell it.
    name = written.get("name") if hidden and isinstance(written, dict) else task.get_name()
    return _cut(str(step or name or task.action).strip(), 150) or task.action


def _output(data, failed):
    out = _text(data.get("stdout"))
    err = _text(data.get("stderr"))
    told = [_text(data.get(key)) for key in ("msg", "module_stdout", "module_stderr")]
    said = "\n".join(dict.fromkeys(part for part in told if part and part not in (out, err)))
    if failed:
        err = "\n".join(part for part in (err, said) if part)
    else:
        out = out or said
    return _cut(out, OUTPUT_LIMIT), _cut(err, OUTPUT_LIMIT)


def _text(value):
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text.encode("utf-8", "replace").decode()


def _fitted(result):
    """The result as JSON that the server's limit lets through: outputs are cut until it is."""
    limit = OUTPUT_LIMIT
    while True:
        body = json.dumps(result, ensure_ascii=False, default=str).encode("utf-8", "replace")
        if len(body) <= BODY_LIMIT or limit < 256:
            return body
        limit //= 2
        for step in result["steps"]:
            for attempt in step["attempts"]:
                attempt["stdout"] = _cut(attempt["stdout"], limit)
                attempt["stderr"] = _cut(attempt["stderr"], limit)


def _cut(text, limit):
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n[runwright: {len(text) - 2 * half} characters left out here]\n{text[-half:]}"


def _plain(name):
    """A name as ids allow it."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", name)[:120].lstrip("._-") or "unnamed"


def _now():
    return datetime.now(timezone.utc).isoformat()  # noqa: UP017 - Ansible runs on older Pythons than ours


def _moment(text):
    return datetime.fromisoformat(text)
