"""Master key files for tests."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from storage.crypto.master_key import MasterKey, MasterKeys
from storage.crypto.sealing import Vault


def secret(number: int) -> bytes:
    """A key that is the same in every run."""
    return hashlib.sha256(b"master key %d of the tests" % number).digest()


def key_id(number: int) -> str:
    """Its id in the database."""
    return MasterKey(secret(number)).id


def write_keys(file: Path, *numbers: int) -> Path:
    """A file with these keys, the first of them the current one; written anew in one step, as a daemon may be reading it."""
    new = file.with_name(file.name + ".new")
    new.write_text("".join(base64.b64encode(secret(number)).decode() + "\n" for number in numbers))
    new.chmod(0o600)
    return new.replace(file)


def vault(file: Path, *numbers: int) -> Vault:
    """A vault with these keys, in ``file``."""
    return Vault(MasterKeys(write_keys(file, *numbers)))
