"""Every word that came from outside is shown as words: not one of a request's free texts is markup on a page."""

from __future__ import annotations

import html.parser
from typing import Any, Final

from tests.unit.pas import bundles as b
from tests.unit.review.conftest import Console

NASTY: Final = "\"'><img src=x onerror=alert(1)><script>alert(2)</script>{{7*7}}</textarea>"
# What a sender writes as it likes; other elements are codes, dates and references, which the structure check reads.
FREE: Final = frozenset({"text", "display", "family", "unit", "title", "line", "city", "valueString", "description"})


class Tags(html.parser.HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.made: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.made += [tag, *(name for name, _ in attrs)]


def spoiled(node: Any) -> Any:
    """A copy in which every free text is hostile, and every concept has one."""
    if isinstance(node, list):
        return [spoiled(one) for one in node]
    if not isinstance(node, dict):
        return node
    free = {name: NASTY for name, value in node.items() if name in FREE and isinstance(value, str)}
    more = {"text": NASTY} if "coding" in node else {"display": NASTY} if {"system", "code"} <= node.keys() else {}
    if node.get("resourceType") == "Organization":
        more["name"] = NASTY
    return {name: spoiled(value) for name, value in node.items()} | free | more


def hostile() -> dict[str, Any]:
    """A request that pends, with documents and answers beside the form's own."""
    document = {
        "resourceType": "DocumentReference",
        "status": "current",
        "description": "x",
        "content": [{"attachment": {"contentType": "text/html", "title": "x", "data": "PGI+"}}],
    }
    items = [
        *b.response({"es-sclc": False})["item"],
        {"linkId": NASTY, "text": "x", "answer": [{"valueString": "x"}]},
    ]
    items[0]["text"] = "x"
    patient = b.patient() | {"address": [{"line": ["x"], "city": "x"}]}
    claim = b.claim()
    url = "urn:uuid:50000000-0000-4000-8000-000000000001"
    claim["supportingInfo"].append({"sequence": 2, "category": {"text": "x"}, "valueReference": {"reference": url}})
    claim["item"][0]["informationSequence"] = [1, 2]
    response = b.response() | {"item": items}
    bundle = b.bundle({b.CLAIM: claim, b.PATIENT: patient, b.RESPONSE: response})
    bundle["entry"].append({"fullUrl": url, "resource": document})
    made: dict[str, Any] = spoiled(bundle)
    return made


async def test_no_free_text_is_markup_on_any_page_of_the_console(console: Console) -> None:
    case = await console.add_case(hostile())
    async with console.browser("rita") as browser:
        for path in ("/review", f"/review/cases/{case.id}", "/review/report"):
            page = (await browser.get(path)).text
            assert "onerror" not in Tags(page).made, path
            assert not {"img", "script"} & set(Tags(page).made), path
            assert "49</textarea>" not in page, path
        shown = (await browser.get(f"/review/cases/{case.id}")).text
        # It is there, as words: the test has not just failed to put it on the page.
        assert shown.count("&lt;script&gt;alert(2)") > 3


async def test_a_documents_name_ends_no_header_and_no_page_opens_it(console: Console) -> None:
    case = await console.add_case(hostile())
    async with console.browser("rita") as browser:
        answers = [await browser.get(f"/review/cases/{case.id}/documents/{number}") for number in (1, 2, 3)]
    there = [answer for answer in answers if answer.status_code == 200]
    assert there
    for answer in there:
        said = answer.headers["content-disposition"]
        assert said.startswith("attachment; filename=")
        assert said.count('"') == 2
        assert answer.headers["content-type"] == "application/octet-stream"
