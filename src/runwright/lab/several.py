"""Several pieces of work at once, on machines that must be gone when the call ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


async def several(work: Callable[[T], Awaitable[R]], items: Sequence[T], jobs: int) -> tuple[R, ...]:
    """`work` on every item, at most `jobs` at once; results in the order of the items.

    The first error, or a cancellation, ends all other work and waits for its clean-up, then is raised as itself.
    """
    room = asyncio.Semaphore(max(1, jobs))

    async def one(item: T) -> R:
        async with room:
            return await work(item)

    tasks = [asyncio.ensure_future(one(item)) for item in items]
    try:
        return tuple(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
