# SPDX-License-Identifier: BSD-3-Clause
"""Builds servers below build/mutation/, with sanitizers or without: the ordinary one, and one for
each mutant, of which only the mutated file is compiled. Reads what the server that counts (make
coverage) has counted. Keeps what was found out for as long as it is good.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import subprocess
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from mutants import Mutant

ASIDE = ("main", "log", "clock", "crc", "fault")  # files that are no part of the protocol
STANDARD = ["-std=c11", "-D_GNU_SOURCE", "-pthread"]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
COUNTING = "build/vuc-server-cov"
BESIDE = 2  # processes side by side


def digest(paths: Iterable[Path]) -> str:
    """Of the contents of files, with their names."""
    total = hashlib.sha256()
    for path in sorted(paths):
        total.update(f"{path.name}\0".encode() + path.read_bytes())
    return total.hexdigest()


def run(words: list) -> None:
    """CalledProcessError, with what the command said, when it fails."""
    subprocess.run(words, check=True, capture_output=True)


class Build:
    """The servers of one tree. Everything it makes is below ROOT/build/mutation."""

    def __init__(self, root: Path, sanitized: bool = False):
        self.root, self.sanitized = root, sanitized
        self.sanitizers = SANITIZERS if sanitized else []
        self.source = root / "reference-server"
        self.folder = root / "build" / "mutation"
        self.flags = [*STANDARD, f"-I{self.source}", f"-I{root / 'harness'}"]
        self.compiler = shlex.split(os.environ.get("CC", "cc"))
        self.libraries = subprocess.run(["pkg-config", "--libs", "json-c"], check=True, text=True,
                                        capture_output=True).stdout.split()
        self.digest = digest([*self.source.glob("*.[ch]"), *(root / "harness").glob("wire*.h")])

    @property
    def protocol(self) -> list[str]:
        """Names of the files that are mutated."""
        return sorted(p.name for p in self.source.glob("*.c") if p.stem not in ASIDE)

    @property
    def common(self) -> str:
        """A digest of what all cases depend on, but for the server."""
        parts = ("cases/targets/reference.toml", "harness/*.[ch]", "harness/vuc/*.py")
        shared = [path for part in parts for path in self.root.glob(part)]
        cases = [*self.root.glob("cases/*.py"), *self.root.glob("cases/*/*.py")]
        return digest([*shared, *(p for p in cases if not p.name.startswith("test_"))])

    @property
    def cases(self) -> dict[str, str]:
        """The digest of each file of cases by the word that its ids begin with."""
        folders = {path.name: digest(path.glob("*.py"))
                   for path in self.root.glob("cases/*") if path.is_dir()}
        return folders | {path.stem.removeprefix("test_"): digest([path])
                          for path in self.root.glob("cases/test_*.py")}

    def object(self, name: str) -> Path:
        return self.folder / ("sanitized" if self.sanitized else "ordinary") / f"{name}.o"

    @property
    def server(self) -> Path:
        """The server as it is, once ordinary() has made it."""
        return self.object("").parent / "server"

    def compile(self, source: Path, target: Path) -> None:
        run([*self.compiler, *self.flags, *self.sanitizers, "-O1", "-w", "-c", source, "-o",
             target])

    def link(self, objects: Iterable[Path], target: Path) -> Path:
        run([*self.compiler, *self.sanitizers, "-pthread", *objects, *self.libraries, "-o", target])
        return target

    def ordinary(self) -> Path:
        """The server as it is, with an object for each file; made when a source has changed."""
        folder = self.server.parent
        folder.mkdir(parents=True, exist_ok=True)
        made, now = folder / "made-from", f"{self.compiler} {self.digest}"
        if made.exists() and made.read_text(encoding="utf-8") == now:
            return self.server
        files = sorted(self.source.glob("*.c"))
        with ThreadPoolExecutor(BESIDE) as pool:
            list(pool.map(lambda path: self.compile(path, self.object(path.name)), files))
        server = self.link([self.object(path.name) for path in files], self.server)
        made.write_text(now, encoding="utf-8")
        return server

    def mutated(self, mutant: Mutant, folder: Path) -> tuple[Path | None, bool]:
        """The server with the mutant, made in that folder; None if it does not compile. Whether it
        is the same machine code as without."""
        folder.mkdir(parents=True, exist_ok=True)
        source, target = folder / mutant.file, folder / f"{mutant.file}.o"
        source.write_bytes(mutant.applied((self.source / mutant.file).read_bytes()))
        try:
            self.compile(source, target)
        except subprocess.CalledProcessError:
            return None, False
        same = target.read_bytes() == self.object(mutant.file).read_bytes()
        others = [self.object(path.name) for path in self.source.glob("*.c")
                  if path.name != mutant.file]
        return self.link([target, *others], folder / "server"), same

    def counted(self, folder: Path) -> dict[str, dict[int, int]]:
        """How often the lines of each file were executed, by the counters that servers left in
        that folder; only what was."""
        raw = [path for path in folder.glob("*.profraw") if path.stat().st_size]
        if not raw:
            return {}
        merged = folder / "merged"
        run(["llvm-profdata", "merge", "-sparse", *raw, "-o", merged])
        words = ["llvm-cov", "export", "-format=lcov", f"-instr-profile={merged}",
                 self.root / COUNTING]
        text = subprocess.run(words, check=True, text=True, capture_output=True).stdout
        lines: dict[str, dict[int, int]] = {}
        for row in text.splitlines():
            kind, _, rest = row.partition(":")
            if kind == "SF":
                file = lines.setdefault(Path(rest).name, {})
            elif kind == "DA":
                number, count = map(int, rest.split(",")[:2])
                if count:
                    file[number] = count
        return {name: counts for name, counts in lines.items() if counts}


class Kept:
    """What was found out about test functions, in a JSON file: good as long as `key` and the files
    of the functions stay the same. value is None at first."""

    def __init__(self, path: Path, key: str, files: dict[str, str]):
        self.path, self.key, self.files = path, key, files
        self.value: Any = None
        self.good: set[str] = set()
        if path.exists():
            row = json.loads(path.read_text(encoding="utf-8"))
            if row["key"] == key:
                self.value = row["value"]
                self.good = {name for name, of in row["files"].items() if files.get(name) == of}

    def holds(self, function: str) -> bool:
        """Is what was found out about that function good?"""
        return function.partition("/")[0] in self.good

    def put(self, value: object) -> Any:
        """Keeps a value, good for all files as they are; returns it as JSON has it."""
        text = json.dumps({"key": self.key, "files": self.files, "value": value})
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(text, encoding="utf-8")
        self.value = json.loads(text)["value"]
        return self.value
