"""The real service as a process of its own, on a free port of this machine."""

from __future__ import annotations

import os
import re
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from service.catalog.registry import HOME

# Seconds. A machine that does much else starts us slowly; only what hangs shall fail.
PATIENCE = 120
_PORT = re.compile(r'"message": "listening", "port": (\d+)')


@dataclass(frozen=True)
class Served:
    """A running service: its process, a client for it, and the file of its log."""

    process: subprocess.Popen[bytes]
    http: httpx.Client
    log: Path

    def kill(self) -> None:
        """As a power cut would: no time to finish anything."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)


@contextmanager
def serving(
    data: Path, *, demo: bool = True, environment: dict[str, str] | None = None, trust: ssl.SSLContext | None = None
) -> Iterator[Served]:
    """Starts `python -m service serve` and waits until it answers; ends it, if it still runs, by its own pid.

    With `trust` the client speaks TLS, and believes that certificate alone.
    """
    data.mkdir(parents=True, exist_ok=True)
    log = data / f"log-{time.monotonic_ns()}.jsonl"
    command = [sys.executable, "-m", "service", "serve", "--port", "0", "--data", str(data)]
    with log.open("w") as output:
        process = subprocess.Popen(
            command + (["--demo"] if demo else []),
            cwd=HOME,
            stdout=subprocess.DEVNULL,
            stderr=output,
            env={**os.environ, **(environment or {})},
        )
    try:
        base = f"{'https' if trust else 'http'}://127.0.0.1:{_port(process, log)}"
        with httpx.Client(base_url=base, timeout=PATIENCE, verify=trust or True) as http:
            yield Served(process, http, log)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(10)


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    for _ in range(PATIENCE * 20):
        found = _PORT.search(log.read_text())
        if found:
            return int(found[1])
        if process.poll() is not None:
            raise AssertionError(f"the service ended at once: {log.read_text()[-2000:]}")
        time.sleep(0.05)
    raise AssertionError("the service did not start")
