"""Cases and assertions to JSON text and back, exactly; the text carries a format number."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any, Final

from service.fhir.json import decode, encode
from service.policy.case import Case, CaseId, CaseLine, ClientId, MemberId, Npi
from service.policy.dates import DatePeriod
from service.policy.decision import RULES, Clinician, Decision, Obstacle, Outcome, Rules
from service.policy.determination import LineDetermination
from service.policy.finding import Evidence, Finding, Status
from service.policy.model import Citation, Criterion, CriterionId, LinkId, PathwayName, PolicyRef
from service.ports import Assertion

FORMAT: Final = 1
"""Counts up when the JSON changes shape; the readers must go on reading every older number."""

# Our own documents, whose size the caller's request already bounded.
_MAX_BYTES: Final = 1 << 30
_MAX_DEPTH: Final = 1000


class UnknownFormat(ValueError):
    """A stored document of a format that this version does not know: it was written by a newer one."""


def write_json(document: Mapping[str, Any]) -> str:
    """JSON text; Decimals keep their digits."""
    return encode(document).decode()


def read_json(text: str) -> Any:
    """The value that `write_json` was given; fractions are Decimal."""
    return decode(text.encode(), max_bytes=_MAX_BYTES, max_depth=_MAX_DEPTH)


def write_case(case: Case) -> str:
    """The case as JSON text."""
    return write_json(
        {
            "format": FORMAT,
            "id": case.id,
            "client": case.client,
            "guideVersion": case.guide_version,
            "receivedAt": write_instant(case.received_at),
            "decidedAt": write_instant(case.decided_at),
            "member": case.member,
            "providers": sorted(case.providers),
            "claimIdentifiers": case.claim_identifiers,
            "firstService": case.first_service and case.first_service.isoformat(),
            "lines": [_write_line(line) for line in case.lines],
            "linked": case.linked,
        }
    )


def read_case(text: str) -> Case:
    """The case that `write_case` wrote; UnknownFormat for a format number from the future."""
    document = _known(read_json(text))
    member = document["member"]
    first_service = document["firstService"]
    return Case(
        id=CaseId(document["id"]),
        client=ClientId(document["client"]),
        guide_version=document["guideVersion"],
        received_at=datetime.fromisoformat(document["receivedAt"]),
        decided_at=datetime.fromisoformat(document["decidedAt"]),
        member=None if member is None else MemberId(member),
        providers=frozenset(Npi(npi) for npi in document["providers"]),
        claim_identifiers=tuple(document["claimIdentifiers"]),
        first_service=None if first_service is None else date.fromisoformat(first_service),
        lines=tuple(_read_line(line) for line in document["lines"]),
        linked=tuple(CaseId(case_id) for case_id in document["linked"]),
    )


def write_assertion(assertion: Assertion) -> str:
    """The assertion as JSON text; what was shown keeps its numbers' digits."""
    return write_json(
        {
            "format": FORMAT,
            "id": assertion.id,
            "client": assertion.client,
            "orderKey": assertion.order_key,
            "coverageKey": assertion.coverage_key,
            "orderReference": assertion.order_reference,
            "coverageReference": assertion.coverage_reference,
            "policyId": assertion.policy_id,
            "questionnaire": assertion.questionnaire,
            "madeAt": write_instant(assertion.made_at),
            "shown": assertion.shown,
        }
    )


def read_assertion(text: str) -> Assertion:
    """The assertion that `write_assertion` wrote."""
    document = _known(read_json(text))
    return Assertion(
        id=document["id"],
        client=ClientId(document["client"]),
        order_key=document["orderKey"],
        coverage_key=document["coverageKey"],
        order_reference=document["orderReference"],
        coverage_reference=document["coverageReference"],
        policy_id=document["policyId"],
        questionnaire=document["questionnaire"],
        made_at=datetime.fromisoformat(document["madeAt"]),
        shown=document["shown"],
    )


def _known(document: Mapping[str, Any]) -> Mapping[str, Any]:
    if document["format"] != FORMAT:
        raise UnknownFormat(f"a stored document has format {document['format']}; this version reads {FORMAT}")
    return document


def write_instant(moment: datetime) -> str:
    """ISO 8601 in UTC. A time without zone is refused: it names no instant."""
    if moment.tzinfo is None:
        raise ValueError("an instant has a zone")
    return moment.astimezone(UTC).isoformat()


def _write_line(line: CaseLine) -> dict[str, Any]:
    found = line.determination
    return {
        "authorizationNumber": line.authorization_number,
        "referenceNumber": line.reference_number,
        "sequence": found.sequence,
        "code": found.code,
        "decision": _write_decision(found.decision),
        "period": found.period and [found.period.start.isoformat(), found.period.end.isoformat()],
        "policy": found.policy
        and {"id": found.policy.id, "version": found.policy.version, "digest": found.policy.digest},
        "pathway": found.pathway,
        "findings": [_write_finding(finding) for finding in found.findings],
        "obstacles": [{"code": obstacle.code, "text": obstacle.text} for obstacle in found.obstacles],
        "notes": found.notes,
    }


def _read_line(line: Mapping[str, Any]) -> CaseLine:
    policy, pathway, period = line["policy"], line["pathway"], line["period"]
    found = LineDetermination(
        sequence=line["sequence"],
        code=line["code"],
        decision=_read_decision(line["decision"]),
        period=None if period is None else DatePeriod(date.fromisoformat(period[0]), date.fromisoformat(period[1])),
        policy=None if policy is None else PolicyRef(policy["id"], policy["version"], policy["digest"]),
        pathway=None if pathway is None else PathwayName(pathway),
        findings=tuple(_read_finding(finding) for finding in line["findings"]),
        obstacles=tuple(Obstacle(obstacle["code"], obstacle["text"]) for obstacle in line["obstacles"]),
        notes=tuple(line["notes"]),
    )
    return CaseLine(found, line["authorizationNumber"], line["referenceNumber"])


def _write_decision(decision: Decision) -> dict[str, Any]:
    by = decision.by
    actor = None if isinstance(by, Rules) else {"name": by.name, "npi": by.npi, "specialty": by.specialty}
    return {"outcome": decision.outcome.value, "clinician": actor, "reasons": decision.reasons}


def _read_decision(decision: Mapping[str, Any]) -> Decision:
    actor = decision["clinician"]
    by = RULES if actor is None else Clinician(actor["name"], actor["npi"], actor["specialty"])
    return Decision(Outcome(decision["outcome"]), by, tuple(decision["reasons"]))


def _write_finding(finding: Finding) -> dict[str, Any]:
    criterion = finding.criterion
    return {
        "criterion": {
            "id": criterion.id,
            "text": criterion.text,
            "citation": {"document": criterion.citation.document, "page": criterion.citation.page},
            "define": criterion.define,
            "linkIds": criterion.link_ids,
            "unmetQuote": criterion.unmet_quote,
        },
        "status": finding.status.value,
        "evidence": [_write_evidence(item) for item in finding.evidence],
        "missing": finding.missing,
        "conflicts": [_write_evidence(item) for item in finding.conflicts],
    }


def _read_finding(finding: Mapping[str, Any]) -> Finding:
    criterion = finding["criterion"]
    return Finding(
        criterion=Criterion(
            id=CriterionId(criterion["id"]),
            text=criterion["text"],
            citation=Citation(criterion["citation"]["document"], criterion["citation"]["page"]),
            define=criterion["define"],
            link_ids=tuple(LinkId(link_id) for link_id in criterion["linkIds"]),
            unmet_quote=criterion["unmetQuote"],
        ),
        status=Status(finding["status"]),
        evidence=tuple(_read_evidence(item) for item in finding["evidence"]),
        missing=tuple(LinkId(link_id) for link_id in finding["missing"]),
        conflicts=tuple(_read_evidence(item) for item in finding["conflicts"]),
    )


def _write_evidence(item: Evidence) -> dict[str, str]:
    return {"source": item.source, "path": item.path, "shown": item.shown}


def _read_evidence(item: Mapping[str, str]) -> Evidence:
    return Evidence(item["source"], item["path"], item["shown"])
