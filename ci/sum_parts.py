# SPDX-License-Identifier: BSD-3-Clause
"""Counts the results of the parts of `make test`.

    sum_parts.py DIRECTORY             table of the parts, failures, and the line of totals
    sum_parts.py --line DIRECTORY      the line of totals alone
    sum_parts.py --program STATUS XML...   judges one cmocka program by its results and exit status

DIRECTORY holds parts.tsv (part, exit status, seconds, budget) and one folder of JUnit files per
part. Exit status: 0 all passed, 1 something failed or ran nothing, 2 wrong usage. A part that
exits with a failure that no case shows, or that ran nothing, counts as one failure.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

# cmocka appends a whole document per group to one file, or to stderr between other text.
ROOT = re.compile(r"<(testsuites|testsuite)\b.*?</\1>", re.DOTALL)


@dataclass
class Count:
    """Cases by outcome; `failures` holds one (name, text) per failed case."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)

    @property
    def ran(self) -> int:
        return self.passed + self.failed + self.skipped

    def fail(self, name: str, text: str) -> None:
        self.failed += 1
        self.failures.append((name, text.strip()))

    def add(self, other: Count) -> None:
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.failures += other.failures

    def line(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def count_case(case: ElementTree.Element, file: str, count: Count) -> None:
    """Adds one <testcase>. An error (of a fixture, say) is a failure like any other."""
    name = f"{case.get('classname') or file}::{case.get('name')}"  # cmocka knows no class
    for element in case:
        if element.tag in ("failure", "error"):
            count.fail(name, element.text or element.get("message") or "")
            return
    if case.find("skipped") is not None:
        count.skipped += 1
    else:
        count.passed += 1


def count_text(text: str, name: str) -> Count:
    """Counts every document in a result file; one that cannot be read, or none, is a failure."""
    count = Count()
    documents = list(ROOT.finditer(text))
    if not documents:
        count.fail(name, "no results in this file")
    for document in documents:
        try:
            root = ElementTree.fromstring(document.group())
        except ElementTree.ParseError as error:
            count.fail(name, f"unreadable results: {error}")
            continue
        for case in root.iter("testcase"):
            count_case(case, name, count)
    return count


def count_files(paths: list[Path]) -> Count:
    """Counts several result files; bytes that are no UTF-8 (of a crash, say) do not stop it."""
    total = Count()
    for path in paths:
        total.add(count_text(path.read_text(encoding="utf-8", errors="replace"), path.name))
    return total


@dataclass
class Part:
    """One row of parts.tsv with what its result files say."""

    name: str
    status: int
    seconds: int
    budget: int
    count: Count


def read_part(directory: Path, row: str) -> Part:
    name, status, seconds, budget = row.split("\t")
    count = count_files(sorted((directory / name).glob("*.xml")))
    if count.ran == 0:
        count.fail(name, "this part ran nothing")
    elif int(status) != 0 and count.failed == 0:
        count.fail(name, f"this part exited with {status} though no case failed")
    return Part(name, int(status), int(seconds), int(budget), count)


def read_parts(directory: Path) -> list[Part]:
    """The parts in the order of the run; none at all when it did not come so far."""
    table = directory / "parts.tsv"
    if not table.exists():
        return []
    return [read_part(directory, row) for row in table.read_text(encoding="utf-8").splitlines()]


def sum_parts(parts: list[Part]) -> Count:
    """The totals; a run without a single part is a failure too."""
    total = Count()
    for part in parts:
        total.add(part.count)
    if not parts:
        total.fail("parts", "no part ran")
    return total


def table(parts: list[Part]) -> str:
    """Seconds and budgets side by side; `over` marks the part that took too long."""
    lines = [f"{'part':<14}{'passed':>8}{'failed':>8}{'skipped':>9}{'seconds':>9}{'budget':>8}"]
    for part in parts:
        count = part.count
        over = "  over" if part.seconds > part.budget else ""
        lines.append(
            f"{part.name:<14}{count.passed:>8}{count.failed:>8}{count.skipped:>9}"
            f"{part.seconds:>9}{part.budget:>8}{over}"
        )
    return "\n".join(lines)


def print_failures(count: Count) -> None:
    for name, text in count.failures:
        print(f"FAILED {name}")
        for line in text.splitlines()[-30:]:
            print(f"    {line}")


def judge_program(status: int, paths: list[Path]) -> int:
    """One cmocka program: prints failures; 1 if its files do not account for its exit status."""
    count = count_files(paths)
    print_failures(count)
    accounted = count.ran > 0 and (status == 0) == (count.failed == 0)
    return 0 if accounted else 1


def main(arguments: list[str]) -> int:
    match arguments:
        case ["--program", status, *paths] if status.isdigit():
            return judge_program(int(status), [Path(p) for p in paths if Path(p).exists()])
        case ["--line", directory]:
            total = sum_parts(read_parts(Path(directory)))
        case [directory] if not directory.startswith("-"):
            parts = read_parts(Path(directory))
            total = sum_parts(parts)
            print_failures(total)
            print(table(parts))
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    print(total.line())
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
