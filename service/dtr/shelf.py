"""Every form, library and value set as one DTR version gives it out: made once at start, looked up afterwards."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from service.dtr.adaptive import AdaptiveForm, adaptive_form, search_form
from service.dtr.expressions import with_elm
from service.dtr.versions import Shape
from service.fhir.build import Json
from service.fhir.canonical import CQF_LIBRARY, DTR_STANDARD_QUESTIONNAIRE, split_canonical, versioned
from service.form.adaptive import adaptive_url
from service.form.questionnaire import codes
from service.ports import LoadedPolicy, PolicyRegistry, Resource

KINDS: Final = ("Questionnaire", "Library", "ValueSet")
# The members whose text is a canonical of one of our artifacts (R4 Questionnaire, Library, ValueSet, Extension).
_CANONICAL_MEMBERS: Final = frozenset(
    {"valueCanonical", "answerValueSet", "derivedFrom", "resource", "valueSet", "library"}
)


@dataclass(frozen=True, slots=True, eq=False)
class Content:
    """What goes into one form's package beside the draft: the form, its libraries and value sets, each once.

    `absent` are canonicals that something in the package depends on and that no policy brings; `large` are value
    sets to be expanded by $expand. `adaptive` is how the form asks page by page, for an adaptive form.
    """

    loaded: LoadedPolicy
    questionnaire: Json
    libraries: tuple[Json, ...]
    value_sets: tuple[Json, ...]
    absent: tuple[str, ...]
    large: tuple[str, ...] = ()
    adaptive: AdaptiveForm | None = None

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
    """All artifacts of one version. Later policy revisions come first.

    `adaptives` are the adaptive twins of `contents`. `versioned` says whether canonicals carry their version.
    """

    contents: tuple[Content, ...]
    adaptives: tuple[Content, ...]
    artifacts: tuple[Json, ...]
    versioned: bool

    def content(self, canonical: str) -> Content | None:
        """The package content of a form, standard or adaptive, by canonical; without version, the newest."""
        url, version = split_canonical(canonical)
        every = (*self.contents, *self.adaptives)
        return next((c for c in every if c.url == url and version in (None, c.version)), None)

    def adaptive(self, canonical: str) -> AdaptiveForm | None:
        """How an adaptive form asks, by its canonical."""
        content = self.content(canonical)
        return content.adaptive if content else None

    def canonical(self, content: Content) -> str:
        """A form's canonical as given out."""
        return versioned(content.url, content.version if self.versioned else None)

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


def stock(registry: PolicyRegistry, shape: Shape, *, versioned_canonicals: bool, service: str) -> Shelf:
    """Prepare all policies' artifacts for one version; InvalidPolicy has been raised by the catalog before.

    `service` is the FHIR base at which $next-question is called.
    """
    revisions = sorted(registry.all(), key=lambda loaded: loaded.policy.effective, reverse=True)
    contents = tuple(
        _content(loaded, questionnaire, shape, versioned_canonicals)
        for loaded in revisions
        for questionnaire in loaded.questionnaires.values()
    )
    adaptives = tuple(
        twin for content in contents if (twin := _twin(content, shape, versioned_canonicals, service)) is not None
    )
    # Also those that no form's package needs, such as the criteria library: decisions refer to them.
    everything = [resource for content in (*contents, *adaptives) for resource in content.resources]
    everything += [
        _given_out(resource, _versions(loaded), versioned_canonicals)
        for loaded in revisions
        for resource in (*loaded.libraries, *loaded.value_sets)
    ]
    distinct = {(r["resourceType"], r["url"], r.get("version")): r for r in reversed(everything)}
    return Shelf(contents, adaptives, tuple(reversed(distinct.values())), versioned_canonicals)


def _twin(content: Content, shape: Shape, versioned_canonicals: bool, service: str) -> Content | None:
    """The adaptive twin of a form: the same libraries and value sets, for the questions still to come (spec-34)."""
    base = versioned(adaptive_url(content.url), content.version if versioned_canonicals else None)
    adaptive = adaptive_form(content.loaded, content.questionnaire, shape, base=base, service=service)
    if adaptive is None:
        return None
    return replace(content, questionnaire=search_form(adaptive), adaptive=adaptive)


def _content(loaded: LoadedPolicy, questionnaire: Resource, shape: Shape, versioned_canonicals: bool) -> Content:
    needed, absent = _dependencies(loaded, questionnaire)
    versions = _versions(loaded)
    form = _given_out(questionnaire, versions, versioned_canonicals)
    form["meta"] = {**form.get("meta", {}), "profile": [DTR_STANDARD_QUESTIONNAIRE]}
    if shape.elm_expressions:
        form = with_elm(form)
    large = [r for r in needed if shape.large_value_set is not None and _codes_in(r) >= shape.large_value_set]
    given_out = [_given_out(resource, versions, versioned_canonicals) for resource in needed if resource not in large]
    return Content(
        loaded=loaded,
        questionnaire=form,
        libraries=tuple(r for r in given_out if r["resourceType"] == "Library"),
        value_sets=tuple(r for r in given_out if r["resourceType"] == "ValueSet"),
        absent=absent,
        large=tuple(versioned(r["url"], r.get("version") if versioned_canonicals else None) for r in large),
    )


def _codes_in(resource: Resource) -> int:
    """How many codes a value set offers; 0 for anything else."""
    return sum(1 for _ in codes((resource.get("expansion") or {}).get("contains") or ()))


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
