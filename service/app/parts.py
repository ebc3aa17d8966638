"""The long-lived parts that routes share, built once from the settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from service.catalog.registry import HOME, Registry, load_registry
from service.determine.determiner import Determiner
from service.determine.obstacles import House
from service.engine.evaluator import Limits, V8Engine
from service.errors import InvalidPolicy
from service.fhir.parse import StructureCheck
from service.fhir.tables import load_tables
from service.settings import Settings

ASSETS: Final = HOME / "service" / "_assets"


@dataclass(frozen=True, slots=True, repr=False)
class Rules:
    """What deciding needs, with or without a server: policies, CQL engine, structure check, determiner."""

    settings: Settings
    check: StructureCheck
    registry: Registry
    engine: V8Engine
    determiner: Determiner


def structure_check() -> StructureCheck:
    """The check of received FHIR. InvalidPolicy tells to run the set-up when its tables are not built."""
    tables = ASSETS / "r4.json"
    if not tables.exists():
        raise InvalidPolicy("The set-up has not run: `make install` builds what the service needs.")
    return StructureCheck(load_tables(tables))


def policy_roots(settings: Settings) -> Sequence[Path]:
    """Our own policy folder, then those of PA_POLICIES."""
    return (HOME, *(path.resolve() for path in settings.policies))


def database_url(settings: Settings, data: Path) -> str:
    """The database that is set, else a SQLite file in `data`, a folder of ours alone that is made where missing."""
    if settings.database_url:
        return settings.database_url
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    return f"sqlite:///{data / 'service.db'}"


def build_rules(settings: Settings, *, trusts_coverage: bool, roots: Sequence[Path] | None = None) -> Rules:
    """Loads and checks every policy. Raises InvalidPolicy with every fault."""
    check = structure_check()
    registry = load_registry(roots or policy_roots(settings), check)
    engine = V8Engine(ASSETS / "cqlhost.js", Limits(seconds=settings.cql_seconds))
    house = House((settings.payer_id_system, settings.payer_id), trusts_coverage)
    determiner = Determiner(registry, engine, house, settings.response_max_age_days)
    return Rules(settings, check, registry, engine, determiner)
