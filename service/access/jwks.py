"""JSON Web Key Sets: the public keys in one that may verify a signature here."""

from __future__ import annotations

from typing import Any, Final

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

Key = ECKey | RSAKey
Keys = tuple[Key, ...]

_CURVE: Final = "P-384"
_MIN_RSA_BITS: Final = 2048
_MAX_RSA_BITS: Final = 8192
# Members that only a private or a symmetric key has (RFC 7518 sections 6.2.2, 6.3.2, 6.4.1).
_SECRET: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


class UnusableKey(ValueError):
    """A key that cannot verify a client's signature; the text says why and shows nothing of it."""


def registered_keys(key_set: Any) -> Keys:
    """The keys of a set that an operator registered: every one must be usable, UnusableKey otherwise."""
    return tuple(_key(member) for member in _members(key_set))


def served_keys(key_set: Any) -> Keys:
    """The usable keys of a set that a client serves; it may hold others, for other purposes."""
    usable = []
    for member in _members(key_set):
        try:
            usable.append(_key(member))
        except UnusableKey:
            continue
    return tuple(usable)


def _members(key_set: Any) -> list[Any]:
    members = key_set.get("keys") if isinstance(key_set, dict) else None
    if not isinstance(members, list) or not members:
        raise UnusableKey('a JSON Web Key Set has a list "keys" with at least one key')
    return members


def _key(member: Any) -> Key:
    if not isinstance(member, dict) or not isinstance(member.get("kid"), str) or not member["kid"]:
        raise UnusableKey("every key needs a kid")
    if not _SECRET.isdisjoint(member):
        raise UnusableKey("a key set holds public keys only; this one has a secret in it")
    if member.get("use", "sig") != "sig" or "verify" not in member.get("key_ops", ["verify"]):
        raise UnusableKey("a key is for another use than signatures")
    try:
        if member.get("kty") == "EC" and member.get("crv") == _CURVE:
            return ECKey.import_key(_only(member, "kty", "crv", "x", "y", "kid"))
        if member.get("kty") == "RSA" and _MIN_RSA_BITS <= _bits(member.get("n")) <= _MAX_RSA_BITS:
            return RSAKey.import_key(_only(member, "kty", "n", "e", "kid"))
    except (JoseError, ValueError, KeyError, TypeError):
        raise UnusableKey("a key is malformed") from None
    raise UnusableKey("keys are EC P-384, or RSA of 2048 to 8192 bits")


def _only(member: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: member[name] for name in names}


def _bits(modulus: Any) -> int:
    return len(modulus) * 6 if isinstance(modulus, str) else 0
