"""Copies what a browser needs of the npm package lforms, and its licence, to a folder of the built assets.

    python tools/copy_lforms.py --package node_modules/lforms --out service/_assets/lforms/40.1.3

The npm lock file names lforms without its dependencies: they are compiled into the files that are copied here.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

FILES = (
    "webcomponent/assets/lib/zone.min.js",
    "webcomponent/runtime.js",
    "webcomponent/polyfills.js",
    "webcomponent/main.js",
    "webcomponent/styles.css",
    "webcomponent/down_arrow_gray_10_10.png",
    "webcomponent/magnifying_glass.png",
    "fhir/R4/lformsFHIR.min.js",
)


def copy(package: Path, out: Path) -> None:
    """Replaces the folder `out`."""
    shutil.rmtree(out, ignore_errors=True)
    for name in FILES:
        target = out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(package / "dist" / "lforms" / name, target)
    shutil.copyfile(package / "LICENSE.md", out / "LICENSE.md")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--package", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    copy(asked.package, asked.out)
