"""Signed checkpoints of all chains' heads: kept outside the database, they show what a chain alone cannot.

A cut-off end, a chain written anew and a chain that vanished all leave the chain itself in good order; the head
that was signed earlier is then missing or another one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

from pydantic import ValidationError

from runwright.access.audit import ChainFault, ChainFaultKind, read_chain
from runwright.access.dsse import CHECKPOINT_TYPE, open_payload, sign_payload
from runwright.model.audit import AuditEntry
from runwright.model.base import Moment, Record, Sha256
from runwright.model.errors import Tampered
from runwright.model.ports.signing import Keyring, Signer
from runwright.model.ports.store import Store

MAXIMUM_CHECKPOINT = 16 * 1024 * 1024


class ChainHead(Record):
    """The last entry of a chain when the checkpoint was made."""

    chain: str
    sequence: int
    hash: Sha256


class Checkpoint(Record):
    """All heads at one moment."""

    type: Literal["runwright/checkpoint/v1"] = "runwright/checkpoint/v1"
    at: Moment
    heads: tuple[ChainHead, ...]


def make_checkpoint(heads: Sequence[ChainHead], signer: Signer, at: datetime) -> str:
    """One line of JSON: a DSSE envelope over the heads. Append it to a file outside the database."""
    checkpoint = Checkpoint(at=at, heads=tuple(sorted(heads, key=lambda head: head.chain)))
    return sign_payload(signer, CHECKPOINT_TYPE, checkpoint.model_dump(mode="json"))


def open_checkpoint(keyring: Keyring, line: str) -> Checkpoint:
    """The checkpoint of one line. Raises Tampered."""
    payload = open_payload(keyring, CHECKPOINT_TYPE, line.strip(), limit=MAXIMUM_CHECKPOINT)
    try:
        return Checkpoint.model_validate_json(payload)
    except ValidationError as error:
        raise Tampered("Found a signed checkpoint that is none.") from error


def verify_checkpoint(checkpoint: Checkpoint, chains: Mapping[str, Sequence[AuditEntry]]) -> tuple[ChainFault, ...]:
    """Heads of the checkpoint that the chains no longer hold. Check each chain itself with `verify_chain` as well."""
    faults: list[ChainFault] = []
    for head in checkpoint.heads:
        entries = {entry.sequence: entry.hash for entry in chains.get(head.chain, ())}
        found = entries.get(head.sequence)
        if found == head.hash:
            continue
        kind = ChainFaultKind.REMOVED if found is None else ChainFaultKind.EDITED
        why = "it is gone" if found is None else "the chain up to it was written anew"
        text = f"Entry {head.sequence} of chain {head.chain} was {kind.value} since {checkpoint.at.isoformat()}: {why}."
        faults.append(ChainFault(chain=head.chain, kind=kind, sequence=head.sequence, text=text))
    return tuple(faults)


async def heads_of(store: Store) -> tuple[ChainHead, ...]:
    """The head of every chain that has an entry, in one view of the database each."""
    async with store.reading() as tx:
        chains = await tx.audit.chains()
    heads: list[ChainHead] = []
    for chain in chains:
        entries = await read_chain(store, chain)
        if entries:
            last = entries[-1]
            heads.append(ChainHead(chain=chain, sequence=last.sequence, hash=last.hash))
    return tuple(heads)


async def verify_store_checkpoint(store: Store, keyring: Keyring, line: str) -> tuple[ChainFault, ...]:
    """What a store no longer holds of a signed checkpoint. Raises Tampered if the checkpoint itself was edited."""
    checkpoint = open_checkpoint(keyring, line)
    chains = {head.chain: await read_chain(store, head.chain) for head in checkpoint.heads}
    return verify_checkpoint(checkpoint, chains)
