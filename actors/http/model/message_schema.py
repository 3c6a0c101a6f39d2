"""The body of `send`: text, and every other kind of message. docs/messages.md has an example of each."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from actors.http.model.bodies import END, MAX_MESSAGE, Body

MAX_CAPTION = 1024
MAX_MENTIONS = 100
MAX_EXPIRATION = 365 * 86_400
"""WhatsApp's clients offer 90 days at most today."""

RECIPIENT: Final = "whatsapp-recipient"
"""A format of ours: a phone number or a JID."""

MessageId = Annotated[
    str, Meta(min_length=1, max_length=128, pattern="^[!-~]+" + END, examples=["3EB0C431C26A1916EAC9"])
]
Written = Annotated[
    str, Meta(max_length=64, description="A phone number or a JID", extra_json_schema={"format": RECIPIENT})
]
Text = Annotated[
    str,
    Meta(
        description="1 to 4096 characters",
        examples=["Hello"],
        # A wrong text has codes of its own, so it is checked later.
        extra_json_schema={"minLength": 1, "maxLength": MAX_MESSAGE, "pattern": r"^[^\u0000]*[^\s\u0000][^\u0000]*$"},
    ),
]
Words = Annotated[str, Meta(pattern=r"^[^\u0000]*" + END)]
Caption = Annotated[str, Meta(max_length=MAX_CAPTION, pattern=r"^[^\u0000]*" + END)]
_NEVER: Final[dict[str, Any]] = {"not": {}}
"""Matches nothing. JSON Schema writes it as `false`, which not every reader of OpenAPI accepts."""
_EDGE = r"[^\s\u0000-\u001f\u007f-\u009f]"
_LINE = f"^{_EDGE}(" + r"[^\u0000-\u001f\u007f-\u009f\u2028\u2029]*" + f"{_EDGE})?" + END
"""One line without blanks around it."""


class QuotedBody(Body, frozen=True, kw_only=True):
    """The message a reply refers to."""

    message_id: Annotated[str, Meta(min_length=1, max_length=128)]
    sender: Written | None = None
    """Who wrote it; the recipient when left out."""
    text: Annotated[str, Meta(max_length=MAX_MESSAGE)] = ""


class SendOptions(Body, frozen=True, kw_only=True):
    """Options of a send."""

    quoted: QuotedBody | None = None
    mentions: Annotated[
        list[Written], Meta(max_length=MAX_MENTIONS, description="Who the text names as @ and their digits")
    ] = msgspec.field(default_factory=list[str])
    ephemeral_expiration: (
        Annotated[
            int,
            Meta(
                ge=0,
                le=MAX_EXPIRATION,
                description="Seconds until the message disappears; 0: never. Left out: as the chat's timer says",
            ),
        ]
        | UnsetType
    ) = UNSET


class FileBody(Body, frozen=True, kw_only=True):
    """A file: one that was uploaded before, or one to be fetched from a URL. Exactly one of the two."""

    media_id: Annotated[str, Meta(pattern="^[0-9a-f]{1,64}" + END)] | UnsetType = UNSET
    url: Annotated[str, Meta(min_length=1, max_length=2048, examples=["https://example.com/a.jpg"])] | UnsetType = UNSET


class ImageBody(FileBody, frozen=True, kw_only=True):
    """JPEG, PNG or WebP."""

    caption: Caption = ""


class VideoBody(FileBody, frozen=True, kw_only=True):
    """MP4 or 3GPP."""

    caption: Caption = ""


class AudioBody(FileBody, frozen=True, kw_only=True):
    """Ogg, MP3, MP4, AAC or AMR; as a voice note only Ogg with Opus."""

    voice: bool = False


class DocumentBody(FileBody, frozen=True, kw_only=True):
    """Any file."""

    caption: Caption = ""
    file_name: Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[^\u0000]*" + END)] | UnsetType = UNSET


class StickerBody(FileBody, frozen=True, kw_only=True):
    """WebP."""


class LocationBody(Body, frozen=True, kw_only=True):
    """A place."""

    latitude: Annotated[float, Meta(ge=-90, le=90)]
    longitude: Annotated[float, Meta(ge=-180, le=180)]
    name: Annotated[Words, Meta(max_length=256)] = ""
    address: Annotated[Words, Meta(max_length=512)] = ""


class ContactBody(Body, frozen=True, kw_only=True):
    """A contact card."""

    name: Annotated[str, Meta(min_length=1, max_length=128, pattern=_LINE)]
    phone: Annotated[str, Meta(max_length=64, examples=["+79000000003"], extra_json_schema={"format": "phone-number"})]
    organization: Annotated[str, Meta(max_length=128, pattern=f"{_LINE}|^{END}")] = ""


class PollBody(Body, frozen=True, kw_only=True):
    """A question with answers to choose from."""

    question: Annotated[str, Meta(min_length=1, max_length=255, pattern=_LINE)]
    options: Annotated[
        list[Annotated[str, Meta(min_length=1, max_length=100, pattern=_LINE)]],
        Meta(min_length=2, max_length=12, extra_json_schema={"uniqueItems": True}),
    ]
    selectable: Annotated[
        int, Meta(ge=0, le=12, description="How many one may choose; 0, or more than there are: any number")
    ] = 1


class ReactionBody(Body, frozen=True, kw_only=True):
    """An emoji on a message; an empty one removes it."""

    message_id: MessageId
    emoji: Annotated[str, Meta(max_length=16, pattern=r"^[^\u0000-\u0020A-Za-z\u007f]*" + END, examples=["👍"])]
    from_me: Annotated[bool, Meta(description="The message is one of this company's")] = False
    sender: Written | UnsetType = UNSET
    """Who wrote it; needed in groups, unless fromMe."""


class EditBody(Body, frozen=True, kw_only=True):
    """A new text for a message that this company has sent."""

    message_id: MessageId
    message: Text


class DeleteBody(Body, frozen=True, kw_only=True):
    """Deletes a message for everyone."""

    message_id: MessageId
    sender: Written | UnsetType = UNSET
    """Who wrote it, where an admin deletes another's message in a group."""


class SendBody(Body, frozen=True, kw_only=True):
    """A message: the recipient and exactly one kind of content."""

    phone: Annotated[
        str,
        Meta(
            description="Recipient: a phone number, or the JID of a person or group",
            examples=["+79000000001"],
            extra_json_schema={"format": RECIPIENT},
        ),
    ]
    message: Text | UnsetType = UNSET
    image: ImageBody | UnsetType = UNSET
    video: VideoBody | UnsetType = UNSET
    audio: AudioBody | UnsetType = UNSET
    document: DocumentBody | UnsetType = UNSET
    sticker: StickerBody | UnsetType = UNSET
    location: LocationBody | UnsetType = UNSET
    contact: ContactBody | UnsetType = UNSET
    poll: PollBody | UnsetType = UNSET
    reaction: ReactionBody | UnsetType = UNSET
    edit: EditBody | UnsetType = UNSET
    delete: DeleteBody | UnsetType = UNSET
    options: SendOptions | None = None


class ReadBody(Body, frozen=True, kw_only=True):
    """Messages of one chat that have been read."""

    phone: Annotated[str, Meta(description="The chat", extra_json_schema={"format": RECIPIENT})]
    message_ids: Annotated[list[MessageId], Meta(min_length=1, max_length=100)]
    sender: Written | UnsetType = UNSET
    """Who wrote them; needed in a group."""


class TypingBody(Body, frozen=True, kw_only=True):
    """What the company is doing in a chat."""

    phone: Annotated[str, Meta(description="The chat", extra_json_schema={"format": RECIPIENT})]
    state: Literal["composing", "recording", "paused"]


KINDS = tuple(name for name in SendBody.__struct_fields__ if name not in {"phone", "options"})
"""The kinds of content."""


def body_schemas() -> dict[str, Any]:
    """Return the schemas of these bodies: from the types, with the rules on fields that exclude each other."""
    types = [SendBody, ReadBody, TypingBody]
    _, schemas = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    schemas["SendBody"] |= _exactly_one_of(*KINDS)
    for name in ("ImageBody", "VideoBody", "AudioBody", "DocumentBody", "StickerBody"):
        schemas[name] |= _exactly_one_of("mediaId", "url")
    from_me = {"properties": {"fromMe": {"const": True}}, "required": ["fromMe"]}
    schemas["ReactionBody"] |= {"if": from_me, "then": {"properties": {"sender": _NEVER}}}
    return schemas


def _exactly_one_of(*names: str) -> dict[str, Any]:
    """Return the rule as an `allOf`: generators that make a type of each choice still find the fields there."""
    return {"allOf": [{"oneOf": [{"properties": {name: {}}, "required": [name]} for name in names]}]}
