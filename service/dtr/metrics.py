"""What is kept of a call: DTRMetricData of DTR 2.2.0 as the payer sees it, and nothing that was sent (sec-10)."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from service.errors import ServiceError, StoreFailed
from service.fhir.build import Json
from service.fhir.json import encode
from service.fhir.outcome import answer_for, operation_outcome
from service.form.adaptive import derived_from
from service.ports import Caller, Clock, Exchange, Ids, Resource, Store
from service.settings import Settings

_log = logging.getLogger(__name__)

Action = Literal["qpackage", "nextq"]
"""The actions of the model (CodeSystem dtr-metric-codes) that a payer takes."""
_OK: Final = 200


@dataclass(frozen=True, slots=True)
class Meter:
    """Keeps one record of each call beside its answer."""

    settings: Settings
    store: Store
    clock: Clock
    ids: Ids

    async def measure(self, action: Action, caller: Caller, work: Callable[[], Awaitable[Resource]]) -> Resource:
        """The answer of `work`, or its error, after the record was written. A record that cannot be kept is said."""
        started = self.clock.now()
        try:
            answer = await work()
        except ServiceError as error:
            issues = [issue["code"] for issue in operation_outcome(error)["issue"]]
            await self._keep(action, caller, started, (answer_for(error).status, issues, []))
            raise
        await self._keep(action, caller, started, (_OK, [], list(_forms(answer))))
        return answer

    async def _keep(
        self, action: Action, caller: Caller, started: datetime, told: tuple[int, list[str], list[Json]]
    ) -> None:
        status, issues, forms = told
        ended = self.clock.now()
        record: dict[str, Any] = {
            "source": "payer-src",
            "groupId": {"value": caller.client},
            "payerId": {"system": self.settings.payer_id_system, "value": self.settings.payer_id},
            "action": [
                {
                    "actionDetail": action,
                    "requestTime": started.isoformat(),
                    "responseTime": ended.isoformat(),
                    "httpResponse": status,
                    **({"issue": [{"code": code} for code in issues]} if issues else {}),
                }
            ],
            **({"questionnaire": forms} if forms else {}),
        }
        exchange = Exchange(
            id=self.ids.new(),
            kind=f"dtr-metric-{action}",
            client=caller.client,
            requested_at=started,
            answered_at=ended,
            status=status,
            request=b"",
            response=encode(record),
        )
        try:
            await self.store.log_exchange(exchange)
        except StoreFailed:
            # The answer is given all the same: it promises nothing.
            _log.error("a call could not be kept", extra={"kind": exchange.kind})


def _forms(answer: Resource) -> Iterator[Json]:
    """The forms given out, by canonical: those of the packages, or the one that a response is derived from."""
    kind = answer.get("resourceType")
    if kind == "Parameters":
        for parameter in answer.get("parameter") or ():
            yield from _forms(parameter.get("resource") or {})
    elif kind == "Bundle":
        for entry in answer.get("entry") or ():
            yield from _forms(entry["resource"])
    elif kind == "QuestionnaireResponse":
        base = derived_from(answer)
        yield {"reference": base or answer["questionnaire"], "adaptive": base is not None}
