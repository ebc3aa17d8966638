"""The JavaScript engine in process (mini-racer): start, call, time out, close.

Three rules learned by measurement: always close an isolate, or the process may hang at exit; make it after fork;
never await its promises from a loop that it was not made in.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Thread
from typing import Final

from py_mini_racer import JSEvalException, JSFunction, JSTimeoutException, MiniRacer, mini_racer

from service.errors import DeadlinePassed, EngineFailed

_FUNCTIONS: Final = ("load", "forget", "evaluate")


class Isolate:
    """One V8 isolate with the engine's script in it. Call it from one thread at a time, never from its own loop.

    The script sees no host function: text goes in, text comes out. After a call has raised, discard the isolate.
    """

    def __init__(self, script: str, *, memory_bytes: int, start_seconds: float) -> None:
        self._pid = os.getpid()
        self._closing = ExitStack()
        try:
            self._racer = self._open(memory_bytes)
            with _own_words(start_seconds):
                self._racer.eval(script, timeout_sec=start_seconds)
            self._functions = {name: _function(self._racer, name) for name in _FUNCTIONS}
        except BaseException:
            self._closing.close()
            raise

    def call(self, function: str, text: str, *, seconds: float) -> None:
        """Begins `load`, `forget` or `evaluate`. Raises DeadlinePassed, or EngineFailed in our own words."""
        with _own_words(seconds):
            self._functions[function](text, timeout_sec=seconds)

    def outcome(self, *, seconds: float) -> str:
        """Waits until what `evaluate` began has ended; its outcome as JSON text. Raises as `call` does.

        This is source text and not a call of a function: mini-racer makes the list of arguments in a step that no
        time limit covers, and that step would wait for a runaway evaluation for ever.
        """
        with _own_words(seconds):
            answer = self._racer.eval("cqlhost.take()", timeout_sec=seconds)
        if not isinstance(answer, str):
            raise EngineFailed("The CQL engine answered something that is not text.")
        return answer

    def close(self) -> None:
        """Ends a running call, if any, and frees the isolate. Safe to call again; does nothing in a forked child."""
        if os.getpid() == self._pid:
            self._functions = {}
            self._closing.close()

    def _open(self, memory_bytes: int) -> MiniRacer:
        """The isolate's own loop outlives it: V8 reports cancelled calls to the loop while being freed."""
        loop = asyncio.new_event_loop()
        thread = Thread(target=loop.run_forever, name="cql-isolate", daemon=True)
        thread.start()
        self._closing.callback(loop.close)
        self._closing.callback(thread.join)
        self._closing.callback(loop.call_soon_threadsafe, loop.stop)
        racer = self._closing.enter_context(mini_racer(event_loop=loop))
        racer.set_hard_memory_limit(memory_bytes)
        return racer


@contextmanager
def _own_words(seconds: float) -> Iterator[None]:
    try:
        yield
    except JSTimeoutException:
        raise DeadlinePassed(f"The CQL engine did not finish within {seconds:g} seconds.") from None
    except JSEvalException as failed:
        # The message may repeat what is in a record, so only the kind of failure is told.
        raise EngineFailed(f"The CQL engine stopped ({type(failed).__name__}).") from None


def _function(racer: MiniRacer, name: str) -> JSFunction:
    found = racer.eval(f"cqlhost.{name}")
    if not isinstance(found, JSFunction):
        raise EngineFailed("The CQL engine's script is not the one that belongs to this service; build it again.")
    return found
