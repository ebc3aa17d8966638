"""The invariants of both guide versions: nothing that breaks one can be made, and everything made keeps them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import date
from itertools import combinations, product
from typing import Any

import pytest
from fhir.resources.R4B import get_fhir_model_class

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
from service.crd.extension import CrdVersion, to_extension, to_extension_201, to_extension_221
from service.policy.dates import DatePeriod
from service.policy.model import DrugCode
from tests.unit.crd.world import facts

ASSERTION = Assertion("Coverage/c1", "a1", date(2026, 12, 1), date(2027, 3, 1))
WHY = (Reason("because"),)


def made(covered: Covered, pa: PaNeeded | None, **rest: Any) -> CoverageInformation:
    return CoverageInformation(ASSERTION, covered, pa, **rest)


@pytest.mark.parametrize(
    ("rule", "covered", "pa", "rest"),
    [
        ("q1", Covered.COVERED, PaNeeded.AUTH_NEEDED, {"questionnaires": ("https://x/q",)}),
        ("q2", Covered.NOT_COVERED, PaNeeded.AUTH_NEEDED, {}),
        ("q2", Covered.COVERED, None, {}),
        ("q3", Covered.CONDITIONAL, PaNeeded.AUTH_NEEDED, {}),
        ("q3", Covered.COVERED, PaNeeded.CONDITIONAL, {}),
        ("q3", Covered.COVERED, PaNeeded.AUTH_NEEDED, {"doc_needed": frozenset({DocNeeded.CONDITIONAL})}),
        ("q3", Covered.COVERED, PaNeeded.AUTH_NEEDED, {"info_needed": (InfoNeeded.LOCATION,)}),
        ("q5", Covered.COVERED, PaNeeded.SATISFIED, {}),
        ("q5", Covered.COVERED, PaNeeded.AUTH_NEEDED, {"satisfied_pa_id": "A"}),
        ("q6", Covered.CONDITIONAL, PaNeeded.CONDITIONAL, {"info_needed": (InfoNeeded.OTHER,)}),
        ("q7", Covered.COVERED, PaNeeded.NO_AUTH, {"reasons": (Reason(""),)}),
        ("q9", Covered.INDETERMINATE, PaNeeded.AUTH_NEEDED, {}),
        ("q9", Covered.COVERED, PaNeeded.INDETERMINATE, {}),
    ],
)
def test_what_a_guide_forbids_cannot_be_made(rule: str, covered: Covered, pa: PaNeeded | None, rest: Any) -> None:
    with pytest.raises(ValueError, match=rule):
        made(covered, pa, **rest)


@pytest.mark.parametrize("pa", [PaNeeded.SATISFIED, PaNeeded.NO_AUTH])
def test_a_settled_authorization_wants_no_papers_for_it(pa: PaNeeded) -> None:
    rest: dict[str, Any] = {"satisfied_pa_id": "A" if pa is PaNeeded.SATISFIED else None, "reasons": WHY}
    needed = frozenset({DocNeeded.CLINICAL})
    with pytest.raises(ValueError, match="q4"):
        made(Covered.COVERED, pa, doc_needed=needed, doc_purpose=(DocPurpose.WITH_PA,), **rest)
    assert made(Covered.COVERED, pa, doc_needed=needed, doc_purpose=(DocPurpose.WITH_CLAIM,), **rest)


def test_papers_need_a_reason_and_a_kind() -> None:
    purpose = (DocPurpose.WITH_PA,)
    with pytest.raises(ValueError, match="q8"):
        made(Covered.COVERED, PaNeeded.AUTH_NEEDED, doc_needed=frozenset({DocNeeded.ADMIN}), doc_purpose=purpose)
    with pytest.raises(ValueError, match="purpose"):
        made(Covered.COVERED, PaNeeded.AUTH_NEEDED, doc_purpose=purpose, reasons=WHY)
    mixed = frozenset({DocNeeded.ADMIN, DocNeeded.INDETERMINATE})
    with pytest.raises(ValueError, match="together"):
        made(Covered.COVERED, PaNeeded.AUTH_NEEDED, doc_needed=mixed, reasons=WHY)


def test_an_assertion_names_coverage_and_id_and_ends_after_it_begins() -> None:
    for broken in (
        ("", "a", date(2026, 1, 1), date(2026, 1, 1)),
        ("c", "", date(2026, 1, 1), date(2026, 1, 1)),
        ("c", "a", date(2026, 1, 2), date(2026, 1, 1)),
    ):
        with pytest.raises(ValueError, match="assertion"):
            Assertion(*broken)
    with pytest.raises(ValueError, match="one value"):
        Detail("allowed-period", "cat-other")
    with pytest.raises(ValueError, match="one value"):
        Detail("policy-link", "cat-other", text="x", url="https://x")


DETAILS = (
    Detail("policy-link", "cat-other", url="https://payer.example.org/p"),
    Detail("allowed-period", "cat-limitation", period=DatePeriod(date(2026, 12, 1), date(2027, 1, 1))),
    Detail("instructions", "cat-other", text="Call."),
)


def every_combination() -> Iterator[CoverageInformation]:
    """Every value that can be made of a wide choice for each element; what cannot be made is passed over."""
    purposes = [(), (DocPurpose.WITH_PA,), (DocPurpose.WITH_CLAIM,), (DocPurpose.OTHER, DocPurpose.WITH_PA)]
    infos = [*[(info,) for info in InfoNeeded], (), (InfoNeeded.DETAIL_CODE, InfoNeeded.OTHER)]
    reasons = [(), (*WHY, Reason("and", ReasonCode.TECHNICAL))]
    documents = [frozenset(chosen) for size in range(3) for chosen in combinations(DocNeeded, size)]
    choices = product(Covered, [None, *PaNeeded], documents, purposes, infos, reasons, [(), ("https://x/q|1",)])
    for covered, pa, needed, purpose, info, why, forms in choices:
        for satisfied in (None, "A-1"):
            with suppress(ValueError):
                yield made(
                    covered,
                    pa,
                    doc_needed=needed,
                    doc_purpose=purpose,
                    info_needed=info,
                    billing=(DrugCode("https://x", "J0000"),),
                    reasons=why,
                    details=DETAILS,
                    questionnaires=forms,
                    satisfied_pa_id=satisfied,
                    contact=Contact("Plan", "555"),
                )


def _levels(told: dict[str, list[Any]]) -> list[str]:
    return [value for url in ("covered", "pa-needed", "doc-needed") for value in told.get(url, [])]


def holds_201(told: dict[str, list[Any]]) -> bool:
    """crd-ci-q1 to q5 of 2.0.1, with the codes that they mean, and its cardinalities."""
    purposes = told.get("doc-purpose", [])
    return all(
        (
            "questionnaire" not in told or "doc-needed" in told,
            (told["covered"] == ["not-covered"]) == ("pa-needed" not in told),
            "info-needed" not in told or "conditional" in _levels(told),
            told.get("pa-needed") != ["satisfied"] or "withpa" not in purposes,
            (told.get("pa-needed") == ["satisfied"]) == ("satisfied-pa-id" in told),
            len(told.get("doc-needed", [])) <= 1,
            "indeterminate" not in _levels(told),
            not {"detail-code", "patient"} & {*told.get("info-needed", []), *told.get("doc-needed", [])},
            "expiry-date" not in told,
            all({part["url"] for part in detail} == {"code", "value"} for detail in told.get("detail", [])),
        )
    )


def holds_221(told: dict[str, list[Any]]) -> bool:
    """crd-ci-q1 to q9 of 2.2.1, q3 in both directions, and its cardinalities."""
    purposes, levels = told.get("doc-purpose", []), _levels(told)
    return all(
        (
            "questionnaire" not in told or "doc-needed" in told,
            told["covered"] != ["not-covered"] or "pa-needed" not in told,
            ("conditional" in levels) == ("info-needed" in told),
            told.get("pa-needed") not in (["satisfied"], ["no-auth"]) or "withpa" not in purposes,
            (told.get("pa-needed") == ["satisfied"]) == ("satisfied-pa-id" in told),
            "OTH" not in told.get("info-needed", []) or "reason" in told,
            all(reason.get("text") for reason in told.get("reason", [])),
            not purposes or "reason" in told,
            "indeterminate" not in levels or "reason" in told,
            "both" not in levels,
            "response" not in told,
            len(told["expiry-date"]) == 1,
            all(
                {part["url"] for part in detail} == {"category", "code", "value"} for detail in told.get("detail", [])
            ),
        )
    )


def test_whatever_can_be_made_keeps_the_rules_of_both_versions() -> None:
    model = get_fhir_model_class("Extension")
    everything = list(every_combination())
    assert len(everything) > 1000
    for number, told in enumerate(everything):
        for version, holds in ((CrdVersion.STU2, holds_201), (CrdVersion.STU22, holds_221)):
            block = to_extension(told, version)
            rendered = facts(block)
            assert holds(rendered), rendered
            assert all(len(rendered[url]) == 1 for url in ("coverage", "covered", "date", "coverage-assertion-id"))
            if number % 50 == 0:
                model.model_validate(block)


def test_each_version_has_its_own_contact_and_documents() -> None:
    both = frozenset({DocNeeded.CLINICAL, DocNeeded.ADMIN})
    told = made(Covered.COVERED, PaNeeded.AUTH_NEEDED, doc_needed=both, contact=Contact("Plan", "555"))
    old, new = facts(to_extension_201(told)), facts(to_extension_221(told))
    assert (old["doc-needed"], new["doc-needed"]) == (["both"], ["admin", "clinical"])
    assert old["contact"] == [{"system": "phone", "value": "555"}]
    assert new["contact"] == [{"name": "Plan", "telecom": [{"system": "phone", "value": "555"}]}]
