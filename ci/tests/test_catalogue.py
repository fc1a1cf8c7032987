# SPDX-License-Identifier: BSD-3-Clause
"""catalogue is seen to fail: each rule with the smallest table that breaks it."""

import catalogue
import pytest

IDS = ("A01", "B02")
CASES = ("x/one", "viommu/y/b02_two[a]", "viommu/y/b02_two[b]")
ROWS = [("A01", ["x/one"]), ("B02", ["viommu/y/b02_two"])]


def test_rows_with_cases_that_exist_are_good():
    assert catalogue.problems(ROWS, CASES, IDS) == []


# what breaks it: rows, cases, what is said
BAD = {
    "row without a case": ([ROWS[0], ("B02", [])], CASES[:1], "row B02: no case"),
    "row that is missing": (ROWS[:1], CASES[:1], "row B02: no case"),
    "dangling": (ROWS, CASES[1:], "row A01: x/one: no such case"),
    "row twice": ([*ROWS, ROWS[0]], CASES, "row A01: twice"),
    "unknown row": ([*ROWS, ("C77", ["x/one"])], CASES, "row C77: no such row"),
    "stranger": (ROWS, [*CASES, "viommu/z/a01_x[c]"],
                 "case viommu/z/a01_x: row A01 does not name it"),
}


@pytest.mark.parametrize("name", BAD)
def test_rule_is_seen_to_fail(name):
    rows, cases, words = BAD[name]
    assert words in catalogue.problems(rows, cases, IDS)


def test_table_is_read(tmp_path):
    path = tmp_path / "README.md"
    path.write_text("# Title\n\n| row | claim | cases |\n| --- | --- | --- |\n"
                    "| A01 | a claim about `this` | `x/one`, `x/two` |\n| B02 | another | |\n",
                    encoding="utf-8")
    assert catalogue.read_rows(path) == [("A01", ["x/one", "x/two"]), ("B02", [])]


def test_rows_of_the_catalogue_are_those_without_backing_windows():
    rows = (22, 29, 9, 17, 29, 15, 21, 7, 16, 15)
    assert len(catalogue.IDS) == len(set(catalogue.IDS)) == sum(rows)
    assert not {"C10", "C11", "E25", "F14", "I08", "I18"} & set(catalogue.IDS)
