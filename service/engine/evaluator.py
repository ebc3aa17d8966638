"""V8Engine: evaluates named CQL defines over one patient's records, one evaluation at a time."""

from __future__ import annotations

import asyncio
import atexit
import os
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import msgspec

from service.engine import elm, lint
from service.engine.v8 import Isolate
from service.engine.value_sets import missing_value_sets, script_form
from service.errors import DeadlinePassed, EngineFailed
from service.ports import CqlDate, CqlValue, Evaluation, LogicSet


@dataclass(frozen=True, slots=True)
class Limits:
    """What one evaluation may use. Seconds are wall time; `queue_seconds` covers waiting for earlier evaluations."""

    seconds: float = 2.0
    queue_seconds: float = 20.0
    start_seconds: float = 20.0
    memory_bytes: int = 512 * 1024 * 1024
    logic_sets: int = 16


class V8Engine:
    """Implements ports.Evaluator with cql-execution in V8. One per process, made lazily, after any fork.

    Evaluations run one after another in a thread of its own, so any event loop may call it. An isolate that
    ran out of time or memory is replaced at the next evaluation. `close` may be called twice; it is called at exit.
    """

    def __init__(self, script: Path, limits: Limits | None = None) -> None:
        """`script` is the bundle that `npm run build:engine` writes."""
        self._script = script
        self._limits = limits or Limits()
        self._encoder = msgspec.json.Encoder(decimal_format="number")
        self._isolate: Isolate | None = None
        self._loaded: OrderedDict[str, None] = OrderedDict()
        self._thread: ThreadPoolExecutor | None = None
        self._lock = Lock()
        self._closed = False
        self._pid = 0

    async def warm(self, logic: LogicSet | None = None) -> None:
        """Starts the isolate, and loads the logic if given, so that the first request does not wait for it."""
        await self._in_thread(lambda: self._warm(logic))

    async def evaluate(self, evaluation: Evaluation) -> Mapping[str, Any]:
        """See ports.Evaluator. Raises EngineFailed, naming library and define, or DeadlinePassed."""
        answer: Mapping[str, Any] = await self._in_thread(lambda: self._evaluate(evaluation))
        return answer

    def close(self) -> None:
        """Lets what is running and queued end, within its time limits, and frees the isolate."""
        with self._lock:
            thread, self._thread, self._closed = self._thread, None, True
        if thread is not None:
            atexit.unregister(self.close)
            thread.shutdown(wait=True)
            self._discard()

    async def _in_thread(self, work: Any) -> Any:
        with self._lock:
            if self._closed:
                raise EngineFailed("The CQL engine is closed.")
            if self._thread is not None and self._pid != os.getpid():
                raise EngineFailed("The CQL engine was started before this process was forked; start it afterwards.")
            if self._thread is None:
                self._pid = os.getpid()
                self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="cql")
                atexit.register(self.close)
            running = asyncio.wrap_future(self._thread.submit(work))
        try:
            return await asyncio.wait_for(running, self._limits.queue_seconds)
        except TimeoutError:
            raise DeadlinePassed("The CQL engine is too busy; try again.") from None

    def _warm(self, logic: LogicSet | None) -> None:
        self._started()
        if logic is not None:
            self._load(logic)

    def _started(self) -> Isolate:
        if self._isolate is None:
            try:
                script = self._script.read_text(encoding="utf-8")
            except FileNotFoundError:
                raise EngineFailed("The CQL engine's script is not built; run the set-up.") from None
            self._isolate = Isolate(
                script, memory_bytes=self._limits.memory_bytes, start_seconds=self._limits.start_seconds
            )
        return self._isolate

    def _discard(self) -> None:
        isolate, self._isolate = self._isolate, None
        self._loaded.clear()
        if isolate is not None:
            isolate.close()

    def _call(self, function: str, request: Any, *, seconds: float) -> str:
        """One call into the script and its outcome; an isolate that failed or ran out of time is not used again."""
        text = self._encoder.encode(request).decode()
        isolate = self._started()
        try:
            isolate.call(function, text, seconds=seconds)
            return isolate.outcome(seconds=seconds)
        except (EngineFailed, DeadlinePassed):
            self._discard()
            raise

    def _load(self, logic: LogicSet) -> None:
        """Checks a logic set and parses it into the isolate, once."""
        self._started()
        if logic.digest in self._loaded:
            self._loaded.move_to_end(logic.digest)
            return
        check(logic)
        self._call("load", script_form(logic), seconds=self._limits.start_seconds)
        self._loaded[logic.digest] = None
        while len(self._loaded) > self._limits.logic_sets:
            oldest, _ = self._loaded.popitem(last=False)
            self._call("forget", oldest, seconds=self._limits.seconds)

    def _evaluate(self, evaluation: Evaluation) -> Mapping[str, Any]:
        self._load(evaluation.logic)
        request = {
            "digest": evaluation.logic.digest,
            "library": evaluation.library.name,
            "version": evaluation.library.version,
            "defines": evaluation.defines,
            "records": evaluation.records,
            "parameters": {name: _parameter(value) for name, value in evaluation.parameters.items()},
            "now": evaluation.now.isoformat(timespec="milliseconds"),
        }
        outcome = msgspec.json.decode(self._call("evaluate", request, seconds=self._limits.seconds))
        if outcome is None:
            self._discard()
            raise EngineFailed(f"The CQL library {evaluation.library.name} did not come to an end.")
        if "failure" in outcome:
            raise EngineFailed(_explained(evaluation, outcome["failure"]))
        values: Mapping[str, Any] = outcome["values"]
        return values


def check(logic: LogicSet) -> None:
    """Raises EngineFailed if logic cannot be evaluated rightly: unsupported ELM, a missing library or value set."""
    for library in logic.libraries:
        faults = lint.faults(library.elm)
        if faults:
            raise EngineFailed(f"The CQL library {library.ref.name} cannot be evaluated: {'; '.join(faults)}.")
        declared = (elm.name(library.elm), elm.version(library.elm))
        if declared != (library.ref.name, library.ref.version):
            raise EngineFailed(f"The CQL library {library.ref.name}|{library.ref.version} declares another name.")
    present = {(library.ref.name, version) for library in logic.libraries for version in (library.ref.version, None)}
    included = [include for library in logic.libraries for include in elm.includes(library.elm)]
    absent = [f"{i.name}|{i.version}" for i in included if (i.name, i.version) not in present]
    if absent:
        raise EngineFailed(f"These CQL libraries are included and not there: {', '.join(absent)}.")
    missing = missing_value_sets(logic)
    if missing:
        raise EngineFailed(f"These value sets are needed and not there: {', '.join(missing)}.")


def _parameter(value: CqlValue) -> Mapping[str, Any]:
    if isinstance(value, CqlDate):
        return {"type": "Date", "value": value.text}
    return {"type": "plain", "value": value}


def _explained(evaluation: Evaluation, failure: Mapping[str, Any]) -> str:
    """Our own words for what the script reports: never its message, which may repeat what is in a record."""
    library = failure.get("library") or f"{evaluation.library.name}|{evaluation.library.version}"
    define = f' at "{failure["define"]}"' if failure.get("define") else ""
    place = f", CQL {failure['locator']}" if failure.get("locator") else ""
    value_set = f", value set {failure['valueSet']} is missing" if failure.get("valueSet") else ""
    return f"The CQL library {library} could not be evaluated{define}: {failure['kind']}{place}{value_set}."
