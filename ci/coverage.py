# SPDX-License-Identifier: BSD-3-Clause
"""How much of reference-server/ the cases reach by themselves; `make coverage` runs it.

Runs all cases against build/vuc-server-cov, whose counters are in files from the start, so that a
server which is killed counts as well. Prints lines and branches by file, and the functions that
have lines left over with the reason that ci/uncovered.toml gives. Code behind `if (fault_on(...))`
is left out: only the faulty build has it. Ends with 1 below a floor, for a case that fails, and for
a function without a reason. build/report/coverage/ gets coverage.json and html/index.html.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SERVER = ROOT / "build/vuc-server-cov"
TARGET = "cases/targets/reference.toml"
OUT = ROOT / "build/report/coverage"
SOURCES = "reference-server/"
FLOORS = {"lines": 95.0, "branches": 85.0}  # percent
FAULT = re.compile(r"(?<!!)\bfault_on\(")
CODE = 0  # the kind of a region


@dataclass
class File:
    """One source file: counts by line, outcomes of branches by line, spans of its functions."""

    lines: dict[int, int] = field(default_factory=dict)
    branches: list[tuple[int, bool]] = field(default_factory=list)
    functions: list[tuple[int, int, str]] = field(default_factory=list)

    def leave_out(self, lines: set[int]) -> None:
        """Forget lines that were never executed, and their branches."""
        lines = {line for line in lines if not self.lines.get(line, 1)}
        self.lines = {line: count for line, count in self.lines.items() if line not in lines}
        self.branches = [one for one in self.branches if one[0] not in lines]

    def function_of(self, line: int) -> str:
        """The name of the function that the line is in."""
        return next((name for first, last, name in self.functions if first <= line <= last), "")

    def figures(self) -> dict[str, int]:
        """How many lines and branches there are, and were reached."""
        return {
            "lines": len(self.lines), "lines_reached": sum(map(bool, self.lines.values())),
            "branches": len(self.branches),
            "branches_reached": sum(taken for _, taken in self.branches),
        }

    def left_over(self) -> dict[str, list[int]]:
        """The lines that were not reached, by function."""
        found: dict[str, list[int]] = defaultdict(list)
        for line, count in sorted(self.lines.items()):
            if not count:
                found[self.function_of(line)].append(line)
        return found


def run_cases() -> int:
    """Runs the cases; what pytest says."""
    words = [sys.executable, "-m", "pytest", "-p", "vuc.plugin", "cases", f"--target={TARGET}",
             f"--server={SERVER} --socket-path={{socket}}", "--level=all", "-n", "2", "-q",
             f"--report-dir={OUT}"]
    env = {**os.environ, "PYTHONPATH": str(ROOT / "harness"),
           "LLVM_PROFILE_FILE": str(OUT / "profiles/%c%p.profraw")}
    return subprocess.run(words, cwd=ROOT, env=env, check=False).returncode


def llvm_cov(command: str, *words: str) -> str:
    """What llvm-cov prints about the server and the profile of all its processes."""
    words = ("llvm-cov", command, str(SERVER), f"-instr-profile={OUT / 'all.profdata'}", *words)
    return subprocess.run(words, cwd=ROOT, check=True, text=True, stdout=subprocess.PIPE).stdout


def merge() -> None:
    """Makes one profile of those of all processes."""
    profiles = map(str, (OUT / "profiles").iterdir())
    subprocess.run(["llvm-profdata", "merge", "-sparse", "-o", OUT / "all.profdata", *profiles],
                   cwd=ROOT, check=True)
    shutil.rmtree(OUT / "profiles")


def read_lcov(text: str) -> dict[str, File]:
    """The counts of the sources, from lcov's format."""
    files: dict[str, File] = {}
    for row in text.splitlines():
        key, _, value = row.partition(":")
        if key == "SF":
            name = os.path.relpath(ROOT / value, ROOT)
            now = files.setdefault(name, File()) if name.startswith(SOURCES) else File()
        elif key == "DA":
            line, count = value.split(",")[:2]
            now.lines[int(line)] = int(count)
        elif key == "BRDA":
            line, _, _, taken = value.split(",")
            now.branches.append((int(line), taken not in ("-", "0")))
    return {name: one for name, one in files.items() if name.endswith(".c")}


def is_fault(text: str, starts: list[int], line: int, column: int) -> bool:
    """Does the code at this place depend on a fault? Looks at what stands before it in its
    statement."""
    at = starts[line - 1] + column - 1
    begin = max(text.rfind(mark, 0, at) for mark in ";{}")
    if text[begin : at].strip() == "{":
        begin = max(text.rfind(mark, 0, begin) for mark in ";{}")
    return bool(FAULT.search(text, begin + 1, at))


def read_functions(files: dict[str, File]) -> None:
    """Fills in the functions, and takes out what only the faulty build has."""
    data = json.loads(llvm_cov("export", "-format=text"))["data"][0]
    behind: dict[str, set[int]] = defaultdict(set)
    for function in data["functions"]:
        name = os.path.relpath(ROOT / function["filenames"][0], ROOT)
        if name not in files:
            continue
        regions = [region for region in function["regions"] if region[5] == 0]
        first, last = regions[0][0], regions[0][2]
        files[name].functions.append((first, last, function["name"].rpartition(":")[2]))
        text = (ROOT / name).read_text(encoding="utf-8")
        starts = [0, *(match.end() for match in re.finditer("\n", text))]
        for line, column, end, _, count, *_, kind in regions:
            if kind == CODE and not count and is_fault(text, starts, line, column):
                behind[name].update(range(line, end + 1))
    for name, one in files.items():
        # What a macro that makes no code of its own stands in is not in any function.
        one.lines = {line: n for line, n in one.lines.items() if one.function_of(line)}
        one.leave_out(behind[name])


def percent(reached: int, number: int) -> float:
    return 100.0 * reached / number if number else 100.0


def print_figures(files: dict[str, File]) -> dict[str, float]:
    """The table; the percentages over all files."""
    print(f"\n{'file':<40} {'lines':>6} {'missed':>6} {'reached':>8}"
          f" {'branches':>9} {'missed':>6} {'reached':>8}")
    total: dict[str, int] = defaultdict(int)
    for name, one in [*sorted(files.items()), ("total", None)]:
        figures = dict(total) if one is None else one.figures()
        for key, value in figures.items() if one else ():
            total[key] += value
        cells = []
        for what, width in (("lines", 6), ("branches", 9)):
            number, reached = figures[what], figures[what + "_reached"]
            share = f"{percent(reached, number):.2f}%"
            cells.append(f"{number:>{width}} {number - reached:>6} {share:>8}")
        print(f"{name:<40} {' '.join(cells)}")
    return {what: percent(total[what + "_reached"], total[what]) for what in FLOORS}


def print_reasons(files: dict[str, File]) -> list[str]:
    """What was not reached, and why; the functions without a reason."""
    rows = tomllib.loads((ROOT / "ci/uncovered.toml").read_text(encoding="utf-8"))["uncovered"]
    reasons = {(row["file"], function): row["reason"] for row in rows
               for function in row["functions"]}
    found = {(name.removeprefix(SOURCES), function): lines for name, one in sorted(files.items())
             for function, lines in one.left_over().items()}
    print("\nnot reached:")
    for place, lines in found.items():
        where = f"{place[0]}:{','.join(map(str, lines))}"
        print(f"  {place[1]:<28} {reasons.get(place, 'NO REASON')}\n    {where}")
    for file, function in sorted(reasons.keys() - found.keys()):
        print(f"  {function:<28} was reached in this run; by chance, or for good? ({file})")
    return [f"{function} ({file}): no reason in ci/uncovered.toml"
            for file, function in found.keys() - reasons.keys()]


def write(files: dict[str, File], reached: dict[str, float]) -> None:
    """coverage.json and the pages."""
    table = {name: {**one.figures(), "not_reached": one.left_over()}
             for name, one in sorted(files.items())}
    text = json.dumps({"reached": reached, "floors": FLOORS, "files": table}, indent=1)
    (OUT / "coverage.json").write_text(text + "\n", encoding="utf-8")
    llvm_cov("show", "-format=html", f"-output-dir={OUT / 'html'}", "-show-branches=count")


def main() -> int:
    """Everything, in order; the exit code."""
    shutil.rmtree(OUT, ignore_errors=True)
    (OUT / "profiles").mkdir(parents=True)
    wrong = ["a case failed"] if run_cases() else []
    merge()
    files = read_lcov(llvm_cov("export", "-format=lcov"))
    read_functions(files)
    reached = print_figures(files)
    wrong += print_reasons(files)
    write(files, reached)
    wrong += [f"{what}: {reached[what]:.2f} %, the floor is {floor:g} %"
              for what, floor in FLOORS.items() if reached[what] < floor]
    print(f"\nreport: {OUT.relative_to(ROOT)}/html/index.html, coverage.json")
    for one in wrong:
        print(f"coverage: {one}")
    print(f"coverage: {reached['lines']:.2f} % of lines, {reached['branches']:.2f} % of branches")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
