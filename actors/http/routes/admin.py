"""The administration: read the actor tree and the audit log, and act on one actor.

Every action is written to the audit log before it is carried out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Final, Literal

import msgspec
from litestar import Controller, get, post
from litestar.params import PathParameter, QueryParameter

from actors.http.access.guards import needs_admin, needs_key
from actors.http.model.bodies import ApiRequest
from actors.http.model.problems import Problem
from actors.http.model.responses import AuditedAction, AuditReply
from actors.http.model.suggestions import did_you_mean
from actors.http.openapi.operations import may_answer, named
from actors.http.routes.events import MAX_PAGE, MAX_SEQ
from actors.http.routes.tree import ActorReply, TreeReply, view
from actors.http.services.backends import Backends, Injected, note
from supervisor.errors import NoSuchActor, NotSupported, SupervisorError

Action = Literal["kill", "restart", "suspend", "resume"]
ACTIONS: Final[Mapping[str, Action]] = MappingProxyType(
    {"kill": "kill", "restart": "restart", "suspend": "suspend", "resume": "resume"}
)

_COMPANIES: Final = "/companies/"
_PATH: Final = re.compile(r"/|(/[A-Za-z0-9_.-]{1,64}){1,16}", re.ASCII)

Target = Annotated[str, PathParameter(description="Path in the tree, like /companies/962302")]

Before = Annotated[
    int | None, QueryParameter(ge=1, le=MAX_SEQ, description="Records with a smaller id: `next` of the page before")
]
Limit = Annotated[int, QueryParameter(ge=1, le=MAX_PAGE)]


class AdminController(Controller):
    """For operators, and for tests of what happens when something breaks."""

    path = "/admin"
    guards = (
        needs_key,
        needs_admin,
    )
    tags = ("administration",)

    @get("/tree", summary="The actor tree", responses=may_answer())
    async def get_tree(self, backends: Injected) -> TreeReply:
        """Every actor with its state, mailbox, restarts and last crash."""
        return TreeReply(tree=view(backends.system.snapshot()))

    @get("/audit", summary="The audit log", responses=may_answer("invalid_request"))
    async def list_audit_records(self, backends: Injected, before: Before = None, limit: Limit = 100) -> AuditReply:
        """What was done with which key and from where, and what was refused; newest first. `wasup audit` verifies the log's chain."""
        found = await backends.audit_log.read(before, limit + 1)
        records = tuple(AuditedAction(**msgspec.structs.asdict(record)) for record in found[:limit])
        return AuditReply(records=records, next=records[-1].id if len(found) > limit else None)

    @get(
        ["/actors", "/actors/{target:path}"],
        summary="One actor",
        operation_id=named(actors="getRootActor", target="getActor"),
        responses=may_answer("no_such_actor"),
    )
    async def get_actor(self, backends: Injected, target: Target = "/") -> ActorReply:
        """One actor, its last crash with the traceback, and what is below it."""
        return _look(backends, _checked(target))

    @post(
        "/actors/{target:path}",
        status_code=200,
        summary="Act on an actor",
        responses=may_answer(
            "no_such_actor", "not_found", "not_supported", "action_failed", "restarting", "owned_elsewhere"
        ),
    )
    async def act_on_actor(self, target: Target, request: ApiRequest, backends: Injected) -> ActorReply:
        """The last part of the path is the action: kill, restart, suspend or resume."""
        path, _, word = target.rpartition("/")
        action = ACTIONS.get(word)
        if action is None:
            hint = did_you_mean(word[:64], ACTIONS)
            raise Problem("not_found", f"the last part of the path must be one of {', '.join(ACTIONS)}{hint}")
        path = _checked(path or "/")
        before = _look(backends, path)
        if path.startswith(_COMPANIES):
            await backends.find(
                path.removeprefix(_COMPANIES)
            )  # an action on the actor here does not affect another daemon's company
        note(request, backends, action, path)
        return before if backends.act_on_self(action, path) else await _act(backends, action, path)


def _checked(path: str) -> str:
    if _PATH.fullmatch(path) is None:
        raise Problem("no_such_actor")
    return path


def _look(backends: Backends, path: str) -> ActorReply:
    try:
        return ActorReply(actor=view(backends.system.snapshot(path), traceback=True))
    except NoSuchActor as error:
        raise Problem("no_such_actor") from error


async def _act(backends: Backends, action: Action, path: str) -> ActorReply:
    system = backends.system
    try:
        match action:
            case "kill":
                system.kill(path, "killed by an operator")
            case "restart":
                await system.restart(path)
            case "suspend":
                system.suspend(path)
            case "resume":
                system.resume(path)
    except NoSuchActor as error:
        raise Problem("no_such_actor") from error
    except NotSupported as error:
        raise Problem("not_supported", f"{action} cannot be done to {path}") from error
    except SupervisorError as error:
        raise Problem("action_failed", str(error)) from error
    return _look(backends, path)
