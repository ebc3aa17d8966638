"""A private PostgreSQL server for tests: its own data folder, socket and process."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FOUND_UNDER = Path("/usr/lib/postgresql")
_START_SECONDS = 60


def programs() -> Path | None:
    """The folder of the newest PostgreSQL server programs that Debian's packages installed, if any."""
    found = [folder / "bin" for folder in _FOUND_UNDER.glob("*") if (folder / "bin" / "postgres").exists()]
    return max(found, key=lambda folder: float(folder.parent.name), default=None)


@contextmanager
def running_server(bin_folder: Path) -> Iterator[str]:
    """Starts a server that listens on a Unix socket only; yields the SQLAlchemy URL of its database.

    PostgreSQL refuses to run as root; as root it runs as the user that Debian's package made.
    """
    as_root = os.geteuid() == 0
    user = "postgres" if as_root else getpass.getuser()
    become = ["runuser", "-u", user, "--"] if as_root else []
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    if as_root:
        shutil.chown(folder, user, user)
    try:
        cluster = folder / "cluster"
        initdb = [str(bin_folder / "initdb"), "--auth=trust", "--username=tests", "--encoding=UTF8", "--no-sync"]
        subprocess.run([*become, *initdb, "--pgdata", str(cluster)], check=True, capture_output=True, cwd=folder)
        settings = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={folder}", "-c", "max_connections=100"]
        # The machine does not crash during a test: only our own processes are killed.
        settings += ["-c", "fsync=off", "-c", "full_page_writes=off"]
        server = subprocess.Popen(
            [*become, str(bin_folder / "postgres"), "-D", str(cluster), *settings],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            ready = [str(bin_folder / "pg_isready"), "--host", str(folder), "--dbname=postgres", "--username=tests"]
            _wait_until(ready, server)
            yield f"postgresql://tests@/postgres?host={folder}"
        finally:
            _stop(server, cluster)
    finally:
        shutil.rmtree(folder)


def _wait_until(ready: list[str], server: subprocess.Popen[bytes]) -> None:
    for _ in range(_START_SECONDS * 10):
        if subprocess.run(ready, check=False, capture_output=True).returncode == 0:
            return
        try:
            server.wait(0.1)
        except subprocess.TimeoutExpired:
            continue
        raise RuntimeError(f"PostgreSQL ended with {server.returncode} before it was ready")
    raise RuntimeError("PostgreSQL did not start")


def _stop(server: subprocess.Popen[bytes], cluster: Path) -> None:
    # The server's own process, not runuser's. SIGQUIT is PostgreSQL's immediate shutdown: its data goes anyway.
    lines = (cluster / "postmaster.pid").read_text().splitlines() if (cluster / "postmaster.pid").exists() else []
    if lines:
        os.kill(int(lines[0]), signal.SIGQUIT)
    server.wait(30)
