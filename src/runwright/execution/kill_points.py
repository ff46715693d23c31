"""Named places where a crash test stops the process. Nothing happens at them otherwise.

Production code passes them and installs nothing: only tests do.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from enum import StrEnum


class KillPoint(StrEnum):
    """In the order in which a report, then a run, then a step, then what follows a run passes them."""

    AFTER_REPORT = "after-report"
    """The incident and its execution are stored, and nothing is queued yet."""
    BEFORE_CLAIM = "before-claim"
    """A worker took the work out of the queue."""
    AFTER_CLAIM = "after-claim"
    """The execution is this worker's; the gate was not asked yet."""
    IN_CAPTURE = "in-capture"
    """The host was asked for its state, and nothing of it is stored."""
    AFTER_CHECKPOINT = "after-checkpoint"
    BEFORE_GUARD = "before-guard"
    AFTER_GUARD = "after-guard"
    BEFORE_INTENT = "before-intent"
    AFTER_INTENT = "after-intent"
    AFTER_START = "after-start"
    """The attempt runs on the host and has written something."""
    BEFORE_OUTCOME = "before-outcome"
    """The attempt ended, and the journal does not know it yet."""
    AFTER_OUTCOME = "after-outcome"
    IN_RECOVERY = "in-recovery"
    """The host said what became of an attempt that another worker intended; the journal does not know it yet."""
    BEFORE_VERDICT = "before-verdict"
    IN_HOLD = "in-hold"
    """A verification waits, to see whether what it saw stays so."""
    BEFORE_ROLLBACK = "before-rollback"
    BEFORE_EVENTS = "before-events"
    """Events wait to be stored."""
    BEFORE_FORGET = "before-forget"
    """The host still keeps what the journal knows now."""
    BEFORE_FINAL_STORE = "before-final-store"
    AFTER_FINAL_STORE = "after-final-store"
    AFTER_SETTLE = "after-settle"
    """The incident knows how its run ended, and learning was not queued yet."""
    AFTER_LEARNING_QUEUED = "after-learning-queued"


Hook = Callable[[KillPoint, str, str], None]
"""Is told the point, the execution's id, and which part of the run it is in: `steps:restart`, or empty."""


def _nothing(_: KillPoint, __: str, ___: str) -> None:
    return None


_hook: Hook = _nothing


def reached(point: KillPoint, execution_id: str = "", place: str = "") -> None:
    """Tell the installed hook that the process is here."""
    _hook(point, execution_id, place)


def install(hook: Hook | None) -> None:
    """Set the hook of this process, or remove it with None. For tests only."""
    global _hook
    _hook = hook or _nothing


def install_from(text: str) -> None:
    """Die by SIGKILL at `name`, or at its n-th passing with `name:n`.

    Raises ValueError for a name that is no kill point.
    """
    name, _, count = text.partition(":")
    point, left = KillPoint(name), [int(count or 1)]

    def hook(here: KillPoint, _: str, __: str) -> None:
        if here is point:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    install(hook)
