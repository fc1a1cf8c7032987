# SPDX-License-Identifier: BSD-3-Clause
"""The grid of wrong shapes (cases/wrong.py) has no hole that nobody knows of.

Run with -s, or look at a failure, to see the whole table: commands times kinds of being wrong, and
for each empty cell why it is empty.
"""

import re
import sys
from collections import Counter
from pathlib import Path

from vuc.register import FEATURES, register
from vuc.schema import COMMANDS, Role
from vuc.session import OUTCOMES

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "cases"))

import wrong  # noqa: E402 - the path comes first

SHAPES = wrong.select() + wrong.select(version=True)
KINDS = [kind.__name__ for kind in wrong.KINDS]
WORDS = re.compile(r"[a-z][a-z0-9_]*(-[a-z0-9]+)+")
LEAST = 300  # shapes
# Fields with no shape of their own, and where they are wrong.
ELSEWHERE = {
    "VERSION.major": "cases/test_version.py",
    "VERSION.minor": "cases/test_version.py",
    "MIG_DATA_READ.argsz": "only while the device is saved",
    "MIG_DATA_READ.size": "only while the device is saved",
    "MIG_DATA_WRITE.argsz": "only while the device is restored",
    "MIG_DATA_WRITE.size": "only while the device is restored",
}


def table():
    """The grid as text, and the reasons for its empty cells."""
    lines = [f"{'command':<26}" + "".join(f"{kind:>12}" for kind in KINDS)]
    reasons = []
    for row in wrong.ROWS:
        cells = [wrong.GRID[row.name, kind] for kind in KINDS]
        lines.append(f"{row.name:<26}" + "".join(
            f"{'.' if isinstance(cell, str) else len(cell):>12}" for cell in cells))
        reasons += [f"  {row.name} {kind}: {cell}" for kind, cell in zip(KINDS, cells)
                    if isinstance(cell, str)]
    return "\n".join([*lines, f"{len(SHAPES)} shapes; empty because:", *reasons])


def test_each_cell_has_shapes_or_a_reason_why_it_is_empty():
    print(table())
    commands = {name for name, row in COMMANDS.items() if not row.to_client}
    assert {name for name, _ in wrong.GRID} == commands
    assert len(wrong.GRID) == len(commands) * len(KINDS)
    for place, cell in wrong.GRID.items():
        assert cell, f"{place}: neither shapes nor a reason"
    assert len(SHAPES) >= LEAST


def test_ids_are_words_and_each_stands_for_one_shape():
    count = Counter(shape.id for shape in SHAPES)
    assert [name for name in count if count[name] > 1] == []
    assert [name for name in count if not WORDS.fullmatch(name)] == []


def test_each_shape_names_what_it_proves_and_what_is_permitted():
    for shape in SHAPES:
        assert shape.covers and all(name in register() for name in shape.covers), shape.id
        assert shape.outcomes and set(shape.outcomes) <= set(OUTCOMES), shape.id
        assert all(name in FEATURES for name in wrong.needs_of(shape)), shape.id


def test_outcomes_of_a_must_are_not_wide():
    # A MUST is about a refusal, or permits what its check lists.
    wide = {shape.covers[0] for shape in SHAPES
            if register()[shape.covers[0]].level == "MUST" and shape.outcomes != wrong.REFUSED}
    assert wide == set()


def test_every_field_of_every_request_is_wrong_somewhere():
    # In a shape whose name has the word of its role, or the name of the field.
    words = {Role.ARGSZ: "argsz", Role.RESERVED: "reserved", Role.FLAGS: "flag"}
    missing = []
    for row in wrong.ROWS:
        names = [shape.name for shape in SHAPES
                 if shape.command == row.name and not shape.name.startswith("cut-")]
        missing += [
            f"{row.name}.{one.name}" for one in row.request.values()
            if one.width and not any(words.get(one.role, one.name.replace("_", "-")) in name
                                     for name in names)
        ]
    assert sorted(missing) == sorted(ELSEWHERE)
