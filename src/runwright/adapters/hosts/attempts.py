"""What the supervisor answers, read into records. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from runwright.adapters.hosts.output import Marked
from runwright.model.executions import AttemptRecord
from runwright.model.hosts import SecretRef
from runwright.model.ports.hosts import AttemptState, AttemptStatus, StopReport

NOTES = {
    "L": "\n[runwright: the supervisor of this attempt was ended before it could record an outcome]\n",
    "B": "\n[runwright: the host restarted while this attempt ran; what it had done by then is unknown]\n",
}
"""Ends that nobody saw: the outcome has no exit code and says so (promise 4: never guessed)."""


@dataclass(frozen=True)
class Answer:
    """First line of an answer without its nonce, and the bytes after it."""

    line: str
    rest: bytes

    @property
    def words(self) -> list[str]:
        return self.line.split(" ")


def answered(nonce: str, data: bytes) -> Answer | None:
    """The answer, or None where its first line did not come whole."""
    head, newline, rest = data.partition(b"\n")
    prefix = f"{nonce} ".encode()
    if not newline or not head.startswith(prefix):
        return None
    return Answer(line=head[len(prefix) :].decode("utf-8", "replace"), rest=rest)


def parse_stop(answer: Answer) -> StopReport:
    """Raises ValueError for an answer that no supervisor gives."""
    method, ended, survivors = answer.words
    pids = () if survivors == "-" else tuple(_number(pid) for pid in survivors.split(","))
    return StopReport(ended=_number(ended), survivors=pids, method=method)


def _number(text: str) -> int:
    if not re.fullmatch("[0-9]{1,12}", text):
        raise ValueError(f"found {text[:20]!r} for a number")
    return int(text)


def parse_status(
    answer: Answer,
    resolve: Callable[[Mapping[str, SecretRef]], Mapping[str, str]],
    mask: Callable[[bytes, Mapping[str, str]], bytes],
) -> AttemptStatus:
    """Decode `status.sh`. `resolve` gives the values to mask, by the names stored beside the attempt.

    A running attempt carries what it has put out so far. Raises ValueError, OverflowError or OSError for an answer
    that no supervisor gives.
    """
    if answer.words == ["U"]:
        return AttemptStatus(state=AttemptState.UNKNOWN)
    if answer.words == ["N"]:
        return AttemptStatus(state=AttemptState.BURIED)
    state, code, started, ended, *sizes, mark = answer.words
    out, err, names = (_number(size) for size in sizes)
    references = _references(answer.rest[:names].decode("utf-8", "replace"))
    known = resolve(references)
    end = mark.encode()
    stdout = mask(_before(end, answer.rest[names : names + out]), known)
    stderr = mask(_before(end, answer.rest[names + out : names + out + err]), known)
    outcome = AttemptRecord(
        attempt=1,
        exit_code=None if code == "-" or state != "F" else _number(code),
        stdout=stdout.decode("utf-8", "replace"),
        stderr=stderr.decode("utf-8", "replace") + NOTES.get(state, ""),
        started_at=datetime.fromtimestamp(_number(started), UTC),
        ended_at=None if ended == "-" else datetime.fromtimestamp(_number(ended), UTC),
        adopted=True,
    )
    return AttemptStatus(state=AttemptState.RUNNING if state == "R" else AttemptState.FINISHED, outcome=outcome)


def _before(mark: bytes, stream: bytes) -> bytes:
    """A kept stream without what came after the step's end; the mark itself may be cut by the stream's limit."""
    if mark == b"-":
        return stream
    marked = Marked(mark)
    before = marked.feed(stream)
    return before if marked.found or len(marked.after) > len(mark) // 2 else before + marked.flush()


def _references(text: str) -> dict[str, SecretRef]:
    found = {}
    for line in text.splitlines():
        variable, client, name = line.split(" ")
        found[variable] = SecretRef(client_id=client, name=name)
    return found
