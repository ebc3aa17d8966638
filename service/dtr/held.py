"""What we already hold of a pended line: the answers of its request, so that only what is missing is asked again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from service.dtr.merging import merged
from service.dtr.pended import waiting_case
from service.dtr.shelf import Content
from service.errors import ServiceError
from service.fhir.build import Json, extension, nested_extension
from service.fhir.canonical import DTR_INFORMATION_ORIGIN, split_canonical
from service.fhir.json import decode
from service.form.adaptive import answered_form, standard_canonical
from service.form.questionnaire import read_form
from service.form.validate import ERROR, validate
from service.ports import Caller, Resource, Store
from service.settings import Settings

_REQUIRED: Final = "required"


async def held_responses(
    context: str | None, caller: Caller, store: Store, settings: Settings
) -> tuple[Resource, ...]:
    """The QuestionnaireResponses of the case that a context names, the newest first; none for another context."""
    named = await waiting_case(context, caller.client, store) if context else None
    if named is None:
        return ()
    found: list[Resource] = []
    for body in await store.requests(named[0].id):
        try:
            found += _responses(decode(body, max_bytes=settings.max_body_bytes, max_depth=settings.max_depth))
        except ServiceError:
            # It was read once; limits may have been lowered since.
            continue
    return tuple(reversed(found))


def held_items(
    content: Content, responses: Sequence[Resource], patient: Mapping[str, Any], origin: str
) -> tuple[Json, ...]:
    """QuestionnaireResponse.item of the form as these answered it, for this patient alone.

    Answers keep their origin and author; one without says `origin`. What is no valid answer now is left out.
    """
    url = split_canonical(standard_canonical(content.url))[0]
    items: tuple[Json, ...] = ()
    for response in responses:
        canonical = answered_form(response) or ""
        if split_canonical(canonical)[0] == url and _is_of(response, patient):
            items = merged(content.questionnaire, items, _sound(content, response, origin))
    return items


def _sound(content: Content, response: Resource, origin: str) -> list[Json]:
    form = read_form(content.questionnaire, content.loaded.value_sets)
    found = validate(form, response, attested=content.loaded.policy.attested)
    wrong = {each.link_id for each in found if each.severity == ERROR and each.code != _REQUIRED}
    kept = [each for item in response.get("item") or () if (each := _kept(item, wrong, origin)) is not None]
    return _nested(content.questionnaire.get("item") or (), dict(_by_link(kept)))


def _by_link(items: Sequence[Json]) -> Iterator[tuple[str, Json]]:
    for item in items:
        yield str(item.get("linkId")), item
        yield from _by_link(item.get("item") or ())


def _nested(asked: Sequence[Mapping[str, Any]], held: Mapping[str, Json]) -> list[Json]:
    """The items in the form's nesting: some systems send them without it."""
    written: list[Json] = []
    for item in asked:
        link_id = item["linkId"]
        if item["type"] == "group" and not item.get("repeats"):
            inner = _nested(item.get("item") or (), held)
            written += [{"linkId": link_id, "text": item.get("text", link_id), "item": inner}] if inner else []
        elif link_id in held:
            written.append(held[link_id])
    return written


def _kept(item: Mapping[str, Any], wrong: set[Any], origin: str) -> Json | None:
    if item.get("linkId") in wrong:
        return None
    inner = [kept for each in item.get("item") or () if (kept := _kept(each, wrong, origin)) is not None]
    answers = [_answer(each, wrong, origin) for each in item.get("answer") or ()]
    others = {name: value for name, value in item.items() if name not in ("item", "answer")}
    return {**others, **({"item": inner} if inner else {}), **({"answer": answers} if answers else {})}


def _answer(answer: Mapping[str, Any], wrong: set[Any], origin: str) -> Json:
    inner = [kept for each in answer.get("item") or () if (kept := _kept(each, wrong, origin)) is not None]
    others = {name: value for name, value in answer.items() if name not in ("item", "extension")}
    told = [held for held in answer.get("extension") or () if held.get("url") == DTR_INFORMATION_ORIGIN]
    said = told or [nested_extension(DTR_INFORMATION_ORIGIN, extension("source", valueCode=origin))]
    return {"extension": said, **others, **({"item": inner} if inner else {})}


def _is_of(response: Resource, patient: Mapping[str, Any]) -> bool:
    """Whether it says to be about the same patient; addresses before Type/id do not count."""
    one, other = ((each.get("reference") or "") for each in (response.get("subject") or {}, patient))
    return bool(one) and one.split("/")[-2:] == other.split("/")[-2:]


def _responses(value: Any) -> Iterator[Resource]:
    if isinstance(value, Mapping):
        if value.get("resourceType") == "QuestionnaireResponse":
            yield value
            return
        for inner in value.values():
            yield from _responses(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _responses(inner)
