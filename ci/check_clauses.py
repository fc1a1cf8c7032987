# SPDX-License-Identifier: BSD-3-Clause
"""Every requirement on a server has a case, or a waiver that says why not, or is still open.

    check_clauses.py [ROOT]

Collects the cases as a run would, marks of parameters included, and compares what they cover with
the register. Prints a line for each requirement of subject server or both without case, waiver and
entry in the list of open ones, each case without a requirement, each id that the register does not
have, and each waiver or open entry that is not needed, and what catalogue.py says of the rows of
races, and exits 1; else says how many there are and exits 0. Needs the harness library
(`make all`). Waivers stand in cases/waivers.toml, at most MOST_WAIVERS:

    [[waiver]]
    id = "PROG-JSON-001"
    reason = "the sentence that says why no case can show it"

Open are requirements of the extension whose case is to come; they stand in EXTENSION itself, and
leave the list with their first case:

    [[open]]
    reason = "the sentence that says what the cases wait for"
    ids = ["VE-NEG-001", "VE-NEG-002"]
"""

from __future__ import annotations

import contextlib
import io
import sys
import tomllib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import catalogue
import pytest

MOST_WAIVERS = 9
SUBJECTS = ("server", "both")
REGISTER = "cases/requirements.toml"
EXTENSION = "cases/requirements-viommu.toml"
WAIVERS = "cases/waivers.toml"
KEYS = {"id", "reason"}
OPEN_KEYS = {"ids", "reason"}


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


def read_tables(path: Path, name: str) -> list[dict]:
    """The tables of that name in a file, none without it."""
    if not path.exists():
        return []
    return tomllib.loads(path.read_text(encoding="utf-8")).get(name, [])


def read_subjects(*paths: Path) -> dict[str, str]:
    """The subject of each requirement of a register, by id."""
    return {row["id"]: row["subject"] for path in paths for row in read_tables(path, "requirement")}


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


def open_problems(subjects: Mapping[str, str], taken: set[str],
                  tables: Sequence[dict]) -> list[str]:
    """What is wrong with the list of open requirements. subjects: of those that can be open; taken:
    ids with a case or a waiver."""
    found, told = [], set[str]()
    for table in tables:
        if table.keys() != OPEN_KEYS or not str(table.get("reason", "")).strip():
            found.append("open: a table needs ids and a reason, and nothing else")
        for name in table.get("ids", []):
            if subjects.get(name) not in SUBJECTS:
                found.append(f"open {name}: no requirement on a server that can be open")
            if name in taken:
                found.append(f"open {name}: not open any more, it has a case or a waiver")
            if name in told:
                found.append(f"open {name}: twice")
            told.add(name)
    return found


def problems(subjects: Mapping[str, str], covers: Mapping[str, tuple[str, ...]],
             waivers: Sequence[dict], still_open: Collection[str] = ()) -> list[str]:
    """What is missing or dangling. subjects: the subject of each requirement, by id; covers: ids
    by case; still_open: ids that need no case yet."""
    found = []
    for case, ids in covers.items():
        if not ids:
            found.append(f"case {case}: covers no requirement")
        found += [f"case {case}: {name}: no such requirement" for name in ids
                  if name not in subjects]
    covered = {name for ids in covers.values() for name in ids}
    spared = {waiver.get("id") for waiver in waivers}.union(still_open)
    found += [
        f"requirement {name}: no case and no waiver" for name, subject in subjects.items()
        if subject in SUBJECTS and name not in covered | spared
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
    extension = read_subjects(root / EXTENSION)
    subjects = read_subjects(root / REGISTER) | extension
    waivers, tables = read_tables(root / WAIVERS, "waiver"), read_tables(root / EXTENSION, "open")
    still_open = {name for table in tables for name in table.get("ids", [])}
    found = problems(subjects, covers, waivers, still_open)
    taken = {name for ids in covers.values() for name in ids} | {w.get("id") for w in waivers}
    found += open_problems(extension, taken, tables)
    if (root / catalogue.TABLE).exists():
        found += catalogue.problems(catalogue.read_rows(root / catalogue.TABLE), covers)
    for line in found:
        print(line)
    if not found:
        bound = sum(subject in SUBJECTS for subject in subjects.values())
        print(f"clauses: {bound} requirements, {len(covers)} cases, {len(waivers)} waivers, "
              f"{len(still_open)} open")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
