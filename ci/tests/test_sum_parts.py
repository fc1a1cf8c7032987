# SPDX-License-Identifier: BSD-3-Clause
"""sum_parts is seen to fail: parts that ran nothing, exit badly or leave unreadable results."""

import pytest
import sum_parts

PYTEST = """<?xml version="1.0" encoding="utf-8"?><testsuites><testsuite name="pytest" tests="4">
<testcase classname="a" name="b" /><testcase classname="a" name="c"><skipped>no</skipped></testcase>
<testcase classname="a" name="d"><failure message="m">one &lt; two</failure></testcase>
<testcase classname="a" name="e"><error message="fixture broke" /></testcase>
</testsuite></testsuites>"""
CMOCKA = """<?xml version="1.0" encoding="UTF-8" ?>
<testsuites>
  <testsuite name="t" time="0.000" tests="2" failures="0" errors="0" skipped="1" >
    <testcase name="one" time="0.000" >
    </testcase>
    <testcase name="two" time="0.000" >
      <skipped/>
    </testcase>
  </testsuite>
</testsuites>
"""
FAILED = """<testsuites><testsuite name="t" tests="1" failures="1"><testcase name="three">
<failure><![CDATA[0x1 != 0x2 & <more>]]></failure></testcase></testsuite></testsuites>"""


def make_part(root, name, status, texts):
    """Adds a part with its result files to a directory as ci/run.sh leaves it."""
    (root / name).mkdir(parents=True)
    for number, text in enumerate(texts):
        (root / name / f"{number}.xml").write_text(text, encoding="utf-8")
    with open(root / "parts.tsv", "a", encoding="utf-8") as table:
        table.write(f"{name}\t{status}\t12\t10\n")


@pytest.mark.parametrize(
    "text, line",
    [
        (PYTEST, "1 passed, 2 failed, 1 skipped"),
        (CMOCKA, "1 passed, 0 failed, 1 skipped"),
        (CMOCKA + CMOCKA, "2 passed, 0 failed, 2 skipped"),
        ("noise\n" + CMOCKA + "more noise\n" + FAILED, "1 passed, 1 failed, 1 skipped"),
        ('<testsuite><testcase name="x"/></testsuite>', "1 passed, 0 failed, 0 skipped"),
        (CMOCKA.replace("</testsuites>", ""), "1 passed, 0 failed, 1 skipped"),
        (CMOCKA.replace("</testcase>", "", 1), "0 passed, 1 failed, 0 skipped"),
        ("", "0 passed, 1 failed, 0 skipped"),
        ("<testsuites></testsuites>", "0 passed, 0 failed, 0 skipped"),
    ],
)
def test_results_are_counted(text, line):
    assert sum_parts.count_text(text, "x.xml").line() == line


def test_failures_keep_their_text():
    count = sum_parts.count_text(PYTEST + FAILED, "x.xml")
    assert count.failures == [
        ("a::d", "one < two"),
        ("a::e", "fixture broke"),
        ("x.xml::three", "0x1 != 0x2 & <more>"),
    ]


def test_parts_are_summed_in_the_order_of_the_run(tmp_path, capsys):
    make_part(tmp_path, "zeta", 0, [CMOCKA])
    make_part(tmp_path, "alpha", 0, [CMOCKA, CMOCKA])
    assert sum_parts.main([str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["part", "zeta", "alpha"]
    assert lines[1].endswith("over")
    assert lines[-1] == "3 passed, 0 failed, 3 skipped"


@pytest.mark.parametrize(
    "status, texts, line, words",
    [
        (0, [], "0 passed, 1 failed, 0 skipped", "ran nothing"),
        (0, ["<testsuites></testsuites>"], "0 passed, 1 failed, 0 skipped", "ran nothing"),
        (3, [CMOCKA], "1 passed, 1 failed, 1 skipped", "exited with 3"),
        (1, [FAILED], "0 passed, 1 failed, 0 skipped", "0x1 != 0x2"),
        (0, [FAILED], "0 passed, 1 failed, 0 skipped", "0x1 != 0x2"),
        (0, [CMOCKA, "cut <testsuites>"], "1 passed, 1 failed, 1 skipped", "no results"),
    ],
)
def test_a_bad_part_fails_the_run(tmp_path, capsys, status, texts, line, words):
    make_part(tmp_path, "unit", status, texts)
    assert sum_parts.main([str(tmp_path)]) == 1
    printed = capsys.readouterr().out
    assert words in printed and printed.splitlines()[-1] == line


def test_a_run_without_parts_fails(tmp_path, capsys):
    assert sum_parts.main(["--line", str(tmp_path)]) == 1
    assert capsys.readouterr().out == "0 passed, 1 failed, 0 skipped\n"


@pytest.mark.parametrize(
    "status, text, verdict",
    [
        (0, CMOCKA, 0),
        (1, FAILED, 0),  # the failure is in its file and will be counted there
        (1, CMOCKA, 1),  # a leak or a crash after the last group
        (0, FAILED, 1),
        (0, None, 1),
        (0, "<testsuites></testsuites>", 1),
    ],
)
def test_a_program_is_judged_by_results_and_status(tmp_path, status, text, verdict):
    path = tmp_path / "x.xml"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    assert sum_parts.main(["--program", str(status), str(path)]) == verdict


@pytest.mark.parametrize("arguments", [[], ["--nothing"], ["a", "b"], ["--program", "x", "y"]])
def test_wrong_usage_is_told(arguments):
    assert sum_parts.main(arguments) == 2
