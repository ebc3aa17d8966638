"""Sessions: sealed at rest, taken up by another process, ended by time and by leaving."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from pathlib import Path

import pytest

from service.app.parts import Rules
from service.dtr.app.context import LaunchContext
from service.dtr.app.documents import Attached
from service.dtr.app.keeping import SealedCodec
from service.dtr.app.sealing import Sealer, load_sealer, passing_sealer
from service.dtr.app.sessions import Sessions, Visit, digest
from service.ehr.id_token import LaunchRefused
from service.ehr.issuers import Issuer, registrations
from service.ehr.smart import Endpoints, Granted, Pending, Tokens
from service.errors import InvalidPolicy
from service.store.app_sessions import SqlAppSessions
from service.store.sql import SqlStore, open_store
from tests.doubles import FrozenClock
from tests.unit.dtr_app.clinic import NOW, Clinic

ISSUER = Issuer(iss="https://ehr.example.org/fhir", name="EHR", client_id="us", method="public")
ENDPOINTS = Endpoints("https://ehr.example.org/a", "https://ehr.example.org/t", None, None, None)
PENDING = Pending(ISSUER, ENDPOINTS, "the-state", "the-nonce", "the-verifier", NOW)
TOKENS = Tokens("secret-access", "secret-refresh", NOW + timedelta(minutes=5), frozenset({"openid"}))
GRANTED = Granted(ISSUER, ENDPOINTS, TOKENS, "p1", "Practitioner/7", [{"reference": "Patient/p1"}], None)
CONTEXT = LaunchContext(order="MedicationRequest/1")
DOCUMENT = Attached({"resourceType": "DocumentReference", "id": "d"}, "CT", 6, uploaded=True)


@dataclass
class House:
    """One database, and processes that share it."""

    rules: Rules
    store: SqlStore
    clock: FrozenClock
    sealer: Sealer

    @property
    def rows(self) -> SqlAppSessions:
        return self.store.app_sessions()

    def process(self, sealer: Sealer | None = None, issuer: Issuer = ISSUER) -> Sessions:
        codec = SealedCodec(sealer or self.sealer, registrations([issuer]), self.rules.registry)
        return Sessions(self.rows, codec, self.clock)

    def dump(self) -> bytes:
        """Everything that the database's files hold."""
        folder = Path(str(self.store._engine.url.database)).parent
        return b"".join(path.read_bytes() for path in folder.iterdir() if path.is_file())


@pytest.fixture
async def house(rules: Rules, tmp_path: Path) -> AsyncIterator[House]:
    clock = FrozenClock(NOW)
    store = open_store(f"sqlite:///{tmp_path / 'pa.db'}", clock)
    yield House(rules, store, clock, passing_sealer())
    await store.close()


async def begun(house: House) -> Visit:
    return await house.process().begin(GRANTED, CONTEXT, None)


async def test_another_process_goes_on_with_a_form_as_it_stands(house: House, clinic: Clinic) -> None:
    visit = replace(await begun(house), opened=await clinic.open(), prior="https://ehr.example.org/fhir/Claim/1")
    await house.process().keep(visit)
    await house.process().attach(visit.id, lambda held: (*held, DOCUMENT))
    taken = await house.process().find(visit.id, visit.browser)
    assert taken == visit
    assert taken.opened is not None
    assert [each.name for each in fields(taken.opened) if getattr(taken.opened, each.name) is None] == [
        "draft",
        "asking",
    ]
    assert await house.process().attached(visit.id) == (DOCUMENT,)


async def test_a_launch_that_began_in_one_process_ends_in_another_once(house: House) -> None:
    browser = await house.process().wait_for(PENDING, None)
    assert await house.process().take("the-state", browser) == PENDING
    with pytest.raises(LaunchRefused):
        await house.process().take("the-state", browser)


@pytest.mark.parametrize("browser", [None, "another"])
async def test_a_launch_belongs_to_the_browser_that_began_it(house: House, browser: str | None) -> None:
    await house.process().wait_for(PENDING, None)
    with pytest.raises(LaunchRefused):
        await house.process().take("the-state", browser)


@pytest.mark.parametrize(("state", "minutes"), [("another", 0), ("the-state", 11)])
async def test_a_launch_of_another_state_or_of_long_ago_is_refused(house: House, state: str, minutes: int) -> None:
    browser = await house.process().wait_for(PENDING, None)
    house.clock.advance(timedelta(minutes=minutes))
    with pytest.raises(LaunchRefused):
        await house.process().take(state, browser)


async def test_the_database_holds_no_token_no_patient_and_nothing_that_opens_a_session(
    house: House, clinic: Clinic
) -> None:
    visit = replace(await begun(house), opened=await clinic.open())
    await house.process().keep(visit)
    await house.process().wait_for(PENDING, "the-cookie")
    held = house.dump()
    told = (b"secret-access", b"secret-refresh", b"the-verifier", b"the-state", b"the-cookie", b"Practitioner/7")
    assert [text for text in told if text in held or base64.b64encode(text)[:-4] in held] == []
    secrets = (visit.id, visit.browser, visit.csrf)
    assert [text for text in secrets if text.encode() in held] == []


async def test_another_key_and_another_register_open_nothing(house: House) -> None:
    visit = await begun(house)
    elsewhere = replace(ISSUER, iss="https://elsewhere.example.org/fhir")
    for process in (house.process(passing_sealer()), house.process(issuer=elsewhere)):
        with pytest.raises(LaunchRefused):
            await process.find(visit.id, visit.browser)


async def test_an_old_key_still_opens_beside_the_new_one(house: House) -> None:
    visit = await begun(house)
    both = Sealer((*passing_sealer().keys, *house.sealer.keys))
    assert await house.process(both).find(visit.id, visit.browser) == visit


async def test_a_row_put_under_another_name_opens_nothing(house: House) -> None:
    """Who can write to the database cannot make one session answer to another's id."""
    first, second = await begun(house), await begun(house)
    rows = {row.owner: row for visit in (first, second) for row in await house.rows.rows_of(_owner(visit))}
    mine, theirs = rows[_owner(first)], rows[_owner(second)]
    await house.rows.change(replace(mine, sealed=theirs.sealed))
    with pytest.raises(LaunchRefused):
        await house.process().find(first.id, second.browser)


def _owner(visit: Visit) -> str:
    return digest("browser", visit.browser)


async def test_an_idle_session_ends_and_one_at_work_goes_on(house: House) -> None:
    visit = await begun(house)
    for _ in range(2):
        house.clock.advance(timedelta(minutes=50))
        await house.process().find(visit.id, visit.browser)
    house.clock.advance(timedelta(minutes=61))
    with pytest.raises(LaunchRefused):
        await house.process().find(visit.id, visit.browser)
    await house.process().wait_for(PENDING, None)
    assert await house.rows.rows_of(_owner(visit)) == []
    assert await house.process().attached(visit.id) == ()


async def test_leaving_deletes_everything(house: House) -> None:
    visit = await begun(house)
    await house.process().attach(visit.id, lambda held: (*held, DOCUMENT))
    await house.process().end(visit)
    assert await house.process().attached(visit.id) == ()
    with pytest.raises(LaunchRefused):
        await house.process().find(visit.id, visit.browser)
    await house.process().keep(visit)
    with pytest.raises(LaunchRefused):
        await house.process().find(visit.id, visit.browser)


async def test_a_second_launch_of_the_same_user_keeps_the_first_under_the_new_cookie(house: House) -> None:
    first = await begun(house)
    second = await house.process().begin(GRANTED, CONTEXT, first.browser)
    assert (await house.process().find(first.id, second.browser)).browser == second.browser
    with pytest.raises(LaunchRefused):
        await house.process().find(first.id, first.browser)
    await house.process().keep(first)
    assert (await house.process().find(first.id, second.browser)).browser == second.browser


async def test_another_user_in_the_same_browser_ends_what_was_open(house: House) -> None:
    first = await begun(house)
    other = await house.process().begin(replace(GRANTED, user="Practitioner/8"), CONTEXT, first.browser)
    for browser in (first.browser, other.browser):
        with pytest.raises(LaunchRefused):
            await house.process().find(first.id, browser)


async def test_changes_made_at_once_in_two_processes_are_both_kept(house: House) -> None:
    visit = await begun(house)
    added = [replace(DOCUMENT, title=str(number)) for number in range(3)]

    async def add(document: Attached) -> None:
        await house.process().attach(visit.id, lambda held: (*held, document))

    await asyncio.gather(*(add(each) for each in added))
    assert {each.title for each in await house.process().attached(visit.id)} == {"0", "1", "2"}


def test_documents_of_the_largest_size_are_sealed() -> None:
    sealer, text = passing_sealer(), base64.b64encode(os.urandom(5_000_000))
    assert sealer.unseal(sealer.seal(text)) == text


def test_keys_are_read_from_a_file(tmp_path: Path) -> None:
    first, second = (base64.b64encode(os.urandom(32)).decode() for _ in range(2))
    file = tmp_path / "keys"
    file.write_text(f"{first}\n{second}\n")
    both = load_sealer(file)
    file.write_text(f"{second}\n")
    assert both.unseal(load_sealer(file).seal(b"text")) == b"text"
    assert load_sealer(file).unseal(both.seal(b"text")) is None
    assert first not in repr(both)


@pytest.mark.parametrize("text", ["", "short", base64.b64encode(b"x" * 16).decode(), "é" * 44])
def test_a_file_that_is_no_key_is_refused_without_showing_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "keys").write_text(text)
    with pytest.raises(InvalidPolicy) as refused:
        load_sealer(tmp_path / "keys")
    assert "keys" in refused.value.text
    assert not text or text not in refused.value.text


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidPolicy):
        load_sealer(tmp_path / "none")
