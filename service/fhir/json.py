"""JSON in and out with every number's digits kept, bounded in size and depth."""

import hashlib
import re
from collections.abc import Collection
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from service.errors import InvalidResource, TooLarge

# A double's range. FHIR wants at least that; a number like 1e999999999 would cost gigabytes when made an integer.
_MAX_EXPONENT = 308
# Some systems write it; RFC 8259 section 8.1 lets a reader ignore it.
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_CONTAINERS = (dict, list)  # what the decoder makes; compared by type, as this runs once per value
_BYTE_OFFSET = re.compile(r"\(byte (\d+)\)")
# Every string in turn, so that nothing inside of one is taken for a name; the group is there when a colon follows.
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"([ \t\r\n]*:)?', re.DOTALL)


class _NumberOutOfRange(ValueError):
    """A number no FHIR system can hold."""


def _number(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise _NumberOutOfRange from None
    if abs(number.adjusted()) > _MAX_EXPONENT:
        raise _NumberOutOfRange
    return number


_DECODER = msgspec.json.Decoder(float_hook=_number)
_ENCODER = msgspec.json.Encoder(decimal_format="number")
_CANONICAL = msgspec.json.Encoder(decimal_format="number", order="sorted")


def decode(body: bytes, *, max_bytes: int, max_depth: int) -> Any:
    """Return the JSON value; numbers with a fraction or exponent become Decimal, so 72.50 stays 72.50.

    TooLarge: more than `max_bytes`, or more than `max_depth` nested lists and objects. InvalidResource: text that
    is not UTF-8 JSON (NaN and Infinity are not JSON), numbers outside a double's range. A member name repeated in
    one object is not refused here, and the last one counts: `repeats_a_name` tells who must know.
    """
    if len(body) > max_bytes:
        raise TooLarge(f"The body is {len(body)} bytes; at most {max_bytes} are accepted. Send a smaller request.")
    try:
        value = _DECODER.decode(body.removeprefix(_BYTE_ORDER_MARK))
    except RecursionError:
        raise TooLarge(_too_deep(max_depth)) from None
    except UnicodeDecodeError:
        raise InvalidResource("The body is not UTF-8 text. Send JSON in UTF-8.") from None
    except (msgspec.MsgspecError, ValueError) as error:
        raise InvalidResource(_malformed(error)) from None
    if _deeper_than(value, max_depth):
        raise TooLarge(_too_deep(max_depth))
    return value


def repeats_a_name(body: bytes, value: Any) -> bool:
    """Whether an object of a JSON text names a member twice; `value` is what `decode` made of the text.

    Such a text has two readings (RFC 8259 section 4): most readers take the last member, some the first.
    """
    return sum(found[1] is not None for found in _STRING.finditer(body)) != _members(value)


def encode(value: Any) -> bytes:
    """Return compact JSON; a Decimal is written as a number with all its digits."""
    return _ENCODER.encode(value)


def content_hash(value: Any, without: Collection[str] = ()) -> str:
    """Return "sha256:..." of the canonical JSON (sorted names, digits kept) of a decoded value.

    `without` names members to leave out as dotted names from the root, lists passed through:
    "timestamp", "entry.resource.meta.lastUpdated".
    """
    kept = _leave_out(value, [name.split(".") for name in without]) if without else value
    return "sha256:" + hashlib.sha256(_CANONICAL.encode(kept)).hexdigest()


def _leave_out(value: Any, paths: list[list[str]]) -> Any:
    if isinstance(value, list):
        return [_leave_out(item, paths) for item in value]
    if not isinstance(value, dict):
        return value
    dropped = {path[0] for path in paths if len(path) == 1}
    kept = {}
    for name, item in value.items():
        if name in dropped:
            continue
        deeper = [path[1:] for path in paths if len(path) > 1 and path[0] == name]
        kept[name] = _leave_out(item, deeper) if deeper else item
    return kept


def _deeper_than(value: Any, limit: int) -> bool:
    level = [value] if type(value) in _CONTAINERS else []
    for _ in range(limit):
        if not level:
            return False
        level = [
            child
            for parent in level
            for child in (parent.values() if type(parent) is dict else parent)
            if type(child) in _CONTAINERS
        ]
    return bool(level)


def _members(value: Any) -> int:
    count, level = 0, [value]
    while level:
        objects = [one for one in level if type(one) is dict]
        count += sum(map(len, objects))
        lists = [one for one in level if type(one) is list]
        level = [child for one in objects for child in one.values() if type(child) in _CONTAINERS]
        level += [child for one in lists for child in one if type(child) in _CONTAINERS]
    return count


def _too_deep(max_depth: int) -> str:
    return f"The body nests deeper than the {max_depth} levels accepted. Send a flatter document."


def _malformed(error: Exception) -> str:
    if isinstance(error, _NumberOutOfRange) or isinstance(error.__cause__, _NumberOutOfRange):
        return "The body holds a number beyond the range of a FHIR decimal."
    offset = _BYTE_OFFSET.search(str(error))
    where = f" at byte {offset[1]}" if offset else ""
    return f"The body is not well-formed JSON{where}. Send one JSON value in UTF-8."
