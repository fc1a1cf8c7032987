# SPDX-License-Identifier: BSD-3-Clause
"""Lets the self-tests of the checks in ci/ import them as modules."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


def pytest_configure(config):
    """Who imports the harness names the marks of the cases."""
    for name in ("covers", "needs", "reading", "hostile"):
        config.addinivalue_line("markers", f"{name}: see harness/vuc/marks.py")
