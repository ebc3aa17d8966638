"""The member directory's verdict in a determination, where it was asked for another day than the line's."""

from __future__ import annotations

from datetime import date

import pytest

from service.app.parts import Rules
from service.determine.request import Receipt
from service.pas.request import parse
from service.policy.case import MemberId
from service.policy.decision import Outcome
from service.policy.membership import Membership, OpenPeriod
from tests.unit.determine.test_obstacles import RECEIVED, bundle, nothing_on_file

__all__ = ["bundle"]
MEMBERSHIP = Membership(MemberId("M"), None, OpenPeriod(None, None), frozenset(), ())


@pytest.mark.parametrize(("day", "outcome"), [(4, Outcome.APPROVED), (5, Outcome.PENDED)])
async def test_a_membership_of_another_day_is_none(
    rules: Rules, bundle: dict[str, object], day: int, outcome: Outcome
) -> None:
    request = parse(bundle, rules.check, member_system=rules.settings.member_system)
    receipt = Receipt(RECEIVED, {date(2026, 12, day): MEMBERSHIP})
    (line,) = (await rules.determiner.determine(request, receipt, nothing_on_file)).lines
    assert line.outcome is outcome
    assert [found.code for found in line.obstacles] == ["member-unverified"] * (day != 4)
