"""Logging in and out, tokens of machines."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from runwright.access.permissions import Permission
from runwright.model.errors import UsageFault
from runwright.model.principals import Principal
from runwright.surfaces.api.bodies import body_of, json_body
from runwright.surfaces.api.forms import ERRORS, LoginForm, TokenForm, UserForm
from runwright.surfaces.api.guard import Caller, needs, open_to_all, refuse_foreign, services
from runwright.surfaces.client import Login, NewToken

router = APIRouter(tags=["access"], responses=ERRORS)


@router.post(
    "/sessions",
    status_code=201,
    dependencies=[Depends(open_to_all)],
    openapi_extra={**body_of(LoginForm), "security": []},
    summary="Log in; the secret is shown once.",
)
async def login(request: Request, form: Annotated[LoginForm, Depends(json_body(LoginForm))]) -> Login:
    refuse_foreign(request)
    access = services(request).access
    _, secret = await access.login(form.name, form.password)
    principal, _ = await access.session_principal(secret)
    return Login(secret=secret, principal=principal)


@router.get("/sessions/current", summary="Who this credential is.")
async def whoami(caller: Annotated[Caller, Depends(needs(None))]) -> Principal:
    return caller.principal


@router.delete("/sessions/current", status_code=204, summary="Log out.")
async def logout(request: Request, caller: Annotated[Caller, Depends(needs(None))]) -> Response:
    if caller.session is None:
        raise UsageFault("Found a token, which has no session.", next_step="Revoke it with `runwright token revoke`.")
    await services(request).access.logout(caller.secret)
    return Response(status_code=204)


@router.post("/users", status_code=201, openapi_extra=body_of(UserForm), summary="Add a person.")
async def add_user(
    request: Request,
    caller: Annotated[Caller, Depends(needs(Permission.MANAGE_USERS))],
    form: Annotated[UserForm, Depends(json_body(UserForm))],
) -> dict[str, str]:
    user = await services(request).access.add_user(caller.principal, form.name, form.password, grants=form.grants)
    return {"id": user.id, "name": user.name}


@router.post(
    "/tokens", status_code=201, openapi_extra=body_of(TokenForm), summary="Make a machine's token; shown once."
)
async def create_token(
    request: Request,
    caller: Annotated[Caller, Depends(needs(Permission.MANAGE_TOKENS))],
    form: Annotated[TokenForm, Depends(json_body(TokenForm))],
) -> NewToken:
    token, secret = await services(request).access.create_token(
        caller.principal, form.name, grants=form.grants, days=form.days
    )
    return NewToken(id=token.id, secret=secret)


@router.delete("/tokens/{token_id}", status_code=204, summary="End a token at once.")
async def revoke_token(
    request: Request, token_id: str, caller: Annotated[Caller, Depends(needs(Permission.MANAGE_TOKENS))]
) -> Response:
    await services(request).access.revoke_token(caller.principal, token_id)
    return Response(status_code=204)
