# SPDX-License-Identifier: BSD-3-Clause
"""Every row of the catalogue of races has a case that exists.

The rows are those of the table in cases/viommu/README.md: a row's id, its claim, and the names of
the cases that prove it, without parameters, in backquotes. check_clauses.py asks problems().
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

TABLE = "cases/viommu/README.md"
ROWS = {
    "A": range(1, 23),
    "B": range(1, 30),
    "C": range(1, 10),
    "D": range(1, 18),
    "E": (*range(1, 25), *range(26, 31)),
    "F": (*range(1, 14), 15, 16),
    "G": range(1, 22),
    "H": range(1, 8),
    "I": (*range(1, 8), *range(9, 18)),
    "J": range(1, 16),
}
IDS = tuple(f"{letter}{number:02}" for letter, numbers in ROWS.items() for number in numbers)
ROW = re.compile(r"\| ([A-J]\d\d) \|.*\|([^|]*)\|$")
NAME = re.compile(r"`([^`]+)`")
OWN = re.compile(r"viommu/\w+/([a-j]\d\d)_")


def read_rows(path: Path) -> list[tuple[str, list[str]]]:
    """The rows of a table: id, and the names of its cases."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [(row[1], NAME.findall(row[2])) for row in map(ROW.match, lines) if row]


def problems(rows: Iterable[tuple[str, list[str]]], cases: Iterable[str],
             ids: Iterable[str] = IDS) -> list[str]:
    """What is missing or dangling. cases: ids of all cases, with their parameters."""
    names = {case.partition("[")[0] for case in cases}
    found, told = [], dict[str, list[str]]()
    for row, proofs in rows:
        if row in told:
            found.append(f"row {row}: twice")
        told[row] = proofs
        found += [f"row {row}: {name}: no such case" for name in proofs if name not in names]
    found += [f"row {row}: no case" for row in ids if not told.get(row)]
    found += [f"row {row}: no such row" for row in told if row not in set(ids)]
    return found + strangers(told, names)


def strangers(told: Mapping[str, list[str]], names: Iterable[str]) -> list[str]:
    """Cases that are named by a row that does not name them."""
    named = [(name, OWN.match(name)) for name in sorted(names)]
    return [f"case {name}: row {match[1].upper()} does not name it" for name, match in named
            if match and name not in told.get(match[1].upper(), ())]
