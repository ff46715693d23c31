"""Checking audit chains: every edited, removed, inserted or reordered entry is named.

A chain alone cannot show that its end was cut off or that all of it was written anew; signed checkpoints of the
heads, kept outside the database, do (`access/checkpoints.py`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from enum import StrEnum
from itertools import islice, pairwise

from runwright.model.audit import GENESIS, AuditEntry, chain_hash
from runwright.model.base import Record
from runwright.model.ports.store import Store

RENUMBERED = 64
"""How many entries removed in a row are still told from edited ones when what follows was renumbered."""


class ChainFaultKind(StrEnum):
    EDITED = "edited"
    REMOVED = "removed"
    INSERTED = "inserted"
    REORDERED = "reordered"


class ChainFault(Record):
    """One thing wrong with a chain. `sequence` is the place in the authentic chain, or that of a foreign entry."""

    chain: str
    kind: ChainFaultKind
    sequence: int
    text: str


def verify_chain(entries: Iterable[AuditEntry]) -> tuple[ChainFault, ...]:
    """What is wrong with the entries of one chain, given in the order in which they were found; empty if nothing is.

    Entries are first walked by their hashes from the chain's beginning, which gives the authentic order; whatever
    cannot be walked is then named.
    """
    found = list(entries)
    if not found:
        return ()
    return _Walk(found[0].chain, found).faults()


class _Walk:
    """Follows hashes from the genesis hash. Index positions are those of the entries as found."""

    def __init__(self, chain: str, found: Sequence[AuditEntry]) -> None:
        self.chain = chain
        self.found = found
        self.followers: dict[str, list[int]] = defaultdict(list)
        for index, entry in enumerate(found):
            self.followers[entry.previous].append(index)
        self.order = sorted(range(len(found)), key=lambda index: found[index].sequence)
        self.placed: set[int] = set()
        """Authentic sequences that the walk has filled."""
        self.true_sequence: dict[int, int] = {}
        """Position as found -> authentic sequence, of every entry that the walk reached."""
        self.said: list[ChainFault] = []

    def faults(self) -> tuple[ChainFault, ...]:
        unplaced = self._walk()
        by_number: dict[int, list[int]] = defaultdict(list)
        for index in unplaced:
            by_number[self.found[index].sequence].append(index)
        missing = self._missing(unplaced)
        for number in missing:
            if by_number[number]:
                by_number[number].pop(0)
                self._say(ChainFaultKind.EDITED, number, "its content does not fit its hash or its neighbours")
            else:
                self._say(ChainFaultKind.REMOVED, number, "it is not there")
        for number, indexes in sorted(by_number.items()):
            for _ in indexes:
                self._say(ChainFaultKind.INSERTED, number, "it does not belong to the chain")
        self._order(shifted=bool(unplaced or missing))
        return tuple(sorted(self.said, key=lambda fault: (fault.sequence, fault.kind)))

    def _walk(self) -> set[int]:
        """Place every entry that can be placed; the positions of those that cannot."""
        left = set(range(len(self.found)))
        head, number = GENESIS, 1
        while left:
            chosen = self._next(head, number, left)
            if chosen is None:
                resumed = self._resume(number, left)
                if resumed is None:
                    break
                chosen, number = resumed
            self.true_sequence[chosen] = number
            self.placed.add(number)
            left.discard(chosen)
            head, number = self.found[chosen].hash, number + 1
        return left

    def _next(self, head: str, number: int, left: set[int]) -> int | None:
        """The entry that follows the head; of two, the one that is itself followed (a forged one is not)."""
        fitting = [index for index in self.followers[head] if index in left and self._fits(index, number)]
        followed = [index for index in fitting if self.followers[self.found[index].hash]]
        return next(iter(followed or fitting), None)

    def _resume(self, number: int, left: set[int]) -> tuple[int, int] | None:
        """After a break at `number`: the next entry that is whole in itself, and its authentic sequence."""
        start = bisect_left(self.order, number, key=lambda i: self.found[i].sequence)
        later = (i for i in islice(self.order, start, None) if i in left)
        first: int | None = None
        for index in later:
            stands = self.found[index].sequence
            if self._fits(index, stands) and (stands > number or number - 1 in self.placed):
                if stands == number:
                    # Whole, and right at the break: so what stands before it was rewritten, hash and all.
                    self._say(ChainFaultKind.EDITED, number - 1, "the next entry remembers another hash of it")
                return index, stands
            first = index if first is None else first
        # Entries may have been renumbered to hide that some before them are gone.
        further = range(number + 1, number + RENUMBERED)
        return next(((first, n) for n in further if self._fits(first, n)), None) if first is not None else None

    def _fits(self, index: int, number: int) -> bool:
        entry = self.found[index]
        same = entry.chain == self.chain and entry.event.chain == self.chain
        return same and entry.hash == chain_hash(self.chain, number, entry.previous, entry.event)

    def _missing(self, unplaced: set[int]) -> list[int]:
        """Authentic numbers without an entry, those included that unplaced entries claim right behind the end."""
        claimed = {self.found[index].sequence for index in unplaced}
        last = max(self.placed, default=0)
        while last + 1 in claimed:
            last += 1
        return [number for number in range(1, last + 1) if number not in self.placed]

    def _order(self, *, shifted: bool) -> None:
        """Placed entries that stand elsewhere than their authentic place. A mere shift behind another fault is none."""
        highest = 0
        for index in sorted(self.true_sequence, key=lambda i: (self.found[i].sequence, i)):
            number = self.true_sequence[index]
            moved = number < highest or (not shifted and self.found[index].sequence != number)
            if moved:
                self._say(ChainFaultKind.REORDERED, number, f"it stands at {self.found[index].sequence}")
            highest = max(highest, number)
        arrival = [self.true_sequence[index] for index in sorted(self.true_sequence)]
        named = {fault.sequence for fault in self.said}
        for before, after in pairwise(arrival):
            if after < before and after not in named:
                self._say(ChainFaultKind.REORDERED, after, f"it stands behind {before}")

    def _say(self, kind: ChainFaultKind, number: int, why: str) -> None:
        text = f"Entry {number} of chain {self.chain} was {kind.value}: {why}."
        self.said.append(ChainFault(chain=self.chain, kind=kind, sequence=number, text=text))


async def read_chain(store: Store, chain: str, *, limit: int = 1000) -> tuple[AuditEntry, ...]:
    """A whole chain as the store has it, in one view of the database."""
    entries: list[AuditEntry] = []
    after = 0
    async with store.reading() as tx:
        while True:
            part = await tx.audit.entries(chain, after=after, limit=limit)
            entries.extend(part)
            if len(part) < limit:
                return tuple(entries)
            # An edited number must not make this go round for ever: each part is at least its length further on.
            after = max(after + len(part), part[-1].sequence)


async def verify_store(store: Store) -> tuple[ChainFault, ...]:
    """What is wrong with any chain of a store."""
    async with store.reading() as tx:
        chains = await tx.audit.chains()
    faults: list[ChainFault] = []
    for chain in chains:
        faults.extend(verify_chain(await read_chain(store, chain)))
    return tuple(faults)
