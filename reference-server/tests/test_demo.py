# SPDX-License-Identifier: BSD-3-Clause
"""ci/demo.py, small: the data is right with the reference server, whatever threads it has, and is
seen to be wrong when the server uses a page behind the reply to its invalidation.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 120  # seconds; one takes less than one
SMALL = ("--iova=32M", "--pool=2M", "--segment=256K", "--rounds=2")
PAGES, POOL = 8192, 512

# The pages that they use are gone: while they are copied, or when they are looked up again.
FAULTS = ("translation_outlives_its_mapping", "reference_ends_at_the_look_up",
          "unmap_does_not_scan")  # fmt: skip


def demo(report: Path, seed: int, *server: str) -> subprocess.CompletedProcess[str]:
    """Runs it on a server of build/, which is named with its options."""
    return subprocess.run(
        [sys.executable, "ci/demo.py", *SMALL, f"--report={report}", f"--seed={seed}",
         f"build/{server[0]}", "--viommu-dialect=native", "--socket-path={socket}", *server[1:]],
        cwd=ROOT, capture_output=True, text=True, timeout=LIMIT, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_data_is_right(threads, tmp_path):
    done = demo(tmp_path, 1, "vuc-server", f"--dma-threads={threads}")
    assert done.returncode == 0 and "32 MiB copied" in done.stdout, done.stdout + done.stderr
    result = json.loads((tmp_path / "demo.json").read_text(encoding="utf-8"))
    figures, samples = result["figures"], result["samples"]
    assert figures["in"] >= 2 * PAGES - POOL and figures["out"] > figures["in"] - POOL
    assert figures["invalidations"] > 100 and figures["changed"] > 0
    assert samples[0]["resident"] == 0 and max(row["resident"] for row in samples) <= POOL


@pytest.mark.parametrize("fault", FAULTS)
def test_use_of_a_page_that_is_gone_is_seen(fault, tmp_path):
    seen = ("has wrong contents", "was written while it was free")
    for seed in range(1, 6):
        done = demo(tmp_path, seed, "vuc-server-faulty", f"--fault={fault}")
        if done.returncode:
            break
    assert done.returncode == 1 and any(words in done.stderr for words in seen), done.stderr
