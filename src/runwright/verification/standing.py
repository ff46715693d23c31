"""What a unit is and what guards it, so that a fix which weakens or replaces it is told from one that heals it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import PurePosixPath

from pydantic import Field

from runwright.model.base import Record
from runwright.verification.findings import Finding, NoEvidence, failed, unverifiable
from runwright.verification.sections import Section
from runwright.verification.text import visible
from runwright.verification.verifier import integer, properties

PROPERTIES = (
    "Id,FragmentPath,Transient,Type,RemainAfterExit,ExecStart,ExecStartPre,StartLimitIntervalUSec,StartLimitBurst,Restart,User,DynamicUser,NoNewPrivileges,ProtectSystem,"
    "ProtectHome,PrivateTmp,WatchdogUSec,RuntimeMaxUSec,CPUQuotaPerSecUSec,MemoryMax,SuccessExitStatus,TriggeredBy"
)
"""Properties of `systemctl show` that `read_standing` wants, beside those a verifier asks for itself."""

_INTERPRETERS = r"(sh|dash|bash|ksh|zsh|busybox|env|python[0-9.]*|perl|ruby|node|php|java)"

FILES_SNIPPET = r"""
rw_digest() { bounded 3 sha256sum <"$1" 2>/dev/null | cut -c1-64; }
rw_packaged() {
  rw_real=$(readlink -f -- "$1" 2>/dev/null); rw_real=${rw_real#/}
  [ -n "$rw_real" ] && [ -d /var/lib/dpkg/info ] || return 1
  rw_sum=$(grep -hF -e "  $rw_real" -e "  ${rw_real#usr/}" /var/lib/dpkg/info/*.md5sums 2>/dev/null |
    awk -v a="$rw_real" -v b="${rw_real#usr/}" '$2 == a || $2 == b { print $1; exit }')
  [ -n "$rw_sum" ] && [ "$(md5sum <"/$rw_real" | cut -c1-32)" = "$rw_sum" ]
}
rw_files=$(printf '%s\n' "$rw_show" | awk '/^ExecStart=/ {
  sub(/^ExecStart=.*argv\[\]=/, ""); sub(/ ; ignore_errors=.*/, ""); n = split($0, w, " "); print w[1]
  k = split(w[1], p, "/"); if (p[k] !~ /^INTERPRETERS$/) next
  for (i = 2; i <= n; i++) if (w[i] ~ /^\//) { print w[i]; break } }' | head -n 8)
for rw_file in $rw_files; do
  [ -f "$rw_file" ] && rw_sha=$(rw_digest "$rw_file") && [ -n "$rw_sha" ] || continue
  printf 'rw-file=%s %s\n' "$rw_sha" "$rw_file"
  if [ -n "$rw_known" ]; then
    case " $rw_known " in *" $rw_sha "*) ;; *) rw_packaged "$rw_file" && printf 'rw-packaged=%s\n' "$rw_sha";; esac
  fi
done
for rw_one in $(printf '%s\n' "$rw_show" | sed -n 's/^TriggeredBy=//p'); do
  printf 'rw-trigger=%s %s\n' "$rw_one" \
    "$(systemctl show --no-pager -p ActiveState -p UnitFileState -- "$rw_one" 2>/dev/null | cut -d= -f2 | tr '\n' ' ')"
done
""".replace("INTERPRETERS", _INTERPRETERS)
"""After `rw_show` holds the answer of `systemctl show`: the programs' digests and the state of what triggers the unit.

`rw_known` are the digests from before the run; another one is looked up among the files of installed packages.
"""

_STATE = "LoadState,ActiveState,SubState,UnitFileState,Result,ExecMainStatus,InvocationID,ControlGroup"
_TIMES = "ExecMainStartTimestamp,ExecMainExitTimestamp"
_RUNS_SNIPPET = r"""
  case $rw_show in *ExecMainStartTimestamp=[A-Z]*) ;; *) if have journalctl; then
    rw_id=$(printf '%s\n' "$rw_show" | sed -n 's/^Id=//p')
    rw_base="bounded 5 journalctl -q --no-pager -n 1 -o short-unix"
    printf 'rw-begun=%s\n' "$($rw_base "UNIT=$rw_id" MESSAGE_ID=7d4958e842da4a758f6c1cdc7b36dcc5 2>/dev/null)"
    printf 'rw-done=%s\n' "$($rw_base "UNIT=$rw_id" MESSAGE_ID=39f53479d3a045ac8e11786248231fbf 2>/dev/null)"
  fi ;; esac
"""
"""systemd forgets a unit that has ended and that nothing refers to; its journal knows when it began and finished."""


def unit_part(variable: str) -> str:
    """The part that asks how the unit named in a parameter stands, for `read_unit_state`."""
    return f"""
if [ -d /run/systemd/system ] && have systemctl; then
  rw_ask={PROPERTIES},{_STATE}
  rw_show=$(systemctl show --no-pager --timestamp=us+utc -p "$rw_ask,{_TIMES}" -- "${variable}" 2>/dev/null) ||
    rw_show=$(systemctl show --no-pager -p "$rw_ask" -- "${variable}" 2>&1); rw_code=$?
  printf '%s\\n' "$rw_show"
{FILES_SNIPPET}
{_RUNS_SNIPPET}
  (exit "$rw_code")
else printf 'rw-no-systemd\\n'; fi
"""


_STAND_INS = frozenset({"sleep", "true", "false", "cat", "tail", "yes", "echo", "nc", "ncat", "netcat", "socat", ":"})
_RUNNING_TYPES = frozenset({"simple", "exec", "forking", "notify", "notify-reload", "dbus", "idle"})
_STRICT = {"no": 0, "": 0, "read-only": 1, "tmpfs": 1, "yes": 2, "full": 3, "strict": 4}
_HOUR = 3600.0
_UNITS = {
    "us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0, "month": 2629800.0,
    "y": 31557600.0,
}  # fmt: skip


class UnitCommand(Record):
    """One command of a unit: what identifies it, without the options that a sound fix may change."""

    path: str
    identity: str
    """The path; of an interpreter, with the script, module or code that it runs."""
    whole: str
    inline: bool = False
    """Its code stands in the unit itself."""
    ignores_errors: bool = False


class Trigger(Record):
    """A timer, socket or path unit that starts the unit."""

    name: str
    active: str
    enablement: str = ""


class Standing(Record):
    """The unit as it is set up."""

    unit: str
    fragment: str = ""
    transient: bool = False
    type: str = ""
    restart: str = ""
    user: str = ""
    settings: dict[str, str] = Field(default_factory=dict)
    commands: tuple[UnitCommand, ...] = ()
    guards: tuple[str, ...] = ()
    """Commands that must succeed before it starts (ExecStartPre)."""
    digests: dict[str, str] = Field(default_factory=dict)
    """sha-256 by program file."""
    packaged: tuple[str, ...] = ()
    """Digests that are those of an installed package."""
    triggers: tuple[Trigger, ...] = ()

    @property
    def known(self) -> str:
        """The digests, as `rw_known` wants them."""
        return " ".join(sorted(set(self.digests.values())))


class UnitState(Record):
    """A unit's state, with what it is."""

    load: str
    active: str
    sub: str = ""
    enablement: str = ""
    result: str = ""
    status: int | None = None
    invocation: str = ""
    control_group: str = ""
    started: float | None = None
    """Seconds since 1970 at which its main process began last; None where systemd is too old to tell."""
    ended: float | None = None
    done: float | None = None
    """When its start was last completed, by the journal; asked only where systemd itself forgot the unit."""
    standing: Standing | None = None

    def ran_since(self, before: UnitState) -> bool | None:
        """Whether it was run after the state before; None where neither systemd nor the journal can tell."""
        if self.invocation:
            return self.invocation != before.invocation
        if self.done is None:
            return None
        return self.done != before.done and self.done > (before.ended or before.started or 0.0)


def read_unit_state(unit: str, section: Section) -> UnitState | None:
    """Pure: what `unit_part` printed; None without systemd. Raises NoEvidence."""
    if section.text.startswith("rw-no-systemd"):
        return None
    blocks = properties("\n".join(line for line in section.text.splitlines() if not line.startswith("rw-")))
    if section.status != 0 or not blocks or "ActiveState" not in blocks[0]:
        raise NoEvidence(f"systemctl could not say how {unit} stands")
    says = blocks[0]
    begun, done = (_begun(key, section.text) for key in ("begun", "done"))
    if begun is not None and done is None:
        done = 0.0  # it began and was never completed, as far back as the journal goes
    started = _moment(says.get("ExecMainStartTimestamp"))
    return UnitState(
        load=says.get("LoadState", ""),
        active=says["ActiveState"],
        sub=says.get("SubState", ""),
        enablement=says.get("UnitFileState", ""),
        result=says.get("Result", ""),
        status=integer(says.get("ExecMainStatus")),
        invocation=says.get("InvocationID", ""),
        control_group=says.get("ControlGroup", ""),
        started=started if started is not None else begun,
        ended=_moment(says.get("ExecMainExitTimestamp")) if started is not None else done,
        done=done,
        standing=read_standing(section.text),
    )


def _begun(key: str, text: str) -> float | None:
    match = re.search(rf"^rw-{key}=(\d+(?:\.\d+)?) ", text, re.MULTILINE)
    return float(match[1]) if match else None


def _moment(text: str | None) -> float | None:
    """`Mon 2026-11-23 00:11:22.123456 UTC` as seconds since 1970."""
    try:
        return datetime.strptime(text or "", "%a %Y-%m-%d %H:%M:%S.%f UTC").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def read_standing(text: str) -> Standing | None:
    """Pure: from the text of one unit. None where systemd told nothing of it."""
    kept = "\n".join(line for line in text.splitlines() if not line.startswith("rw-"))
    blocks = properties(kept)
    if not blocks or "ActiveState" not in blocks[0]:
        return None
    says = blocks[0]
    digests = {match[2]: match[1] for match in re.finditer(r"^rw-file=([0-9a-f]{64}) (.+)$", text, re.MULTILINE)}
    return Standing(
        unit=visible(says.get("Id", "")),
        fragment=visible(says.get("FragmentPath", "")),
        transient=says.get("Transient") == "yes",
        type=says.get("Type", ""),
        restart=says.get("Restart", ""),
        user=_user(says),
        settings={name: visible(says[name]) for name in _SETTINGS if name in says},
        commands=tuple(_commands(text)),
        guards=tuple(visible(match[2]) for match in _GUARD.finditer(text)),
        digests={visible(path): digest for path, digest in digests.items()},
        packaged=tuple(re.findall(r"^rw-packaged=([0-9a-f]{64})$", text, re.MULTILINE)),
        triggers=tuple(
            Trigger(name=visible(match[1]), active=match[2], enablement=match[3] or "")
            for match in re.finditer(r"^rw-trigger=(\S+) (\S+) ?(\S*)", text, re.MULTILINE)
        ),
    )


_SETTINGS = (
    "NoNewPrivileges", "ProtectSystem", "ProtectHome", "PrivateTmp", "WatchdogUSec", "RuntimeMaxUSec",
    "CPUQuotaPerSecUSec", "MemoryMax", "SuccessExitStatus", "StartLimitIntervalUSec",
)  # fmt: skip


def _user(says: Mapping[str, str]) -> str:
    if says.get("DynamicUser") == "yes":
        return says.get("User") or "a user of its own"
    return "root" if says.get("User", "") in ("", "root", "0") else visible(says["User"])


_EXEC = re.compile(r"^ExecStart=\{ path=(\S+) ; argv\[\]=(.*?) ; ignore_errors=(yes|no)\b", re.MULTILINE)
_GUARD = re.compile(r"^ExecStartPre=\{ path=(\S+) ; argv\[\]=(.*?) ; ignore_errors=no\b", re.MULTILINE)
_IS_INTERPRETER = re.compile(_INTERPRETERS)


def _commands(text: str) -> Iterator[UnitCommand]:
    for match in _EXEC.finditer(text):
        path, whole, ignores = visible(match[1]), visible(match[2]), match[3] == "yes"
        identity, inline = path, False
        words = whole.split(" ")
        if _IS_INTERPRETER.fullmatch(PurePosixPath(path).name):
            said, inline = _script(words[1:])
            identity = f"{path} {said}".rstrip()
        yield UnitCommand(path=path, identity=identity, whole=whole, inline=inline, ignores_errors=ignores)


def _script(words: list[str]) -> tuple[str, bool]:
    """What an interpreter runs: code in the command line, a module, or a file."""
    for number, word in enumerate(words):
        if word in ("-c", "-e", "-r"):
            return " ".join(words[number:]), True
        if word in ("-m", "-jar") and number + 1 < len(words):
            return f"{word} {words[number + 1]}", False
        if not word.startswith("-") and "=" not in word:
            return word, False
    return "", False


def weakened(now: Standing | None, before: Standing | None, *, throttled: bool = False) -> Iterator[Finding]:
    """Faults of a unit that is not what it was: replaced, or stripped of what guarded it.

    Args:
        throttled: limits on processor and memory that are new count as a fault, not as a question.
    """
    if now is None or before is None:
        return
    if now.transient and not before.transient:
        yield failed(f"{now.unit} is a transient unit now: it is gone at the next boot.")
    if not before.commands:
        return
    yield from _identity(now, before)
    yield from _programs(now, before)
    yield from _guards(now, before, throttled)
    yield from _triggers(now, before)


def _identity(now: Standing, before: Standing) -> Iterator[Finding]:
    if now.unit and before.unit and now.unit != before.unit:
        yield failed(f"{before.unit} is another name of {now.unit} now: another unit stands in its place.")
    if now.transient:
        return
    if now.fragment.startswith("/run/") and before.fragment and not before.fragment.startswith("/run/"):
        yield failed(f"{now.unit} is set up in {now.fragment} now: it is gone at the next boot.")
    if before.type in _RUNNING_TYPES and now.type == "oneshot":
        yield failed(f"{now.unit} kept a process running before and is a one-off command now.")


def _programs(now: Standing, before: Standing) -> Iterator[Finding]:
    were, are = [one.identity for one in before.commands], [one.identity for one in now.commands]
    if now.commands and are != were:
        added = next((one for one in now.commands if one.identity not in were), now.commands[0])
        name = PurePosixPath(added.path).name
        mentions = any(PurePosixPath(was.path).name in added.whole.split(" ", 1)[-1] for was in before.commands)
        if (name in _STAND_INS or added.inline) and not mentions:
            yield failed(
                f"{now.unit} started {_short(were)} before and starts {_short([added.identity])} now: a stand-in."
            )
        else:
            yield unverifiable(
                f"{now.unit} started {_short(were)} before and starts {_short(are)} now: "
                "whether that is the same service is for a person to say."
            )
    ignored = {one.identity for one in before.commands if one.ignores_errors}
    if any(one.ignores_errors and one.identity not in ignored for one in now.commands):
        yield failed(f"Failures of {now.unit} are ignored now.")
    for path, digest in now.digests.items():
        if before.digests.get(path, digest) != digest and digest not in now.packaged:
            yield unverifiable(
                f"The program {path} of {now.unit} has another content than before, of no installed package: "
                "whether it is the same service is for a person to say."
            )


def _guards(now: Standing, before: Standing, throttled: bool) -> Iterator[Finding]:
    if before.restart not in ("", "no") and now.restart == "no":
        yield failed(f"{now.unit} was started again after a crash (Restart={before.restart}) and is not any more.")
    if len(now.guards) < len(before.guards):
        lost = next(guard for guard in before.guards if guard not in now.guards)
        yield failed(f"{now.unit} checked `{lost[:100]}` before it started and does not any more.")
    if (seconds(before.settings.get("StartLimitIntervalUSec")) or 0) > 0 and not seconds(
        now.settings.get("StartLimitIntervalUSec", "1s")
    ):
        yield failed(f"The limit on how often {now.unit} may be started was taken away.")
    if before.user != "root" and now.user == "root":
        yield failed(f"{now.unit} ran as {before.user} before and runs as root now.")
    for name in ("NoNewPrivileges", "ProtectSystem", "ProtectHome", "PrivateTmp"):
        was, is_ = before.settings.get(name, ""), now.settings.get(name, "")
        if _STRICT.get(is_, 0) < _STRICT.get(was, 0):
            yield unverifiable(f"{name} of {now.unit} was {was} and is {is_ or 'no'} now: a guard was taken away.")
    if (seconds(before.settings.get("WatchdogUSec")) or 0) > 0 and not seconds(now.settings.get("WatchdogUSec")):
        yield unverifiable(f"The watchdog of {now.unit} was taken away: a hang would not be noticed.")
    codes = set(before.settings.get("SuccessExitStatus", "").split())
    if set(now.settings.get("SuccessExitStatus", "").split()) - codes:
        yield unverifiable(f"More exit statuses of {now.unit} count as success now.")
    yield from _limits(now, before, throttled)


def _limits(now: Standing, before: Standing, throttled: bool) -> Iterator[Finding]:
    verdict = failed if throttled else unverifiable
    for name, what in (("CPUQuotaPerSecUSec", "processor time"), ("MemoryMax", "memory")):
        was, is_ = _amount(before.settings.get(name)), _amount(now.settings.get(name))
        if is_ < was:
            yield verdict(f"The {what} of {now.unit} was limited ({name} is {now.settings.get(name)}): held down.")
    was, is_ = _amount(before.settings.get("RuntimeMaxUSec")), _amount(now.settings.get("RuntimeMaxUSec"))
    if is_ < was:
        verdict = failed if is_ < _HOUR else unverifiable
        yield verdict(f"{now.unit} is ended every {now.settings['RuntimeMaxUSec']} now: the symptom is cut, not cured.")


def _triggers(now: Standing, before: Standing) -> Iterator[Finding]:
    there = {one.name: one for one in now.triggers}
    for was in before.triggers:
        is_ = there.get(was.name)
        if was.active == "active" and (is_ is None or is_.active not in ("active", "activating", "reloading")):
            yield failed(f"{was.name}, which starts {now.unit}, was active and is {is_.active if is_ else 'gone'} now.")
        elif was.enablement == "enabled" and is_ is not None and is_.enablement in ("disabled", "masked"):
            yield failed(f"{was.name}, which starts {now.unit}, was enabled and is {is_.enablement} now.")


def seconds(text: str | None) -> float | None:
    """`1min 30s` -> 90.0; None for `infinity` and what cannot be read."""
    found = re.findall(r"([\d.]+)([a-z]+)", text or "")
    if not found or "infinity" in (text or ""):
        return 0.0 if text == "0" else None
    return sum(float(number) * _UNITS.get(unit, 0.0) for number, unit in found)


def _amount(text: str | None) -> float:
    """A limit as a number, infinity where there is none."""
    if text is None or text in ("", "infinity", "[not set]", "18446744073709551615"):
        return float("inf")
    if text.isdecimal():
        return float(text)
    found = seconds(text)
    return float("inf") if found is None else found


def _short(identities: list[str]) -> str:
    return " and ".join(identities)[:120] or "nothing"
