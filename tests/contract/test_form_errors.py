"""Reports about our forms: kept in order, and only so many of one client within an hour."""

from __future__ import annotations

from datetime import timedelta

import pytest

from service.policy.case import ClientId
from service.store.form_errors import MOST_PER_HOUR, FormError, MemoryFormErrors, SqlFormErrors
from service.store.memory import MemoryStore
from tests.contract.conftest import NOW, AnyStore

EHR, OTHER = ClientId("ehr"), ClientId("other")


@pytest.fixture
def reports(store: AnyStore) -> MemoryFormErrors | SqlFormErrors:
    return MemoryFormErrors() if isinstance(store, MemoryStore) else store.form_errors()


async def test_reports_are_kept_in_order(reports: MemoryFormErrors | SqlFormErrors) -> None:
    assert await reports.form_errors() == []
    assert await reports.save_form_error(EHR, {"issues": [{"code": "value"}]}, NOW)
    assert await reports.save_form_error(OTHER, {"issues": []}, NOW + timedelta(seconds=1))
    assert await reports.form_errors() == [
        FormError(EHR, NOW, {"issues": [{"code": "value"}]}),
        FormError(OTHER, NOW + timedelta(seconds=1), {"issues": []}),
    ]


async def test_only_so_many_of_one_client_within_an_hour(reports: MemoryFormErrors | SqlFormErrors) -> None:
    kept = [await reports.save_form_error(EHR, {}, NOW) for _ in range(MOST_PER_HOUR + 1)]
    assert kept == [True] * MOST_PER_HOUR + [False]
    assert await reports.save_form_error(OTHER, {}, NOW)
    assert not await reports.save_form_error(EHR, {}, NOW + timedelta(minutes=59))
    assert await reports.save_form_error(EHR, {}, NOW + timedelta(hours=1))
    assert len(await reports.form_errors()) == MOST_PER_HOUR + 2
