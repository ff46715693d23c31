"""`runwright execution output`: one attempt's output, head and tail or whole."""

from __future__ import annotations

import codecs
import sys
from typing import TYPE_CHECKING

from runwright.surfaces.cli.output import print_json, shown, warn

if TYPE_CHECKING:
    from runwright.model.executions import AttemptRecord, ExecutionResult
    from runwright.surfaces.client import RunwrightClient


def print_output(
    server: RunwrightClient,
    execution_id: str,
    step: str,
    number: int | None,
    stream: str,
    *,
    whole: bool,
    as_json: bool,
) -> None:
    """Print it. Raises NotFound for a step or attempt that the run has not, UsageFault for another stream."""
    from runwright.model.errors import NotFound, UsageFault

    if stream not in ("stdout", "stderr"):
        raise UsageFault(f"Found --stream {stream!r}.", allowed="Allowed: stdout, stderr.")
    attempt = _attempt(server.result(execution_id), step, number)
    text: str = getattr(attempt, stream)
    artefact = getattr(attempt, f"{stream}_artefact")
    if as_json:
        found = {"step": step, "attempt": attempt.attempt, "stream": stream, "text": text, "artefact": artefact}
        print_json({"execution_id": execution_id, **found})
        return
    if not whole or artefact is None:
        _write(text)
        if artefact is not None:
            warn(f"Head and tail of {artefact.bytes} bytes; --whole prints all that is kept.")
        return
    if artefact.digest is None:
        raise NotFound(f"Found that the whole output was not kept: {artefact.reason}.")
    reader = codecs.getincrementaldecoder("utf-8")("replace")
    for block in server.artefact(execution_id, artefact.digest):
        if sys.stdout.isatty():
            sys.stdout.write(shown(reader.decode(block)))
        else:
            sys.stdout.buffer.write(block)
    sys.stdout.flush()
    if artefact.reason:
        warn(f"Kept are {artefact.stored_bytes} of {artefact.bytes} bytes: {artefact.reason}.")


def _write(text: str) -> None:
    if sys.stdout.isatty():
        sys.stdout.write(shown(text))
    else:
        sys.stdout.buffer.write(text.encode("utf-8", "replace"))
    sys.stdout.flush()


def _attempt(result: ExecutionResult, step: str, number: int | None) -> AttemptRecord:
    from runwright.model.errors import NotFound

    for record in result.steps:
        if step == record.id and record.attempts:
            found = [one for one in record.attempts if number in (None, one.attempt)]
            if found:
                return found[-1]
    tried = ", ".join(f"{record.id} ({len(record.attempts)})" for record in result.steps) or "none"
    raise NotFound(
        f"Found no attempt{f' {number}' if number else ''} of step {step!r} in {result.execution_id}.",
        allowed=f"Steps and how many attempts they had: {tried}.",
    )
