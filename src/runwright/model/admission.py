"""What execution may run: an `ApprovedRunbook` from the gate, or a `LabRunbook` in an isolated machine.

Promise 1: `Gate.admit` alone returns an `ApprovedRunbook`. The types below refuse pickling, copying and
validation, so none can be stored, put into a workflow's input or made from data. A test scans the source for
who calls the constructors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from runwright.model.documents import RunbookDocument
from runwright.model.errors import GateReason, GateRefused
from runwright.model.hosts import HostIdentity


class AdmittedRunbook:
    """A document that may run now, on the hosts it permits. Abstract."""

    __slots__ = ("_called", "_digest", "_document", "_version_id")

    def __init__(
        self,
        document: RunbookDocument,
        version_id: str,
        digest: str,
        called: Mapping[str, RunbookDocument] | None = None,
    ) -> None:
        self._document = document
        self._version_id = version_id
        self._digest = digest
        self._called = dict(called or {})

    @property
    def document(self) -> RunbookDocument:
        return self._document

    @property
    def version_id(self) -> str:
        return self._version_id

    @property
    def digest(self) -> str:
        return self._digest

    def called(self, digest: str) -> RunbookDocument:
        """A runbook that a `call` step of it names, admitted with it. Raises GateRefused for any other."""
        document = self._called.get(digest)
        if document is None:
            raise GateRefused(
                f"Found a call of {digest}, which was not admitted with {self._version_id}.", reason=GateReason.CALL
            )
        return document

    def permits(self, host: HostIdentity) -> bool:
        """Whether it may run on that host. The base class permits none."""
        return False

    def _refuse(self, *_: Any) -> NoReturn:
        raise TypeError(f"{type(self).__name__} cannot be copied, stored or made from data; ask the gate again")

    __reduce__ = _refuse
    __reduce_ex__ = _refuse
    __copy__ = _refuse
    __deepcopy__ = _refuse
    __getstate__ = _refuse

    def __init_subclass__(cls, **kwargs: Any) -> None:
        ours = cls.__name__ in ("ApprovedRunbook", "LabRunbook") and cls.__module__ == __name__
        if not ours or cls.__name__ in globals():  # a second class that lies about its name and module
            raise TypeError("AdmittedRunbook has two kinds only: ApprovedRunbook and LabRunbook")
        super().__init_subclass__(**kwargs)

    @classmethod
    def __get_pydantic_core_schema__(cls, *_: Any) -> NoReturn:
        raise TypeError(f"{cls.__name__} is never validated from data; ask the gate")


class ApprovedRunbook(AdmittedRunbook):
    """Approved content, admitted for one execution on one managed host. Only `review/gate.py` makes it."""

    __slots__ = ("_approval_id", "_execution_id", "_host_id")

    def __init__(
        self,
        document: RunbookDocument,
        version_id: str,
        digest: str,
        *,
        execution_id: str,
        host_id: str,
        approval_id: str,
        called: Mapping[str, RunbookDocument] | None = None,
    ) -> None:
        super().__init__(document, version_id, digest, called)
        self._execution_id = execution_id
        self._host_id = host_id
        self._approval_id = approval_id

    @property
    def execution_id(self) -> str:
        return self._execution_id

    @property
    def approval_id(self) -> str:
        return self._approval_id

    def permits(self, host: HostIdentity) -> bool:
        return host.host_id == self._host_id


class LabRunbook(AdmittedRunbook):
    """Unreviewed content, bound to one machine that the lab isolated itself. Only `lab/` makes it."""

    __slots__ = ("_machine",)

    def __init__(
        self,
        document: RunbookDocument,
        version_id: str,
        digest: str,
        *,
        machine: str,
        called: Mapping[str, RunbookDocument] | None = None,
    ) -> None:
        super().__init__(document, version_id, digest, called)
        self._machine = machine

    def permits(self, host: HostIdentity) -> bool:
        return host.lab_machine is not None and host.lab_machine == self._machine
