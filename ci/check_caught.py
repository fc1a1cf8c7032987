# SPDX-License-Identifier: BSD-3-Clause
"""Every test function with a case of level MUST was seen to fail; cases/caught.toml says on what.

    check_caught.py [ROOT]

Collects the cases as a run against the reference server would and compares them with the table.
Prints a line for each function that is missing, each that has no case of level MUST or is not
there, each fault that does not name the function, and each mutant whose place in the reference
server reads otherwise now, and exits 1; else says how many there are and exits 0. `make caught`
makes the table anew.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from check_clauses import CollectionError, collected

CAUGHT = "cases/caught.toml"
FAULTS = "reference-server/tests/faults.toml"
TARGET = "cases/targets/reference.toml"
MUTANT = re.compile(r"(?P<file>\w+\.c):(?P<owner>\w*): (?P<before>.+) -> .*?")
MOST_EXCUSED = 12


def read_caught(path: Path) -> tuple[dict[str, str], dict[str, str]]:
    """The tables [caught] and [not] of the file, empty without it."""
    tables = tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return tables.get("caught", {}), tables.get("not", {})


def fault_names(path: Path) -> dict[str, set[str]]:
    """The test functions that each fault names."""
    rows = tomllib.loads(path.read_text(encoding="utf-8"))["fault"]
    return {row["name"]: {case.partition("[")[0] for case in row["cases"]} for row in rows}


def must_functions(root: Path) -> set[str]:
    """The functions with a case of level MUST, as the reference server's target file reads."""
    cases = collected(root)
    from vuc.profile import load_profile

    readings = load_profile(root / TARGET).readings
    return {case.id.partition("[")[0] for case in cases if case.read_by(readings).level == "MUST"}


def source_problem(key: str, source: Path) -> str:
    """Why a mutant is none of these sources; empty if it is one."""
    parts = MUTANT.fullmatch(key)
    if parts is None:
        return "is no name of a mutant"
    path = source / parts["file"]
    text = " ".join(path.read_text(encoding="utf-8").split()) if path.exists() else ""
    # `before -> after` may hold more arrows, those of C; one of them parts the two.
    pieces = key.partition(f"{parts['owner']}: ")[2].split(" -> ")
    befores = (" -> ".join(pieces[:n]) for n in range(1, len(pieces)))
    if parts["owner"] in text and any(before in text for before in befores):
        return ""
    return "is not there in the reference server"


def problems(must: Iterable[str], tables: tuple[Mapping[str, str], Mapping[str, str]],
             faults: Mapping[str, set[str]], source: Path) -> list[str]:
    """What is missing or dangling. tables: [caught] and [not]; faults: functions by fault."""
    caught, excused = tables
    found = [f"{name}: has caught nothing" for name in sorted(set(must) - {*caught, *excused})]
    found += [f"{name}: no function with a case of level MUST"
              for name in sorted({*caught, *excused} - set(must))]
    found += [f"{name}: stands in [caught] and in [not]" for name in sorted({*caught} & {*excused})]
    found += [f"{name}: stands in [not] without a reason"
              for name, why in excused.items() if not why.strip()]
    for name, what in caught.items():
        word, _, rest = what.partition(" ")
        if word == "fault":
            if name not in faults.get(rest, ()):
                found.append(f"{name}: fault {rest} does not name it")
        elif word != "mutant":
            found.append(f"{name}: {what}: neither a fault nor a mutant")
        elif why := source_problem(rest, source):
            found.append(f"{name}: {rest}: {why}")
    if len(excused) > MOST_EXCUSED:
        found.append(f"{len(excused)} functions in [not], {MOST_EXCUSED} are allowed")
    return found


def main(arguments: Sequence[str]) -> int:
    """Prints what is wrong with the table; 0 or 1."""
    root = Path(arguments[0] if arguments else Path(__file__).parent.parent).resolve()
    try:
        must = must_functions(root)
    except CollectionError as error:
        print(error)
        return 1
    tables = read_caught(root / CAUGHT)
    found = problems(must, tables, fault_names(root / FAULTS), root / "reference-server")
    for line in found:
        print(line)
    if not found:
        by_fault = sum(what.startswith("fault ") for what in tables[0].values())
        print(f"caught: {len(must)} functions, {by_fault} by a fault, "
              f"{len(tables[0]) - by_fault} by a mutant, {len(tables[1])} by neither")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
