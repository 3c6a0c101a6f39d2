"""Files that arrive with messages, and what is needed to fetch them later. Pure; reads protobuf objects."""

from __future__ import annotations

import secrets
from typing import Any, Final

from actors.engine.protocol.contents import StoredFile
from actors.engine.protocol.orders import MediaArrived
from actors.engine.whatsmeow.payloads import find_media

MAX_PATH_CHARACTERS: Final = 2048
MAX_TEXT_CHARACTERS: Final = 255
_KEY_BYTES: Final = 32


def media_of(event: Any) -> MediaArrived | None:
    """Return the file of a Message event under a new id; None when it has no file, or one that cannot be fetched.

    The file does not go by the message's id: the sender chooses that id, and could repeat an earlier one to get at its file.
    """
    found = find_media(event.Message)
    if found is None:
        return None
    kind, part = found
    keys = (part.mediaKey, part.fileSHA256, part.fileEncSHA256)
    if not part.directPath.startswith("/") or len(part.directPath) > MAX_PATH_CHARACTERS:
        return None
    if any(len(key) != _KEY_BYTES for key in keys):
        return None
    file = StoredFile(
        kind=kind,
        direct_path=_text(part.directPath, MAX_PATH_CHARACTERS),
        media_key=part.mediaKey,
        file_sha256=part.fileSHA256,
        file_enc_sha256=part.fileEncSHA256,
        size=part.fileLength,
        mimetype=_text(part.mimetype, MAX_TEXT_CHARACTERS),
        file_name=_text(part.fileName, MAX_TEXT_CHARACTERS) if kind == "document" else "",
        seconds=part.seconds if kind == "audio" else 0,
    )
    return MediaArrived(media_id=secrets.token_hex(16), message_id=_text(event.Info.ID, MAX_TEXT_CHARACTERS), file=file)


def _text(text: str, most: int) -> str:
    return text.replace("\x00", "\ufffd")[:most]
