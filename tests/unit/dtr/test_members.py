"""The renewal form is for members whom the directory knows."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from service.dtr.versions import Version
from service.members.memory import MemoryMembers
from service.policy.case import MemberId
from service.policy.enrollment import Batch, Checkpoint, CoverageRecord, MemberRecord
from service.policy.membership import OpenPeriod
from tests.unit.dtr.samples import (
    INITIAL,
    RENEWAL,
    VERSIONS,
    Service,
    answer_to,
    by_order,
    coverage,
    form_urls,
    order,
    request_for,
    resource,
)

MEMBER = MemberRecord(MemberId("DEMO-1"), "p1", None, True)
COVERAGE = CoverageRecord("c1", "C-1", None, "p1", "active", OpenPeriod(None, None), None, None)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("records", "form"),
    [
        ((MEMBER, COVERAGE), RENEWAL),
        ((MEMBER, replace(COVERAGE, status="cancelled")), RENEWAL),
        ((replace(MEMBER, member=MemberId("DEMO-9")), COVERAGE), INITIAL),
        ((), RENEWAL),
    ],
    ids=["a member", "whose coverage ended", "nobody we know", "no directory"],
)
async def test_the_renewal_form_is_for_members(
    service: Service, version: Version, records: tuple[Any, ...], form: str
) -> None:
    service.members = await directory(*records)
    service.ends = {"DEMO-1": date(2027, 6, 1)}
    assert form_urls(await answer_to(service, version, by_order())) == [form]


@pytest.mark.parametrize(("number", "form"), [("C-1", RENEWAL), ("C-2", INITIAL)])
async def test_another_coverage_of_ours_is_not_theirs(service: Service, number: str, form: str) -> None:
    service.members = await directory(MEMBER, COVERAGE)
    service.ends = {"DEMO-1": date(2027, 6, 1)}
    presented = coverage(identifier=[{"system": service.settings.coverage_system, "value": number}])
    answer = await answer_to(service, "2.2.0", request_for(resource("order", order()), cover=presented))
    assert form_urls(answer) == [form]


async def directory(*records: Any) -> MemoryMembers:
    made = MemoryMembers()
    members = tuple(record for record in records if isinstance(record, MemberRecord))
    coverages = tuple(record for record in records if isinstance(record, CoverageRecord))
    await made.save(Batch(members, coverages, Checkpoint("sha256:x")))
    return made
