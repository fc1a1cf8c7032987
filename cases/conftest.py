# SPDX-License-Identifier: BSD-3-Clause
"""Makes `python3 -m pytest cases` find the package of the harness and load its plugin."""

import sys
from pathlib import Path

HARNESS = str(Path(__file__).resolve().parents[1] / "harness")
if HARNESS not in sys.path:
    sys.path.insert(0, HARNESS)

pytest_plugins = ("vuc.plugin",)
