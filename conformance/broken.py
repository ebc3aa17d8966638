"""The validator's own proof: copies of clean resources, broken in known ways, each of which it must report."""

from __future__ import annotations

import copy
import json
import re
import sys
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path as File
from typing import Any, Final, Literal

from conformance.definitions import Definitions, Profile, definitions
from conformance.jobs import PACKAGES, GuideSet, Job
from conformance.judge import judge
from conformance.places import Path, Place, Places, at
from conformance.recording import Json

UNCAUGHT: Final = File(__file__).with_name("uncaught.toml")
Kind = Literal["unknown element", "required element", "required code", "missing slice", "reference target"]
_NO_CODE: Final = "no-such-code"
_CODED: Final = ("code", "Coding", "CodeableConcept")
_WRONG: Final = "Basic"
_ANY: Final = "http://hl7.org/fhir/StructureDefinition/Resource"


@dataclass(frozen=True, slots=True)
class Break:
    """One thing that is wrong with a copy. `element` is the id in the profile's snapshot."""

    guides: GuideSet
    profile: str
    kind: Kind
    element: str

    @property
    def name(self) -> str:
        return f"{self.guides} {self.profile.rpartition('/')[2]}: {self.kind} {self.element}"


@dataclass(frozen=True, slots=True)
class Proof:
    """The copies by what is wrong with each, the profiles they are of, and the codes that could not be tried."""

    copies: dict[Break, Job]
    profiles: frozenset[tuple[GuideSet, str]]
    unlisted: frozenset[tuple[GuideSet, str, str]]


def broken(clean: Sequence[Job]) -> Proof:
    """For each profile that clean resources meet, as a whole or in a part, every break that can be made in one."""
    copies: dict[Break, Job] = {}
    profiles: set[tuple[GuideSet, str]] = set()
    unlisted: set[tuple[GuideSet, str, str]] = set()
    for guides in (guides for guides in PACKAGES if any(job.guides == guides for job in clean)):
        maker = _Maker(guides, definitions(guides))
        # In a small resource a break is judged sooner.
        for job in sorted(
            (job for job in clean if job.guides == guides), key=lambda one: len(json.dumps(one.resource))
        ):
            for place in maker.places_in(job):
                profiles.add((guides, place.profile.url))
                for what, made in maker.breaks(place, job.resource):
                    if what not in copies:
                        copies[what] = Job(what.name, guides, made(), job.profiles)
        unlisted |= maker.unlisted
    return Proof(copies, frozenset(profiles), frozenset(unlisted))


class _Maker:
    """Makes the breaks of one guide set. `unlisted` are the bindings whose codes nobody here can list."""

    def __init__(self, guides: GuideSet, found: Definitions) -> None:
        self.guides = guides
        self.unlisted: set[tuple[GuideSet, str, str]] = set()
        self._definitions = found
        self._places = Places(found)

    def places_in(self, job: Job) -> Iterator[Place]:
        for url in job.profiles or ():
            if definition := self._definitions.structure(url):
                yield from self._places.within(job.resource, Profile(definition))
        if not job.profiles and (definition := self._definitions.of_type(job.resource["resourceType"])):
            yield Place((), Profile(definition))

    def breaks(self, place: Place, resource: Json) -> Iterator[tuple[Break, Any]]:
        """Each with what makes the broken copy."""
        root = _Edit(resource, place.path)
        yield self._break(place, "unknown element", place.profile.type), root.with_unknown
        for element in place.profile.elements:
            for kind, edit in self._of_element(place, element, resource):
                yield self._break(place, kind, element["id"]), edit

    def _break(self, place: Place, kind: Kind, element: str) -> Break:
        return Break(self.guides, place.profile.url, kind, element)

    def _of_element(self, place: Place, element: Json, resource: Json) -> Iterator[tuple[Kind, Any]]:
        profile, here = place.profile, at(resource, place.path)
        least = element.get("min", 0)
        binding = element.get("binding", {})
        targets = _targets(element)
        if not (least or targets or binding.get("strength") == "required"):
            return
        found = [place.path + path for path, _ in self._places.located(profile, element["id"], here)]
        if not found or (self._tells_its_slice(profile, element["id"]) and "sliceName" not in element):
            return
        edit = _Edit(resource, found[0])
        if "sliceName" in element:
            if least:
                yield "missing slice", _Edit(resource, found[0]).without_all(found)
        elif least:
            yield "required element", edit.without
        if targets:
            yield "reference target", edit.with_target
        codes = element.get("type", ())
        if binding.get("strength") == "required" and codes and codes[0]["code"] in _CODED:
            if self._definitions.lists(binding.get("valueSet", "")):
                yield "required code", edit.with_no_such_code
            else:
                self.unlisted.add((self.guides, profile.url, element["id"]))

    def _tells_its_slice(self, profile: Profile, element_id: str) -> bool:
        """Whether another value there would make it another slice's, or nobody's: that is no break of this one."""
        tokens = element_id.split(".")
        for number, token in enumerate(tokens):
            slice_id = ".".join(tokens[: number + 1])
            below = ".".join(tokens[number + 1 :])
            if ":" not in token or slice_id == element_id:
                continue
            if token.startswith(("extension:", "modifierExtension:")) and below == "url":
                return True
            for teller in self._places.discriminators(profile, slice_id):
                path = teller["path"]
                if path == "$this" or f"{below}.".startswith(f"{path}.") or f"{path}.".startswith(f"{below}."):
                    return True
        return False


@dataclass(frozen=True, slots=True)
class _Edit:
    """Changes of a copy at one place."""

    resource: Json
    path: Path

    def _copy(self) -> tuple[Json, Any]:
        made = copy.deepcopy(self.resource)
        return made, at(made, self.path)

    def with_unknown(self) -> Json:
        made, here = self._copy()
        here["notAnElement"] = "x"
        return made

    def without(self) -> Json:
        """A list loses all of its members, a primitive its extensions too."""
        made = copy.deepcopy(self.resource)
        path = self.path[:-1] if isinstance(self.path[-1], int) else self.path
        holder = at(made, path[:-1])
        del holder[path[-1]]
        holder.pop(f"_{path[-1]}", None)
        return made

    def without_all(self, members: Sequence[Path]) -> Any:
        """The members of one list that are of one slice, away; an empty list goes too."""

        def made() -> Json:
            whole = copy.deepcopy(self.resource)
            holder = self.path[:-1]
            gone = {path[-1] for path in members if path[:-1] == holder}
            left = [one for number, one in enumerate(at(whole, holder)) if number not in gone]
            if not isinstance(self.path[-1], int):
                del at(whole, self.path[:-1])[self.path[-1]]
            elif left:
                at(whole, holder[:-1])[holder[-1]] = left
            else:
                del at(whole, holder[:-1])[holder[-1]]
            return whole

        return made

    def with_target(self) -> Json:
        """A reference to a resource of another type: a contained one, as what is not there is not judged."""
        made, here = self._copy()
        steps = range(len(self.path), -1, -1)
        holder = next(held for step in steps if "resourceType" in (held := at(made, self.path[:step])))
        wrong = {"resourceType": _WRONG, "id": _WRONG.lower(), "code": {"text": "wrong"}}
        holder["contained"] = [*holder.get("contained", ()), wrong]
        here.clear()
        here["reference"] = f"#{_WRONG.lower()}"
        return made

    def with_no_such_code(self) -> Json:
        made, here = self._copy()
        if isinstance(here, str):
            at(made, self.path[:-1])[self.path[-1]] = _NO_CODE
        for coding in [here, *here.get("coding", ())] if isinstance(here, dict) else ():
            if "code" in coding or "system" in coding:
                coding["code"] = _NO_CODE
                coding.pop("display", None)
        return made


def _targets(element: Json) -> frozenset[str]:
    types = element.get("type", ())
    if len(types) != 1 or types[0]["code"] != "Reference":
        return frozenset()
    profiles = [url.partition("|")[0] for url in types[0].get("targetProfile", ())]
    kinds = frozenset(url.rpartition("/")[2] for url in profiles)
    return frozenset() if _ANY in profiles or _WRONG in kinds else kinds


def report(clean: Sequence[Job]) -> int:
    """Prints the caught share, by kind; returns how many were missed without a reason."""
    proof = broken(clean)
    caught = {
        message.job.name
        for message in judge(list(proof.copies.values()), clean).of("error")
        # The contained resource may be at fault by itself: here the reference to it must be.
        if "reference target" not in message.job.name or re.search(_WRONG, message.text, re.IGNORECASE)
    }
    listed = tomllib.loads(UNCAUGHT.read_text(encoding="utf-8"))["uncaught"]
    missed: dict[str, list[str]] = defaultdict(list)
    for what in proof.copies:
        if what.name not in caught:
            why = next((one["reason"] for one in listed if re.search(one["pattern"], what.name)), "")
            missed[why].append(what.name)
    _print(proof, caught, missed)
    return len(missed[""])


def _print(proof: Proof, caught: set[str], missed: dict[str, list[str]]) -> None:
    made = Counter(what.kind for what in proof.copies)
    found = Counter(what.kind for what in proof.copies if what.name in caught)
    lines = ["", f"BROKEN ON PURPOSE: {found.total()} of {made.total()} caught, of {len(proof.profiles)} profiles"]
    lines += [f"  {found[kind]:5} of {made[kind]:5} {kind}" for kind in made]
    lines.append(f"  not tried: {len(proof.unlisted)} required codes of systems that cannot be listed offline")
    for why, names in sorted(missed.items()):
        lines.append(f"  {len(names):5} not caught: {why}" if why else f"  MISSED WITHOUT A REASON ({len(names)})")
        lines += [f"        {name}" for name in names] if not why else []
    sys.stdout.write("\n".join(lines) + "\n")
