# SPDX-License-Identifier: BSD-3-Clause
"""check_style is seen to fail: each rule has texts that break it and near misses that do not."""

import check_style
import pytest
from check_style import RULES, Source

HEAD_C = (
    "/* SPDX-License-Identifier: BSD-3-Clause */\n"
    "/* A sample that says at some length what it is good for, and no more. */\n"
)
HEAD_HASH = (
    "# SPDX-License-Identifier: BSD-3-Clause\n"
    "# A sample that says at some length what it is good for, and no more.\n"
)
HEAD_PY = (
    "# SPDX-License-Identifier: BSD-3-Clause\n"
    '"""A sample that says at some length what it is good for, and no more."""\n'
)
LONG = "\tx++;\n" * check_style.FUNCTION_LINES
FITS = "\tx++;\n" * (check_style.FUNCTION_LINES - 3)
SLEEP = "sl" + "eep"
OPEN_MARK = "TO" + "DO"
HOST = "static.crates" + ".io"
PLACE = "/ho" + "me/somebody"

# rule, file, text, words of the message
BAD = [
    ("spdx", "a.c", "int a;\n", "first line"),
    ("spdx", "a.py", '"""Text."""\n', "first line"),
    ("spdx", "a.sh", "#!/bin/sh\necho\n", "first line"),
    ("spdx", "a.toml", "a = 1\n", "first line"),
    ("paragraph", "a.c", HEAD_C.splitlines()[0] + "\nint a;\n", "no paragraph"),
    ("paragraph", "a.py", HEAD_PY.splitlines()[0] + '\n"""Short."""\n', "no paragraph"),
    ("paragraph", "a.sh", "#!/bin/sh\n# SPDX-License-Identifier: BSD-3-Clause\n", "no paragraph"),
    ("columns", "a.c", HEAD_C + "\t" * 12 + "abcde\n", "101 columns"),
    ("columns", "Makefile", HEAD_HASH + "x" * 101 + "\n", "101 columns"),
    ("file_length", "a.h", HEAD_C + "\n" * 599, "601 lines"),
    ("blanks", "a.md", "text \n", "blanks"),
    ("blanks", "a.md", "text", "no newline"),
    ("marks", "a.c", HEAD_C + f"/* {OPEN_MARK} later */\n", OPEN_MARK),
    ("braces", "a.c", HEAD_C + "int f(void)\n{\n", "do not balance"),
    ("function_length", "a.c", HEAD_C + f"int f(void)\n{{\n{LONG}}}\n", "f has 63 lines"),
    ("function_length", "a.c", HEAD_C + f"static int\nf(void)\n{{\n{LONG}}}\n", "64 lines"),
    (
        "function_length",
        "a.py",
        HEAD_PY + "def f():\n" + "    g()\n" * 60,
        "f has 61 lines",
    ),
    (
        "parameters",
        "a.c",
        HEAD_C + "int f(int a, int b, int c,\n      int d, int e, int (*g)(int, int))\n{\n}\n",
        "f has 6 parameters",
    ),
    ("typedefs", "a.h", HEAD_C + "typedef struct a a_t;\n", "typedef struct"),
    ("errno_channel", "a.c", HEAD_C + "void f(void)\n{\n\terrno = EINVAL;\n}\n", "errno is set"),
    ("sleeps", "a.c", HEAD_C + "void f(void)\n{\n\tusleep(5);\n}\n", "usleep("),
    ("sleeps", "a.py", HEAD_PY + f"time.{SLEEP}(1)\n", f"time.{SLEEP}"),
    ("sleeps", "a.py", HEAD_PY + f"from time import monotonic, {SLEEP}\n", "import"),
    ("sleeps", "a.sh", HEAD_HASH + "while :; do sleep 1; done\n", "sleep"),
    ("registries", "a.md", f"see https://{HOST}/x\n", HOST),
    ("places", "a.md", f"in {PLACE}/x\n", "path of one machine"),
    ("places", "a.c", HEAD_C + f'const char *f = "{PLACE}";\n', "path of one machine"),
]

GOOD = [
    ("a.c", HEAD_C + '/* sleep(1), errno = 2, { */\nconst char *s = "{ usleep(1)";\n'),
    ("a.c", HEAD_C.splitlines()[0] + "\n/* See a.h. */\nint a;\n"),
    ("a.c", HEAD_C + "#if defined(A) && \\\n\tB {\n#endif\nchar c = '{', d = '\\'';\n"),
    ("a.c", HEAD_C + "void f(void)\n{\n\terrno = 0;\n\tif (errno == 1)\n\t\terrno = saved;\n}\n"),
    ("a.c", HEAD_C + "struct a { int b; };\nstatic int c[] = { 1, 2, 3, 4, 5, 6, 7 };\n"),
    ("a.c", HEAD_C + f"int f(int a, int b, int c, int d, int e)\n{{\n{FITS}}}\n"),
    ("a.c", HEAD_C + "int f(int (*g)(int, int, int), int a, int b, int c, int d)\n{\n}\n"),
    ("a.c", HEAD_C + 'char t[] = "/tmp/' + "X" * 6 + '";\n'),
    ("a.py", HEAD_PY + "select.poll().poll(5)\n"),
    ("a.sh", "#!/bin/sh\n" + HEAD_HASH + "echo sleeping\n"),
    ("Cargo.lock", 'source = "registry+the/crates' + '.io-index"\n'),
    ("a.md", "harness" + PLACE + " and ~" + PLACE + "\n"),
]


def broken_rules(path: str, text: str) -> dict[str, str]:
    """Names of the rules that a text breaks, each with its first message."""
    source = Source(path, text)
    found = {}
    for rule, kinds in RULES:
        if source.kind in kinds and (messages := [m for _, m in rule(source)]):
            found[rule.__name__] = messages[0]
    return found


def ids(samples):
    """Words for the report in place of whole texts."""
    return [f"{number}-{sample[0]}" for number, sample in enumerate(samples)]


@pytest.mark.parametrize("rule, path, text, words", BAD, ids=ids(BAD))
def test_rule_is_seen_to_fail(rule, path, text, words):
    broken = broken_rules(path, text)
    assert words in broken.get(rule, ""), broken


@pytest.mark.parametrize("path, text", GOOD, ids=ids(GOOD))
def test_near_miss_passes(path, text):
    assert broken_rules(path, text) == {}


def test_every_rule_has_a_sample():
    assert {rule.__name__ for rule, _ in RULES} == {sample[0] for sample in BAD}


def test_a_listed_file_may_sleep(monkeypatch):
    monkeypatch.setitem(check_style.SLEEPERS, "a.py", "a reason")
    assert broken_rules("a.py", HEAD_PY + f"time.{SLEEP}(1)\n") == {}


def test_functions_are_told_from_structs_and_arrays():
    text = (
        "struct a {\n\tint b;\n};\n"
        "static const struct a list[] = {\n\t{ 1 },\n};\n"
        "int first(void)\n{\n\tif (x) {\n\t}\n}\n\n"
        "__attribute__((format(printf, 1, 2)))\nint second(const char *f, ...)\n{\n}\n"
    )
    listed = check_style.functions(Source("a.c", text))
    assert [(f.name, f.line, f.lines, f.parameters) for f in listed] == [
        ("first", 7, 5, 0),
        ("second", 13, 4, 2),
    ]


def test_command_prints_violations_and_fails(tmp_path, capsys):
    (tmp_path / "a.c").write_text(HEAD_C, encoding="utf-8")
    assert check_style.main([str(tmp_path)]) == 0
    (tmp_path / "b.c").write_text("int b;\n", encoding="utf-8")
    (tmp_path / "c.py").write_text("def (\n", encoding="utf-8")
    assert check_style.main([str(tmp_path)]) == 1
    printed = capsys.readouterr().out
    assert "b.c:1: the first line" in printed and "c.py:1: cannot be read" in printed


def test_an_empty_tree_fails(tmp_path):
    assert check_style.main([str(tmp_path)]) == 1
