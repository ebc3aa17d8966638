"""Sessions at rest are sealed (JWE, A256GCM): they hold tokens and answers, and the database may be copied."""

from __future__ import annotations

import base64
import binascii
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwe import JWERegistry
from joserfc.jwk import OctKey

from service.errors import InvalidPolicy

_HEADER: Final = {"alg": "dir", "enc": "A256GCM"}
_KEY_BYTES: Final = 32
# A session's documents are bounded (documents.MOST_TOGETHER); encoded three times they stay below this.
_MOST: Final = 20_000_000


class _Registry(JWERegistry):
    """JWE of the sizes that sessions have."""

    max_ciphertext_length: int = _MOST


_REGISTRY: Final = _Registry(algorithms=list(_HEADER.values()))


@dataclass(frozen=True, slots=True)
class Sealer:
    """Seals with the first key and opens with any, so that a new key can be put before the old one."""

    keys: tuple[OctKey, ...] = field(repr=False)

    def seal(self, text: bytes) -> bytes:
        return jwe.encrypt_compact(dict(_HEADER), text, self.keys[0], registry=_REGISTRY).encode()

    def unseal(self, sealed: bytes) -> bytes | None:
        """The text; None when none of the keys opens it."""
        for key in self.keys:
            try:
                return jwe.decrypt_compact(sealed, key, registry=_REGISTRY).plaintext
            except (JoseError, ValueError):
                continue
        return None


def passing_sealer() -> Sealer:
    """A sealer whose key is gone with this process."""
    return Sealer((OctKey.import_key(secrets.token_bytes(_KEY_BYTES)),))


def load_sealer(path: Path) -> Sealer:
    """A sealer of the file's keys, one a line: 32 random bytes in base64. InvalidPolicy names the file and line."""
    try:
        lines = path.read_text("ascii").split()
    except (OSError, UnicodeDecodeError):
        raise InvalidPolicy(f"{path.name}: the file of session keys cannot be read.") from None
    if not lines:
        raise InvalidPolicy(f"{path.name}: there is no session key in the file.")
    return Sealer(tuple(_key(text, f"{path.name}, line {number}") for number, text in enumerate(lines, start=1)))


def _key(text: str, place: str) -> OctKey:
    try:
        read = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        read = b""
    if len(read) != _KEY_BYTES:
        raise InvalidPolicy(f"{place}: a session key is {_KEY_BYTES} random bytes in base64.")
    return OctKey.import_key(read)
