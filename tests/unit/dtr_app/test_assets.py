"""The renderer's files are the ones that were examined, and all of them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from service.catalog.registry import HOME
from service.dtr.app.pages import LFORMS_VERSION, renderer_files

FOLDER = HOME / "service" / "_assets" / "lforms" / LFORMS_VERSION
# First 16 digits of the SHA-256 of each file in lforms 40.1.3.
EXAMINED = {
    "webcomponent/assets/lib/zone.min.js": "71d535d91e868fff",
    "webcomponent/runtime.js": "96ebf2c1d319a9f7",
    "webcomponent/polyfills.js": "55038b5b81c14cc8",
    "webcomponent/main.js": "e3e2ac583b2cbc3c",
    "webcomponent/styles.css": "ed7f27a6a2f4bba0",
    "fhir/R4/lformsFHIR.min.js": "83e019179aa182d4",
    "webcomponent/down_arrow_gray_10_10.png": "632fa54a55ec849b",
    "webcomponent/magnifying_glass.png": "1e9d2b5a2746facd",
}


@pytest.mark.parametrize("name", EXAMINED)
def test_a_file_of_the_renderer_is_the_one_examined(name: str) -> None:
    assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest()[:16] == EXAMINED[name]


def test_nothing_else_is_served_but_the_licence() -> None:
    assert set(renderer_files()) == {*EXAMINED, "LICENSE.md"}
    assert {path for path in FOLDER.rglob("*") if path.is_file()} == {
        FOLDER / Path(n) for n in (*EXAMINED, "LICENSE.md")
    }
