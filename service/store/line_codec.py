"""Lines of a case to JSON values and back, with their findings and decisions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from service.policy.case import Authorization, CaseLine, MemberId
from service.policy.dates import DatePeriod
from service.policy.decision import RULES, Administrative, Clinician, Decision, Obstacle, Outcome, Reviewer, Rules
from service.policy.determination import Granted, LineDetermination
from service.policy.finding import Evidence, Finding, Status
from service.policy.model import Citation, Criterion, CriterionId, LinkId, PathwayName, PolicyRef


def write_line(line: CaseLine) -> dict[str, Any]:
    """JSON values of a line."""
    found = line.determination
    return {
        "authorizationNumber": line.authorization_number,
        "referenceNumber": line.reference_number,
        "previous": line.previous and _write_authorization(line.previous),
        "issuedAt": line.issued_at and line.issued_at.isoformat(),
        "carried": line.carried,
        "assertion": line.assertion_id,
        "trace": line.trace,
        "sequence": found.sequence,
        "code": found.code,
        "decision": _write_decision(found.decision),
        "period": _write_period(found.period),
        "policy": found.policy
        and {"id": found.policy.id, "version": found.policy.version, "digest": found.policy.digest},
        "pathway": found.pathway,
        "findings": [_write_finding(finding) for finding in found.findings],
        "obstacles": [{"code": obstacle.code, "text": obstacle.text} for obstacle in found.obstacles],
        "notes": found.notes,
        "granted": found.granted
        and {
            "quantity": found.granted.quantity,
            "unit": found.granted.unit,
            "serviced": _write_period(found.granted.serviced),
        },
    }


def read_line(line: Mapping[str, Any]) -> CaseLine:
    """A line as `write_line` wrote it, also before it knew what was granted instead and before (format 1)."""
    policy, pathway = line["policy"], line["pathway"]
    previous, granted, issued = line.get("previous"), line.get("granted"), line.get("issuedAt")
    found = LineDetermination(
        sequence=line["sequence"],
        code=line["code"],
        decision=_read_decision(line["decision"]),
        period=_read_period(line["period"]),
        policy=None if policy is None else PolicyRef(policy["id"], policy["version"], policy["digest"]),
        pathway=None if pathway is None else PathwayName(pathway),
        findings=tuple(_read_finding(finding) for finding in line["findings"]),
        obstacles=tuple(Obstacle(obstacle["code"], obstacle["text"]) for obstacle in line["obstacles"]),
        notes=tuple(line["notes"]),
        granted=None if granted is None else _read_granted(granted),
    )
    return CaseLine(
        found,
        line["authorizationNumber"],
        line["referenceNumber"],
        None if previous is None else _read_authorization(previous),
        None if issued is None else datetime.fromisoformat(issued),
        line.get("carried"),
        line.get("assertion"),
        line.get("trace"),
    )


def _write_period(period: DatePeriod | None) -> list[str] | None:
    return None if period is None else [period.start.isoformat(), period.end.isoformat()]


def _read_period(period: list[str] | None) -> DatePeriod | None:
    return None if period is None else DatePeriod(date.fromisoformat(period[0]), date.fromisoformat(period[1]))


def _read_granted(granted: Mapping[str, Any]) -> Granted:
    quantity = granted["quantity"]
    # A whole number comes back from JSON as int.
    return Granted(
        None if quantity is None else Decimal(quantity), granted["unit"], _read_period(granted["serviced"])
    )


def _write_authorization(authorization: Authorization) -> dict[str, Any]:
    return {
        "number": authorization.number,
        "policy": authorization.policy_id,
        "member": authorization.member,
        "period": _write_period(authorization.period),
    }


def _read_authorization(stored: Mapping[str, Any]) -> Authorization:
    start, end = stored["period"]
    period = DatePeriod(date.fromisoformat(start), date.fromisoformat(end))
    return Authorization(stored["number"], stored["policy"], MemberId(stored["member"]), period)


def _write_decision(decision: Decision) -> dict[str, Any]:
    return {"outcome": decision.outcome.value, **_write_actor(decision.by), "reasons": decision.reasons}


def _write_actor(by: Rules | Administrative | Reviewer | Clinician) -> dict[str, Any]:
    """At most one of three names; the rules have none."""
    if isinstance(by, Clinician):
        return {"clinician": {"name": by.name, "npi": by.npi, "specialty": by.specialty}}
    if isinstance(by, Reviewer):
        return {"clinician": None, "reviewer": by.name}
    return {"clinician": None} | ({"administrative": by.code} if isinstance(by, Administrative) else {})


def _read_decision(decision: Mapping[str, Any]) -> Decision:
    return Decision(Outcome(decision["outcome"]), _read_actor(decision), tuple(decision["reasons"]))


def _read_actor(decision: Mapping[str, Any]) -> Rules | Administrative | Reviewer | Clinician:
    clinician = decision["clinician"]
    if clinician is not None:
        return Clinician(clinician["name"], clinician["npi"], clinician["specialty"])
    if "reviewer" in decision:
        return Reviewer(decision["reviewer"])
    return Administrative(decision["administrative"]) if "administrative" in decision else RULES


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
