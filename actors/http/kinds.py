"""What `send` takes: text, and every other kind of message. docs/messages.md has an example of each."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from actors.http.bodies import MAX_MESSAGE, Body

MAX_CAPTION = 1024
MAX_MENTIONS = 100

MessageId = Annotated[str, Meta(min_length=1, max_length=128, pattern="^[!-~]+$", examples=["3EB0C431C26A1916EAC9"])]
Written = Annotated[str, Meta(max_length=64, description="A phone number or a JID")]
Caption = Annotated[str, Meta(max_length=MAX_CAPTION)]


class QuotedBody(Body, frozen=True, kw_only=True):
    """The message a reply refers to."""

    message_id: Annotated[str, Meta(min_length=1, max_length=128)]
    sender: Annotated[str, Meta(max_length=64, description="Who wrote it; the recipient when left out")] | None = None
    text: Annotated[str, Meta(max_length=MAX_MESSAGE)] = ""


class SendOptions(Body, frozen=True, kw_only=True):
    """Options of a send."""

    quoted: QuotedBody | None = None
    mentions: Annotated[
        tuple[Written, ...], Meta(max_length=MAX_MENTIONS, description="Who the text names as @ and their digits")
    ] = ()


class FileBody(Body, frozen=True, kw_only=True):
    """A file: one that was uploaded before, or one to be fetched from a URL. Exactly one of the two."""

    media_id: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    url: Annotated[str, Meta(min_length=1, max_length=2048, examples=["https://example.com/a.jpg"])] | None = None


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
    file_name: Annotated[str, Meta(min_length=1, max_length=255)] | None = None


class StickerBody(FileBody, frozen=True, kw_only=True):
    """WebP."""


class LocationBody(Body, frozen=True, kw_only=True):
    """A place."""

    latitude: Annotated[float, Meta(ge=-90, le=90)]
    longitude: Annotated[float, Meta(ge=-180, le=180)]
    name: Annotated[str, Meta(max_length=256)] = ""
    address: Annotated[str, Meta(max_length=512)] = ""


class ContactBody(Body, frozen=True, kw_only=True):
    """Somebody's card."""

    name: Annotated[str, Meta(min_length=1, max_length=128)]
    phone: Annotated[str, Meta(max_length=64, examples=["+79000000003"])]
    organization: Annotated[str, Meta(max_length=128)] = ""


class PollBody(Body, frozen=True, kw_only=True):
    """A question with answers to choose from."""

    question: Annotated[str, Meta(min_length=1, max_length=255)]
    options: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=100)], ...], Meta(min_length=2, max_length=12)
    ]
    selectable: Annotated[int, Meta(ge=0, le=12, description="How many one may choose; 0: any number")] = 1


class ReactionBody(Body, frozen=True, kw_only=True):
    """An emoji on a message; an empty one takes it back."""

    message_id: MessageId
    emoji: Annotated[str, Meta(max_length=16)]
    from_me: Annotated[bool, Meta(description="The message is one of this company's")] = False
    sender: Annotated[str, Meta(max_length=64, description="Who wrote it; needed in groups, unless fromMe")] | None = (
        None
    )


class EditBody(Body, frozen=True, kw_only=True):
    """A new text for a message that this company has sent."""

    message_id: MessageId
    message: Annotated[str, Meta(description="1 to 4096 characters", examples=["Hello!"])]


class DeleteBody(Body, frozen=True, kw_only=True):
    """Takes a message back for everybody."""

    message_id: MessageId
    sender: (
        Annotated[
            str, Meta(max_length=64, description="Who wrote it, where an admin deletes another's message in a group")
        ]
        | None
    ) = None


class SendBody(Body, frozen=True, kw_only=True):
    """A message: the recipient and exactly one kind of content."""

    phone: Annotated[
        str, Meta(description="Recipient: a phone number, or the JID of a person or group", examples=["+79000000001"])
    ]
    message: Annotated[str, Meta(description="Text: 1 to 4096 characters", examples=["Hello"])] | None = None
    image: ImageBody | None = None
    video: VideoBody | None = None
    audio: AudioBody | None = None
    document: DocumentBody | None = None
    sticker: StickerBody | None = None
    location: LocationBody | None = None
    contact: ContactBody | None = None
    poll: PollBody | None = None
    reaction: ReactionBody | None = None
    edit: EditBody | None = None
    delete: DeleteBody | None = None
    options: SendOptions | None = None


KINDS = tuple(name for name in SendBody.__struct_fields__ if name not in {"phone", "options"})
"""The kinds of content."""
