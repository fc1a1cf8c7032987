# SPDX-License-Identifier: BSD-3-Clause
"""check_clauses is seen to fail: each rule with the smallest register that breaks it."""

import subprocess
import sys
from pathlib import Path

import check_clauses
import pytest

ROOT = Path(check_clauses.__file__).resolve().parents[1]
PRINT = """import check_clauses, pathlib
print({{c.id: c.requirements for c in check_clauses.collected(pathlib.Path({!r}))}})"""
SUBJECTS = {"A-B-001": "server", "A-B-002": "both", "A-B-003": "client", "A-B-004": "server"}
COVERS = {"a/one": ("A-B-001", "A-B-003"), "a/two[x]": ("A-B-002", "A-B-001")}
WAIVERS = [{"id": "A-B-004", "reason": "nobody can see it from outside"}]


def test_all_covered_or_waived_is_good():
    assert check_clauses.problems(SUBJECTS, COVERS, WAIVERS) == []


# what breaks it: cases, waivers, what is said
BAD = {
    "no case": (COVERS, [], "requirement A-B-004: no case and no waiver"),
    "no case for both": ({"a/one": ("A-B-001",)}, WAIVERS, "requirement A-B-002: no case"),
    "case without": ({**COVERS, "a/x": ()}, WAIVERS, "case a/x: covers no requirement"),
    "dangling": ({**COVERS, "a/x": ("A-B-009",)}, WAIVERS, "case a/x: A-B-009: no such"),
    "dangling waiver": (COVERS, [*WAIVERS, {"id": "Z-Z-1", "reason": "r"}], "waiver Z-Z-1: no"),
    "waiver with a case": (COVERS, [*WAIVERS, {"id": "A-B-001", "reason": "r"}],
                           "waiver A-B-001: not needed, a case covers it"),
    "waiver for a client": (COVERS, [*WAIVERS, {"id": "A-B-003", "reason": "r"}],
                            "waiver A-B-003: not needed, its subject is the client"),
    "no reason": (COVERS, [{"id": "A-B-004", "reason": " "}], "waiver A-B-004: needs an id and"),
    "key": (COVERS, [{**WAIVERS[0], "by": "me"}], "waiver A-B-004: needs an id and a reason, and"),
    "too many": (COVERS, WAIVERS * (check_clauses.MOST_WAIVERS + 1), "waivers, 9 are allowed"),
}


@pytest.mark.parametrize("name", BAD)
def test_rule_is_seen_to_fail(name):
    covers, waivers, words = BAD[name]
    found = check_clauses.problems(SUBJECTS, covers, waivers)
    assert [line for line in found if words in line], found


def test_client_s_requirements_need_no_case():
    assert check_clauses.problems({"A-B-003": "client"}, {}, []) == []


OPEN = [{"ids": ["A-B-004"], "reason": "the server does not have it yet"}]


def test_open_requirement_needs_no_case_yet():
    assert check_clauses.problems(SUBJECTS, COVERS, [], {"A-B-004"}) == []
    assert check_clauses.open_problems(SUBJECTS, {"A-B-001", "A-B-002"}, OPEN) == []


# what breaks it: the list, and what is said
BAD_LISTS = {
    "has a case": ([{**OPEN[0], "ids": ["A-B-001"]}], "open A-B-001: not open any more"),
    "client": ([{**OPEN[0], "ids": ["A-B-003"]}], "open A-B-003: no requirement on a server"),
    "dangling": ([{**OPEN[0], "ids": ["Z-Z-1"]}], "open Z-Z-1: no requirement on a server"),
    "twice": (OPEN * 2, "open A-B-004: twice"),
    "no reason": ([{**OPEN[0], "reason": ""}], "open: a table needs ids and a reason"),
    "key": ([{**OPEN[0], "by": "me"}], "open: a table needs ids and a reason"),
}


@pytest.mark.parametrize("name", BAD_LISTS)
def test_rule_of_the_open_list_is_seen_to_fail(name):
    tables, words = BAD_LISTS[name]
    found = check_clauses.open_problems(SUBJECTS, {"A-B-001", "A-B-002"}, tables)
    assert [line for line in found if words in line], found


def test_waivers_are_read_from_the_file(tmp_path):
    path = tmp_path / "waivers.toml"
    assert check_clauses.read_tables(path, "waiver") == []
    path.write_text('[[waiver]]\nid = "A-B-004"\nreason = "r"\n', encoding="utf-8")
    assert check_clauses.read_tables(path, "waiver") == [{"id": "A-B-004", "reason": "r"}]


def tree(folder: Path, cases: str, ids: list[str]) -> Path:
    """A tree with this file of cases, a register of these ids, and the harness of the project."""
    (folder / "cases").mkdir()
    (folder / "harness").symlink_to(ROOT / "harness")
    (folder / ".pytest.ini").write_text("[pytest]\naddopts = --strict-markers\n", encoding="utf-8")
    (folder / "cases/test_x.py").write_text(cases, encoding="utf-8")
    rows = [f'[[requirement]]\nid = "{name}"\nsubject = "server"\n' for name in ids]
    (folder / "cases/requirements.toml").write_text("".join(rows), encoding="utf-8")
    return folder


CASES = """
import pytest
from vuc import covers

@covers("INFO-DEV-002")
@pytest.mark.parametrize("n", [pytest.param(1, marks=covers("INFO-DEV-001"), id="one"),
                               pytest.param(2, id="two")])
def test_of_parameters(n):
    pass
"""


def command(root: Path) -> subprocess.CompletedProcess:
    """The command, over."""
    return subprocess.run([sys.executable, check_clauses.__file__, str(root)], text=True,
                          capture_output=True, check=False)


def test_marks_of_parameters_are_read(tmp_path):
    program = PRINT.format(str(tree(tmp_path, CASES, [])))
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT / "ci", text=True,
                          capture_output=True, check=True)
    assert "'x/of_parameters[one]': ('INFO-DEV-001', 'INFO-DEV-002')" in done.stdout
    assert "'x/of_parameters[two]': ('INFO-DEV-002',)" in done.stdout


@pytest.mark.parametrize(
    ("cases", "said"),
    [(CASES, "requirement INFO-DEV-003: no case and no waiver"),
     (CASES.replace("INFO-DEV-002", "INFO-DEV-999"), "@covers('INFO-DEV-999'): no such"),
     ("def test_nothing():\n    pass\n", "a case must say what it @covers")],
    ids=["missing", "dangling", "without"],
)
def test_command_prints_what_is_missing_and_fails(tmp_path, cases, said):
    root = tree(tmp_path, cases, ["INFO-DEV-001", "INFO-DEV-002", "INFO-DEV-003"])
    done = command(root)
    assert done.returncode == 1
    assert said in done.stdout


def test_command_reads_the_extension_and_what_is_open_there(tmp_path):
    root = tree(tmp_path, CASES, ["INFO-DEV-001", "INFO-DEV-002"])
    row = '[[requirement]]\nid = "VE-X-001"\nsubject = "server"\n'
    extension = root / "cases/requirements-viommu.toml"
    extension.write_text(row, encoding="utf-8")
    assert "requirement VE-X-001: no case and no waiver" in command(root).stdout
    extension.write_text('[[open]]\nids = ["VE-X-001"]\nreason = "r"\n' + row, encoding="utf-8")
    done = command(root)
    assert (done.returncode, done.stdout) == (
        0, "clauses: 3 requirements, 2 cases, 0 waivers, 1 open\n")


def test_command_is_content_with_a_good_tree(tmp_path):
    done = command(tree(tmp_path, CASES, ["INFO-DEV-001", "INFO-DEV-002"]))
    assert (done.returncode, done.stdout) == (
        0, "clauses: 2 requirements, 2 cases, 0 waivers, 0 open\n")
