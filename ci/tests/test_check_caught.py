# SPDX-License-Identifier: BSD-3-Clause
"""check_caught is seen to fail: each rule with the smallest table that breaks it."""

import check_caught
import pytest

KEY = "x.c:f: if (a) -> if (!(a))"
CAUGHT = {"a/one": "fault wrong", "a/two": f"mutant {KEY}"}
EXCUSED = {"a/three": "nobody can see it"}
FAULTS = {"wrong": {"a/one"}, "other": {"b/one"}}
MUST = {"a/one", "a/two", "a/three"}


@pytest.fixture
def source(tmp_path):
    (tmp_path / "x.c").write_text("int f(int a)\n{\n\tif (a)\n\t\treturn a->b;\n}\n")
    return tmp_path


def test_good_table_is_good(source):
    assert check_caught.problems(MUST, (CAUGHT, EXCUSED), FAULTS, source) == []


# what breaks it: [caught], [not], what is said
BAD = {
    "missing": ({}, {}, "a/two: has caught nothing"),
    "dangling": ({**CAUGHT, "a/four": f"mutant {KEY}"}, EXCUSED, "a/four: no function with"),
    "dangling excuse": (CAUGHT, {**EXCUSED, "a/x": "why"}, "a/x: no function with a case of"),
    "twice": (CAUGHT, {**EXCUSED, "a/one": "why"}, "a/one: stands in [caught] and in [not]"),
    "no reason": (CAUGHT, {"a/three": " "}, "a/three: stands in [not] without a reason"),
    "other fault": ({**CAUGHT, "a/one": "fault other"}, EXCUSED, "a/one: fault other does not"),
    "no fault": ({**CAUGHT, "a/one": "fault none"}, EXCUSED, "a/one: fault none does not name"),
    "word": ({**CAUGHT, "a/one": "luck"}, EXCUSED, "a/one: luck: neither a fault nor a mutant"),
    "no mutant": ({**CAUGHT, "a/two": "mutant x"}, EXCUSED, "a/two: x: is no name of a mutant"),
    "no file": ({**CAUGHT, "a/two": "mutant y.c:f: if (a) -> 0"}, EXCUSED, "is not there"),
    "line gone": ({**CAUGHT, "a/two": "mutant x.c:f: if (b) -> 0"}, EXCUSED, "is not there in"),
    "many": (CAUGHT, {f"a/{n}": "why" for n in range(13)}, "13 functions in [not], 12 are"),
}


@pytest.mark.parametrize("name", BAD)
def test_rule_is_seen_to_fail(name, source):
    caught, excused, words = BAD[name]
    found = check_caught.problems(MUST, (caught, excused), FAULTS, source)
    assert [line for line in found if words in line], found


def test_files_are_read(tmp_path):
    caught, faults = tmp_path / "caught.toml", tmp_path / "faults.toml"
    assert check_caught.read_caught(caught) == ({}, {})
    caught.write_text('[caught]\n"a/one" = "fault wrong"\n[not]\n"a/two" = "why"\n')
    assert check_caught.read_caught(caught) == ({"a/one": "fault wrong"}, {"a/two": "why"})
    faults.write_text('[[fault]]\nname = "wrong"\ncases = ["a/one[x]", "a/one[y]", "b/two"]\n')
    assert check_caught.fault_names(faults) == {"wrong": {"a/one", "b/two"}}
