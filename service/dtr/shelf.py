"""Every form, library and value set as one DTR version gives it out: made once at start, looked up afterwards."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from service.dtr.expressions import with_elm
from service.dtr.versions import Shape
from service.fhir.build import Json
from service.fhir.canonical import CQF_LIBRARY, DTR_STANDARD_QUESTIONNAIRE, split_canonical, versioned
from service.ports import LoadedPolicy, PolicyRegistry, Resource

KINDS: Final = ("Questionnaire", "Library", "ValueSet")
# The members whose text is a canonical of one of our artifacts (R4 Questionnaire, Library, ValueSet, Extension).
_CANONICAL_MEMBERS: Final = frozenset(
    {"valueCanonical", "answerValueSet", "derivedFrom", "resource", "valueSet", "library"}
)


@dataclass(frozen=True, slots=True, eq=False)
class Content:
    """What goes into one form's package beside the draft: the form, its libraries and value sets, each once.

    `absent` are canonicals that something in the package depends on and that no policy brings.
    """

    loaded: LoadedPolicy
    questionnaire: Json
    libraries: tuple[Json, ...]
    value_sets: tuple[Json, ...]
    absent: tuple[str, ...]

    @property
    def url(self) -> str:
        url: str = self.questionnaire["url"]
        return url

    @property
    def version(self) -> str | None:
        return self.questionnaire.get("version")

    @property
    def resources(self) -> tuple[Json, ...]:
        return (self.questionnaire, *self.libraries, *self.value_sets)


@dataclass(frozen=True, slots=True)
class Shelf:
    """All artifacts of one version. Later policy revisions come first."""

    contents: tuple[Content, ...]
    artifacts: tuple[Json, ...]

    def content(self, canonical: str) -> Content | None:
        """The package content of a form by canonical; without version, the newest."""
        url, version = split_canonical(canonical)
        return next((c for c in self.contents if c.url == url and version in (None, c.version)), None)

    def by_id(self, kind: str, logical_id: str) -> Json | None:
        return next((a for a in self.artifacts if (a["resourceType"], a["id"]) == (kind, logical_id)), None)

    def search(self, kind: str, url: str | None, version: str | None) -> tuple[Json, ...]:
        """Artifacts of a type, of one url and version where given."""
        return tuple(
            artifact
            for artifact in self.artifacts
            if artifact["resourceType"] == kind
            and url in (None, artifact["url"])
            and version in (None, artifact.get("version"))
        )


def stock(registry: PolicyRegistry, shape: Shape, *, versioned_canonicals: bool) -> Shelf:
    """Prepare all policies' artifacts for one version; InvalidPolicy has been raised by the catalog before."""
    revisions = sorted(registry.all(), key=lambda loaded: loaded.policy.effective, reverse=True)
    contents = tuple(
        _content(loaded, questionnaire, shape, versioned_canonicals)
        for loaded in revisions
        for questionnaire in loaded.questionnaires.values()
    )
    # Also those that no form's package needs, such as the criteria library: decisions refer to them.
    everything = [resource for content in contents for resource in content.resources]
    everything += [
        _given_out(resource, _versions(loaded), versioned_canonicals)
        for loaded in revisions
        for resource in (*loaded.libraries, *loaded.value_sets)
    ]
    distinct = {(r["resourceType"], r["url"], r.get("version")): r for r in reversed(everything)}
    return Shelf(contents, tuple(reversed(distinct.values())))


def _content(loaded: LoadedPolicy, questionnaire: Resource, shape: Shape, versioned_canonicals: bool) -> Content:
    needed, absent = _dependencies(loaded, questionnaire)
    versions = _versions(loaded)
    form = _given_out(questionnaire, versions, versioned_canonicals)
    form["meta"] = {**form.get("meta", {}), "profile": [DTR_STANDARD_QUESTIONNAIRE]}
    if shape.elm_expressions:
        form = with_elm(form)
    given_out = [_given_out(resource, versions, versioned_canonicals) for resource in needed]
    return Content(
        loaded=loaded,
        questionnaire=form,
        libraries=tuple(r for r in given_out if r["resourceType"] == "Library"),
        value_sets=tuple(r for r in given_out if r["resourceType"] == "ValueSet"),
        absent=absent,
    )


def _dependencies(loaded: LoadedPolicy, questionnaire: Resource) -> tuple[list[Resource], tuple[str, ...]]:
    """The form's libraries and value sets, and theirs (2.2.0 oper-12, oper-14), each once, nearest first."""
    known = {resource["url"]: resource for resource in (*loaded.libraries, *loaded.value_sets)}
    found: dict[str, Resource] = {}
    absent: dict[str, None] = {}
    waiting = deque(_form_canonicals(questionnaire))
    while waiting:
        canonical = waiting.popleft()
        url, version = split_canonical(canonical)
        resource = known.get(url)
        if resource is None or version not in (None, resource.get("version")):
            absent[canonical] = None
        elif url not in found:
            found[url] = resource
            waiting.extend(_depends_on(resource))
    return list(found.values()), tuple(absent)


def _form_canonicals(questionnaire: Resource) -> Iterator[str]:
    for extension in questionnaire.get("extension") or ():
        if extension["url"] == CQF_LIBRARY:
            yield extension["valueCanonical"]
    yield from _answer_value_sets(questionnaire.get("item") or ())


def _answer_value_sets(items: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for item in items:
        # "#id" is contained in the form.
        if (canonical := item.get("answerValueSet")) and not canonical.startswith("#"):
            yield canonical
        yield from _answer_value_sets(item.get("item") or ())


def _depends_on(resource: Resource) -> Iterator[str]:
    for artifact in resource.get("relatedArtifact") or ():
        if artifact.get("type") == "depends-on" and "resource" in artifact:
            yield artifact["resource"]


def _versions(loaded: LoadedPolicy) -> Mapping[str, str | None]:
    resources = (*loaded.questionnaires.values(), *loaded.libraries, *loaded.value_sets)
    return {resource["url"]: resource.get("version") for resource in resources}


def _given_out(resource: Resource, versions: Mapping[str, str | None], versioned_canonicals: bool) -> Json:
    """A copy whose canonicals of our artifacts all carry their version (2.2.0 oper-16), or none does."""
    copied: Json = _rewrite(resource, versions, versioned_canonicals)
    copied.setdefault("id", resource["url"].rpartition("/")[2])
    return copied


def _rewrite(value: Any, versions: Mapping[str, str | None], keep: bool, member: str = "") -> Any:
    if isinstance(value, Mapping):
        return {name: _rewrite(item, versions, keep, name) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rewrite(item, versions, keep, member) for item in value]
    if member not in _CANONICAL_MEMBERS or not isinstance(value, str):
        return value
    url, version = split_canonical(value)
    if url not in versions:
        return value
    return versioned(url, version or versions[url]) if keep else url
