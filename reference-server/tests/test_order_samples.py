# SPDX-License-Identifier: BSD-3-Clause
"""The scenarios of explore over a socket, by samples: nothing is found in the reference server,
whatever threads it has, and faults that are about order are.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 120  # seconds; each takes less than ten
FEW, MANY = 6, 150

# What the threads of the server do is not chosen, so these are faults that need no luck.
FAULTS = {
    "replace_does_not_wait": "replace", "translation_outlives_its_mapping": "replace",
    "reply_comes_before_the_drain": "drain", "page_is_awaited_with_references": "page-unmap",
    "miss_is_final": "miss", "response_is_for_the_first_prgi": "responses",
    "late_response_is_taken": "responses", "time_out_returns_credit": "credit",
    "credit_is_lost_at_a_reset": "reset", "cookies_begin_anew": "reset",
    "old_cookies_are_forgotten": "stop", "stop_keeps_groups": "stop",
    "marker_follows_the_reply": "all", "all_spares_groups": "all", "round_drops_a_piece": "cut",
}  # fmt: skip


def sample(folder: Path, server: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Samples a server of build/, which gets the arguments behind "--"."""
    at = arguments.index("--")
    return subprocess.run(
        [ROOT / "build/explore-socket", f"--findings={folder}/findings", *arguments[:at], "--",
         ROOT / "build" / server, "--viommu-dialect=native", "--socket-path={socket}",
         *arguments[at + 1 :]],
        cwd=folder, capture_output=True, text=True, timeout=LIMIT, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("threads", [1, 3])
def test_nothing_is_found(threads, tmp_path):
    done = sample(tmp_path, "vuc-server", f"--samples={FEW}", "--", f"--dma-threads={threads}")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.split() for line in done.stdout.splitlines()[2:]]
    assert len(rows) >= 19 and all(int(row[2]) == FEW for row in rows)


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_found(fault, tmp_path):
    done = sample(tmp_path, "vuc-server-faulty", f"--scenario={FAULTS[fault]}",
                  f"--samples={MANY}", "--tries=1", "--", f"--fault={fault}")  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(rf"^{FAULTS[fault]} +sample \d+: \S", done.stdout, re.MULTILINE), done.stdout


def test_what_is_found_is_shown_again_and_kept_as_a_program(tmp_path):
    done = sample(tmp_path, "vuc-server-faulty", "--scenario=all", "--",
                  "--fault=marker_follows_the_reply")  # fmt: skip
    assert "again in 5 of 5 runs" in done.stdout
    program = next((tmp_path / "findings").glob("all-*.prog"))
    assert "slot(0, cmd=FILL|PASID" in program.read_text(encoding="utf-8")
    for server, outcome in [(["vuc-server"], 0),
                            (["vuc-server-faulty", "--fault=marker_follows_the_reply"], 1)]:
        again = subprocess.run(
            [ROOT / "build/vuc", "run", "--brief", "--timeout=1000", program, "--",
             ROOT / "build" / server[0], *server[1:], "--viommu-dialect=native",
             "--socket-path={socket}"],
            capture_output=True, text=True, timeout=LIMIT, check=False)  # fmt: skip
        assert again.returncode == outcome, again.stdout + again.stderr


def test_server_without_the_extension_is_not_judged(tmp_path):
    done = subprocess.run(
        [ROOT / "build/explore-socket", "--", ROOT / "build/vuc-server",
         "--socket-path={socket}"],
        cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT, check=False)  # fmt: skip
    assert done.returncode == 2 and "does not have the vIOMMU extension" in done.stderr


def script(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a script of ci/, as make does."""
    return subprocess.run([sys.executable, f"ci/{name}.py", "--scenario=miss", *arguments],
                          cwd=ROOT, capture_output=True, text=True, timeout=LIMIT,
                          check=False)  # fmt: skip


def test_target_file_names_the_server():
    done = script("explore_server", "--target=cases/targets/reference.toml", "--samples=2",
                  "--seed=7")  # fmt: skip
    assert done.returncode == 0 and "--viommu-dialect=native" in done.stdout, done.stderr
    assert re.search(r"^seed 7$", done.stdout, re.MULTILINE)


def test_rate_is_told_for_the_same_schedules():
    done = script("explore_rate", "--schedules=3")
    rows = [line.split(" | ") for line in done.stdout.splitlines()[2:]]
    assert done.returncode == 0 and [row[0] for row in rows] == [
        "| miss", "| sum, where no time passes"]  # fmt: skip
    assert all(float(cell.rstrip(" |")) > 0 for cell in rows[0][1:])
