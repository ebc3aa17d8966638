"""What is said about one order: pure rules from order, coverage, policy and authorizations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

from service.crd.coverage import PresentedCoverage, trusts_presented
from service.crd.coverage_information import (
    Assertion,
    Contact,
    CoverageInformation,
    Covered,
    Detail,
    DocNeeded,
    DocPurpose,
    InfoNeeded,
    PaNeeded,
    Reason,
    ReasonCode,
)
from service.crd.orders import Order
from service.fhir.canonical import versioned
from service.policy.case import Authorization
from service.policy.match import Match
from service.policy.membership import Missing, NoMember, Verdict, Waiver
from service.policy.model import INITIAL, RENEWAL, DrugCode, Pathway, Policy
from service.settings import Settings


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything that decides an answer. `failed` says that our own records could not be read in time.

    `authorizations` are the member's for the matched policy; `documents` says whether the hook may ask for
    documentation (never on order-select: CRD 2.2.1 hook-19, the same in 2.0.1). `verdict` is the member
    directory's on the requested start (None: no directory is loaded); where that is no membership,
    `member_today` says whether there is one today. `unread` and its text say what the EHR did not give.
    """

    order: Order
    coverage: PresentedCoverage
    match: Match | None
    authorizations: Sequence[Authorization]
    failed: bool
    documents: bool
    incomplete: bool
    today: date
    verdict: Verdict | None = None
    member_today: bool = False
    unread: tuple[str, ...] = ()
    unread_text: str | None = None


def requested_pathway(situation: Situation) -> Pathway | None:
    """The form's pathway: renewal when an authorization ends within the window before the start, or after it."""
    policy = situation.match.revision if situation.match else None
    if policy is None:
        return None
    window = timedelta(days=policy.renewal_window_days)
    renewing = any(held.period.end >= situation.order.start - window for held in situation.authorizations)
    return policy.pathways.get(RENEWAL if renewing else INITIAL) or policy.pathways.get(INITIAL)


def state(situation: Situation, assertion_id: str, settings: Settings) -> CoverageInformation:
    """The answer about one order; it says what the EHR did not give, whether or not that decides it."""
    told, unread = _state(situation, assertion_id, settings), situation.unread_text
    if unread is None or any(reason.text == unread for reason in told.reasons):
        return told
    return replace(told, reasons=(*told.reasons, Reason(unread)))


def _lacks(situation: Situation) -> bool:
    """Whether the answer would rest on what the EHR did not give (CRD 2.2.1 resp-43)."""
    unnamed = situation.order.may_be_drug and situation.order.unnamed and "medications" in situation.unread
    # The patient's own record may hold the number that the directory knows.
    return unnamed or ("patient" in situation.unread and isinstance(situation.verdict, NoMember))


def _state(situation: Situation, assertion_id: str, settings: Settings) -> CoverageInformation:
    doubt = situation.order.doubt or situation.coverage.doubt
    if doubt:
        return _indeterminate(situation, assertion_id, settings, Reason(doubt))
    if situation.failed:
        text = "The payer's records could not be read in time. Send the request again, or call."
        return _indeterminate(situation, assertion_id, settings, Reason(text, ReasonCode.TECHNICAL))
    if situation.unread_text and _lacks(situation):
        return _indeterminate(situation, assertion_id, settings, Reason(situation.unread_text, ReasonCode.TECHNICAL))
    verdict = situation.verdict
    if verdict is None and not trusts_presented(settings):
        # No member records are loaded, so neither member nor coverage can be confirmed, and nothing says that
        # they do not exist. Of the guide's codes (resp-43 to resp-45) only `technical` claims no more than that.
        text = "The payer's membership records are not available here, so membership could not be confirmed."
        return _indeterminate(situation, assertion_id, settings, Reason(text, ReasonCode.TECHNICAL))
    if isinstance(verdict, NoMember):
        return _without_membership(situation, verdict.reason, assertion_id, settings)
    if not _in_force(situation):
        return _not_in_force(situation, assertion_id, settings)
    if verdict is not None and verdict.excludes(_codes(situation)):
        text = "The member's plan excludes what is ordered."
        return _not_covered(situation, assertion_id, settings, Reason(text))
    if situation.match is None:
        return _outside_our_rules(situation, assertion_id, settings)
    if situation.match.revision is None:
        return _before_the_policy(situation, situation.match, assertion_id, settings)
    return _under_policy(situation, situation.match.revision, assertion_id, settings)


def _under_policy(situation: Situation, policy: Policy, assertion_id: str, settings: Settings) -> CoverageInformation:
    pathway = requested_pathway(situation)
    forms = (canonical_of(pathway, settings),) if pathway and situation.documents else ()
    held = settling(situation)
    if held:
        return _authorized(_Renewing(situation, policy, held, forms), assertion_id, settings)
    waiver = _waiver(situation, policy)
    if waiver:
        return _waived(situation, policy, waiver, assertion_id, settings)
    renewing = _what_is_renewed(situation) if pathway and pathway.name == RENEWAL else ""
    return CoverageInformation(
        _assertion(situation, assertion_id, settings, policy.ends),
        Covered.COVERED,
        # There is no allowance before authorization: never no-auth, whatever the quantity (contract.md).
        PaNeeded.AUTH_NEEDED,
        doc_needed=frozenset({DocNeeded.CLINICAL}) if forms else frozenset(),
        doc_purpose=(DocPurpose.WITH_PA,) if forms else (),
        billing=(policy.drug.billing,),
        reasons=(Reason(f"{policy.drug.display} needs prior authorization (policy {policy.document}).{renewing}"),),
        details=_policy_link(policy, settings),
        questionnaires=forms,
    )


def _waiver(situation: Situation, policy: Policy) -> Waiver | None:
    verdict = situation.verdict
    return None if verdict is None or isinstance(verdict, NoMember) else verdict.waiver_of(policy.ref.id)


def _waived(
    situation: Situation, policy: Policy, waiver: Waiver, assertion_id: str, settings: Settings
) -> CoverageInformation:
    """The only answer of no-auth.

    The policy itself never gives it (contract.md): here the payer has waived prior authorization under this policy
    for this very provider and day, and has loaded the waiver itself.
    """
    text = (
        f"{settings.payer_name} waives prior authorization of {policy.drug.display} for the ordering provider "
        f"until {waiver.period.end.isoformat()}."
    )
    return CoverageInformation(
        _assertion(situation, assertion_id, settings, waiver.period.end, policy.ends),
        Covered.COVERED,
        PaNeeded.NO_AUTH,
        billing=(policy.drug.billing,),
        reasons=(Reason(text, ReasonCode.GOLD_CARD),),
        details=_policy_link(policy, settings),
    )


def _what_is_renewed(situation: Situation) -> str:
    last = max(situation.authorizations, key=lambda held: held.period.end)
    period = f"from {last.period.start.isoformat()} to {last.period.end.isoformat()}"
    return f" Authorization {last.number} is {period} and does not cover the requested start: send the renewal form."


@dataclass(frozen=True, slots=True)
class _Renewing:
    """An order that an authorization on file covers, with the form that would continue it (none on order-select)."""

    situation: Situation
    policy: Policy
    held: Authorization
    forms: tuple[str, ...]


def _authorized(renewing: _Renewing, assertion_id: str, settings: Settings) -> CoverageInformation:
    """The start is authorized, and what is ordered may well outlast the authorization: both are said.

    The form that continues it is offered at once when the authorization ends within the renewal window; before that,
    whether it is needed depends on how long treatment goes on (`timeframe`). It is no paper for an authorization that
    is needed now, so no purpose is named (crd-ci-q4).
    """
    situation, policy, held = renewing.situation, renewing.policy, renewing.held
    soon = held.period.end <= situation.order.start + timedelta(days=policy.renewal_window_days)
    needed = DocNeeded.CLINICAL if soon else DocNeeded.CONDITIONAL
    text = (
        f"Authorized until {held.period.end.isoformat()} under number {held.number}; "
        f"to continue after that, send the {_continuing(policy)}."
    )
    return CoverageInformation(
        _assertion(situation, assertion_id, settings, held.period.end, policy.ends),
        Covered.COVERED,
        PaNeeded.SATISFIED,
        doc_needed=frozenset({needed}) if renewing.forms else frozenset(),
        info_needed=(InfoNeeded.TIMEFRAME,) if renewing.forms and not soon else (),
        billing=(policy.drug.billing,),
        reasons=(Reason(text),),
        details=(Detail("allowed-period", "cat-limitation", period=held.period), *_policy_link(policy, settings)),
        questionnaires=renewing.forms,
        satisfied_pa_id=held.number,
    )


def _continuing(policy: Policy) -> str:
    """Under a policy without renewals, treatment goes on as it began: with another initial request."""
    return "renewal form" if RENEWAL in policy.pathways else "initial form again"


def canonical_of(pathway: Pathway, settings: Settings) -> str:
    """The form's canonical, with its version unless the payer's clients cannot compare those."""
    version = pathway.questionnaire_version if settings.versioned_canonicals else None
    return versioned(pathway.questionnaire, version)


def settling(situation: Situation) -> Authorization | None:
    """The authorization that covers the requested start; of several, the one that lasts longest."""
    covering = (held for held in situation.authorizations if situation.order.start in held.period)
    return max(covering, key=lambda held: held.period.end, default=None)


def _outside_our_rules(situation: Situation, assertion_id: str, settings: Settings) -> CoverageInformation:
    if situation.order.may_be_drug and situation.order.unnamed:
        missing = " Part of what was sent could not be read." if situation.incomplete else ""
        text = f"The order does not say by code or name what is ordered.{missing} Send the drug's or service's code."
        return _conditional(situation, assertion_id, settings, Reason(text), InfoNeeded.DETAIL_CODE)
    text = f"{settings.payer_name} has no coverage rule here for what is ordered. Ask for its requirements."
    return _conditional(situation, assertion_id, settings, Reason(text), InfoNeeded.OTHER)


def _before_the_policy(
    situation: Situation, match: Match, assertion_id: str, settings: Settings
) -> CoverageInformation:
    """A start for which no revision of the drug's policy is in force.

    A request for that day would be pended for a reviewer (contract.md), so authorization is needed; but which
    criteria and which form would apply is not known, so coverage is conditional and no form is offered.
    """
    start = situation.order.start.isoformat()
    text = f"No revision of the policy {match.title} is in force on the requested start {start}. A reviewer decides."
    return CoverageInformation(
        _assertion(situation, assertion_id, settings),
        Covered.CONDITIONAL,
        PaNeeded.AUTH_NEEDED,
        info_needed=(InfoNeeded.OTHER,),
        reasons=(Reason(text),),
        details=(_ask(settings),),
        contact=_contact(settings),
    )


def _codes(situation: Situation) -> frozenset[DrugCode]:
    """Every code by which a plan may exclude what is ordered: those of the order and those of its drug."""
    revision = situation.match.revision if situation.match else None
    return situation.order.named.codes | frozenset(revision.drug.codes if revision else ())


def _in_force(situation: Situation) -> bool:
    """When a coverage holds is in our own records, where there are any; that it is active its sender says too."""
    coverage = situation.coverage
    return coverage.active if situation.verdict is not None else coverage.holds_on(situation.order.start)


def _without_membership(
    situation: Situation, reason: Missing, assertion_id: str, settings: Settings
) -> CoverageInformation:
    """Member not found, coverage not found or not in force in our records (CRD 2.2.1 resp-44 and resp-45)."""
    start = situation.order.start.isoformat()
    if reason is Missing.NO_ACTIVE_COVERAGE and situation.member_today:
        text = f"By the payer's records the member is covered today and not yet on the requested start {start}."
        return _conditional(situation, assertion_id, settings, Reason(text), InfoNeeded.CONTRACT_WINDOW)
    texts = {
        Missing.NO_MEMBER_FOUND: "The payer's records hold no member with the member number that was sent.",
        Missing.COVERAGE_NOT_FOUND: "The payer's records do not show which coverage of the member is meant.",
        Missing.NO_ACTIVE_COVERAGE: f"By the payer's records the member has no coverage in force on {start}.",
    }
    return _not_covered(situation, assertion_id, settings, Reason(texts[reason], ReasonCode(reason.value)))


def _not_covered(situation: Situation, assertion_id: str, settings: Settings, reason: Reason) -> CoverageInformation:
    assertion = _assertion(situation, assertion_id, settings)
    return CoverageInformation(assertion, Covered.NOT_COVERED, reasons=(reason,), contact=_contact(settings))


def _not_in_force(situation: Situation, assertion_id: str, settings: Settings) -> CoverageInformation:
    coverage, start = situation.coverage, situation.order.start
    if coverage.holds_on(situation.today) and start > situation.today:
        text = (
            f"The coverage that was sent is in force today and ends before the requested start {start.isoformat()}."
        )
        return _conditional(situation, assertion_id, settings, Reason(text), InfoNeeded.CONTRACT_WINDOW)
    text = f"The coverage that was sent is not in force on {start.isoformat()}."
    return CoverageInformation(
        _assertion(situation, assertion_id, settings),
        Covered.NOT_COVERED,
        reasons=(Reason(text, ReasonCode.NO_ACTIVE_COVERAGE),),
    )


def _conditional(
    situation: Situation, assertion_id: str, settings: Settings, reason: Reason, info: InfoNeeded
) -> CoverageInformation:
    return CoverageInformation(
        _assertion(situation, assertion_id, settings),
        Covered.CONDITIONAL,
        PaNeeded.CONDITIONAL,
        info_needed=(info,),
        reasons=(reason,),
        details=(_ask(settings),),
        contact=_contact(settings),
    )


def _indeterminate(
    situation: Situation, assertion_id: str, settings: Settings, reason: Reason
) -> CoverageInformation:
    reasons = [reason]
    policy = situation.match.revision if situation.match else None
    if policy:
        reasons.append(
            Reason(f"For members, {policy.drug.display} needs prior authorization (policy {policy.document}).")
        )
    return CoverageInformation(
        _assertion(situation, assertion_id, settings),
        Covered.INDETERMINATE,
        PaNeeded.INDETERMINATE,
        reasons=tuple(reasons),
        contact=_contact(settings),
    )


def _assertion(situation: Situation, assertion_id: str, settings: Settings, *ends: date | None) -> Assertion:
    """Holds as long as the answers to a form that it asks for would, and no longer than what it rests on."""
    limits = [situation.today + timedelta(days=settings.response_max_age_days), *(end for end in ends if end)]
    if situation.coverage.end and situation.coverage.holds_on(situation.today):
        limits.append(situation.coverage.end.latest())
    verdict = situation.verdict
    if verdict is not None and not isinstance(verdict, NoMember) and verdict.period.end:
        limits.append(verdict.period.end)
    return Assertion(situation.coverage.reference, assertion_id, situation.today, max(min(limits), situation.today))


def policy_page(policy: Policy, settings: Settings) -> str:
    """Where a person reads the policy: the payer's own page, else the one that this service shows."""
    return policy.source_url or f"{settings.base_url}/policies/{policy.ref.id}"


def _policy_link(policy: Policy, settings: Settings) -> tuple[Detail, ...]:
    return (Detail("policy-link", "cat-other", url=policy_page(policy, settings)),)


def _ask(settings: Settings) -> Detail:
    """CRD 2.2.1 wants a detail beside info-needed OTH that says what to do (definition of info-needed)."""
    return Detail("instructions", "cat-other", text=f"Call {settings.payer_name} at {settings.payer_phone}.")


def _contact(settings: Settings) -> Contact:
    return Contact(settings.payer_name, settings.payer_phone)
