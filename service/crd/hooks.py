"""CDS Hooks requests: the envelope and the six hooks' contexts, read once into values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from service.crd.configuration import Configuration, read_configuration
from service.crd.extension import CrdVersion
from service.crd.reading import object_at, objects_at, text_at
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
    """The request. Of fhirAuthorization only the token is held, and only for the time of the call."""

    hook: _Text
    # A UUID by the specification; clients reuse one and send malformed ones, and nothing here depends on it.
    hookInstance: _Text
    context: dict[str, Any]
    fhirServer: _Text | None = None
    fhirAuthorization: dict[str, Any] | None = None
    prefetch: dict[str, Any] | None = None
    extension: dict[str, Any] | None = None


class _Context(_Lenient):
    """What every hook has. The user may be a Practitioner or a PractitionerRole, and need not exist."""

    patientId: _Text
    encounterId: _Text | None = None

    def parts(self) -> dict[str, Any]:
        """The members of HookCall that this context sets; InvalidResource for what a Bundle should be and is not."""
        return {}


class _OrderSign(_Context):
    userId: _Text
    draftOrders: dict[str, Any]

    def parts(self) -> dict[str, Any]:
        return {"draft_orders": _bundle(self.draftOrders, "context.draftOrders")}


class _OrderSelect(_OrderSign):
    selections: list[_Text]

    def parts(self) -> dict[str, Any]:
        return {**super().parts(), "selections": tuple(self.selections)}


class _OrderDispatch(_Context):
    """Three forms are in use: `dispatchedOrders` (hook 1.1, CRD 2.2.1), `order` with `task` (2023 ballot, CRD 2.0.1),
    and `fulfillmentTask`, a Task or its reference, which tells the order where nothing else does."""

    dispatchedOrders: list[_Text] | None = None
    order: _Text | None = None
    fulfillmentTasks: list[Any] | None = None
    fulfillmentTask: Any = None
    task: Any = None

    def parts(self) -> dict[str, Any]:
        tasks = [*(self.fulfillmentTasks or []), self.fulfillmentTask, self.task]
        named = [*(self.dispatchedOrders or []), *([self.order] if self.order else [])]
        named = named or [found for task in tasks for found in _order_of_task(task)]
        if not named:
            fault = Fault("context.dispatchedOrders", "is missing", "required")
            raise InvalidResource("The request names no order that is dispatched.", faults=(fault,))
        return {"dispatched": tuple(dict.fromkeys(named))}


class _AppointmentBook(_Context):
    userId: _Text
    appointments: dict[str, Any]

    def parts(self) -> dict[str, Any]:
        return {"appointments": _bundle(self.appointments, "context.appointments")}


class _Encounter(_Context):
    userId: _Text


_CONTEXTS: Final[Mapping[str, type[_Context]]] = {
    "order-sign": _OrderSign,
    "order-select": _OrderSelect,
    "order-dispatch": _OrderDispatch,
    "appointment-book": _AppointmentBook,
    "encounter-start": _Encounter,
    "encounter-discharge": _Encounter,
}
_PRIMARY: Final = frozenset({"order-sign", "order-dispatch", "appointment-book"})
_ENCOUNTER: Final = frozenset({"encounter-start", "encounter-discharge"})


@dataclass(frozen=True, slots=True)
class HookCall:
    """One call. `selections` is None on hooks without them; `fhir_server` has no trailing slash.

    What the hook is about stands in one of `draft_orders` and `appointments` (Bundles, {} on other hooks) and
    `dispatched` (references of orders that are read elsewhere). `access_token` is for this call only: it is never
    shown, logged or kept.
    """

    hook: str
    instance: str
    version: CrdVersion
    configuration: Configuration
    patient_id: str
    fhir_server: str | None
    prefetch: Mapping[str, Any]
    encounter_id: str | None = None
    draft_orders: Json = field(default_factory=dict)
    selections: tuple[str, ...] | None = None
    dispatched: tuple[str, ...] = ()
    appointments: Json = field(default_factory=dict)
    access_token: str | None = field(default=None, repr=False)

    @property
    def primary(self) -> bool:
        """Hooks that must answer with coverage-information (CRD 2.2.1 hook-16)."""
        return self.hook in _PRIMARY

    @property
    def about_encounter(self) -> bool:
        """Hooks that name no order: the patient's active orders may matter, or nothing does."""
        return self.hook in _ENCOUNTER

    @property
    def documents(self) -> bool:
        """Whether documentation may be asked for (never on order-select: CRD 2.2.1 hook-19, the same in 2.0.1)."""
        return self.hook != "order-select"


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
    extension = envelope.extension or {}
    return HookCall(
        hook=hook,
        instance=envelope.hookInstance,
        version=_version(extension.get(CRD_JSON_REQUESTED_VERSION), default_version),
        configuration=read_configuration(extension.get(CRD_JSON_CONFIGURATION)),
        patient_id=context.patientId.rpartition("/")[2],
        fhir_server=envelope.fhirServer.rstrip("/") if envelope.fhirServer else None,
        prefetch=envelope.prefetch or {},
        encounter_id=context.encounterId.rpartition("/")[2] if context.encounterId else None,
        access_token=text_at(envelope.fhirAuthorization or {}, "access_token"),
        **context.parts(),
    )


def _bundle(received: Json, place: str) -> Json:
    if received.get("resourceType") != "Bundle":
        raise InvalidResource(f"{place} is no Bundle.", faults=(Fault(place, "must be a Bundle", "invalid"),))
    return received


def _order_of_task(task: object) -> list[str]:
    """What a Task is for: its focus, else what it is based on."""
    if not isinstance(task, dict):
        return []
    focus = text_at(object_at(task, "focus"), "reference")
    based = [text_at(reference, "reference") for reference in objects_at(task, "basedOn")]
    return [focus] if focus else [found for found in based if found]


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
