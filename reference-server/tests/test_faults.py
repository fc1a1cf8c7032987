# SPDX-License-Identifier: BSD-3-Clause
"""The fault matrix: each case that faults.toml names for a fault of the faulty build has to run
and to fail against it, in the way that is told there, and to pass where no fault is selected.

So a case that can not fail, or fails for another reason than the one it is there for, is found.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SERVER = ROOT / "build" / "vuc-server"
FAULTY = ROOT / "build" / "vuc-server-faulty"
TARGET = "cases/targets/reference-faulty.toml"
PATIENCE = 0.2
OPTIONS = "--dma-threads=0"  # all in one order, unless the fault is about threads
LIMIT = 120  # seconds for one run; nothing comes near it unless it hangs
AT_MOST = 120  # faults; more would bury the server
FROM_LIFE = 15  # faults at least that were seen in other servers

FAULTS = tomllib.loads(Path(__file__).with_name("faults.toml").read_text(encoding="utf-8"))["fault"]


def node(case: str) -> str:
    """What pytest calls the case with this id."""
    name, bracket, parameter = case.partition("[")
    *folders, file, function = name.split("/")
    path = "/".join(("cases", *folders, f"test_{file}.py"))
    return f"{path}::test_{function}{bracket}{parameter}"


def run_cases(cases: list[str], directory: Path, fault: str = "", patience: float = PATIENCE,
              options: str = OPTIONS, words: Iterable[str] = ()) -> dict[str, dict]:
    """Runs these cases against the faulty build with that fault, or none, and returns the results
    of the JSON report by the id of the case. words: further options of the suite."""
    command = f"{shlex.quote(str(FAULTY))} --socket-path={{socket}} {options}"
    if fault:
        command += f" --fault={fault}"
    whole = [sys.executable, "-m", "pytest", "-p", "vuc.plugin", *map(node, cases), "-q",
             f"--target={TARGET}", f"--server={command}", "--level=all",
             f"--patience={patience}", f"--report-dir={directory}", *words]
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
    env["PYTHONPATH"] = str(ROOT / "harness")
    done = subprocess.run(whole, cwd=ROOT, env=env, text=True, timeout=LIMIT,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    path = directory / "reference-faulty.json"
    assert path.exists(), f"no case ran:\n{done.stdout}"
    report = json.loads(path.read_text(encoding="utf-8"))
    results = {result["id"]: result for result in report["results"]}
    assert set(results) == set(cases), f"not just these cases ran:\n{done.stdout}"
    return results


def call(program: Path, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([program, *arguments], text=True, capture_output=True, timeout=LIMIT,
                          check=False)


def assert_caught(fault: dict, results: dict[str, dict]) -> None:
    """Each of these cases has failed, in a way that the row of the fault tells."""
    for case, result in results.items():
        word, listing = result["verdict"], result["listing"]
        assert word == "FAIL", f"{case} does not notice it: {word} {result['reason']} {listing}"
        assert result["code"] in fault["codes"], f"{case} fails for another reason: {listing}"


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault["name"])
def test_fault_is_caught(fault, tmp_path):
    patience = fault.get("patience", PATIENCE)
    options = fault.get("options", OPTIONS)
    assert_caught(fault, run_cases(fault["cases"], tmp_path, fault["name"], patience, options))


def test_named_cases_pass_without_a_fault(tmp_path):
    cases = sorted({case for fault in FAULTS for case in fault["cases"]})
    results = run_cases(cases, tmp_path, patience=1)
    assert {case: results[case]["verdict"] for case in cases} == dict.fromkeys(cases, "PASS")


def test_each_fault_of_the_build_has_a_row():
    listed = call(FAULTY, "--fault=list").stdout.splitlines()
    names = [line.partition(": ")[0] for line in listed]
    assert sorted(names) == sorted(fault["name"] for fault in FAULTS)
    assert len(names) <= AT_MOST
    assert all(fault["cases"] and fault["codes"] for fault in FAULTS)
    assert sum("seen" in fault for fault in FAULTS) >= FROM_LIFE


def test_unknown_fault_is_refused():
    done = call(FAULTY, "--fault=no_such_fault", "--socket-path=unused")
    assert done.returncode == 2 and "bad value" in done.stderr


@pytest.mark.parametrize("name", ["list", FAULTS[0]["name"]])
def test_ordinary_server_has_no_faults(name):
    done = call(SERVER, f"--fault={name}", "--socket-path=unused")
    assert done.returncode == 2 and "this build has no faults" in done.stderr


def test_no_fault_is_left_in_the_ordinary_server():
    program = SERVER.read_bytes()
    for line in call(FAULTY, "--fault=list").stdout.splitlines():
        assert line.partition(": ")[2].encode() not in program, line
