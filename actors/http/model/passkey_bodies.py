"""The body of a passkey's response: WebAuthn's JSON form of an assertion."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

BinaryText = Annotated[str, Meta(max_length=32_768, description="Base64url.", examples=["AQID"])]


class AssertionBody(msgspec.Struct, frozen=True, kw_only=True):
    """`AuthenticatorAssertionResponseJSON`. Further fields are accepted and ignored."""

    clientDataJSON: BinaryText  # noqa: N815 - as WebAuthn has it
    authenticatorData: BinaryText  # noqa: N815 - as WebAuthn has it
    signature: BinaryText
    userHandle: BinaryText | None = None  # noqa: N815 - as WebAuthn has it


class PasskeyResponseBody(msgspec.Struct, frozen=True, kw_only=True):
    """`AuthenticationResponseJSON`: what `PublicKeyCredential.toJSON()` returns. Further fields are accepted and ignored."""

    id: BinaryText
    rawId: BinaryText  # noqa: N815 - as WebAuthn has it
    type: Annotated[str, Meta(max_length=64, examples=["public-key"])]
    response: AssertionBody
