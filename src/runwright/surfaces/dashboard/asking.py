"""What the pages' routes ask for: who, with which right, and which fields of a form."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Form
from fastapi.responses import RedirectResponse, Response

from runwright.access.permissions import Permission
from runwright.surfaces.api.guard import Caller, needs

ReviewReader = Annotated[Caller, Depends(needs(Permission.READ_REVIEWS))]
RunReader = Annotated[Caller, Depends(needs(Permission.READ_EXECUTIONS))]
IncidentReader = Annotated[Caller, Depends(needs(Permission.READ_INCIDENTS))]
RunbookReader = Annotated[Caller, Depends(needs(Permission.READ_RUNBOOKS))]
AuditReader = Annotated[Caller, Depends(needs(Permission.READ_AUDIT))]
Claimer = Annotated[Caller, Depends(needs(Permission.CLAIM_REVIEW))]
Decider = Annotated[Caller, Depends(needs(Permission.DECIDE_REVIEW))]
Tester = Annotated[Caller, Depends(needs(Permission.TEST_REVIEW))]
Suspender = Annotated[Caller, Depends(needs(Permission.SUSPEND_ACTIVATION))]
Revoker = Annotated[Caller, Depends(needs(Permission.REVOKE_APPROVAL))]
Runner = Annotated[Caller, Depends(needs(Permission.RUN))]
Answerer = Annotated[Caller, Depends(needs(Permission.ANSWER))]
Stopper = Annotated[Caller, Depends(needs(Permission.STOP))]
Releaser = Annotated[Caller, Depends(needs(Permission.RESUME))]

Field = Annotated[str, Form(max_length=4000)]
Password = Annotated[str, Form(max_length=1000)]
AskedPassword = Annotated[str | None, Form(max_length=1000)]


def see_other(path: str) -> Response:
    """After a form: the page that shows what came of it."""
    return RedirectResponse(path, status_code=303)
