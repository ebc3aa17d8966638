"""What differs between DTR 2.0.1 and 2.2.0 on the wire, as one frozen value each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from service.fhir.canonical import (
    CRD_COVERAGE_CODES,
    CRD_TEMP,
    DTR_ADAPTIVE_QUESTIONNAIRE_RESPONSE,
    DTR_CONTEXT,
    DTR_COVERAGE,
    DTR_QUESTIONNAIRE_RESPONSE,
)

Version = Literal["2.0.1", "2.2.0"]
Filler = Literal["server", "client"]


@dataclass(frozen=True, slots=True)
class Shape:
    """One version's names.

    `package_parameter` and `outcome_parameter` are the fixed names of the output profile (2.0.1's
    OperationDefinition has others). `bare_bundle`: one package without remarks is answered as the Bundle itself.
    `origins` are the codes of information-origin for answers that nobody typed. `elm_expressions`: each CQL
    expression carries its ELM (2.2.0 spec-96; 2.0.1 defines no extension for it). `anonymous_adaptive`: a contained
    adaptive Questionnaire has neither url nor version, and the package's may hold items (SDC's adaptive profile;
    2.2.0 has its own). `enable_when_in_adaptive`: its items may carry enableWhen. Value sets of `large_value_set`
    codes or more are left out of packages (2.2.0 oper-15, spec-163).
    """

    version: Version
    base_path: str
    package_parameter: str
    outcome_parameter: str
    bare_bundle: bool
    coverage_extension: str
    intended_use_system: str
    origins: Mapping[Filler, str]
    elm_expressions: bool
    context_minimum: int
    anonymous_adaptive: bool
    enable_when_in_adaptive: bool
    large_value_set: int | None
    adaptive_response_profile: str


SHAPES: Final[Mapping[Version, Shape]] = {
    "2.0.1": Shape(
        version="2.0.1",
        base_path="/2.0.1/fhir",
        package_parameter="PackageBundle",
        outcome_parameter="operationOutcome",
        bare_bundle=True,
        coverage_extension=DTR_CONTEXT,
        intended_use_system=CRD_TEMP,
        origins={"server": "auto", "client": "auto"},
        elm_expressions=False,
        context_minimum=2,
        anonymous_adaptive=True,
        enable_when_in_adaptive=False,
        large_value_set=None,
        adaptive_response_profile=DTR_QUESTIONNAIRE_RESPONSE,
    ),
    "2.2.0": Shape(
        version="2.2.0",
        base_path="/fhir",
        package_parameter="packagebundle",
        outcome_parameter="outcome",
        bare_bundle=False,
        coverage_extension=DTR_COVERAGE,
        intended_use_system=CRD_COVERAGE_CODES,
        origins={"server": "auto-server", "client": "auto-client"},
        elm_expressions=True,
        context_minimum=0,
        anonymous_adaptive=False,
        enable_when_in_adaptive=True,
        large_value_set=40,
        adaptive_response_profile=DTR_ADAPTIVE_QUESTIONNAIRE_RESPONSE,
    ),
}
