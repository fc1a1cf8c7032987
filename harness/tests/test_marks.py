# SPDX-License-Identifier: BSD-3-Clause
"""The marks of cases: what a function says, what its parameters say, and what is wrong."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from vuc.marks import MarkError, case_id, case_of, check_marks, covers, in_each_dialect, needs
from vuc.register import register

MUST, OTHER = "DMA-MAP-003", "DMA-MAP-004"


def node(*marks, parameter=()):
    """A function, or the case of one parameter, with these marks (nearest first)."""
    own = [mark.mark for mark in marks]

    def iter_markers(name=None):
        return (mark for mark in own if name in (None, mark.name))

    made = SimpleNamespace(
        name="test_it[a]", nodeid="cases/test_x.py::test_it[a]", path=Path("cases/test_x.py"),
        iter_markers=iter_markers, get_closest_marker=lambda name: next(iter_markers(name), None),
    )
    if parameter:
        made.callspec = SimpleNamespace(marks=list(parameter))
    return made


def parametrize(*marks):
    """The mark of a function with one parameter per argument, which brings these marks."""
    return pytest.mark.parametrize("x", [pytest.param(1, marks=one) for one in marks])


@pytest.mark.parametrize("marks", [
    (covers(MUST),),
    (covers(MUST), parametrize((), ())),
    (parametrize(covers(MUST), covers(OTHER)),),
], ids=["function", "function-and-parameters", "every-parameter"])
def test_every_case_covers_something(marks):
    check_marks(node(*marks), register())


@pytest.mark.parametrize("marks", [
    (),
    (parametrize(covers(MUST), ()),),
    (parametrize(covers("NO-SUCH-001")),),
    (covers(MUST), parametrize(needs("no_such_feature"))),
], ids=["nothing", "one-parameter-without", "unknown-id", "unknown-feature"])
def test_wrong_marks_are_refused(marks):
    with pytest.raises(MarkError):
        check_marks(node(*marks), register())


def test_ids_of_a_parameter_come_before_those_of_its_function():
    marked = node(covers(MUST), needs("dma_maps"), parameter=[covers(OTHER), needs("lease")])
    case = case_of(marked, register())
    assert (case.requirements, case.level) == ((OTHER, MUST), "UNSPECIFIED")
    assert case.needs == ("lease", "dma_maps")


def test_case_of_each_dialect_needs_one_of_them():
    marked = node(covers(MUST), needs("dma_maps", "viommu"), in_each_dialect)
    assert case_of(marked, register()).needs == ("dma_maps", "any_viommu")


@pytest.mark.parametrize("path, case", [
    ("cases/test_x.py", "x/it[a/b]"),
    ("cases/vuc/cases/viommu/test_x.py", "viommu/x/it[a/b]"),
    ("mine/test_x.py", "x/it[a/b]"),
], ids=["file", "folder", "elsewhere"])
def test_id_of_a_case_has_the_folders_below_cases(path, case):
    assert case_id(SimpleNamespace(name="test_it[a/b]", path=Path(path))) == case
