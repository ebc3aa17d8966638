"""The structure check over freshly generated tables, and the guides' own examples."""

import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from service.fhir.parse import StructureCheck
from service.fhir.tables import Tables, load_tables

ROOT = Path(__file__).parents[3]
GUIDES = ROOT.parent / "shared" / "ig"


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """The tables as the set-up makes them, from the pinned npm package."""
    out = tmp_path_factory.mktemp("assets") / "r4.json"
    definitions = ROOT / "node_modules" / "@medplum" / "definitions"
    tool = ROOT / "tools" / "r4_tables.py"
    subprocess.run([sys.executable, str(tool), "--definitions", str(definitions), "--out", str(out)], check=True)
    return load_tables(out)


@pytest.fixture(scope="session")
def check(tables: Tables) -> StructureCheck:
    """The structure check."""
    return StructureCheck(tables)


@pytest.fixture(scope="session")
def examples() -> dict[str, bytes]:
    """Name -> bytes of every example resource in the guide packages."""
    packages = sorted(GUIDES.glob("*.tgz"))
    if not packages:
        pytest.skip("NO GUIDE PACKAGES: ../shared/ig is absent, so the guides' examples are not checked")
    found = {}
    for package in packages:
        with tarfile.open(package) as archive:
            for member in archive:
                if member.name.startswith("package/example/") and member.name.endswith(".json"):
                    content = archive.extractfile(member)
                    assert content is not None
                    found[f"{package.stem}/{Path(member.name).name}"] = content.read()
    # CDS Hooks requests and answers are kept as examples of Binary: they are no resources.
    return {name: body for name, body in found.items() if "resourceType" in json.loads(body)}
