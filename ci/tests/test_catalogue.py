# SPDX-License-Identifier: BSD-3-Clause
"""catalogue is seen to fail: each rule with the smallest table that breaks it."""

import catalogue
import pytest

IDS = ("A01", "B02", "C03")
CASES = ("x/one", "viommu/y/b02_two[a]", "viommu/y/b02_two[b]")
WAIVED = ("C03", [], "no device can do it")
ROWS = [("A01", ["x/one"], None), ("B02", ["viommu/y/b02_two"], None), WAIVED]


def test_rows_with_cases_that_exist_are_good():
    assert catalogue.problems(ROWS, CASES, IDS) == []


# what breaks it: rows, cases, what is said
BAD = {
    "row without a case": ([ROWS[0], ("B02", [], None), WAIVED], CASES[:1], "row B02: no case"),
    "row that is missing": (ROWS[:1], CASES[:1], "row B02: no case"),
    "dangling": (ROWS, CASES[1:], "row A01: x/one: no such case"),
    "row twice": ([*ROWS, ROWS[0]], CASES, "row A01: twice"),
    "unknown row": ([*ROWS, ("C77", ["x/one"], None)], CASES, "row C77: no such row"),
    "stranger": (ROWS, [*CASES, "viommu/z/a01_x[c]"],
                 "case viommu/z/a01_x: row A01 does not name it"),
    "no reason": ([*ROWS[:2], ("C03", [], "")], CASES, "row C03: waived without a reason"),
    "waived in spite of a case": ([ROWS[0], ("B02", [], "why not"), WAIVED], CASES,
                                  "case viommu/y/b02_two: row B02 does not name it"),
    "too many": ([(row, [], "why not") for row in IDS], CASES, "3 rows are waived, 2 may be"),
}


@pytest.mark.parametrize("name", BAD)
def test_rule_is_seen_to_fail(name):
    rows, cases, words = BAD[name]
    assert words in catalogue.problems(rows, cases, IDS)


def test_table_is_read(tmp_path):
    path = tmp_path / "README.md"
    path.write_text("# Title\n\n| row | claim | cases |\n| --- | --- | --- |\n"
                    "| A01 | a claim about `this` | `x/one`, `x/two` |\n| B02 | another | |\n"
                    "| C03 | a third | waived: as `this` is not there |\n"
                    "| D04 | more | waived: |\n",
                    encoding="utf-8")
    assert catalogue.read_rows(path) == [("A01", ["x/one", "x/two"], None), ("B02", [], None),
                                         ("C03", [], "as `this` is not there"), ("D04", [], "")]


def test_catalogue_has_all_its_rows():
    assert len(catalogue.IDS) == len(set(catalogue.IDS))
    assert sum(catalogue.ROWS.values()) == 186
