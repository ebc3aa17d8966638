"""The service with further demo patients: python -m tests.browser.serve FOLDER serve --demo ..."""

from __future__ import annotations

import sys
from pathlib import Path

from service.__main__ import app
from service.demo import stories

if __name__ == "__main__":
    stories._FOLDER = Path(sys.argv.pop(1))  # type: ignore[misc]  # a constant of the demo, other for these tests
    app()
