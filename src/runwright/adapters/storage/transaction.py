"""All collections within one transaction."""

from __future__ import annotations

from functools import cached_property

from sqlalchemy import Integer, bindparam, delete, select, text
from sqlalchemy.sql.expression import ClauseElement

from runwright.adapters.storage import schema, specs
from runwright.adapters.storage.collection import SqlCollection
from runwright.adapters.storage.executions import SqlExecutions, SqlJournal
from runwright.adapters.storage.reviews import SqlReviews
from runwright.adapters.storage.runbooks import SqlActivations, SqlVersions
from runwright.adapters.storage.trails import SqlAudit, SqlEvents
from runwright.adapters.storage.unit import Unit
from runwright.model.clients import Client
from runwright.model.diagnoses import Analysis
from runwright.model.errors import NotFound
from runwright.model.external import ExternalExecution
from runwright.model.hosts import Host, HostCheck
from runwright.model.incidents import Escalation, Incident
from runwright.model.lab import Trial
from runwright.model.plans import RunPlan
from runwright.model.principals import Session, Token, User
from runwright.model.proposals import Proposal
from runwright.model.questions import Question
from runwright.model.reviews import Approval, RoutingRule, StopSwitch


class SqlTransaction:
    """`Transaction`. Collections are made when first asked for."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit

    @cached_property
    def clients(self) -> SqlCollection[Client]:
        return SqlCollection(self._unit, specs.CLIENTS)

    @cached_property
    def hosts(self) -> SqlCollection[Host]:
        return SqlCollection(self._unit, specs.HOSTS)

    @cached_property
    def host_checks(self) -> SqlCollection[HostCheck]:
        return SqlCollection(self._unit, specs.HOST_CHECKS)

    @cached_property
    def incidents(self) -> SqlCollection[Incident]:
        return SqlCollection(self._unit, specs.INCIDENTS)

    @cached_property
    def escalations(self) -> SqlCollection[Escalation]:
        return SqlCollection(self._unit, specs.ESCALATIONS)

    @cached_property
    def versions(self) -> SqlVersions:
        return SqlVersions(self._unit)

    @cached_property
    def reviews(self) -> SqlReviews:
        return SqlReviews(self._unit)

    @cached_property
    def approvals(self) -> SqlCollection[Approval]:
        return SqlCollection(self._unit, specs.APPROVALS)

    @cached_property
    def activations(self) -> SqlActivations:
        return SqlActivations(self._unit)

    @cached_property
    def routes(self) -> SqlCollection[RoutingRule]:
        return SqlCollection(self._unit, specs.ROUTES)

    @cached_property
    def executions(self) -> SqlExecutions:
        return SqlExecutions(self._unit)

    @cached_property
    def externals(self) -> SqlCollection[ExternalExecution]:
        return SqlCollection(self._unit, specs.EXTERNALS)

    @cached_property
    def questions(self) -> SqlCollection[Question]:
        return SqlCollection(self._unit, specs.QUESTIONS)

    @cached_property
    def journal(self) -> SqlJournal:
        return SqlJournal(self._unit)

    @cached_property
    def events(self) -> SqlEvents:
        return SqlEvents(self._unit)

    @cached_property
    def analyses(self) -> SqlCollection[Analysis]:
        return SqlCollection(self._unit, specs.ANALYSES)

    @cached_property
    def proposals(self) -> SqlCollection[Proposal]:
        return SqlCollection(self._unit, specs.PROPOSALS)

    @cached_property
    def trials(self) -> SqlCollection[Trial]:
        return SqlCollection(self._unit, specs.TRIALS)

    @cached_property
    def plans(self) -> SqlCollection[RunPlan]:
        return SqlCollection(self._unit, specs.PLANS)

    @cached_property
    def users(self) -> SqlCollection[User]:
        return SqlCollection(self._unit, specs.USERS)

    @cached_property
    def sessions(self) -> SqlCollection[Session]:
        return SqlCollection(self._unit, specs.SESSIONS)

    @cached_property
    def tokens(self) -> SqlCollection[Token]:
        return SqlCollection(self._unit, specs.TOKENS)

    @cached_property
    def switches(self) -> SqlCollection[StopSwitch]:
        return SqlCollection(self._unit, specs.SWITCHES)

    @cached_property
    def audit(self) -> SqlAudit:
        return SqlAudit(self._unit)

    async def remove_switch(self, switch_id: str) -> None:
        """Raises NotFound."""
        table = schema.stop_switches
        statement = self._unit.statements.prepared(
            ("stop_switches", "remove"),
            lambda: delete(table).where(table.c.id == bindparam("key", type_=schema.WORD)).returning(table.c.id),
        )
        if not await self._unit.write(statement, key=switch_id):
            raise NotFound(f"Found no stop switch {switch_id!r}.", next_step="List the switches that are set.")

    async def remove_host(self, host_id: str) -> None:
        """Take a host off the inventory, with its checks. Raises NotFound."""
        table = schema.hosts
        statement = self._unit.statements.prepared(
            ("hosts", "remove"),
            lambda: delete(table).where(table.c.id == bindparam("key", type_=schema.WORD)).returning(table.c.id),
        )
        if not await self._unit.write(statement, key=host_id):
            raise NotFound(f"Found no host {host_id!r}.", next_step="List the hosts to see their ids.")
        await self.trim_host_checks(host_id, keep=0)

    async def trim_host_checks(self, host_id: str, *, keep: int) -> None:
        """Keep the newest checks of a host."""
        table = schema.host_checks
        of_host = table.c.host_id == bindparam("key", type_=schema.WORD)

        def trimming() -> ClauseElement:
            newest = (
                select(table.c.id)
                .where(of_host)
                .order_by(table.c.created_at.desc(), table.c.id.desc())
                .limit(bindparam("keep", type_=Integer()))
            )
            return delete(table).where(of_host, table.c.id.not_in(newest)).returning(table.c.id)

        statement = self._unit.statements.prepared(("host_checks", "trim"), trimming)
        await self._unit.write(statement, key=host_id, keep=keep)

    async def lock(self, name: str) -> None:
        """Wait until no other transaction holds this name, and hold it until this one ends.

        For rules over several records (no two open incidents with one fingerprint, a maximum of concurrent hosts),
        which locks on rows cannot keep. On SQLite a write transaction holds the whole database already.
        """
        if not self._unit.statements.sqlite:
            sql = "SELECT CAST(pg_advisory_xact_lock(hashtextextended(:name, 0)) AS text)"
            await self._unit.write(self._unit.statements.prepared(sql, lambda: text(sql)), name=name)
