# SPDX-License-Identifier: BSD-3-Clause
"""Proves that includes and imports point one way, as ci/layers.txt says.

    check_layers.py [ROOT]

Prints one line per violation and exits 1, or says how many files it looked at and exits 0. A
folder of a flow that does not exist yet is no violation; a file in it that no flow names is.
"""

from __future__ import annotations

import ast
import os
import re
import sys
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)')

# Never linked into anything but its own program, so each flow may have one.
REPEATABLE = "main"


class BadLayers(Exception):
    """layers.txt itself cannot be read."""


@dataclass
class Layers:
    """layers.txt, read. `flows` maps a folder to its modules from left to right."""

    flows: dict[str, list[str]] = field(default_factory=dict)
    shared: dict[str, str] = field(default_factory=dict)
    system: list[str] = field(default_factory=list)
    library: dict[str, list[str]] = field(default_factory=dict)


@dataclass
class Place:
    """Where a file stands: its flow, and its module or None for a unit test (above them all)."""

    folder: str
    module: str | None

    @property
    def name(self) -> str:
        return f"{self.folder}/{self.module or 'tests'}"


def read_layers(text: str) -> Layers:
    """Parses layers.txt; raises BadLayers with the offending line."""
    layers = Layers()
    joined = re.sub(r"\n[ \t]+", " ", re.sub(r"^#.*$", "", text, flags=re.MULTILINE))
    for line in filter(None, map(str.strip, joined.splitlines())):
        head, colon, tail = line.partition(":")
        match [*head.split(), colon]:
            case ["flow", folder, ":"]:
                layers.flows[folder] = [m for m in re.split(r"\s*(?:,|->)\s*", tail.strip()) if m]
            case ["shared", ":"]:
                layers.shared |= {Path(name).stem: name for name in tail.split()}
            case ["system", ":"]:
                layers.system += tail.split()
            case ["library", header, ":"]:
                layers.library[header] = tail.split()
            case _:
                raise BadLayers(f"layers.txt: cannot read: {line}")
    return layers


def module_of(stem: str, modules: list[str]) -> str | None:
    """The module a file belongs to: its own name, or what stands before a `_` in it."""
    if stem in modules:
        return stem
    owners = [m for m in modules if stem.startswith(m + "_")]
    return max(owners, key=len, default=None)


class Checker:
    """Collects violations as `file:line: text` in `errors`."""

    def __init__(self, root: Path, layers: Layers):
        self.root = root
        self.layers = layers
        self.errors: list[str] = []
        self.checked = 0

    def error(self, path: Path, line: int, text: str) -> None:
        self.errors.append(f"{path.relative_to(self.root)}:{line}: {text}")

    def run(self) -> None:
        for folder in self.layers.flows:
            self.check_flow_files(folder)
        self.check_names()

    def check_flow_files(self, folder: str) -> None:
        for path in self.files(folder, "*.[ch]"):
            self.check_module(path, folder, self.check_includes)
        for path in self.files(f"{folder}/tests", "*.[ch]"):
            self.check_test(path, folder)
        if not self.files(folder, "*.[ch]"):
            for path in self.files(folder, "*.py"):
                if path.stem != "__init__":
                    self.check_module(path, folder, self.check_imports)

    def files(self, folder: str, pattern: str) -> list[Path]:
        return sorted((self.root / folder).glob(pattern))

    def check_module(self, path: Path, folder: str, check) -> None:
        self.checked += 1
        module = module_of(path.stem, self.layers.flows[folder])
        if module is None:
            self.error(path, 1, f"{path.name} stands in no flow of ci/layers.txt")
        else:
            check(path, Place(folder, module))

    def check_test(self, path: Path, folder: str) -> None:
        self.checked += 1
        subject = path.stem.removeprefix("test_")
        if path.suffix == ".c" and subject == path.stem:
            self.error(path, 1, "is never built: unit tests are named test_MODULE.c")
        elif path.suffix == ".c" and module_of(subject, self.layers.flows[folder]) is None:
            self.error(path, 1, f"is named after {subject}, which is no module of {folder}")
        self.check_includes(path, Place(folder, None))

    # --- C ------------------------------------------------------------------------------------

    def check_includes(self, path: Path, place: Place) -> None:
        lines = path.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines, 1):
            if not (found := INCLUDE.match(line)):
                continue
            quoted, angled = found.groups()
            if quoted and not self.is_library(quoted):
                problem = self.judge_quoted(path, quoted, place)
            else:
                problem = self.judge_angled(quoted or angled, place)
            if problem:
                self.error(path, number, problem)

    def is_library(self, header: str) -> bool:
        return any(fnmatch(header, pattern) for pattern in self.layers.library)

    def judge_angled(self, header: str, place: Place) -> str | None:
        if any(fnmatch(header, pattern) for pattern in self.layers.system):
            return None
        for pattern, users in self.layers.library.items():
            if fnmatch(header, pattern):
                allowed = place.name in users
                return None if allowed else f"<{header}> is open to {', '.join(users)} only"
        return f"<{header}> is neither the C library nor a library of ci/layers.txt"

    def judge_quoted(self, path: Path, header: str, place: Place) -> str | None:
        target = self.resolve(path, header, place.folder)
        if target is None:
            return f'"{header}" is no header of {place.folder}'
        folder = os.path.dirname(target)
        if folder == f"{place.folder}/tests" and place.module is None:
            return None
        if folder != place.folder and target not in self.layers.shared.values():
            return f"{place.name} includes {target}, which belongs to another flow"
        return self.judge_order(place, Path(target).stem, "includes")

    def resolve(self, path: Path, header: str, folder: str) -> str | None:
        """The included file relative to the root, found as the compiler would."""
        for base in (path.parent, self.root / folder, self.root / "harness", self.root):
            candidate = Path(os.path.normpath(base / header))
            if candidate.is_file() and candidate.is_relative_to(self.root):
                return str(candidate.relative_to(self.root))
        return None

    def judge_order(self, place: Place, stem: str, verb: str) -> str | None:
        modules = self.layers.flows[place.folder]
        module = module_of(stem, modules)
        if module is None:
            return f"{verb} {stem}, which stands in no flow of ci/layers.txt"
        if place.module is None or modules.index(module) <= modules.index(place.module):
            return None
        return f"{place.module} {verb} {stem}, which stands to the right of it"

    # --- Python -------------------------------------------------------------------------------

    def check_imports(self, path: Path, place: Place) -> None:
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        package = Path(place.folder).name
        for node in ast.walk(tree):
            for name in imported_modules(node, package):
                if name == "":
                    problem = f"imports the package {package} itself instead of one of its modules"
                else:
                    problem = self.judge_order(place, name, "imports")
                if problem:
                    self.error(path, node.lineno, problem)

    # --- names --------------------------------------------------------------------------------

    def check_names(self) -> None:
        """No two C files of the tree share a name, except x.h beside x.c; nor do Python tests."""
        seen: dict[str, Path] = {}
        folders = [f"{flow}{tests}" for flow in self.layers.flows for tests in ("", "/tests")]
        for folder in dict.fromkeys([*folders, "fuzz"]):
            for path in self.files(folder, "*.[ch]"):
                first = seen.setdefault(path.stem, path)
                if first.parent != path.parent and path.stem != REPEATABLE:
                    self.error(path, 1, f"shares its name with {first.relative_to(self.root)}")
        for path in sorted(self.root.glob("*/**/test_*.py")):
            if path.relative_to(self.root).parts[0] in ("build", ".git"):
                continue
            first = seen.setdefault(path.name, path)
            if first != path:
                self.error(path, 1, f"shares its name with {first.relative_to(self.root)}")


def imported_modules(node: ast.AST, package: str) -> list[str]:
    """The modules of `package` that an import statement names; "" stands for the package."""
    if isinstance(node, ast.Import):
        parts = [alias.name.split(".") for alias in node.names]
        return [p[1] if len(p) > 1 else "" for p in parts if p[0] == package]
    if not isinstance(node, ast.ImportFrom):
        return []
    module = node.module or ""
    if node.level == 0:
        if module.split(".")[0] != package:
            return []
        module = module.partition(".")[2]
    return [module.split(".")[0]] if module else [alias.name for alias in node.names]


def main(arguments: list[str]) -> int:
    here = Path(__file__).resolve().parent
    root = Path(arguments[0]).resolve() if arguments else here.parent
    try:
        layers = read_layers((root / "ci/layers.txt").read_text(encoding="utf-8"))
    except BadLayers as error:
        print(error)
        return 1
    checker = Checker(root, layers)
    checker.run()
    for line in checker.errors:
        print(line)
    if not checker.errors:
        print(f"layers: {checker.checked} files, every include and import points left")
    return 1 if checker.errors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
