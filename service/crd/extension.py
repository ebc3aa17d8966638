"""The coverage-information extension in the shapes of CRD 2.0.1 and 2.2.1."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Final

from service.crd.coverage_information import CoverageInformation, Detail, DocNeeded, InfoNeeded, Reason, ReasonCode
from service.fhir.build import Json, code_concept, coding, concept, extension, nested_extension, period
from service.fhir.canonical import CRD_COVERAGE_DETAIL, CRD_COVERAGE_INFORMATION, CRD_TEMP


class CrdVersion(StrEnum):
    """The two shapes, as they are named on the wire."""

    STU2 = "2.0"
    STU22 = "2.2"


# CodeSystem temp of 2.0.1; 2.2.1 adds policy-link and instructions, which 2.0.1 clients cannot read.
_DETAILS_201: Final = frozenset(
    {
        "allowed-quantity",
        "allowed-period",
        "in-network-copay",
        "out-network-copay",
        "auth-out-network-only",
        "concurrent-review",
        "appropriate-use-needed",
    }
)
_REASONS_201: Final = frozenset({ReasonCode.GOLD_CARD})
_INDETERMINATE: Final = "indeterminate"
_CONDITIONAL: Final = "conditional"


def to_extension(information: CoverageInformation, version: CrdVersion) -> Json:
    """The block in the shape of one version."""
    return to_extension_221(information) if version is CrdVersion.STU22 else to_extension_201(information)


def to_extension_201(information: CoverageInformation) -> Json:
    """The 2.0.1 shape: one doc-needed, no `indeterminate`, no expiry-date, ContactPoint contacts."""
    return nested_extension(CRD_COVERAGE_INFORMATION, *_parts_201(information))


def to_extension_221(information: CoverageInformation) -> Json:
    """The 2.2.1 shape: always an expiry-date, a category in every detail, ContactDetail contacts."""
    return nested_extension(CRD_COVERAGE_INFORMATION, *_parts_221(information))


def _parts_201(information: CoverageInformation) -> Iterator[Json]:
    yield _coverage(information)
    yield extension("covered", valueCode=_softened(information.covered))
    if information.pa_needed:
        yield extension("pa-needed", valueCode=_softened(information.pa_needed))
    if information.doc_needed:
        yield extension("doc-needed", valueCode=_single(information.doc_needed))
    yield from _purposes(information)
    for info in _info_201(information):
        yield extension("info-needed", valueCode=str(info))
    yield from _billing(information)
    for reason in _reasons_201(information):
        yield extension("reason", valueCodeableConcept=reason)
    for detail in information.details:
        if detail.code in _DETAILS_201:
            code = extension("code", valueCodeableConcept=code_concept(CRD_TEMP, detail.code))
            yield nested_extension("detail", code, _value(detail))
    yield from _identity(information)
    if information.contact:
        point = {"system": "phone", "value": information.contact.phone}
        yield extension("contact", valueContactPoint=point)


def _parts_221(information: CoverageInformation) -> Iterator[Json]:
    yield _coverage(information)
    yield extension("covered", valueCode=str(information.covered))
    if information.pa_needed:
        yield extension("pa-needed", valueCode=str(information.pa_needed))
    for needed in sorted(information.doc_needed):
        yield extension("doc-needed", valueCode=str(needed))
    yield from _purposes(information)
    for info in information.info_needed:
        yield extension("info-needed", valueCode=str(info))
    yield from _billing(information)
    for reason in information.reasons:
        yield extension("reason", valueCodeableConcept=_coded(reason))
    for detail in information.details:
        category = extension("category", valueCode=detail.category)
        code = extension("code", valueCodeableConcept=code_concept(CRD_COVERAGE_DETAIL, detail.code))
        yield nested_extension("detail", category, code, _value(detail))
    yield from _identity(information)
    if information.contact:
        phone = {"system": "phone", "value": information.contact.phone}
        yield extension("contact", valueContactDetail={"name": information.contact.name, "telecom": [phone]})
    yield extension("expiry-date", valueDate=information.assertion.expires.isoformat())


def _coverage(information: CoverageInformation) -> Json:
    return extension("coverage", valueReference={"reference": information.assertion.coverage})


def _purposes(information: CoverageInformation) -> Iterator[Json]:
    for purpose in information.doc_purpose:
        yield extension("doc-purpose", valueCode=str(purpose))


def _billing(information: CoverageInformation) -> Iterator[Json]:
    for code in information.billing:
        yield extension("billingCode", valueCoding=coding(code.system, code.code))


def _identity(information: CoverageInformation) -> Iterator[Json]:
    for canonical in information.questionnaires:
        yield extension("questionnaire", valueCanonical=canonical)
    yield extension("date", valueDate=information.assertion.made.isoformat())
    yield extension("coverage-assertion-id", valueString=information.assertion.id)
    if information.satisfied_pa_id:
        yield extension("satisfied-pa-id", valueString=information.satisfied_pa_id)


def _softened(level: str) -> str:
    """2.0.1 has no `indeterminate`: what we cannot tell depends on something."""
    return _CONDITIONAL if level == _INDETERMINATE else str(level)


def _single(needed: frozenset[DocNeeded]) -> str:
    return "both" if len(needed) > 1 else _softened(next(iter(needed)))


def _info_201(information: CoverageInformation) -> tuple[InfoNeeded, ...]:
    """`detail-code` became an info-needed in 2.2; `indeterminate` is conditional on something else."""
    named = [InfoNeeded.OTHER if i is InfoNeeded.DETAIL_CODE else i for i in information.info_needed]
    if _INDETERMINATE in information.levels:
        named.append(InfoNeeded.OTHER)
    return tuple(dict.fromkeys(named))


def _reasons_201(information: CoverageInformation) -> Iterator[Json]:
    """The codes of 2.2.1 are unknown to 2.0.1, so they are told in words; `detail-code` was a reason there."""
    for index, reason in enumerate(information.reasons):
        if index == 0 and InfoNeeded.DETAIL_CODE in information.info_needed:
            yield concept(coding(CRD_TEMP, "detail-code"), text=reason.text)
        elif reason.code in _REASONS_201:
            yield _coded(reason)
        else:
            yield concept(text=reason.text)


def _coded(reason: Reason) -> Json:
    return concept(*([coding(CRD_TEMP, str(reason.code))] if reason.code else []), text=reason.text)


def _value(detail: Detail) -> Json:
    if detail.period:
        span = period(detail.period.start.isoformat(), detail.period.end.isoformat())
        return extension("value", valuePeriod=span)
    if detail.url:
        return extension("value", valueUrl=detail.url)
    return extension("value", valueString=detail.text)
