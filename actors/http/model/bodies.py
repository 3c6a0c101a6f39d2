"""Bodies of requests, and how a body is read and refused.

msgspec reads a body straight into the declared type: strictly (no coercion), without unknown fields, within the limits of
`HttpSettings`.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
import trio
from litestar import Request
from litestar.datastructures import State
from litestar.exceptions import ClientException, InternalServerException
from litestar.types import Empty
from msgspec import Meta

from actors.http.access.auth import Principal
from actors.http.model.problems import Problem
from actors.http.model.suggestions import with_suggestion
from actors.http.transport.tasks import AsgiReceive
from config.json_text import read_json
from config.sections import HttpSettings

MAX_MESSAGE: Final = 4096
"""Characters (Unicode code points)."""


MAX_CHOICES: Final = 100
"""How often one request may repeat a parameter, and how many names a comma-separated list may have."""


END: Final = r"$(?!\n)"
"""The end of a text in a pattern that msgspec applies: in Python a bare `$` also matches before a final line break."""


class Body(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Base of request bodies."""


class InitializeBody(Body, frozen=True, kw_only=True):
    """How to link: by QR code, or by a code typed into the phone of that number."""

    method: Literal["qr", "code"] = "qr"
    phone: Annotated[str, Meta(examples=["+79000000001"])] | None = None


class ApiRequest(Request[Any, Principal, State]):
    """A request whose body has a deadline and is decoded once, into the handler's declared type."""

    async def body(self) -> bytes:
        """Return the whole body. Raises `request_timeout`, `body_too_large` or `unsupported_media_type`."""
        if self._body is not Empty:
            return self._body
        settings: HttpSettings = self.app.state.settings
        try:
            with trio.fail_after(settings.read_timeout_s):
                return await super().body()
        except trio.TooSlowError as error:
            raise Problem("request_timeout") from error
        except ClientException as error:
            if error.status_code == 413:
                raise Problem("body_too_large", f"the body is larger than {settings.max_body_bytes} bytes") from error
            raise
        except InternalServerException as error:  # raised by the framework when the client has left
            raise _cut_short() from error

    async def json(self) -> Any:
        """Return the body as an instance of the handler's ``data``. Raises `invalid_json` or `invalid_request`."""
        body = await self.body()
        self._refuse_other_media_types()
        field = self.route_handler.parsed_data_field
        assert field is not None
        return decode(body, field.annotation)

    def _refuse_other_media_types(self) -> None:
        media_type, parameters = self.content_type
        charset = parameters.get("charset", "utf-8").lower()
        # A missing Content-Type is taken as JSON. curl's default form type is refused, and the problem says what to
        # send.
        if media_type not in {"", "application/json"} or charset not in {"utf-8", "utf8"}:
            raise Problem("unsupported_media_type")


async def read_body(receive: AsgiReceive, within_s: float) -> bytes:
    """Return the whole body of a request whose length has been checked. Raises `request_timeout`, or `bad_request` when it ends early."""
    body = bytearray()
    with trio.move_on_after(within_s):
        while (event := await receive())["type"] == "http.request":
            body += event["body"]
            if not event["more_body"]:
                return bytes(body)
        raise _cut_short()
    raise Problem("request_timeout")


def _cut_short() -> Problem:
    return Problem("bad_request", "the body was cut short")


def decode(body: bytes, into: Any) -> Any:
    """Read ``body`` strictly as JSON of that type. Raises `invalid_json` (not JSON) or `invalid_request` (not this shape)."""
    try:
        return read_json(body, into)
    except msgspec.ValidationError as error:
        raise Problem("invalid_request", with_suggestion(str(error), into)) from error
    except msgspec.DecodeError as error:
        raise Problem("invalid_json", f"the body is not valid JSON: {error}") from error
