"""Logging as JSON lines. Only the fields named here are written, so that no patient data can slip in."""

from __future__ import annotations

import json
import logging
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Final

FIELDS: Final = (
    "request_id", "method", "route", "status", "milliseconds", "client", "case", "decision", "policy", "reason",
    "service", "version", "error", "port",
)  # fmt: skip
"""Ids, codes and durations. `route` is a path's template, never the path; `error` a class name, never its text."""

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, our fixed message, and the allowed fields of `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.msg if record.name.startswith("service") else _first_line(record.getMessage()),
        }
        current = request_id.get()
        if current is not None:
            line["request_id"] = current
        line.update({field: getattr(record, field) for field in FIELDS if hasattr(record, field)})
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__
        return json.dumps(line, default=str)


def _first_line(message: str) -> str:
    """Of a library's message: what follows may be an exception's own text, with what was received in it."""
    return message.partition("\n")[0]


def set_up(level: int = logging.INFO) -> None:
    """Sends everything to standard error as JSON lines. uvicorn's access log is off: it would write raw paths.

    Libraries that write addresses, statements or rows are kept quiet at every level.
    """
    output = logging.StreamHandler()
    output.setFormatter(JsonLines())
    logging.basicConfig(level=level, handlers=[output], force=True)
    for name in ("uvicorn.access", "httpx", "httpcore", "aiohttp", "sqlalchemy", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("uvicorn.access").disabled = True
