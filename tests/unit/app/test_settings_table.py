"""The table of settings in docs/operations.md says what service/settings.py says: each name, default and meaning."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic_core import PydanticUndefined

from service.catalog.registry import HOME
from service.settings import Settings

ROW = re.compile(r"^\| `(PA_[A-Z0-9_]+)` \| (.*?) \| (.*) \|$", re.MULTILINE)
# --demo sets it: it is not for the environment.
BY_OPTION = {"demo"}


def shown(default: object) -> str:
    """A default as it is written in the environment."""
    assert default is not PydanticUndefined
    if default in (None, "", ()):
        return "none"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def test_the_table_of_settings_is_complete_and_true() -> None:
    told = ROW.findall((HOME / "docs" / "operations.md").read_text())
    known = [
        (f"PA_{name.upper()}", shown(field.default), str(field.description))
        for name, field in Settings.model_fields.items()
        if name not in BY_OPTION
    ]
    assert told == known


def test_every_setting_that_the_documents_name_is_one() -> None:
    names = {f"PA_{name.upper()}" for name in Settings.model_fields}
    for document in (HOME / "README.md", HOME / "CHANGELOG.md", *sorted((HOME / "docs").rglob("*.md"))):
        for word in re.findall(r"\bPA_[A-Z0-9_]+\b", document.read_text()):
            known = word in names or (word.endswith("_") and any(name.startswith(word) for name in names))
            assert known, f"{document.name} names {word}"


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_read(name: str) -> None:
    """By the code that it steers; the file that declares it counts where it derives something from it."""
    assert any(
        re.search(rf"\b(settings|self)\.{name}\b", path.read_text()) for path in Path(HOME, "service").rglob("*.py")
    )
