# SPDX-License-Identifier: BSD-3-Clause
"""The operators of mutants.py on small pieces of C, the sample, and what the reports add up."""

import shutil
import subprocess

import mutation
import mutation_build
import mutation_cases
import pytest
from mutants import Finder, Mutant

needs_clang = pytest.mark.skipif(shutil.which("clang") is None, reason="clang is not installed")
HEADER = """\
#define SIZE(x) ((x) + 1)
#define LIMIT (4 - 1)
void act(int n);
void log_info(const char *text);
"""


@pytest.fixture
def edits(tmp_path):
    """A function: the edits of the body of a function `int f(int a, int b, const char *p)`, as
    (operator, before, after) of the line."""
    (tmp_path / "x.h").write_text(HEADER, encoding="utf-8")

    def found(body: str, result: str = "int", line: int = 4) -> list[tuple[str, str, str]]:
        path = tmp_path / "x.c"
        text = f'#include "x.h"\n{result} f(int a, int b, const char *p)\n{{\n{body}\n}}\n'
        path.write_text(text, encoding="utf-8")
        mutants = Finder(path, "x.c", [f"-I{tmp_path}"]).mutants
        for mutant in mutants:
            (tmp_path / "y.c").write_bytes(mutant.applied(path.read_bytes()))
            assert mutant.after in " ".join((tmp_path / "y.c").read_text().split())
            assert (mutant.owner, mutant.line) == ("f", line)
        return [(mutant.operator, mutant.before, mutant.after) for mutant in mutants]

    return found


# body, operator, what the line becomes
OPERATORS = [
    ("if (a < b) act(1);", "relation", ["if (a <= b) act(1);", "if (a >= b) act(1);"]),
    ("if (a == b) act(1);", "equality", ["if (a != b) act(1);"]),
    ("if (a && b) act(1);", "logic", ["if (a || b) act(1);"]),
    ("act(a + b);", "arithmetic", ["act(a - b);"]),
    ("b += a;", "arithmetic", ["b -= a;"]),
    ("act(a << b | 0x10);", "bits", ["act(a >> b | 0x10);", "act(a << b & 0x10);"]),
    ("while (a) a--;", "condition", ["while (!(a)) a--;"]),
    ("for (; a < b; a++) act(b);", "condition", ["for (; !(a < b); a++) act(b);"]),
    ("act(!a);", "negation", ["act(a);"]),
    ("act(a ? 1 : b);", "branches", ["act(a ? b : 1);"]),
    ("act(2);", "constant", ["act(0);", "act(1);", "act(3);"]),
    ("act(0x0fu);", "constant", ["act(0x0u);", "act(0x10u);", "act(0xeu);"]),
    ("if (a) act(b);", "statement", ["if (a) (void)0;"]),
    ("if (a) b = a; else a++;", "statement",
     ["if (a) (void)0; else a++;", "if (a) b = a; else (void)0;"]),
    ("return a + b;", "result", ["return 0;"]),
    ("return 0;", "result", ["return -1;"]),
]  # fmt: skip


@needs_clang
@pytest.mark.parametrize(("body", "operator", "lines"), OPERATORS, ids=lambda x: str(x)[:20])
def test_operator_makes_its_edits_and_no_others(edits, body, operator, lines):
    found = edits(body)
    assert sorted(after for name, _, after in found if name == operator) == sorted(lines)
    assert all(before == body for _, before, _ in found)


@needs_clang
@pytest.mark.parametrize(
    ("body", "result", "after"),
    [("return a == b;", "_Bool", "return !(a == b);"), ("return p;", "const char *",
      "return NULL;"), ("return 0;", "unsigned", "return 1;"), ("return 0;", "int", "return -1;")],
    ids=["bool", "pointer", "unsigned", "int"],
)  # fmt: skip
def test_result_is_replaced_by_its_type(edits, body, result, after):
    assert after in [line for _, _, line in edits(body, result)]


@needs_clang
@pytest.mark.parametrize("body", ['log_info("text");', "act(LIMIT);", "return LIMIT;"])
def test_macros_and_the_log_are_left_alone(edits, body):
    assert all(name in ("statement", "result") for name, _, _ in edits(body))
    assert [x for x in edits(body) if "log_info" in x[1]] == []


@needs_clang
def test_what_only_the_faulty_build_has_is_left_alone(edits):
    head = "#define fault_on(x) 0\nif "
    for condition in ("(fault_on(1))", "(a && fault_on(1))"):
        assert [x for x in edits(f"{head}{condition} b = 2;", line=5) if x[0] == "statement"] == []
    for condition in ("(!fault_on(1))", "(a || fault_on(1))"):
        assert [x for x in edits(f"{head}{condition} b = 2;", line=5) if x[0] == "statement"]


@needs_clang
def test_arguments_of_a_macro_belong_to_what_ends_with_it(edits):
    lines = [after for name, _, after in edits("if (a < SIZE(b)) act(1);") if name == "condition"]
    assert lines == ["if (!(a < SIZE(b))) act(1);"]


@needs_clang
def test_equal_lines_have_names_of_their_own(tmp_path):
    path = tmp_path / "x.c"
    path.write_text("void f(int a)\n{\n\ta++;\n\ta++;\n}\n", encoding="utf-8")
    keys = [mutant.key for mutant in Finder(path, "x.c", []).mutants]
    assert keys == ["x.c:f: a++; -> (void)0;", "x.c:f: a++; -> (void)0; #2"]


def mutant(number: int, file: str = "x.c") -> Mutant:
    return Mutant(file, "f", True, "constant", number, number, number + 1, "0", f"a{number}", "0")


def test_sample_depends_on_the_seed_and_hardly_on_the_other_mutants():
    mutants = [mutant(n) for n in range(100)]
    first = mutation.sample(mutants, 1)
    assert first == mutation.sample(mutants[::-1], 1)
    assert sorted(first, key=mutants.index) == mutants
    assert first[:10] != mutation.sample(mutants, 2)[:10]
    fewer = mutation.sample([one for one in mutants if one != first[3]], 1)
    assert fewer == first[:3] + first[4:]


def test_summary_counts_killed_of_compiled():
    killed, survived = {"status": "killed"}, {"status": "survived"}
    done = [(mutant(1), killed), (mutant(2), survived), (mutant(3, "y.c"), killed)]
    rows = [line.split() for line in mutation.summary(done)]
    assert rows == [["x.c", "1/2", "50.0", "%"], ["y.c", "1/1", "100.0", "%"],
                    ["all", "2/3", "66.7", "%"]]


def test_kept_is_good_for_the_same_key_and_files_only(tmp_path):
    path, files = tmp_path / "x" / "kept.json", {"a": "1", "b": "1"}
    first = mutation_build.Kept(path, "key", files)
    assert first.value is None and not first.holds("a/one")
    assert first.put({1: 2}) == {"1": 2}
    again = mutation_build.Kept(path, "key", {**files, "b": "2"})
    assert again.value == {"1": 2} and again.holds("a/one") and not again.holds("b/one")
    assert mutation_build.Kept(path, "other", files).value is None


def test_task_that_dies_or_is_silent_has_no_result(monkeypatch):
    monkeypatch.setattr(mutation_cases, "SILENCE", 0.5)
    program = "import signal; signal.pause()"
    bodies = {
        "well": lambda say: say("begun") or 7,
        "dead": lambda say: say("begun") or 1 // 0,
        "silent": lambda say: say("begun") or subprocess.run(["python3", "-c", program]),
    }
    tasks = [mutation_cases.Task(name, body) for name, body in bodies.items()]
    found = {task.name: (task.result, task.died) for task in mutation_cases.forked(tasks, 2)}
    assert found == {"well": (7, False), "dead": (None, True), "silent": (None, False)}
    assert all(task.said == "begun" for task in tasks)
