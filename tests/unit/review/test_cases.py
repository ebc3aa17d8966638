"""The case page and what is done from it."""

from __future__ import annotations

from tests.unit.review.conftest import Console, send, words


async def test_the_page_shows_criteria_in_the_payers_words_with_evidence_and_its_origin(console: Console) -> None:
    case = await console.add_case()
    async with console.browser("rita") as browser:
        page = words((await browser.get(f"/review/cases/{case.id}")).text)
    assert "Not met Extensive-stage small cell lung cancer (ES-SCLC) 5.21.223 p.2" in page
    assert "Unknown Patient has had disease progression on or after platinum-based chemotherapy" in page


async def test_a_claim_is_seen_by_the_next_reviewer(console: Console) -> None:
    case = await console.add_case()
    async with console.browser("rita") as rita, console.browser("rob") as rob:
        assert (await send(rita, case.id, "claim")).status_code == 303
        assert "rita has this case" in words((await rob.get(f"/review/cases/{case.id}")).text)
