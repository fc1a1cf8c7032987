# SPDX-License-Identifier: BSD-3-Clause
"""The programs that fuzz/explore.c prints of its shortest schedules: `vuc run` finds with them, on
a server that is a process of its own, what the search has found in its own one, and nothing on a
server without the fault.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from test_order_faults import EXPLORE, FAULTS, LIMIT, ROOT

RUNS = 5  # as the programs say
PATIENCE = 1000  # ms, for replies that are missing

# What no program shows, and why.
NOT_SHOWN = {
    "translation_outlives_its_mapping":
        "an operation that has looked its memory up and has let it go stands at no hold point",
    "reference_ends_at_the_look_up": "a thread is at work: there is no hold point",
    "thread_is_not_told_of_a_stop": "a thread is at work: there is no hold point",
    "miss_is_cached":
        "nothing is missing when it asks, so that the operation looks once more, and ends well",
    "source_is_let_go_early": "what is read of memory that is no longer mapped shows at no side",
    "old_cookies_are_forgotten": "what is seen is a bit of a register, of which no program speaks",
    "who_has_left_is_awaited": "the operation drains, so that the next client waits and is served",
    "aborted_operation_takes_replies":
        "what goes on is an operation of the same slot, which lacks its first half",
    "twin_follows_the_reply": "the two sockets have no order, so nothing comes too late",
}  # fmt: skip


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """The paths of the programs by fault."""
    folder = tmp_path_factory.mktemp("programs")
    subprocess.run([EXPLORE, "--faults"], cwd=folder, capture_output=True, timeout=LIMIT,
                   check=False)  # fmt: skip
    return {path.stem.rpartition("-")[2]: path
            for path in (folder / "build/schedules").glob("*.prog")}  # fmt: skip


def run(program: Path, server: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Judges one run on a server of build/ with these options."""
    return subprocess.run(
        [ROOT / "build/vuc", "run", "--brief", f"--timeout={PATIENCE}", program, "--",
         ROOT / "build" / server, "--viommu-dialect=native", *options, "--socket-path={socket}"],
        capture_output=True, text=True, timeout=LIMIT, check=False,
    )  # fmt: skip


def test_each_schedule_is_a_program(programs):
    assert set(programs) == set(FAULTS)
    for path in programs.values():
        assert f"# runs: {RUNS}\n" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault not in NOT_SHOWN])
def test_program_shows_the_fault(fault, programs):
    outcomes = []
    while 1 not in outcomes and len(outcomes) < RUNS:
        done = run(programs[fault], "vuc-server-faulty", f"--fault={fault}")
        outcomes.append(done.returncode)
    assert outcomes[-1] == 1, done.stdout + done.stderr


@pytest.mark.parametrize("fault", FAULTS)
def test_without_the_fault_nothing_is_found(fault, programs):
    done = run(programs[fault], "vuc-server")
    assert done.returncode == 0, done.stdout + done.stderr
