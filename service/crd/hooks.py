"""CDS Hooks requests: the envelope and the contexts of order-sign and order-select, read once into values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from service.crd.configuration import Configuration, read_configuration
from service.crd.extension import CrdVersion
from service.errors import Fault, InvalidResource, NotSupported
from service.fhir.build import Json
from service.fhir.canonical import CRD_JSON_CONFIGURATION, CRD_JSON_REQUESTED_VERSION, CRD_WIRE_VERSIONS

_Text = Annotated[str, StringConstraints(min_length=1)]
_Model = TypeVar("_Model", bound=BaseModel)

_PROBLEMS: Final = {
    "missing": "is missing",
    "string_type": "must be a string",
    "string_too_short": "must not be empty",
    "dict_type": "must be a JSON object",
    "list_type": "must be a JSON list",
    "model_type": "must be a JSON object",
}


class _Lenient(BaseModel):
    """Unknown members are passed over (CRD 2.2.1 found-33, hook-23); types are never coerced."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class _Envelope(_Lenient):
    """fhirAuthorization is not read: what is not needed is not held."""

    hook: _Text
    # A UUID by the specification; clients reuse one and send malformed ones, and nothing here depends on it.
    hookInstance: _Text
    context: dict[str, Any]
    fhirServer: _Text | None = None
    prefetch: dict[str, Any] | None = None
    extension: dict[str, Any] | None = None


class _OrderSign(_Lenient):
    userId: _Text
    patientId: _Text
    encounterId: _Text | None = None
    draftOrders: dict[str, Any]


class _OrderSelect(_OrderSign):
    selections: list[_Text]


_CONTEXTS: Final[Mapping[str, type[_OrderSign]]] = {"order-sign": _OrderSign, "order-select": _OrderSelect}


@dataclass(frozen=True, slots=True)
class HookCall:
    """One call. `selections` is None on hooks without them; `fhir_server` has no trailing slash."""

    hook: str
    version: CrdVersion
    configuration: Configuration
    patient_id: str
    fhir_server: str | None
    draft_orders: Json
    selections: tuple[str, ...] | None
    prefetch: Mapping[str, Any]

    @property
    def primary(self) -> bool:
        """Hooks that must answer with coverage-information (CRD 2.2.1 hook-16)."""
        return self.hook == "order-sign"


def read_hook(body: object, *, hook: str, default_version: str) -> HookCall:
    """Parse a request to the service of `hook`.

    InvalidResource with every fault and its place (never a received value); NotSupported for a version we do
    not speak. Ids lose a leading "Patient/", which some clients send (crd.md T20).
    """
    envelope = _validated(_Envelope, body, ())
    if envelope.hook != hook:
        fault = Fault("hook", f"is not {hook}, the hook of this service", "value")
        raise InvalidResource(f"This service answers the hook {hook}.", faults=(fault,))
    context = _validated(_CONTEXTS[hook], envelope.context, ("context",))
    if context.draftOrders.get("resourceType") != "Bundle":
        fault = Fault("context.draftOrders", "must be a Bundle", "invalid")
        raise InvalidResource("The draft orders are no Bundle.", faults=(fault,))
    extension = envelope.extension or {}
    return HookCall(
        hook=hook,
        version=_version(extension.get(CRD_JSON_REQUESTED_VERSION), default_version),
        configuration=read_configuration(extension.get(CRD_JSON_CONFIGURATION)),
        patient_id=context.patientId.rpartition("/")[2],
        fhir_server=envelope.fhirServer.rstrip("/") if envelope.fhirServer else None,
        draft_orders=context.draftOrders,
        selections=tuple(context.selections) if isinstance(context, _OrderSelect) else None,
        prefetch=envelope.prefetch or {},
    )


def _validated(model: type[_Model], value: object, prefix: tuple[str, ...]) -> _Model:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        faults = tuple(
            Fault(
                _expression((*prefix, *fault["loc"])),
                _PROBLEMS.get(fault["type"], "does not have the shape that CDS Hooks defines"),
                "required" if fault["type"] == "missing" else "structure",
            )
            for fault in error.errors(include_input=False, include_url=False, include_context=False)
        )
    raise InvalidResource("The request is not a CDS Hooks request.", faults=faults)


def _expression(steps: tuple[int | str, ...]) -> str:
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    return text.removeprefix(".") or "$this"


def _version(requested: object, default: str) -> CrdVersion:
    """2.2.1 dev-3: `davinci-crd.requestedVersion`. The guides' own numbers ("2.2.1") are understood too."""
    known = CRD_WIRE_VERSIONS | {full: full for full in CRD_WIRE_VERSIONS.values()}
    if requested is None:
        return CrdVersion(default)
    if not isinstance(requested, str) or requested not in known:
        expression = f"extension.'{CRD_JSON_REQUESTED_VERSION}'"
        text = f"{expression} is not a version that is spoken here. Send one of {', '.join(CRD_WIRE_VERSIONS)}."
        raise NotSupported(text, expression=(expression,))
    return CrdVersion(requested[:3])
