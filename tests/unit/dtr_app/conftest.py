"""A fresh clinic for each test."""

from __future__ import annotations

import pytest

from service.app.parts import Rules
from tests.unit.dtr_app.clinic import Clinic


@pytest.fixture
def clinic(rules: Rules) -> Clinic:
    return Clinic(rules)
