"""One Bundle's entries: find them by type, and resolve references between them."""

from __future__ import annotations

import re
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

_RELATIVE = re.compile(r"([A-Z][A-Za-z]{1,63})/([A-Za-z0-9\-.]{1,64})")
_RESTFUL = re.compile(r"(https?://.+?)/([A-Z][A-Za-z]{1,63})/([A-Za-z0-9\-.]{1,64})")
_HISTORY = re.compile(r"/_history/[^/]+$")


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: its place in Bundle.entry, its fullUrl without version, and its resource as received."""

    index: int
    full_url: str | None
    resource: Json

    @property
    def expression(self) -> str:
        """FHIRPath of the resource."""
        return f"Bundle.entry[{self.index}].resource"


@dataclass(frozen=True, slots=True)
class Entries:
    """An index over one Bundle, made once per request; lookups never leave the Bundle, nor walk through it."""

    all_entries: tuple[Entry, ...]
    _by_url: Mapping[str, Sequence[Entry]]
    _by_type: Mapping[str, Sequence[Entry]]
    _by_relative: Mapping[str, Sequence[Entry]]  # Type/id, from the resource's id or the end of its fullUrl
    _by_object: Mapping[int, Entry]

    @classmethod
    def of(cls, bundle: Json) -> Entries:
        """Index a Bundle; entries without a resource object are passed over."""
        entries = tuple(_entries(bundle))
        by_url: defaultdict[str, list[Entry]] = defaultdict(list)
        by_type: defaultdict[str, list[Entry]] = defaultdict(list)
        by_relative: defaultdict[str, list[Entry]] = defaultdict(list)
        by_object: dict[int, Entry] = {}
        for entry in entries:
            by_type[str(entry.resource.get("resourceType"))].append(entry)
            by_object.setdefault(id(entry.resource), entry)
            if entry.full_url is not None:
                by_url[entry.full_url].append(entry)
            for relative in _relative_names(entry):
                by_relative[relative].append(entry)
        return cls(entries, dict(by_url), dict(by_type), dict(by_relative), by_object)

    def first(self, resource_type: str) -> Json | None:
        """Return the first resource of a type."""
        found = self._by_type.get(resource_type, ())
        return found[0].resource if found else None

    def all(self, resource_type: str) -> tuple[Json, ...]:
        """Return the resources of a type in entry order."""
        return tuple(entry.resource for entry in self._by_type.get(resource_type, ()))

    def entry_of(self, resource: Json) -> Entry | None:
        """Return the entry that holds this very object."""
        return self._by_object.get(id(resource))

    def full_url_of(self, resource: Json) -> str | None:
        """Return the fullUrl of the entry that holds this very object."""
        entry = self.entry_of(resource)
        return entry.full_url if entry else None

    def resolve(self, reference: object, *, within: Json, by_identifier: bool = False) -> Json | None:
        """Return the one resource that a Reference (or its text) means, else None.

        `within` is the whole resource that carries the reference (the container, for a contained one): "#id" is
        looked up in it, and a relative reference is tried on its fullUrl's base first (R4 bundle.html#references).
        `by_identifier` also takes a Reference that has an identifier and no reference. Two candidates: None.
        """
        found = self._candidates(reference, within, by_identifier)
        return found[0] if len(found) == 1 else None

    def ambiguous(self, reference: object, *, within: Json, by_identifier: bool = False) -> bool:
        """Say whether `resolve` answers None because several resources fit."""
        return len(self._candidates(reference, within, by_identifier)) > 1

    def duplicate_full_urls(self) -> tuple[str, ...]:
        """Return each fullUrl that several entries carry, version left aside."""
        counts = Counter(entry.full_url for entry in self.all_entries if entry.full_url is not None)
        return tuple(url for url, count in counts.items() if count > 1)

    def reachable(self, start: Json) -> tuple[Json, ...]:
        """Return the entries' resources that `start` refers to, directly or through others; never `start` itself."""
        found: list[Json] = []
        seen = {id(start)}
        waiting = deque([start])
        while waiting:
            resource = waiting.popleft()
            for _, reference in references(resource):
                target = self.resolve(reference, within=resource)
                if target is not None and id(target) not in seen:
                    seen.add(id(target))
                    if self.entry_of(target) is not None:
                        found.append(target)
                        waiting.append(target)
        return tuple(found)

    def _candidates(self, reference: object, within: Json, by_identifier: bool) -> list[Json]:
        text = reference.get("reference") if isinstance(reference, dict) else reference
        if text is None and by_identifier and isinstance(reference, dict):
            return self._identified(reference)
        if not isinstance(text, str) or not text:
            return []
        if text.startswith("#"):
            return _contained(within, text[1:])
        target = _HISTORY.sub("", text)
        relative = _RELATIVE.fullmatch(target)
        if relative is None:
            return [entry.resource for entry in self._by_url.get(target, ())]
        return self._relative(relative[1], relative[2], within)

    def _relative(self, kind: str, logical_id: str, within: Json) -> list[Json]:
        base = _RESTFUL.fullmatch(self.full_url_of(within) or "")
        if base:
            on_base = self._by_url.get(f"{base[1]}/{kind}/{logical_id}", ())
            same_type = [entry.resource for entry in on_base if entry.resource.get("resourceType") == kind]
            if same_type:
                return same_type
        return [entry.resource for entry in self._by_relative.get(f"{kind}/{logical_id}", ())]

    def _identified(self, reference: Json) -> list[Json]:
        wanted = _identity(reference.get("identifier"))
        if wanted is None:
            return []
        kind = reference.get("type")
        entries = self.all_entries if kind is None else self._by_type.get(str(kind), ())
        return [entry.resource for entry in entries if wanted in _identities(entry.resource)]


def references(resource: Json) -> Iterator[tuple[str, Json]]:
    """Yield (FHIRPath, Reference) for each literal reference at any depth, extensions and contained included."""
    waiting: list[tuple[str, Any]] = [(str(resource.get("resourceType", "Resource")), resource)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, dict):
            if isinstance(value.get("reference"), str):
                yield path, value
            children = [(f"{path}.{name}", item) for name, item in value.items()]
        else:
            children = [(f"{path}[{index}]", item) for index, item in enumerate(value)]
        waiting.extend(reversed([child for child in children if isinstance(child[1], dict | list)]))


def _entries(bundle: Json) -> Iterator[Entry]:
    listed = bundle.get("entry")
    for index, entry in enumerate(listed if isinstance(listed, list) else ()):
        resource = entry.get("resource") if isinstance(entry, dict) else None
        if isinstance(resource, dict):
            url = entry.get("fullUrl")
            yield Entry(index, _HISTORY.sub("", url) if isinstance(url, str) else None, resource)


def _relative_names(entry: Entry) -> set[str]:
    kind = str(entry.resource.get("resourceType"))
    base, _, last = (entry.full_url or "").rpartition("/")
    names = {f"{kind}/{last}"} if base.endswith(f"/{kind}") else set()
    own = entry.resource.get("id")
    return names | {f"{kind}/{own}"} if isinstance(own, str) else names


def _contained(within: Json, local_id: str) -> list[Json]:
    if not local_id:
        return [within]
    contained = within.get("contained")
    listed = contained if isinstance(contained, list) else []
    return [item for item in listed if isinstance(item, dict) and item.get("id") == local_id]


def _identities(resource: Json) -> list[tuple[object, object]]:
    carried = resource.get("identifier")
    listed = carried if isinstance(carried, list) else [carried]
    return [identity for identity in map(_identity, listed) if identity is not None]


def _identity(identifier: object) -> tuple[object, object] | None:
    if not isinstance(identifier, dict) or not isinstance(identifier.get("value"), str):
        return None
    return identifier.get("system"), identifier["value"]
