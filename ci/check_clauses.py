# SPDX-License-Identifier: BSD-3-Clause
"""Every requirement on a server has a case, or a waiver that says why not.

    check_clauses.py [ROOT]

Collects the cases as a run would, marks of parameters included, and compares what they cover with
the register. Prints a line for each requirement of subject server or both without case and
waiver, each case without a requirement, each id that the register does not have, and each
waiver that is not needed, and what catalogue.py says of the rows of races, and exits 1; else says
how many there are and exits 0. Needs the harness library (`make all`). Waivers stand in
cases/waivers.toml, at most MOST_WAIVERS:

    [[waiver]]
    id = "PROG-JSON-001"
    reason = "the sentence that says why no case can show it"
"""

from __future__ import annotations

import contextlib
import io
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import catalogue
import pytest

MOST_WAIVERS = 9
SUBJECTS = ("server", "both")
REGISTER = "cases/requirements.toml"
WAIVERS = "cases/waivers.toml"
KEYS = {"id", "reason"}


class Collector:
    """A plugin of pytest that keeps the collected cases."""

    def __init__(self) -> None:
        self.cases: list[Any] = []

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        from vuc.plugin import CASE

        self.cases = [item.stash[CASE] for item in session.items]


class CollectionError(RuntimeError):
    """The cases can not be collected; the message is what pytest says."""


def collected(root: Path) -> list[Any]:
    """The cases below ROOT/cases (vuc.marks.Case)."""
    harness = str(root / "harness")
    if harness not in sys.path:
        sys.path.insert(0, harness)
    collector, said = Collector(), io.StringIO()
    words = ["--collect-only", "--quiet", "-p", "vuc.plugin", "-c", str(root / ".pytest.ini"),
             f"--rootdir={root}", str(root / "cases")]
    with contextlib.redirect_stdout(said):
        status = pytest.main(words, plugins=[collector])
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        raise CollectionError(said.getvalue())
    return collector.cases


def read_subjects(path: Path) -> dict[str, str]:
    """The subject of each requirement of a register, by id."""
    rows = tomllib.loads(path.read_text(encoding="utf-8"))["requirement"]
    return {row["id"]: row["subject"] for row in rows}


def read_waivers(path: Path) -> list[dict]:
    """The waivers of a file, none without it."""
    if not path.exists():
        return []
    return tomllib.loads(path.read_text(encoding="utf-8")).get("waiver", [])


def waiver_problems(subjects: Mapping[str, str], covered: set[str],
                    waivers: Sequence[dict]) -> list[str]:
    """What is wrong with the waivers themselves."""
    found = []
    for waiver in waivers:
        name = waiver.get("id", "?")
        if waiver.keys() != KEYS or not str(waiver.get("reason", "")).strip():
            found.append(f"waiver {name}: needs an id and a reason, and nothing else")
        if name not in subjects:
            found.append(f"waiver {name}: no such requirement")
        elif subjects[name] not in SUBJECTS:
            found.append(f"waiver {name}: not needed, its subject is the {subjects[name]}")
        elif name in covered:
            found.append(f"waiver {name}: not needed, a case covers it")
    if len(waivers) > MOST_WAIVERS:
        found.append(f"{len(waivers)} waivers, {MOST_WAIVERS} are allowed")
    return found


def problems(subjects: Mapping[str, str], covers: Mapping[str, tuple[str, ...]],
             waivers: Sequence[dict]) -> list[str]:
    """What is missing or dangling. subjects: the subject of each requirement, by id; covers: ids
    by case."""
    found = []
    for case, ids in covers.items():
        if not ids:
            found.append(f"case {case}: covers no requirement")
        found += [f"case {case}: {name}: no such requirement" for name in ids
                  if name not in subjects]
    covered = {name for ids in covers.values() for name in ids}
    waived = {waiver.get("id") for waiver in waivers}
    found += [
        f"requirement {name}: no case and no waiver" for name, subject in subjects.items()
        if subject in SUBJECTS and name not in covered | waived
    ]
    return found + waiver_problems(subjects, covered, waivers)


def main(arguments: Sequence[str]) -> int:
    """Prints what is wrong with the tree; 0 or 1."""
    root = Path(arguments[0] if arguments else Path(__file__).parent.parent).resolve()
    try:
        covers = {case.id: case.requirements for case in collected(root)}
    except CollectionError as error:
        print(error)
        return 1
    subjects = read_subjects(root / REGISTER)
    waivers = read_waivers(root / WAIVERS)
    found = problems(subjects, covers, waivers)
    if (root / catalogue.TABLE).exists():
        found += catalogue.problems(catalogue.read_rows(root / catalogue.TABLE), covers)
    for line in found:
        print(line)
    if not found:
        bound = sum(subject in SUBJECTS for subject in subjects.values())
        print(f"clauses: {bound} requirements, {len(covers)} cases, {len(waivers)} waivers")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
