# SPDX-License-Identifier: BSD-3-Clause
"""The marks of a case, and the case that they describe.

`@covers("DMA-MAP-005", ...)`: ids of the register, the first gives the level and the area. A
parameter may bring its own (pytest.param(..., marks=covers(...))), which come before those of the
function; without ids on the function every parameter must have some.
`@needs("dma_maps", ...)`: features without which the case is skipped (register.FEATURES).
`@reading("D1", ...)`: the case asserts the strict reading of these ambiguities
(register.READINGS). Where the target file calls all of them strict, its failures are those of a
MUST; else those of an UNSPECIFIED requirement: they show in the report.
`@in_each_dialect`: what the case needs of the vIOMMU extension its poc dialect has as well.
`@hostile`: run last, and with a new server for the next case.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import pytest

from .register import FEATURES, READINGS, STRICT, Register

covers = pytest.mark.covers
needs = pytest.mark.needs
reading = pytest.mark.reading
in_each_dialect = pytest.mark.in_each_dialect
hostile = pytest.mark.hostile

CASES = "cases"  # the folder of all cases
MARKS = (
    "covers(*ids): requirements of the register that the case proves, the first gives its level",
    "needs(*features): what must be there for the case to run (vuc.register.FEATURES)",
    "reading(*names): strict readings that the case asserts (vuc.register.READINGS)",
    "in_each_dialect: runs where the poc dialect of the vIOMMU extension is spoken, too",
    "hostile: runs last and gets the next case a new server",
)


class MarkError(ValueError):
    """A case is marked wrongly; the message says how."""


@dataclass(frozen=True)
class Case:
    """One case as the marks describe it. `id` is its name in reports and known failures."""

    id: str
    nodeid: str
    requirements: tuple[str, ...]
    level: str
    area: str
    needs: tuple[str, ...]
    hostile: bool
    readings: tuple[str, ...] = ()

    def read_by(self, chosen: Mapping[str, str]) -> Case:
        """The case with the level that these choices (reading: strict or lenient) give it."""
        if not self.readings:
            return self
        strict = all(chosen.get(name) == STRICT for name in self.readings)
        return replace(self, level="MUST" if strict else "UNSPECIFIED")

    def level_of(self, requirement: str) -> str:
        """The level that a failure which blames the requirement has by a reading; "" = its own."""
        return self.level if self.readings and requirement in self.requirements else ""


def _words(name: str, *groups: Iterable[pytest.Mark]) -> tuple[str, ...]:
    """The arguments of all marks of a name, in the order of the groups, each once."""
    return tuple(dict.fromkeys(
        word for marks in groups for mark in marks if mark.name == name for word in mark.args
    ))


def _parameter_marks(node: pytest.Item) -> list[list[pytest.Mark]]:
    """The marks that the parameters of a function bring, parameter by parameter."""
    return [
        [getattr(mark, "mark", mark) for mark in getattr(values, "marks", ())]
        for one in node.iter_markers("parametrize")
        for values in (one.args[1] if isinstance(one.args[1], (list, tuple)) else ())
    ]


def check_marks(node: pytest.Item, register: Register) -> None:
    """Raises MarkError when the marks of a test function make no case."""
    own, parameters = list(node.iter_markers()), _parameter_marks(node)
    everywhere = bool(parameters) and all(_words("covers", marks) for marks in parameters)
    if not _words("covers", own) and not everywhere:
        raise MarkError(f"{node.name}: a case must say what it @covers")
    for requirement in _words("covers", own, *parameters):
        if requirement not in register:
            raise MarkError(f"{node.name}: @covers({requirement!r}): no such requirement")
    for feature in _words("needs", own, *parameters):
        if feature not in FEATURES:
            raise MarkError(f"{node.name}: @needs({feature!r}): no such feature")
    for name in _words("reading", own, *parameters):
        if name not in READINGS:
            raise MarkError(f"{node.name}: @reading({name!r}): no such reading")


def case_id(item: pytest.Item) -> str:
    """cases/test_dma_map.py::test_map[a] is the case dma_map/map[a]; folders below cases come
    first: cases/viommu/test_storm.py::test_x is viommu/storm/x."""
    folders = item.path.parent.parts
    below = folders[len(folders) - folders[::-1].index(CASES) :] if CASES in folders else ()
    file = item.path.stem.removeprefix("test_")
    return "/".join((*below, file, item.name.removeprefix("test_")))


def case_of(item: pytest.Item, register: Register) -> Case:
    """The case behind a collected item whose marks have been checked."""
    parameter = item.callspec.marks if hasattr(item, "callspec") else []
    marks = ([getattr(mark, "mark", mark) for mark in parameter], list(item.iter_markers()))
    ids = _words("covers", *marks)
    first = register[ids[0]]
    needed = _words("needs", *marks)
    if item.get_closest_marker("in_each_dialect"):
        needed = tuple("any_viommu" if name == "viommu" else name for name in needed)
    return Case(
        id=case_id(item),
        nodeid=item.nodeid,
        requirements=ids,
        level=first.level,
        area=first.area,
        needs=needed,
        hostile=item.get_closest_marker("hostile") is not None,
        readings=_words("reading", *marks),
    )
