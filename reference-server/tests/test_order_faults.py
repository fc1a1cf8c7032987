# SPDX-License-Identifier: BSD-3-Clause
"""The faults that only show in some orders of events: fuzz/explore.c has to find each of them, in
the scenario that names it, and prints the events of a shortest schedule.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXPLORE = ROOT / "build" / "explore-faulty"
LIMIT = 120  # seconds; all of them take less than one
AT_LEAST = 15
AT_MOST = 40  # as of the other list: more would bury the server

LIST = re.search(r"#define FAULT_ORDER_LIST.*?\n\n",
                 (ROOT / "reference-server" / "fault.h").read_text(encoding="utf-8"), re.DOTALL)
FAULTS = re.findall(r"\bFAULT\((\w+), ", LIST.group())


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What is printed of each fault, by its name."""
    done = subprocess.run([EXPLORE, "--faults"], cwd=tmp_path_factory.mktemp("explore"), text=True,
                          capture_output=True, timeout=LIMIT, check=False)
    return {line.split()[0].rstrip(":"): line for line in done.stdout.splitlines()}


def test_list_is_neither_short_nor_long():
    assert AT_LEAST <= len(FAULTS) <= AT_MOST


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_found(fault, found):
    assert re.match(rf"{fault} +[a-z-]+ +\d+  \S", found[fault]), found[fault]


def test_table_says_what_is_found(found):
    text = (ROOT / "fuzz" / "EXPLORE.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| ([a-z-]+) \| (\d+) \| (.*) \|$", text, re.MULTILINE)
    printed = [re.match(r"(\w+) +([a-z-]+) +(\d+)  (.*)", line).groups() for line in found.values()]
    assert rows == printed


@pytest.mark.parametrize(("fault", "scenario", "violation"), [
    ("reference_ends_at_the_look_up", "unmap-dma", "page 0 of the file was written"),
    ("source_is_let_go_early", "page-unmap", "page 1 of the file has memory that is not mapped"),
    ("misses_are_remembered", "miss", "slot 0 misses a page that is mapped"),
])  # fmt: skip
def test_shortest_schedule_is_replayed(fault, scenario, violation, tmp_path):
    words = [EXPLORE, f"--fault={fault}", f"--scenario={scenario}"]
    done = subprocess.run(words, cwd=tmp_path, text=True, capture_output=True, timeout=LIMIT,
                          check=False)
    again = re.search(r"--replay=(\S+)", done.stdout)
    assert done.returncode == 1 and again, done.stdout
    words = [EXPLORE, f"--fault={fault}", f"--replay={again.group(1)}"]
    done = subprocess.run(words, cwd=tmp_path, text=True, capture_output=True, timeout=LIMIT,
                          check=False)
    assert done.returncode == 1 and f"violation: {violation}" in done.stdout


@pytest.mark.parametrize(("fault", "finding"), [
    ("errno_is_negative", "envelope.errno-range, HDR-ERR-003"),
    ("wide_write_is_cut", "reply.field, RW-WRITE-001"),
])  # fmt: skip
def test_what_the_model_finds_is_a_violation(fault, finding, tmp_path):
    words = [EXPLORE, f"--fault={fault}", "--scenario=page-unmap"]
    done = subprocess.run(words, cwd=tmp_path, text=True, capture_output=True, timeout=LIMIT,
                          check=False)
    assert done.returncode == 1 and f"violation: {finding}" in done.stdout


def test_without_a_fault_nothing_is_found(tmp_path):
    done = subprocess.run([EXPLORE, "--scenario=unmap-dma", "--compare"], cwd=tmp_path, text=True,
                          capture_output=True, timeout=LIMIT, check=False)
    assert done.returncode == 0 and "unreduced" in done.stdout, done.stdout
