# SPDX-License-Identifier: BSD-3-Clause
"""fuzz_rate measures both sides, a null server is one that is told from ours by what is found on
it, and what can not be measured is an error.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import fuzz_rate
import pytest
from fuzz_rate import NULL, OURS, Run

ROOT = Path(__file__).resolve().parent.parent.parent


def run(*words):
    """fuzz_rate.py as make calls it."""
    return subprocess.run([sys.executable, "ci/fuzz_rate.py", *words], cwd=ROOT, text=True,
                          capture_output=True, timeout=100, check=False)  # fmt: skip


def test_both_sides_run_the_same_programs():
    done = run("--programs=8", "--runs=1")
    assert done.returncode == 0, done.stderr
    rows = {line.split("|")[1].strip(): line for line in done.stdout.splitlines() if "|" in line}
    assert rows[OURS].endswith("| 0 | 0 |") and not rows[NULL].endswith("| 0 | 0 |")
    assert "times the programs/s of the null server" in done.stdout


@pytest.mark.parametrize("server", ["vuc-server", "bench/bench_null"])
def test_server_that_does_not_run_is_not_measured(server, tmp_path):
    (tmp_path / "bench").mkdir()
    for name in ("vuc", "vuc-server", "bench/bench_null"):
        shutil.copy(ROOT / "build" / name, tmp_path / name)
    (tmp_path / server).write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    done = run("--programs=2", "--runs=1", f"--build={tmp_path}")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{server}: exit status" in done.stderr


def test_ratio_is_of_the_same_run():
    ours, null = ([Run(rate, 9, 0, 0) for rate in rates] for rates in ((10, 40, 90), (20, 20, 30)))
    lines = fuzz_rate.table({OURS: ours, NULL: null})
    assert lines[2:] == ["| reference | 40 | 9 | 0 | 0 |", "| null | 20 | 9 | 0 | 0 |", "",
                         "2.00 times the programs/s of the null server (0.50, 2.00, 3.00)"]
