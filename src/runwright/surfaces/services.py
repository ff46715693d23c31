"""What the surfaces work with: the rooms' services, wired to one store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from runwright.access.service import AccessService
from runwright.execution.evidence import EvidenceDesk
from runwright.execution.planning import PlanRequests
from runwright.loop import Dispatcher
from runwright.model.ports.artefacts import ArtefactStore
from runwright.model.ports.clock import Clock
from runwright.model.ports.signing import Keyring
from runwright.model.ports.store import Store
from runwright.review.service import ReviewService
from runwright.review.switches import StopSwitches
from runwright.surfaces.inventory import Inventory
from runwright.surfaces.settings import Settings


@dataclass(frozen=True)
class Services:
    """Handed to the API and the dashboard. Made by `wiring` alone."""

    settings: Settings
    store: Store
    clock: Clock
    keyring: Keyring
    access: AccessService
    reviews: ReviewService
    loop: Dispatcher
    inventory: Inventory
    switches: StopSwitches
    evidence: EvidenceDesk
    artefacts: ArtefactStore
    plans: PlanRequests
    checkpoint: Callable[[], Awaitable[None]]
    """Sign the heads of all audit chains into the file beside the database, if they moved."""
    engine: Callable[[], dict[str, Any]]
    """How learning works here: `{"engine": "rules"}`, or the models' names."""
