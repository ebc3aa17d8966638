"""The files of every policy revision that this database's cases may have been decided by."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Column, Connection, LargeBinary, String, Table, select

from service.store.members import Transactions
from service.store.rows import insert_once
from service.store.tables import Instant, metadata

policy_revisions = Table(
    "policy_revisions",
    metadata,
    # "sha256:..." of the files, as the audit names the revision.
    Column("digest", String(71), primary_key=True),
    Column("files", LargeBinary, nullable=False),
    Column("kept_at", Instant, nullable=False),
)


class SqlPolicyRevisions:
    """Packed files by digest, in the database; never changed and never removed."""

    def __init__(self, read: Transactions, write: Transactions) -> None:
        self._read = read
        self._write = write

    async def keep(self, archives: Mapping[str, bytes], at: datetime) -> None:
        """Keeps those that are not there yet, whoever else does."""

        def save(connection: Connection) -> None:
            for digest, files in sorted(archives.items()):
                insert_once(connection, policy_revisions, {"digest": digest, "files": files, "kept_at": at})

        await self._write(save)

    async def files(self, digest: str) -> bytes | None:
        wanted = select(policy_revisions.c.files).where(policy_revisions.c.digest == digest)
        found: bytes | None = await self._read(lambda connection: connection.execute(wanted).scalar())
        return found
