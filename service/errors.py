"""The family of errors that a caller may be told about; HTTP statuses live in service/fhir/outcome.py only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with what was received: where (FHIRPath), what, and the FHIR issue code.

    `problem` is our own text: it never contains a received value, because values may be patient data.
    """

    expression: str
    problem: str
    code: str = "structure"


class ServiceError(Exception):
    """An answer to the caller's mistake or to a failure around us.

    `text` says what was wrong, where, and what to send instead. It is ours: never str() of another exception.
    """

    def __init__(self, text: str, *, expression: tuple[str, ...] = (), faults: tuple[Fault, ...] = ()) -> None:
        super().__init__(text)
        self.text = text
        self.expression = expression
        self.faults = faults


class InvalidResource(ServiceError):
    """What was sent is not the FHIR (or JSON) that the interface takes."""


class MissingElement(ServiceError):
    """A mandatory element is absent."""


class UnresolvedReference(ServiceError):
    """A reference points to nothing that was sent, or to two things."""


class BusinessRule(ServiceError):
    """Well-formed, but against a rule of the guide that this interface must enforce (HTTP 422)."""


class PrefetchMissing(ServiceError):
    """Data that the hook needs was neither sent nor reachable (CDS Hooks: 412)."""


class NotAuthenticated(ServiceError):
    """Nobody we know is calling. The text never says which check failed."""


class Forbidden(ServiceError):
    """The caller is known and may not do this."""


class NotFound(ServiceError):
    """What was asked for is not here."""


class NotSupported(ServiceError):
    """A version, operation or parameter that we do not speak."""


class Conflict(ServiceError):
    """Somebody else changed it first."""


class TooLarge(ServiceError):
    """More bytes, or deeper nesting, than we read."""


class TooSlow(ServiceError):
    """The caller did not get to the end of its request."""


class EhrUnavailable(ServiceError):
    """The caller's FHIR server did not answer in time, or refused."""


class EhrRefused(EhrUnavailable):
    """The caller's FHIR server answered, and will not do what was asked in this form."""


class EngineFailed(ServiceError):
    """The CQL engine could not evaluate a policy's logic."""


class DeadlinePassed(ServiceError):
    """Time ran out."""


class StoreFailed(ServiceError):
    """The database could not do it, for now. The text names the kind of error only: its own text may hold data."""


class InvalidPolicy(ServiceError):
    """The policy's own data is broken; the service does not start with it."""
