# SPDX-License-Identifier: BSD-3-Clause
"""Regressions of limits: each fault that flood_faults.toml names makes limits.py fail against the
committed baseline, with a line that says what is worse, and the build without a fault does not.

Every day some of them are shown; with FAULTS=all in the environment all of them are, and the
build without a fault ten times, beside a load on each core.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FAULTY = ROOT / "build" / "vuc-server-faulty"
LIMITS = ROOT / "ci" / "limits.py"
LIMIT = 300  # seconds for one of them
ALL = os.environ.get("FAULTS") == "all"
REPEATS = 10  # that stay green

FAULTS = tomllib.loads(
    Path(__file__).with_name("flood_faults.toml").read_text(encoding="utf-8"))["fault"]
SHOWN = [fault for fault in FAULTS if ALL or fault.get("always")]
EASY = "x01 or x08 or x24 or x29 or x36 or x41"


def compared(folder: Path, floods: str, fault: str = "") -> subprocess.CompletedProcess:
    """limits.py over these floods of the faulty build, with that fault or none."""
    server = f"{FAULTY} --socket-path={{socket}}" + (f" --fault={fault}" if fault else "")
    words = [sys.executable, str(LIMITS), "--quick", "--runs=1", f"--select={floods}",
             "--target=cases/targets/reference.toml", f"--server={server}", f"--report={folder}"]
    return subprocess.run(words, cwd=ROOT, text=True, timeout=LIMIT, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


@pytest.mark.parametrize("fault", SHOWN, ids=lambda fault: fault["name"])
def test_regression_is_noticed(fault, tmp_path):
    done = compared(tmp_path, fault["floods"], fault["name"])
    worse = [line for line in done.stdout.splitlines() if line.startswith("WORSE ")]
    assert done.returncode == 1, done.stdout
    assert any(fault["says"] in line for line in worse), done.stdout
    for row in fault.get("rows", ()):
        assert any(line.startswith(f"WORSE {row}: ") for line in worse), f"{row}:\n{done.stdout}"


@pytest.fixture
def load():
    """What else keeps the machine busy, when all is shown."""
    words = [sys.executable, "-c", "while True: pass"]
    loads = [subprocess.Popen(words) for _ in range((os.cpu_count() or 1) if ALL else 0)]
    yield
    for one in loads:
        one.kill()
        one.wait()


@pytest.mark.usefixtures("load")
@pytest.mark.parametrize("number", range(REPEATS if ALL else 1))
def test_server_without_a_fault_is_as_good_as_the_baseline(number, tmp_path):
    done = compared(tmp_path, EASY)
    assert done.returncode == 0, f"run {number}:\n{done.stdout}"


def test_each_fault_of_floods_has_a_row():
    done = subprocess.run([FAULTY, "--fault=floods"], text=True, capture_output=True, check=True)
    listed = {line.partition(": ")[0] for line in done.stdout.splitlines()}
    assert listed and listed <= {fault["name"] for fault in FAULTS}
    assert len(FAULTS) >= 10
