"""Scopes of both SMART versions: parsed, covered, granted."""

from __future__ import annotations

import pytest

from service.access.scopes import SERVED, covers, grant, parse_scope

ALLOWED = ("system/Claim.cu", "system/Questionnaire.rs")


@pytest.mark.parametrize(
    ("requested", "granted"),
    [
        ("system/Claim.cu", {"system/Claim.cu"}),
        ("system/Claim.c", {"system/Claim.c"}),
        ("system/Claim.cruds", {"system/Claim.cu"}),
        ("system/Claim.*", {"system/Claim.cu"}),
        ("system/Claim.write", {"system/Claim.cu"}),
        ("system/questionnaire.rs", {"system/questionnaire.rs"}),
        ("system/Questionnaire.read", {"system/Questionnaire.read"}),
        ("system/*.read", {"system/Questionnaire.rs"}),
        ("system/*.rs", {"system/Questionnaire.rs"}),
        ("system/*.*", {"system/Claim.cu", "system/Questionnaire.rs"}),
        ("system/Claim.rs", set()),
        ("system/Patient.rs", set()),
        ("patient/Claim.cu", set()),
        ("user/*.cruds", set()),
        ("openid", set()),
        ("system/Claim.uc", set()),
        ("system/Claim.", set()),
        ("system/Claim.cu?status=active", set()),
        ("", set()),
    ],
)
def test_what_is_granted_of_a_wish(requested: str, granted: set[str]) -> None:
    assert grant(requested, ALLOWED) == granted


def test_a_client_with_everything_gets_what_it_asks_for() -> None:
    assert grant("system/*.read", ["system/*.cruds"]) == {"system/*.read"}
    assert grant("system/Claim.cu", ["system/*.cu"]) == {"system/Claim.cu"}
    assert grant("system/Claim.cruds", ["system/Claim.c", "system/*.rs"]) == {"system/Claim.c", "system/Claim.rs"}
    assert grant("system/Claim.crs", ["system/Claim.c", "system/*.rs"]) == {"system/Claim.crs"}


@pytest.mark.parametrize(
    ("held", "needed", "enough"),
    [
        (["system/Claim.cu"], "system/Claim.cu", True),
        (["system/claim.cruds"], "system/Claim.cu", True),
        (["system/*.write"], "system/Claim.cu", True),
        (["system/Claim.c", "system/Claim.u"], "system/Claim.cu", True),
        (["system/Claim.c", "system/*.u"], "system/Claim.cu", True),
        (["system/Claim.c"], "system/Claim.cu", False),
        (["system/Claim.c", "system/ClaimResponse.u"], "system/Claim.cu", False),
        (["system/ClaimResponse.cu"], "system/Claim.cu", False),
        (["user/Claim.cu"], "system/Claim.cu", False),
        ([], "system/Claim.c", False),
    ],
)
def test_whether_scopes_are_enough(held: list[str], needed: str, enough: bool) -> None:
    assert covers(held, needed) is enough


def test_an_endpoint_that_asks_for_nonsense_is_an_error_not_an_open_door() -> None:
    with pytest.raises(ValueError, match="system scope"):
        covers(["system/*.cruds"], "Claim")


def test_what_is_served_is_written_in_order() -> None:
    assert [str(parse_scope(scope)) for scope in SERVED] == sorted(SERVED)
