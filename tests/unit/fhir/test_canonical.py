"""Canonical references split, and every constant is a URL that a guide writes."""

import tarfile

import pytest

from service.fhir import canonical
from tests.unit.fhir.conftest import GUIDES


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://a.org/Q", ("http://a.org/Q", None)),
        ("http://a.org/Q|1.0", ("http://a.org/Q", "1.0")),
        ("http://a.org/Q|1.0#part", ("http://a.org/Q", "1.0")),
        ("http://a.org/Q#part", ("http://a.org/Q", None)),
        ("http://a.org/Q|", ("http://a.org/Q", None)),
    ],
)
def test_split_canonical(text: str, expected: tuple[str, str | None]) -> None:
    assert canonical.split_canonical(text) == expected


def test_versioned_is_the_reverse_of_split() -> None:
    assert canonical.split_canonical(canonical.versioned("http://a.org/Q", "2")) == ("http://a.org/Q", "2")
    assert canonical.versioned("http://a.org/Q", None) == "http://a.org/Q"


# CDex is no package of ours; its operation is named in PAS's narrative (pas.md 1.10).
OF_OTHER_GUIDES = "/us/davinci-cdex/"


def test_every_guide_url_is_written_in_a_guide_package() -> None:
    packages = sorted(GUIDES.glob("*.tgz"))
    if not packages:
        pytest.skip("NO GUIDE PACKAGES: ../shared/ig is absent, so our guide URLs are not checked")
    urls = {
        value
        for name, value in vars(canonical).items()
        if not name.startswith("_")
        and isinstance(value, str)
        and "/us/davinci-" in value
        and OF_OTHER_GUIDES not in value
    }
    for package in packages:
        with tarfile.open(package) as archive:
            for member in archive:
                content = archive.extractfile(member) if member.name.endswith(".json") else None
                if content is not None and urls:
                    text = content.read().decode("utf-8", "replace")
                    urls = {url for url in urls if f'"{url}' not in text}
    assert urls == set()
