"""Doors to knock at."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.access.door import Door
from tests.unit.access.signing import (
    ISSUER,
    JWKS_URL,
    JwksServer,
    client_file,
    ec_key,
)


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    made = Door(client_file(tmp_path), JwksServer())
    yield made
    await made.http.aclose()


@pytest.fixture
async def fetching(tmp_path: Path) -> AsyncIterator[Door]:
    """A client whose keys are served at JWKS_URL."""
    text = f"""
[[client]]
id = "ehr-1"
name = "Example EHR"
issuers = ["{ISSUER}"]
jwks_urls = ["{JWKS_URL}"]
"""
    made = Door(client_file(tmp_path, text), JwksServer(ec_key()))
    yield made
    await made.http.aclose()
