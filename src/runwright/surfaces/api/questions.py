"""What runs ask persons, and their answers."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from runwright.access.permissions import Permission
from runwright.model.executions import Execution
from runwright.model.ports.store import EVERY_CLIENT
from runwright.model.questions import Question, QuestionStatus
from runwright.surfaces.api.bodies import body_of, json_body
from runwright.surfaces.api.forms import ERRORS, AnswerForm, Cursor, Limit, Listing
from runwright.surfaces.api.guard import Caller, needs, services

router = APIRouter(tags=["executions"], responses=ERRORS)


@router.get("/questions", summary="What runs ask persons, newest first.")
async def list_questions(
    request: Request,
    caller: Annotated[Caller, Depends(needs(Permission.READ_EXECUTIONS))],
    status: QuestionStatus | None = None,
    execution_id: str | None = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Listing[Question]:
    """One that nobody answered in time stays `open` for a moment, until the next sweep; it takes no answer then."""
    where = caller.where()
    for name, value in (("status", status), ("execution_id", execution_id)):
        if value is not None:
            where[name] = str(value)
    async with services(request).store.reading() as tx:
        page = await tx.questions.page(client=EVERY_CLIENT, where=where, cursor=cursor, limit=limit)
    return Listing(items=list(page.items), next_cursor=page.next_cursor)


@router.post(
    "/executions/{execution_id}/answers",
    status_code=202,
    openapi_extra=body_of(AnswerForm),
    summary="A person's answer to what a run waits for.",
)
async def answer(
    request: Request,
    execution_id: str,
    caller: Annotated[Caller, Depends(needs(Permission.ANSWER))],
    form: Annotated[AnswerForm, Depends(json_body(AnswerForm))],
) -> Execution:
    """The run goes on. 409 where nothing is asked, it was answered already, or its time is over; 422 for a value that
    the parameter does not allow."""
    found = services(request)
    async with found.store.reading() as tx:
        execution = await tx.executions.get(execution_id, client=EVERY_CLIENT)
    caller.check(execution.client_id, f"execution {execution_id}")
    return await found.loop.answer(caller.principal, execution_id, form.value, question_id=form.question)
