"""What the PAS use cases are given by the application."""

from __future__ import annotations

from dataclasses import dataclass, field

from service.determine.determiner import Determiner
from service.fhir.parse import StructureCheck
from service.pas.codes import X12Codes
from service.pas.deadlines import Deadlines
from service.ports import Clock, Ids, MemberDirectory, PolicyRegistry, Store
from service.settings import Settings
from service.wire import FhirAccess


@dataclass(frozen=True, slots=True)
class PasDependencies:
    """`codes` is the table of codes.load_codes(); `engine_version` names the CQL engine in the audit record.

    `deadlines` are beside those of the settings.
    Without `members` nobody can tell who is a member: the rules' House says what that means.
    """

    settings: Settings
    registry: PolicyRegistry
    determiner: Determiner
    store: Store
    clock: Clock
    ids: Ids
    access: FhirAccess
    check: StructureCheck
    codes: X12Codes
    engine_version: str = ""
    members: MemberDirectory | None = None
    deadlines: Deadlines = field(default_factory=Deadlines)
