"""What a FHIR server answered: read within bounds, and checked before anybody uses it."""

from __future__ import annotations

import logging
import zlib
from dataclasses import dataclass
from typing import Any, Final

import httpx

from service.errors import EhrRefused, EhrUnavailable, ServiceError
from service.fhir.build import Json
from service.fhir.json import decode
from service.fhir.parse import StructureCheck

_LOG: Final = logging.getLogger(__name__)
_EITHER_HEADER: Final = 47  # zlib: gzip or zlib format, whichever is there
_SUCCESS: Final = range(200, 300)
_REFUSED: Final = frozenset({400, 403, 404, 405, 406, 410, 414, 415, 422, 501})


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits on what one call may fetch: bytes are those after decompression."""

    seconds: float = 2.5
    max_bytes: int = 5_000_000
    max_depth: int = 100
    max_pages: int = 10
    max_resources: int = 1000


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a search result. `complete` is False when entries were dropped, `following` is link[next]."""

    resources: tuple[Json, ...]
    complete: bool
    following: str | None


async def read_answer(answer: httpx.Response, bounds: Bounds) -> Any:
    """The JSON of a successful answer. EhrRefused or EhrUnavailable, in our words only, for anything else."""
    status = answer.status_code
    if status in _REFUSED:
        raise EhrRefused(f"The FHIR server refused the request (HTTP {status}).")
    if status not in _SUCCESS:
        raise EhrUnavailable(f"The FHIR server did not answer the request (HTTP {status}).")
    body = await _body(answer, bounds.max_bytes)
    try:
        received = decode(body, max_bytes=bounds.max_bytes, max_depth=bounds.max_depth)
    except ServiceError:
        raise EhrUnavailable("The FHIR server's answer is no JSON that is read here.") from None
    if isinstance(received, dict) and received.get("resourceType") == "OperationOutcome":
        raise EhrRefused("The FHIR server answered with an OperationOutcome.")
    return received


def require_resource(received: Any, wanted: tuple[str, str], check: StructureCheck) -> Json:
    """The resource of that type and id; EhrUnavailable when it is another one or breaks FHIR R4."""
    if not isinstance(received, dict) or (received.get("resourceType"), received.get("id")) != wanted:
        raise EhrUnavailable("The FHIR server answered with something else than what was asked for.")
    if _breaks_r4(received, check):
        raise EhrUnavailable("The FHIR server's answer breaks FHIR R4.")
    return received


def read_page(received: Any, check: StructureCheck) -> Page:
    """A search result. Bad entries are dropped and told of; the rest is used (CRD 2.2.1 found-34)."""
    if not isinstance(received, dict) or received.get("resourceType") != "Bundle":
        raise EhrUnavailable("The FHIR server answered a search with something else than a Bundle.")
    listed = received.get("entry", [])
    entries = listed if isinstance(listed, list) else [None]
    resources, dropped = [], 0
    for entry in entries:
        resource = entry.get("resource") if isinstance(entry, dict) else None
        if isinstance(resource, dict) and resource.get("resourceType") == "OperationOutcome":
            dropped += _is_error(resource)
        elif isinstance(resource, dict) and isinstance(resource.get("id"), str) and not _breaks_r4(resource, check):
            resources.append(resource)
        else:
            dropped += 1
    if dropped:
        _LOG.warning("entries of a FHIR server's search result break FHIR R4 and were left out")
    return Page(tuple(resources), not dropped, next_link(received))


def next_link(bundle: Any) -> str | None:
    """Where the next page is, as written; the server says."""
    links = bundle.get("link") if isinstance(bundle, dict) else None
    for link in links if isinstance(links, list) else ():
        if isinstance(link, dict) and link.get("relation") == "next" and isinstance(link.get("url"), str):
            return str(link["url"])
    return None


async def _body(answer: httpx.Response, limit: int) -> bytes:
    """At most `limit` bytes, decompressed no further than that."""
    encoding = answer.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"identity", "gzip", "deflate"}:
        raise EhrUnavailable("The FHIR server's answer is encoded in a way that was not asked for.")
    expand = None if encoding == "identity" else zlib.decompressobj(_EITHER_HEADER)
    received = bytearray()
    async for chunk in answer.aiter_raw():
        try:
            received += expand.decompress(chunk, limit + 1 - len(received)) if expand else chunk
        except zlib.error:
            raise EhrUnavailable("The FHIR server's answer is broken.") from None
        if len(received) > limit:
            raise EhrUnavailable("The FHIR server's answer is larger than what is read here.")
    return bytes(received)


def _breaks_r4(resource: Json, check: StructureCheck) -> bool:
    """Elements that R4 does not know are ignored (CRD 2.2.1 found-33)."""
    return any("not an element of" not in fault.problem for fault in check.check(resource))


def _is_error(outcome: Json) -> bool:
    issues = outcome.get("issue")
    listed = issues if isinstance(issues, list) else []
    return any(isinstance(issue, dict) and issue.get("severity") in {"error", "fatal"} for issue in listed)
