"""Named places where a crash test stops the process. Nothing happens at them otherwise."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from enum import StrEnum

ENVIRONMENT = "RUNWRIGHT_KILL_AT"


class KillPoint(StrEnum):
    """In the order in which a step, then a run, passes them."""

    BEFORE_INTENT = "before-intent"
    AFTER_INTENT = "after-intent"
    AFTER_START = "after-start"
    """The attempt runs on the host and has written something."""
    BEFORE_OUTCOME = "before-outcome"
    """The attempt ended, and the journal does not know it yet."""
    AFTER_OUTCOME = "after-outcome"
    BEFORE_VERDICT = "before-verdict"
    BEFORE_FINAL_STORE = "before-final-store"
    AFTER_FINAL_STORE = "after-final-store"


Hook = Callable[[KillPoint], None]


def _nothing(_: KillPoint) -> None:
    return None


_hook: Hook = _nothing


def reached(point: KillPoint) -> None:
    """Tell the installed hook that the process is here."""
    _hook(point)


def install(hook: Hook | None) -> None:
    """Set the hook of this process, or remove it with None. For tests and the worker's test flag only."""
    global _hook
    _hook = hook or _nothing


def install_from(text: str) -> None:
    """Die by SIGKILL at `name`, or at its n-th passing with `name:n`.

    Raises ValueError for a name that is no kill point.
    """
    name, _, count = text.partition(":")
    point, left = KillPoint(name), [int(count or 1)]

    def hook(here: KillPoint) -> None:
        if here is point:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    install(hook)
