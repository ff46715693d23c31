"""Where rooms and adapters meet: the only importer of adapters. Every function gives a ready part."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from runwright.access.audit import ChainFault, read_chain, verify_chain
from runwright.access.checkpoints import ChainHead, heads_of, make_checkpoint, open_checkpoint, verify_checkpoint
from runwright.access.service import AccessService
from runwright.access.settings import AccessSettings
from runwright.adapters.clock import SystemClock
from runwright.adapters.keys import CheckpointFile, EnvironmentSigner, FileKeyring, FileSigner, read_public_key
from runwright.adapters.secrets import FileSecrets, credential_of, secret_chain, variable_of
from runwright.adapters.storage import claim_server, open_store
from runwright.execution.evidence import EvidenceDesk
from runwright.execution.planning import PlanRequests
from runwright.loop import Dispatcher, LoopWorker
from runwright.model.audit import AuditEntry
from runwright.model.errors import Refused
from runwright.model.hosts import SecretPlaces, SecretRef
from runwright.model.ports.artefacts import ArtefactStore
from runwright.model.ports.clock import Clock
from runwright.model.ports.llm import LanguageModel
from runwright.model.ports.machines import Machines
from runwright.model.ports.signing import Signer
from runwright.model.ports.store import Store
from runwright.review.service import ReviewService
from runwright.review.settings import ReviewSettings
from runwright.review.switches import StopSwitches
from runwright.surfaces.dead_workers import Lookout
from runwright.surfaces.inventory import Inventory
from runwright.surfaces.server import KEY_VARIABLES
from runwright.surfaces.services import Services
from runwright.surfaces.settings import Engine, Settings

if TYPE_CHECKING:
    from runwright.adapters.hosts.connectors import Connectors

T = TypeVar("T")

__all__ = ["claim_server", "open_services", "open_worker"]


def system_clock() -> Clock:
    """Real time."""
    return SystemClock()


def machines() -> Machines:
    """Disposable machines of this computer."""
    from runwright.adapters.hosts.machines import NspawnMachines

    return NspawnMachines(private=(Settings().data_dir,))


def connectors(settings: Settings) -> Connectors:
    """Ways to hosts, by kind of connection."""
    from runwright.adapters.hosts.connectors import Connectors
    from runwright.adapters.hosts.local import LocalConnector
    from runwright.adapters.hosts.nspawn import NspawnConnector
    from runwright.adapters.hosts.ssh import SshConnector

    secrets = secret_chain(settings.data_dir / "secrets", os.environ)
    ssh = SshConnector(secrets=secrets)
    return Connectors(
        {"local": LocalConnector(secrets=secrets), "nspawn": NspawnConnector(secrets=secrets), "ssh": ssh},
        closing=(ssh.close,),
    )


def secret_places(settings: Settings) -> Callable[[SecretRef], SecretPlaces]:
    """Where the value of a secret may be put, on the worker's machine."""
    files = FileSecrets(settings.data_dir / "secrets")

    def places(reference: SecretRef) -> SecretPlaces:
        return SecretPlaces(
            name=reference.name,
            file=str(files.path(reference)),
            variable=variable_of(reference),
            credential=credential_of(reference),
        )

    return places


def artefacts(settings: Settings) -> ArtefactStore:
    """Where whole outputs are kept."""
    from runwright.adapters.artefacts import FileArtefacts

    return FileArtefacts(settings.artefacts)


def keyring(settings: Settings | None = None) -> FileKeyring:
    """The public keys that approvals are checked with."""
    return FileKeyring((settings or Settings()).public_keys_dir)


def public_key(path: Path) -> tuple[str, bytes]:
    """Fingerprint and raw bytes of a public key in PEM. Raises Unavailable where there is none."""
    return read_public_key(path)


def signer(settings: Settings) -> FileSigner | EnvironmentSigner:
    """The approval key, from RUNWRIGHT_APPROVAL_KEY or the data directory. For the API process alone."""
    if os.environ.get(KEY_VARIABLES[0]):
        return EnvironmentSigner.from_environment(os.environ)
    return FileSigner.load_or_create(settings.key_file)


def language_model(engine: Engine | None = None, settings: Settings | None = None) -> LanguageModel | None:
    """The configured model, or None where rules work alone. Raises Refused where one is asked for and none is set."""
    found = settings or Settings()
    if engine is not None:
        found = found.model_copy(update={"engine": engine})
    if not found.uses_model:
        return None
    if found.llm_base_url is None and found.llm_api_key is None:
        raise Refused(
            "Found the engine set to llm and no model configured.",
            next_step="Set RUNWRIGHT_LLM_BASE_URL or OPENAI_API_KEY, or use the engine rules.",
        )
    from runwright.adapters.llm.openai import OpenAICompatibleModel
    from runwright.adapters.llm.settings import ModelSettings

    return OpenAICompatibleModel(
        ModelSettings(
            base_url=found.llm_base_url,
            api_key=found.llm_api_key,
            categorise_model=found.llm_categorise_model,
            generate_model=found.llm_generate_model,
            timeout=found.llm_timeout,
        ),
        SystemClock(),
    )


def engine_status(settings: Settings) -> dict[str, Any]:
    """How learning works here, for people."""
    if not settings.uses_model:
        return {"engine": "rules"}
    return {"engine": "llm", "categorise": settings.llm_categorise_model, "generate": settings.llm_generate_model}


class _Checkpoints:
    """Signs the heads of the audit chains into a file outside the database (promise 8)."""

    def __init__(self, store: Store, clock: Clock, key: Signer, file: CheckpointFile) -> None:
        self._store, self._clock, self._key, self._file = store, clock, key, file
        self._last: tuple[ChainHead, ...] = ()

    async def __call__(self) -> None:
        """Append a checkpoint unless nothing was recorded since the last."""
        heads = await heads_of(self._store)
        if heads and heads != self._last:
            self._file.append(make_checkpoint(heads, self._key, self._clock.now()))
            self._last = heads


def _checkpoint_file(settings: Settings) -> CheckpointFile:
    return CheckpointFile(settings.data_dir / "audit-checkpoints.jsonl")


def _access(store: Store, clock: Clock, settings: Settings) -> AccessService:
    return AccessService(store, clock, AccessSettings(session_hours=settings.session_hours))


@asynccontextmanager
async def opened_store(settings: Settings) -> AsyncIterator[Store]:
    """The store of these settings, migrated, closed at the end."""
    if not settings.on_postgres:
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    store = await open_store(settings.store_url)
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """Everything the API process works with, the approval key among it."""
    from runwright.adapters.durable.queue import DurableQueue

    clock = SystemClock()
    async with opened_store(settings) as store:
        ring = keyring(settings)
        key = signer(settings)
        ring.publish(key.public_key)
        queue = DurableQueue(settings.durable_url)
        try:
            yield Services(
                settings=settings,
                store=store,
                clock=clock,
                keyring=ring,
                access=_access(store, clock, settings),
                reviews=ReviewService(
                    store,
                    key,
                    ring,
                    clock,
                    ReviewSettings(lease_minutes=settings.lease_minutes, approval_days=settings.approval_days),
                ),
                loop=Dispatcher(store, clock, queue),
                inventory=Inventory(store, clock, queue, secret_places(settings)),
                switches=StopSwitches(store, clock),
                evidence=EvidenceDesk(store, key, ring),
                artefacts=artefacts(settings),
                plans=PlanRequests(store, clock, queue),
                checkpoint=_Checkpoints(store, clock, key, _checkpoint_file(settings)),
                engine=lambda: engine_status(settings),
            )
        finally:
            await queue.close()


@asynccontextmanager
async def open_worker(settings: Settings) -> AsyncIterator[tuple[Any, LoopWorker]]:
    """The durable worker (not started) and the loop it drives. Holds public keys only."""
    from runwright.adapters.durable.queue import DurableQueue
    from runwright.adapters.durable.worker import DurableWorker, WorkHandlers
    from runwright.execution.host_check import HostChecker
    from runwright.execution.planning import PlanMaker
    from runwright.execution.service import ExecutionService
    from runwright.lab.library import folder
    from runwright.lab.runner import LabTrials
    from runwright.learning.service import LearningService
    from runwright.review.calls import stored_calls
    from runwright.review.gate import ApprovalGate

    clock = SystemClock()
    async with opened_store(settings) as store:
        queue = DurableQueue(settings.durable_url)
        trials = None
        if settings.lab:
            scenarios = (*settings.scenario_dirs, folder())
            trials = LabTrials(machines(), scenarios, clock, called=lambda document: stored_calls(store, document))
        connector, gate = connectors(settings), ApprovalGate(store, keyring(settings), clock)
        loop = LoopWorker(
            store,
            clock,
            queue,
            executions=ExecutionService(
                store,
                gate,
                connector,
                clock,
                hold=settings.hold_seconds,
                artefacts=artefacts(settings) if settings.artefact_limit_mb else None,
                keep_output=settings.artefact_limit_mb * 1_000_000,
            ),
            learning=LearningService(clock, language_model(settings=settings), trials),
            trials=trials,
        )
        handlers = WorkHandlers(
            run_execution=loop.run_execution,
            learn=loop.learn,
            test_subject=loop.test_subject,
            check_host=HostChecker(store, connector, clock).check,
            make_plan=PlanMaker(store, gate, connector, clock).make,
        )
        try:
            yield DurableWorker(settings.durable_url, settings.executor_id, handlers), loop
        finally:
            await connector.close()
            await queue.close()


def lookout(settings: Settings, after: float) -> Lookout:
    """What notices workers that gave no sign of life for so many seconds."""
    from runwright.adapters.durable.takeover import Watch

    return Watch(settings.durable_url, settings.executor_id, after)


def take_over(settings: Settings, executor_id: str) -> int:
    """Put what a dead worker left unfinished back into the queues; how many pieces. Blocking.

    Raises Conflict if that worker lives: its step in flight would run twice.
    """
    from runwright.adapters.durable.takeover import take_over as put_back

    return put_back(settings.durable_url, executor_id)


async def with_access(work: Callable[[AccessService], Awaitable[T]], settings: Settings | None = None) -> T:
    """Do something with the access service, directly on this server's database."""
    settings = settings or Settings()
    async with opened_store(settings) as store:
        return await work(_access(store, SystemClock(), settings))


async def audit_chains() -> dict[str, tuple[AuditEntry, ...]]:
    """Every audit chain of this server's database, whole."""
    async with opened_store(Settings()) as store:
        async with store.reading() as tx:
            names = await tx.audit.chains()
        return {name: await read_chain(store, name) for name in names}


async def verify_audit() -> tuple[dict[str, tuple[AuditEntry, ...]], tuple[ChainFault, ...]]:
    """Every chain, and what is wrong with any: within it, or against what was signed of it outside the database.

    Raises Tampered where a signed checkpoint was edited itself.
    """
    settings = Settings()
    chains = await audit_chains()
    faults = [fault for entries in chains.values() for fault in verify_chain(entries)]
    for line in _checkpoint_file(settings).lines():
        faults += verify_checkpoint(open_checkpoint(keyring(settings), line), chains)
    return chains, tuple(dict.fromkeys(faults))
