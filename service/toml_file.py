"""Files that the payer's staff write in TOML (clients, EHRs, plans, deadlines), read and checked by one schema."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from service.errors import InvalidPolicy

Read = TypeVar("Read", bound=BaseModel)


def read_toml(path: Path, schema: type[Read], what: str) -> Read:
    """The file as its schema; InvalidPolicy names the file and every place and fault, but no value: some are secret.

    `what` is what the file is, for a person, as in "the file of deadlines".
    """
    try:
        return schema.model_validate(tomllib.loads(path.read_text("utf-8")))
    except (OSError, UnicodeDecodeError):
        raise InvalidPolicy(f"{path.name}: {what} cannot be read.") from None
    except tomllib.TOMLDecodeError as error:
        raise InvalidPolicy(f"{path.name}: not TOML: {error}") from None
    except ValidationError as error:
        faults = error.errors(include_input=False, include_url=False)
        told = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in faults)
        raise InvalidPolicy(f"{path.name}: {told}") from None
