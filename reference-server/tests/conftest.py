# SPDX-License-Identifier: BSD-3-Clause
"""Makes `python3 -m pytest reference-server/tests` find the package of the harness and know its
marks."""

import sys
from pathlib import Path

HARNESS = str(Path(__file__).resolve().parents[2] / "harness")
if HARNESS not in sys.path:
    sys.path.insert(0, HARNESS)

from vuc.marks import MARKS  # noqa: E402 - the path comes first


def pytest_configure(config):
    for line in MARKS:
        config.addinivalue_line("markers", line)
