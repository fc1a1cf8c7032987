# SPDX-License-Identifier: BSD-3-Clause
"""check_extension is seen to fail: each rule with the smallest text or register that breaks it."""

import re
import struct
import subprocess
import sys
from pathlib import Path

import check_extension
import pytest

ROOT = Path(check_extension.__file__).resolve().parents[1]
TEXT = """
=====
Title
=====

Words
-----

Sentences with must bind.

Ranges
======

See VE-A-002. There are 12 bytes.

======  ======  ====
Name    Offset  Size
======  ======  ====
first   0       8
second  8       4
                      and more of it
======  ======  ====

This structure is 12 bytes in size.

=====  ====
Bit    Name
=====  ====
0      one
1-31   rest
=====  ====

* The server must do ``this``,
  and *that*. [VE-A-001]
* *word* explains.
* The sender should do it. [VE-A-002]
"""
REGISTER = """
[[requirement]]
id = "VE-A-001"
section = "vIOMMU extension / Ranges"
level = "MUST"
subject = "server"
statement = "The server must do this, and that."

[[requirement]]
id = "VE-A-002"
section = "vIOMMU extension / Ranges"
level = "SHOULD"
subject = "both"
statement = "The sender should do it."
"""


def run(root: Path, text: str, register: str) -> subprocess.CompletedProcess:
    """The command, over, on a tree with these two files."""
    for name, content in ((check_extension.TEXT, text), (check_extension.REGISTER, register)):
        path = root / name
        path.parent.mkdir()
        path.write_text(content, encoding="utf-8")
    return subprocess.run([sys.executable, check_extension.__file__, str(root)], text=True,
                          capture_output=True, check=False)


def test_command_is_content_with_a_good_tree(tmp_path):
    done = run(tmp_path, TEXT, REGISTER)
    assert (done.returncode, done.stdout) == (0, "extension: 2 clauses, 2 tables\n")


FIRST, SECOND = REGISTER.strip().split("\n\n")
# what breaks it: text, its substitute, and what is said
BAD_TEXTS = {
    "gap": ("second  8 ", "second  9 ", "field second at 9, the one before ends at 8"),
    "overlap": ("0       8", "0       9", "field second at 8, the one before ends at 9"),
    "first field": ("first   0", "first   1", "field first at 1, the one before ends at 0"),
    "sum": ("is 12 bytes", "is 16 bytes", "12 bytes, and behind it: 'This structure is 16"),
    "no sum": ("This structure is", "It has", "12 bytes, and behind it: 'It has"),
    "endless": ("0       8", "0       any", "field first has no size and is not the last"),
    "bit missing": ("1-31 ", "2-31 ", "table under 'Ranges': bits"),
    "bit twice": ("1-31 ", "0-31 ", "table under 'Ranges': bits"),
    "clause gone": ("[VE-A-001]", "", "VE-A-001: not in the text"),
    "clause new": ("[VE-A-001]", "[VE-A-003]", "VE-A-003: not in the register"),
    "clause twice": ("[VE-A-001]", "[VE-A-002]", "VE-A-002: twice in the text"),
    "words": ("``this``", "``more``", "VE-A-001: statement: 'The server must do more, and that.'"),
    "level": ("sender should", "sender must", "VE-A-002: level: 'MUST' in the text"),
    "two levels": ("sender should", "sender should or must", "VE-A-002: level: '?' in the text"),
    "subject": ("The sender", "The client", "VE-A-002: subject: 'client' in the text"),
    "heading": ("Ranges\n======", "Others\n======", "'vIOMMU extension / Others' in the text"),
    "mention": ("See VE-A-002", "See VE-A-009", "mentions VE-A-009"),
    "no id": ("There are", "There must be", "'See VE-A-002. There must be 12 bytes.'... binds"),
}


@pytest.mark.parametrize("name", BAD_TEXTS)
def test_rule_is_seen_to_fail(tmp_path, name):
    before, after, words = BAD_TEXTS[name]
    assert TEXT.count(before) == 1
    done = run(tmp_path, TEXT.replace(before, after), REGISTER)
    assert done.returncode == 1
    assert words in done.stdout


def test_register_in_another_order_is_seen(tmp_path):
    done = run(tmp_path, TEXT, f"{SECOND}\n\n{FIRST}\n")
    assert (done.returncode, done.stdout) == (
        1, "text and register have their clauses in different orders\n")


def test_text_without_clauses_is_no_text(tmp_path):
    assert run(tmp_path, "Nothing.\n", "requirement = []\n").returncode == 1


BYTES = re.compile(r"^    ((?:[0-9a-f]{2} +)+)", re.MULTILINE)
HEADER = struct.Struct("<HHIII")


def test_messages_of_the_example_are_whole():
    text = (ROOT / check_extension.TEXT).read_text(encoding="utf-8")
    left, commands = bytes.fromhex(" ".join(BYTES.findall(text))), []
    while left:
        _, command, size, _, _ = HEADER.unpack_from(left)
        commands.append((command, size))
        left = left[size:]
    assert commands == [(101, 48), (2, 48), (102, 24), (3, 40)]


def test_text_of_this_tree_is_read_whole():
    text = (ROOT / check_extension.TEXT).read_text(encoding="utf-8")
    blocks = list(check_extension.read_blocks(text))
    assert len(check_extension.read_clauses(blocks)) == text.count("[VE-")
    assert check_extension.table_problems(blocks) == (11, [])
