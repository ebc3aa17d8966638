"""How orders and claim lines name a drug: HCPCS, NDC and RxNorm codes in all their spellings, and words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from service.fhir.canonical import CPT, HCPCS, HCPCS_SYSTEMS, NDC, RXNORM
from service.policy.match import Named
from service.policy.model import DrugCode

# The OID forms of NDC and CPT are registered beside the URLs (HL7 Terminology, NamingSystems).
# CPT is level I of HCPCS: a code of it names a procedure, never a drug, whatever words stand beside it.
_SYSTEMS: Final = dict.fromkeys(HCPCS_SYSTEMS, HCPCS) | {
    CPT: CPT,
    "urn:oid:2.16.840.1.113883.6.12": CPT,
    NDC: NDC,
    "urn:oid:2.16.840.1.113883.6.69": NDC,
    RXNORM: RXNORM,
}
_BILLING: Final = frozenset({HCPCS, CPT, NDC})
_NDC_SEGMENTS: Final = re.compile(r"(\d{4,5})-(\d{3,4})-(\d{1,2})")


def named(concepts: Iterable[Mapping[str, Any]], names: Iterable[str] = ()) -> Named:
    """How CodeableConcepts (or Codings), and further texts, name what is ordered.

    Codes of systems that we do not know are left out; their displays count as names.
    """
    codes: set[DrugCode] = set()
    words = [name for name in names if name]
    for concept in concepts:
        for coding in _codings(concept):
            code = drug_code(coding.get("system"), coding.get("code"))
            if code is not None:
                codes.add(code)
            words += [text for text in (coding.get("display"),) if isinstance(text, str)]
        words += [text for text in (concept.get("text"),) if isinstance(text, str)]
    billing = frozenset(code for code in codes if code.system in _BILLING)
    return Named(codes=billing or frozenset(codes), names=tuple(words), by_code=bool(billing))


def code_of(concept: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """The code that decides what it is, as written, and its canonical system: a billing code, else the first."""
    known = [
        (coding["code"], _SYSTEMS.get(str(coding.get("system"))))
        for coding in _codings(concept)
        if isinstance(coding.get("code"), str)
    ]
    return next(((code, system) for code, system in known if system in _BILLING), known[0] if known else (None, None))


def drug_code(system: object, code: object) -> DrugCode | None:
    """A code in its canonical system and form; None when the system is not one of ours."""
    canonical = _SYSTEMS.get(system) if isinstance(system, str) else None
    if canonical is None or not isinstance(code, str) or not code.strip():
        return None
    text = code.strip().upper()
    return DrugCode(canonical, _ndc(text) if canonical == NDC else text)


def ndc_forms(code: str) -> tuple[DrugCode, ...]:
    """Every form in which an NDC (given with hyphens) may arrive once normalised: 11 digits, or 10 bare ones.

    Ten digits without hyphens do not tell where a zero belongs, so that form is kept beside the other.
    """
    return tuple(DrugCode(NDC, form) for form in sorted({_ndc(code), code.replace("-", "")}))


def _ndc(text: str) -> str:
    """Eleven digits (5-4-2) for a code with hyphens; digits as they are without."""
    segments = _NDC_SEGMENTS.fullmatch(text)
    if segments is None:
        return text.replace("-", "").replace(" ", "")
    labeler, product, package = segments.groups()
    return f"{labeler:0>5}{product:0>4}{package:0>2}"


def _codings(concept: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if "code" in concept or "system" in concept:
        yield concept
    for coding in concept.get("coding") or ():
        if isinstance(coding, Mapping):
            yield coding
