"""A policy revision as one piece of bytes, so that what it decided can be decided again when its files are gone."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable
from typing import Final

from service.catalog.folder import SourceFile
from service.errors import InvalidPolicy

_SAME_DAY: Final = (1980, 1, 1, 0, 0, 0)


def pack(files: Iterable[SourceFile]) -> bytes:
    """A ZIP file of the files; the same files make the same bytes."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for file in sorted(files, key=lambda one: one.name):
            archive.writestr(zipfile.ZipInfo(file.name, _SAME_DAY), file.content, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def unpack(packed: bytes) -> list[SourceFile]:
    """The files again; nothing is written anywhere. InvalidPolicy for what was not packed so."""
    try:
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            return [SourceFile(name, archive.read(name)) for name in archive.namelist()]
    except zipfile.BadZipFile:
        raise InvalidPolicy("What is kept of a policy revision cannot be read.") from None
