# SPDX-License-Identifier: BSD-3-Clause
"""Every row of the catalogue of races has a case that exists, or says why it has none.

The rows are those of the table in cases/viommu/README.md: a row's id, its claim, and the names of
the cases that prove it, without parameters, in backquotes; or the word "waived:" and the reason.
check_clauses.py asks problems().
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

TABLE = "cases/viommu/README.md"
ROWS = {"A": 22, "B": 29, "C": 11, "D": 17, "E": 30, "F": 16, "G": 21, "H": 7, "I": 18, "J": 15}
IDS = tuple(f"{letter}{number:02}" for letter, most in ROWS.items()
            for number in range(1, most + 1))
MOST_WAIVED = 2
ROW = re.compile(r"\| ([A-J]\d\d) \|.*\|([^|]*)\|$")
NAME = re.compile(r"`([^`]+)`")
WAIVED = re.compile(r"\s*waived:(.*)")
OWN = re.compile(r"viommu/\w+/([a-j]\d\d)_")

Row = tuple[str, list[str], str | None]


def read_rows(path: Path) -> list[Row]:
    """The rows of a table: id, the names of its cases, and why it has none; None: it is not
    waived."""
    rows = []
    for match in map(ROW.match, path.read_text(encoding="utf-8").splitlines()):
        if match:
            waived = WAIVED.match(match[2])
            rows.append((match[1], [] if waived else NAME.findall(match[2]),
                         waived[1].strip() if waived else None))
    return rows


def problems(rows: Iterable[Row], cases: Iterable[str], ids: Iterable[str] = IDS) -> list[str]:
    """What is missing or dangling. cases: ids of all cases, with their parameters."""
    names = {case.partition("[")[0] for case in cases}
    found, told, waived = [], dict[str, list[str]](), dict[str, str]()
    for row, proofs, reason in rows:
        if row in told:
            found.append(f"row {row}: twice")
        told[row] = proofs
        if reason is not None:
            waived[row] = reason
        found += [f"row {row}: {name}: no such case" for name in proofs if name not in names]
    found += [f"row {row}: no case" for row in ids if not told.get(row) and row not in waived]
    found += [f"row {row}: waived without a reason" for row, reason in waived.items() if not reason]
    found += [f"row {row}: no such row" for row in told if row not in set(ids)]
    if len(waived) > MOST_WAIVED:
        found.append(f"{len(waived)} rows are waived, {MOST_WAIVED} may be")
    return found + strangers(told, names)


def strangers(told: Mapping[str, list[str]], names: Iterable[str]) -> list[str]:
    """Cases that are named by a row that does not name them."""
    named = [(name, OWN.match(name)) for name in sorted(names)]
    return [f"case {name}: row {match[1].upper()} does not name it" for name, match in named
            if match and name not in told.get(match[1].upper(), ())]
