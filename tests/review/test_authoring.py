"""A text becomes a version in the queue, with the routing rules that it lacks."""

from __future__ import annotations

from typing import Any

from runwright.model.ids import ALL
from runwright.model.reviews import ReviewItem
from runwright.review.authoring import submit_text

TEXT = """\
schema: runwright/v1
id: {runbook}
name: Say something
incident_types: [service_crash]
steps:
  - id: say
    run: echo hello
"""


async def submitted(world: Any, runbook: str) -> list[ReviewItem]:
    """What a new text of this line put into the queue: its version, then its rules."""
    async with world.store.transaction() as tx:
        text = TEXT.format(runbook=runbook)
        _, items = await submit_text(tx, text=text, scope=ALL, author=world.ben, clock=world.clock)
    return list(items)


async def test_a_rule_is_asked_for_once_while_it_waits_or_answers(world: Any) -> None:
    _, rule = await submitted(world, "RB-FIRST-001")
    assert len(await submitted(world, "RB-OTHER-001")) == 1
    await world.reviews.approve(world.ann, rule.id, digest=rule.subject.digest)
    assert len(await submitted(world, "RB-OTHER-001")) == 1


async def test_a_rule_that_was_rejected_does_not_keep_other_runbooks_out(world: Any) -> None:
    _, rule = await submitted(world, "RB-FIRST-001")
    await world.reviews.reject(world.ann, rule.id, digest=rule.subject.digest, reason="we have a better one")
    _, own = await submitted(world, "RB-OTHER-001")
    assert (own.subject.incident_type, own.subject.runbook_id) == ("service_crash", "RB-OTHER-001")
