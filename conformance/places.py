"""Where the elements of a profile stand in a resource: by the element's id, slices told by their discriminators."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from conformance.definitions import Definitions, Profile
from conformance.recording import Json

Path = tuple[str | int, ...]
Found = tuple[Path, Any]
_DEEPEST: Final = 12


@dataclass(frozen=True, slots=True)
class Place:
    """A part of a resource that must meet a profile; `path` leads there from the resource's root."""

    path: Path
    profile: Profile


class Places:
    """Finds places by one guide set's definitions."""

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions

    def within(self, resource: Json, profile: Profile, path: Path = ()) -> Iterator[Place]:
        """The resource itself and every part of it that has a profile of its own, extensions included."""
        yield Place(path, profile)
        if len(path) > _DEEPEST:
            return
        here = at(resource, path)
        for element in profile.elements:
            inner = self._profile_of(element)
            if inner is not None and inner.url != profile.url:
                for further, _ in self.located(profile, element["id"], here):
                    yield from self.within(resource, inner, path + further)

    def _profile_of(self, element: Json) -> Profile | None:
        types: Sequence[Json] = element.get("type", ())
        profiles: Sequence[str] = types[0].get("profile", ()) if len(types) == 1 else ()
        definition = self._definitions.structure(profiles[0]) if len(profiles) == 1 else None
        return Profile(definition) if definition and definition.get("snapshot") else None

    def located(self, profile: Profile, element_id: str, value: Any) -> list[Found]:
        """Every value of the element in `value`, which is at the profile's root."""
        found: list[Found] = [((), value)]
        so_far = profile.type
        for token in element_id.split(".")[1:]:
            name, _, sliced = token.partition(":")
            so_far += f".{token}"
            found = [(path + step, held) for path, one in found for step, held in _children(one, name, sliced)]
            if sliced and not name.endswith("[x]"):
                found = [(path, held) for path, held in found if self._belongs(profile, so_far, held)]
        return found

    def discriminators(self, profile: Profile, slice_id: str) -> Sequence[Json]:
        """What tells the slice from others of its list."""
        whole = profile.by_id.get(slice_id.rpartition(":")[0], {})
        found: Sequence[Json] = whole.get("slicing", {}).get("discriminator", ())
        return found

    def _belongs(self, profile: Profile, slice_id: str, value: Any) -> bool:
        """False, too, where it cannot be told."""
        element = profile.by_id.get(slice_id)
        if element is None or not isinstance(value, dict):
            return False
        if slice_id.rpartition(".")[2].startswith(("extension:", "modifierExtension:")):
            return bool(value.get("url") == _extension_url(profile, element))
        tellers = self.discriminators(profile, slice_id)
        return bool(tellers) and all(self._tells(profile, slice_id, teller, value) for teller in tellers)

    def _tells(self, profile: Profile, slice_id: str, teller: Json, value: Json) -> bool:
        path = "" if teller["path"] == "$this" else f".{teller['path']}"
        if teller["type"] in {"type", "profile"}:
            return self._is_only_of_type(profile, slice_id, path, value)
        wanted = [
            (one["id"].removeprefix(slice_id), _fixed(one))
            for one in profile.elements
            if f"{one['id']}.".startswith(f"{slice_id}{path}.") and _fixed(one) is not None
        ]
        return bool(wanted) and all(
            any(_holds(held, fixed) for _, held in self._below(value, relative)) for relative, fixed in wanted
        )

    @staticmethod
    def _below(value: Any, relative: str) -> list[Found]:
        found: list[Found] = [((), value)]
        for token in relative.split(".")[1:]:
            name, _, sliced = token.partition(":")
            found = [(path + step, held) for path, one in found for step, held in _children(one, name, sliced)]
        return found

    def _is_only_of_type(self, profile: Profile, slice_id: str, path: str, value: Json) -> bool:
        """Whether the slice is of the value's type, and no other slice beside it is."""
        whole = slice_id.rpartition(":")[0]
        kinds = {
            one["id"]: self._kind(profile, one["id"], path)
            for one in profile.elements
            if one["id"].startswith(f"{whole}:") and "." not in one["id"].removeprefix(whole)
        }
        mine = kinds[slice_id]
        held = next((held for _, held in self._below(value, path)), None)
        return isinstance(held, dict) and held.get("resourceType") == mine and list(kinds.values()).count(mine) == 1

    def _kind(self, profile: Profile, slice_id: str, path: str) -> str | None:
        types: Sequence[Json] = profile.by_id.get(slice_id + path, {}).get("type", ())
        return str(types[0]["code"]) if len(types) == 1 else None


def at(value: Any, path: Path) -> Any:
    """What stands there."""
    for step in path:
        value = value[step]
    return value


def _children(value: Any, name: str, sliced: str) -> Iterator[Found]:
    if not isinstance(value, dict):
        return
    for key in _keys(value, name, sliced):
        held = value[key]
        if isinstance(held, list):
            yield from (((key, number), one) for number, one in enumerate(held))
        else:
            yield (key,), held


def _keys(value: Json, name: str, sliced: str) -> list[str]:
    if not name.endswith("[x]"):
        return [name] if name in value else []
    if sliced:
        return [sliced] if sliced in value else []
    stem = name[:-3]
    return [key for key in value if key.startswith(stem) and key[len(stem) : len(stem) + 1].isupper()]


def _extension_url(profile: Profile, element: Json) -> str | None:
    """By its profile, or fixed where it is a part of a complex extension."""
    profiles = element["type"][0].get("profile") if element.get("type") else None
    if profiles:
        return str(profiles[0]).partition("|")[0]
    fixed = profile.by_id.get(f"{element['id']}.url", {}).get("fixedUri")
    return str(fixed) if fixed else None


def _fixed(element: Json) -> Any:
    return next((held for name, held in element.items() if name.startswith(("fixed", "pattern"))), None)


def _holds(value: Any, fixed: Any) -> bool:
    """Whether the value has everything of the pattern."""
    if isinstance(fixed, dict):
        return isinstance(value, dict) and all(_holds(value.get(name), held) for name, held in fixed.items())
    if isinstance(fixed, list):
        return isinstance(value, list) and all(any(_holds(one, held) for one in value) for held in fixed)
    return bool(value == fixed)
