# SPDX-License-Identifier: BSD-3-Clause
"""What the experiment behind the poc dialect does wrong is found by the cases where that dialect is
spoken: as test_faults.py, for poc_faults.toml.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from test_faults import FAULTY, ROOT, assert_caught, call, run_cases

OPTIONS = "--dma-threads=0 --viommu-dialect=poc"
SPEAKS = ("--viommu-dialect=poc",)
FAULTS = tomllib.loads(
    Path(__file__).with_name("poc_faults.toml").read_text(encoding="utf-8"))["fault"]
LIST = re.search(r"#define FAULT_POC_LIST.*?\n\n",
                 (ROOT / "reference-server" / "fault.h").read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault["name"])
def test_fault_is_caught(fault, tmp_path):
    results = run_cases(fault["cases"], tmp_path, fault["name"], options=OPTIONS, words=SPEAKS)
    assert_caught(fault, results)


def test_named_cases_pass_without_a_fault(tmp_path):
    cases = sorted({case for fault in FAULTS for case in fault["cases"]})
    results = run_cases(cases, tmp_path, patience=1, options=OPTIONS, words=SPEAKS)
    assert {case: results[case]["verdict"] for case in cases} == dict.fromkeys(cases, "PASS")


def test_each_fault_of_the_dialect_has_a_row():
    own = set(re.findall(r"\bFAULT\((\w+),", LIST.group()))
    usual = {line.partition(": ")[0] for line in call(FAULTY, "--fault=list").stdout.splitlines()}
    names = {fault["name"] for fault in FAULTS}
    assert own <= names <= own | usual
