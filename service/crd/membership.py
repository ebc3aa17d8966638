"""What the member directory says about the coverage of an order."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final

from service.crd.coverage import PresentedCoverage
from service.crd.orderer import ordering_npis
from service.crd.orders import Order
from service.crd.prefetch import Records
from service.policy.membership import Membership, NoMember, Presented, Verdict
from service.ports import MemberDirectory


@dataclass(frozen=True, slots=True)
class FoundMember:
    """`verdict` is that of the requested start (None: no directory is loaded); `today` whether it is one today."""

    verdict: Verdict | None = None
    today: bool = False

    def is_known(self, *, trusted: bool) -> bool:
        """Whether we believe who the member is; `trusted` says so where no directory is loaded."""
        return trusted if self.verdict is None else isinstance(self.verdict, Membership)


UNASKED: Final = FoundMember()


async def find_member(
    order: Order, coverage: PresentedCoverage, records: Records, directory: MemberDirectory | None, today: date
) -> FoundMember:
    """Asks the directory; a Coverage that is in doubt itself is not asked for."""
    if directory is None or coverage.doubt:
        return UNASKED
    presented = Presented(coverage.member, coverage.numbers, ordering_npis(order, records))
    verdict = await directory.find(presented, order.start)
    if isinstance(verdict, NoMember) and order.start > today:
        return FoundMember(verdict, isinstance(await directory.find(presented, today), Membership))
    return FoundMember(verdict)
