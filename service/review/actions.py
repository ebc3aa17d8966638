"""What a reviewer does to a case: claim, release, decide. Each is one change in the store, with its audit entry."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.errors import Conflict, NotFound
from service.log import request_id
from service.pas.numbers import authorization_number
from service.policy import reviewer
from service.policy.case import Case, CaseId
from service.policy.determination import as_json
from service.policy.review import Ask
from service.policy.reviewer import Person
from service.ports import CASE_CHANGED, CASE_DECIDED, CaseChange, Clock, Event, Ids, Store
from service.review.verdicts import Decided, recorded

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Actions:
    """The use cases. Forbidden and Conflict as policy/reviewer says, and Conflict when somebody was faster."""

    store: Store
    clock: Clock
    ids: Ids

    async def read(self, case_id: str) -> tuple[Case, bytes]:
        """A case and its request; NotFound."""
        found = await self.store.case(CaseId(case_id))
        if found is None:
            raise NotFound("There is no such case.")
        return found

    async def claim(self, case_id: str, person: Person, *, take_over: bool = False) -> Case:
        """The case, held by this person; nothing changes when it already is."""
        case, _ = await self.read(case_id)
        claimed = reviewer.claim(case, person, take_over=take_over)
        if claimed == case:
            return case
        kind = "take-over" if case.held_by else "claim"
        audit = self._audit(kind, case, person, {"held_before": case.held_by})
        return await self._save(claimed, case.revision, audit)

    async def release(self, case_id: str, person: Person) -> Case:
        case, _ = await self.read(case_id)
        released = reviewer.release(case, person)
        return await self._save(released, case.revision, self._audit("release", case, person, {}))

    async def decide(self, case: Case, decided: Decided, person: Person) -> Case:
        """The case with the verdicts, provided that it is stored as it was read here."""
        now = self.clock.now()
        changed = reviewer.decide(case, decided.verdicts, person, now, authorization_number(case.id))
        told = {
            "decided_at": now.isoformat(),
            "lines": recorded(decided.verdicts, decided.reason_keys),
            "determination": as_json(changed.determination),
        }
        final = any(not isinstance(verdict, Ask) for verdict in decided.verdicts.values())
        event = Event(self.ids.new(), CASE_DECIDED if final else CASE_CHANGED, case.id, now)
        saved = await self._save(changed, case.revision, self._audit("review", case, person, told), event)
        _log.info("a reviewer decided", extra={"case": case.id, "decision": saved.outcome.value})
        return saved

    async def _save(self, case: Case, expected: int, audit: Mapping[str, Any], *events: Event) -> Case:
        return await self.store.save(CaseChange(case, expected, audit, events))

    def _audit(self, kind: str, case: Case, person: Person, more: Mapping[str, Any]) -> Mapping[str, Any]:
        clinician = person.clinician
        return {
            "kind": kind,
            "case": case.id,
            "request_id": request_id.get(),
            "actor": {
                "login": person.login,
                "name": person.name,
                "role": person.role.value,
                "npi": clinician.npi if clinician else None,
                "specialty": clinician.specialty if clinician else None,
            },
            "revision": case.revision + 1,
            **more,
        }


def unchanged_since(case: Case, revision: str) -> None:
    """Conflict when the page that a decision comes from showed another revision."""
    if revision != str(case.revision):
        raise Conflict("The case has changed since you opened it. Read what is new, then decide again.")
