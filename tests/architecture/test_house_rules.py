"""House rules that a linter cannot say: what may be used where, sizes, and no drug in the code."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from service.catalog.registry import HOME
from tests.conftest import SECOND_POLICY

SERVICE: Final = HOME / "service"
FILES: Final = sorted(path for path in SERVICE.rglob("*.py"))
NAMES: Final = [path.relative_to(HOME).as_posix() for path in FILES]

# Names that reach outside -> the files that may use them, each for the reason beside it.
ALLOWED: Final[dict[str, dict[str, str]]] = {
    "datetime.now": {"service/ports.py": "the one Clock"},
    "date.today": {},
    "time.time": {},
    "uuid.uuid4": {"service/ports.py": "the one Ids"},
    "os.environ": {},
    "os.getenv": {},
    "print": {"service/__main__.py": "the command line speaks to a person"},
}
FORBIDDEN_FILES: Final = {"utils", "helpers", "common", "base", "manager", "misc"}
MOST_LINES, MOST_FUNCTION_LINES, MOST_PARAMETERS = 400, 60, 6


def calls(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield f"{node.value.id}.{node.attr}"


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_a_module_keeps_the_house_rules(path: Path) -> None:
    name = path.relative_to(HOME).as_posix()
    source = path.read_text()
    tree = ast.parse(source)
    broken = [f"uses {call}" for call in set(calls(tree)) if call in ALLOWED and name not in ALLOWED[call]]
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and _catches_everything(node):
            broken.append(f"line {node.lineno}: catches everything")
        if isinstance(node, ast.Call) and _logs_a_composed_message(node):
            broken.append(f"line {node.lineno}: a log message is fixed text")
    for function in functions(tree):
        lines = (function.end_lineno or function.lineno) - function.lineno + 1
        if lines > MOST_FUNCTION_LINES:
            broken.append(f"{function.name} has {lines} lines")
    if len(source.splitlines()) > MOST_LINES:
        broken.append("is too long")
    if path.stem in FORBIDDEN_FILES:
        broken.append("has a name that says nothing")
    if not ast.get_docstring(tree):
        broken.append("does not say what it is")
    assert broken == []


def _catches_everything(node: ast.ExceptHandler) -> bool:
    everything = node.type is None or (
        isinstance(node.type, ast.Name) and node.type.id in {"Exception", "BaseException"}
    )
    last = node.body[-1]
    return everything and not (isinstance(last, ast.Raise) and last.exc is None)


def _logs_a_composed_message(node: ast.Call) -> bool:
    function = node.func
    if not (
        isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) and function.value.id == "_log"
    ):
        return False
    return not node.args or not isinstance(node.args[0], ast.Constant) or len(node.args) > 1


def drug_words(root: Path) -> set[str]:
    """Every name and code of the drugs in a folder's manifests."""

    words: set[str] = set()
    for manifest in (root / "policies").glob("*.toml"):
        content = tomllib.loads(manifest.read_text())
        drug = content["drug"]
        for key in ("names", "hcpcs", "ndc", "rxnorm"):
            words |= {str(word).casefold() for word in drug.get(key, ())}
        words |= {content["id"].casefold(), content["document"].casefold()}
        words |= {str(code).replace("-", "") for code in drug.get("ndc", ())}
    return words


@pytest.mark.parametrize("root", [HOME, SECOND_POLICY], ids=["ours", "second"])
def test_the_drug_is_data_alone(root: Path) -> None:
    words = drug_words(root)
    assert words
    found = [
        f"{path.relative_to(HOME)}: {word}"
        for path in SERVICE.rglob("*")
        if path.is_file()
        and path.suffix in {".py", ".js", ".html", ".toml", ".css"}
        and not path.is_relative_to(SERVICE / "demo")
        and not path.is_relative_to(SERVICE / "_assets")
        for word in words
        if re.search(rf"(?<![a-z0-9]){re.escape(word)}(?![a-z0-9])", path.read_text().casefold())
    ]
    assert found == []


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=HOME, capture_output=True, check=True).stdout.decode()
    return [HOME / name for name in listed.split("\0") if name and (HOME / name).is_file()]


def test_no_file_names_a_package_registry_or_a_machine() -> None:
    registries = ("registry.npm" + "js.org", "files.python" + "hosted.org", "pypi" + ".org", "repo1.maven" + ".org")
    machine = re.compile(r"(?<![\w./-])/(work|root|home)/\w")
    found = []
    for path in tracked():
        try:
            content = path.read_text()
        except UnicodeDecodeError:
            continue
        found += [f"{path.name}: {registry}" for registry in registries if registry in content]
        if machine.search(content):
            found.append(f"{path.name}: a path of one machine")
        if path.name == "package-lock.json" and '"resolved"' in content:
            found.append("the npm lock file records addresses")
    assert found == []


def test_the_lock_file_pins_what_the_project_declares() -> None:

    project = tomllib.loads((HOME / "pyproject.toml").read_text())["project"]
    declared = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    pinned = {
        re.sub(r"[-_.]+", "-", name).lower(): version
        for name, _, version in (line.partition("==") for line in (HOME / "requirements.lock").read_text().split())
    }
    for requirement in declared:
        name, _, version = re.sub(r"\[.*?\]", "", requirement).partition("==")
        assert pinned.get(re.sub(r"[-_.]+", "-", name).lower()) == version, requirement
