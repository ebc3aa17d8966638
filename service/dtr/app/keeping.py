"""Sessions as sealed text: what stands for itself as JSON; policies and EHRs by name, found again when read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, TypeVar

import msgspec

from service.dtr.app.asking import Asking
from service.dtr.app.context import LaunchContext
from service.dtr.app.decision import Decision
from service.dtr.app.documents import Attached, Offer
from service.dtr.app.drafts import Draft
from service.dtr.app.opening import Opened
from service.dtr.app.records import Matter, Parties
from service.dtr.app.sealing import Sealer
from service.dtr.app.sessions import Visit
from service.dtr.populate import ChartEvidence
from service.ehr.issuers import Registrations
from service.ehr.smart import Endpoints, Granted, Pending, Tokens
from service.fhir.build import Json
from service.form.adaptive import answered_form
from service.form.questionnaire import read_form
from service.policy.model import LinkId
from service.ports import PolicyRegistry

Read = TypeVar("Read")
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")


@dataclass(frozen=True, slots=True)
class _Form:
    """Opened without what its questionnaire leads to."""

    base: str
    matter: Matter
    parties: Parties
    author: Json
    questionnaire: Json
    value_sets: tuple[Json, ...]
    conditions: tuple[Json, ...]
    skeleton: Json
    items: tuple[Json, ...]
    evidence: Mapping[LinkId, tuple[ChartEvidence, ...]]
    draft: Draft | None
    notices: tuple[str, ...]
    offers: tuple[Offer, ...]
    asking: Asking | None


@dataclass(frozen=True, slots=True)
class _Visit:
    """Visit with the EHR by its issuer."""

    id: str
    browser: str
    csrf: str
    iss: str
    endpoints: Endpoints
    tokens: Tokens
    patient: str
    user: str | None
    fhir_context: Any
    app_context: Any
    context: LaunchContext
    form: _Form | None
    decision: Decision | None
    forms: tuple[tuple[str, str], ...]
    prior: str | None = None


@dataclass(frozen=True, slots=True)
class _Pending:
    """Pending with the EHR by its issuer, and the browser's cookie."""

    iss: str
    endpoints: Endpoints
    state: str
    nonce: str
    verifier: str
    started_at: datetime
    browser: str


@dataclass(frozen=True, slots=True)
class _Documents:
    """The documents of one visit."""

    visit: str
    documents: tuple[Attached, ...]


def _reader(kind: type[Read]) -> Callable[[bytes], Read]:
    return msgspec.json.Decoder(kind, float_hook=Decimal).decode


_READ_VISIT: Final = _reader(_Visit)
_READ_PENDING: Final = _reader(_Pending)
_READ_DOCUMENTS: Final = _reader(_Documents)


@dataclass(frozen=True, slots=True)
class SealedCodec:
    """sessions.Codec. What was written by another release, or names what is no longer here, reads as None."""

    sealer: Sealer
    registered: Registrations
    registry: PolicyRegistry

    def write_pending(self, pending: Pending, browser: str) -> bytes:
        kept = _Pending(
            iss=pending.issuer.iss,
            endpoints=pending.endpoints,
            state=pending.state,
            nonce=pending.nonce,
            verifier=pending.verifier,
            started_at=pending.started_at,
            browser=browser,
        )
        return self._seal(kept)

    def read_pending(self, sealed: bytes) -> tuple[Pending, str] | None:
        kept = self._unseal(sealed, _READ_PENDING)
        issuer = self.registered.find(kept.iss) if kept else None
        if kept is None or issuer is None:
            return None
        pending = Pending(issuer, kept.endpoints, kept.state, kept.nonce, kept.verifier, kept.started_at)
        return pending, kept.browser

    def write_visit(self, visit: Visit) -> bytes:
        granted, opened = visit.granted, visit.opened
        form = _Form(**{each.name: getattr(opened, each.name) for each in fields(_Form)}) if opened else None
        kept = _Visit(
            id=visit.id,
            browser=visit.browser,
            csrf=visit.csrf,
            iss=granted.issuer.iss,
            endpoints=granted.endpoints,
            tokens=granted.tokens,
            patient=granted.patient,
            user=granted.user,
            fhir_context=granted.fhir_context,
            app_context=granted.app_context,
            context=visit.context,
            form=form,
            decision=visit.decision,
            forms=visit.forms,
            prior=visit.prior,
        )
        return self._seal(kept)

    def read_visit(self, sealed: bytes) -> Visit | None:
        kept = self._unseal(sealed, _READ_VISIT)
        issuer = self.registered.find(kept.iss) if kept else None
        if kept is None or issuer is None:
            return None
        opened = self._opened(kept.form) if kept.form else None
        if kept.form and opened is None:
            return None
        granted = Granted(
            issuer=issuer,
            endpoints=kept.endpoints,
            tokens=kept.tokens,
            patient=kept.patient,
            user=kept.user,
            fhir_context=kept.fhir_context,
            app_context=kept.app_context,
        )
        return Visit(
            id=kept.id,
            browser=kept.browser,
            csrf=kept.csrf,
            granted=granted,
            context=kept.context,
            opened=opened,
            decision=kept.decision,
            forms=kept.forms,
            prior=kept.prior,
        )

    def write_documents(self, visit_id: str, documents: tuple[Attached, ...]) -> bytes:
        return self._seal(_Documents(visit_id, documents))

    def read_documents(self, sealed: bytes) -> tuple[str, tuple[Attached, ...]] | None:
        kept = self._unseal(sealed, _READ_DOCUMENTS)
        return (kept.visit, kept.documents) if kept else None

    def _opened(self, form: _Form) -> Opened | None:
        canonical = answered_form(form.skeleton)
        found = self.registry.questionnaire(canonical) if canonical else None
        if found is None:
            return None
        held = {each.name: getattr(form, each.name) for each in fields(form)}
        return Opened(**held, loaded=found[0], form=read_form(form.questionnaire))

    def _seal(self, kept: object) -> bytes:
        return self.sealer.seal(_ENCODER.encode(kept))

    def _unseal(self, sealed: bytes, read: Callable[[bytes], Read]) -> Read | None:
        text = self.sealer.unseal(sealed)
        try:
            return read(text) if text is not None else None
        except msgspec.MsgspecError:
            return None
