"""Who orders: the NPIs by which a waiver may know the ordering provider."""

from __future__ import annotations

from service.crd.orders import Order
from service.crd.prefetch import Records
from service.crd.reading import identifiers, object_at
from service.fhir.build import Json
from service.fhir.canonical import NPI
from service.policy.case import Npi


def ordering_npis(order: Order, records: Records) -> frozenset[Npi]:
    """NPIs of the order's requester, through a PractitionerRole those of its practitioner; empty when nobody says.

    The role's organization is left out: a waiver is granted to the one who orders, not to all who work there.
    """
    return _behind(object_at(order.resource, "requester"), order.resource, records)


def _behind(reference: Json, within: Json, records: Records) -> frozenset[Npi]:
    found = records.resolve(reference, within=within) if reference else None
    if found is None:
        # An identifier beside a reference counts only where there is nothing to read.
        return _npis({"identifier": [object_at(reference, "identifier")]})
    if found.get("resourceType") == "PractitionerRole":
        return _npis(found) | _behind(object_at(found, "practitioner"), found, records)
    return _npis(found)


def _npis(resource: Json) -> frozenset[Npi]:
    return frozenset(Npi(value) for _, system, value in identifiers(resource) if system == NPI)
