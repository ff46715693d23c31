"""Several questions in one round trip: named sections of one output that their content cannot forge.

Every call has a token of its own, passed as a parameter and taken out of the environment at once.
A section starts and ends with a line that bears it, so a line of a journal or the name of a process,
which were written before the token existed, cannot end one section or begin another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from runwright.model.ports.clock import Clock
from runwright.model.ports.hosts import Command, HostSession
from runwright.verification.text import first_line

PRELUDE = r"""
rw_t=$rw_token; unset rw_token
LC_ALL=C; export LC_ALL
PATH="/usr/sbin:/usr/bin:/sbin:/bin${PATH:+:$PATH}:/usr/local/sbin"; export PATH
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY all_proxy ALL_PROXY
begin() { printf '\n%s{%s\n' "$rw_t" "$1"; }
end() { printf '\n%s}%s %s\n' "$rw_t" "$1" "$2"; }
have() { command -v "$1" >/dev/null 2>&1; }
bounded() { rw_s=$1; shift; if have timeout; then timeout "$rw_s" "$@"; else "$@"; fi; }
"""
"""Start of every script: POSIX sh, tried with dash and BusyBox ash."""

NO_TOOL = 111
"""A part exits so when the host lacks every tool that could answer."""


@dataclass(frozen=True)
class Section:
    """What one part printed. `status` is None when it did not come to its end."""

    text: str
    status: int | None

    @property
    def ended(self) -> bool:
        return self.status is not None


Sections = Mapping[str, Section]


@dataclass(frozen=True)
class Question:
    """Parts to ask for in one round trip, with the parameters that their text reads from the environment."""

    parts: Sequence[tuple[str, str]]
    """(name, POSIX sh text). The text must not call `exit`; its last status is kept."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 20.0
    """Seconds."""


@dataclass(frozen=True)
class Answer:
    """The sections that came back. `problem` says in one sentence why some may be missing."""

    sections: Sections
    problem: str | None
    seconds: float


def script(parts: Sequence[tuple[str, str]]) -> str:
    """One sh text that prints every part as a section."""
    body = "".join(f"begin {name}\n{text.strip()}\nend {name} $?\n" for name, text in parts)
    return f"{PRELUDE}{body}:\n"


def parse_sections(output: str, token: str) -> dict[str, Section]:
    """Pure: the sections of an output. A section that was cut has status None; of two of a name the first counts."""
    found: dict[str, Section] = {}
    for piece in output.split(f"\n{token}{{")[1:]:
        name, _, rest = piece.partition("\n")
        text, mark, tail = rest.partition(f"\n{token}}}{name} ")
        status = tail.split("\n", 1)[0].strip() if mark else ""
        found.setdefault(name, Section(text=text, status=int(status) if status.isdecimal() else None))
    return found


async def ask(
    session: HostSession, question: Question, clock: Clock, *, become: bool = False, output_limit: int = 2_000_000
) -> Answer:
    """Ask all parts in one read-only round trip. Raises HostUnreachable."""
    token = clock.new_id("rw")
    command = Command(
        text=script(question.parts),
        parameters={**question.parameters, "rw_token": token},
        timeout=question.timeout,
        become=become,
        output_limit=output_limit,
    )
    result = await session.probe(command)
    problem = None
    if result.exit_code is None:
        problem = f"the host did not answer within {question.timeout:g} s"
    elif result.exit_code != 0:
        said = first_line(result.stderr)
        problem = f"the shell on the host ended with status {result.exit_code}{': ' + said if said else ''}"
    return Answer(sections=parse_sections(result.stdout, token), problem=problem, seconds=result.seconds)
