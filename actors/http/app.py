"""The Litestar application: all routes, what they share, and how exceptions become problems."""

from __future__ import annotations

from functools import partial
from typing import Any

from litestar import Litestar, Request, Response
from litestar.datastructures import State
from litestar.di import Provide

from actors.http.access.auth import Authenticator
from actors.http.model.bodies import ApiRequest
from actors.http.model.problems import MEDIA_TYPE, ProblemBody, body_of, instance_of
from actors.http.openapi import operations as openapi
from actors.http.openapi.document import Document, make_document
from actors.http.routes.admin import AdminController
from actors.http.routes.events import EventsController, TicketsController
from actors.http.routes.files import MediaController
from actors.http.routes.monitoring import ExpositionController, MetricsController, ProbesController
from actors.http.routes.passkey import PasskeyController
from actors.http.routes.queries import ChatController, ContactsController, GroupsController
from actors.http.routes.sessions import SessionController, SessionListController
from actors.http.routes.static_files import NoRouter, pages
from actors.http.routes.webhooks import DeadLetterController, WebhookController, WebhookListController
from actors.http.services.backends import Backends
from actors.http.services.failures import problem_for
from actors.http.services.sending import SendController
from config.sections import HttpSettings


def build_app(settings: HttpSettings) -> Litestar:
    """Return the application with all routes; `connect` makes it ready to serve. WebSockets are served elsewhere (live.py).

    Building blocks the event loop for about 0.1 s, so it is done once and not at each start of the HTTP actor.
    """
    app = Litestar(
        route_handlers=[
            SessionListController,
            SessionController,
            PasskeyController,
            SendController,
            MediaController,
            ContactsController,
            GroupsController,
            ChatController,
            EventsController,
            TicketsController,
            WebhookListController,
            WebhookController,
            DeadLetterController,
            MetricsController,
            ExpositionController,
            AdminController,
            ProbesController,
            pages(),
        ],
        dependencies={"backends": Provide(_backends, sync_to_thread=False)},
        exception_handlers={Exception: tell},
        request_class=ApiRequest,
        request_max_body_size=settings.max_body_bytes,
        state=State({"settings": settings}),
        openapi_config=openapi.config(NoRouter()),
        logging_config=None,
        debug=False,
    )
    app.state.document = Document(partial(make_document, app))
    return app


def connect(app: Litestar, backends: Backends, authenticator: Authenticator) -> None:
    """Make the routes use these backends from now on."""
    app.state.backends = backends
    app.state.authenticator = authenticator


def tell(request: Request[Any, Any, Any], error: Exception) -> Response[ProblemBody]:
    """Respond with the problem for ``error``."""
    problem = problem_for(error, request.scope, request.app.state.backends.audit)
    return Response(
        body_of(problem, instance_of(problem, request.scope)),
        status_code=problem.kind.status,
        headers=problem.all_headers(),
        media_type=MEDIA_TYPE,
    )


def _backends(state: State) -> Backends:
    backends: Backends = state.backends
    return backends
