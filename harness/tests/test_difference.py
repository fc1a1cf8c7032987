# SPDX-License-Identifier: BSD-3-Clause
"""Self-tests of how bytes that differ are explained."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from vuc.difference import explain

LARGE = 1 << 20


@pytest.mark.parametrize(
    "left, right, expected",
    [
        (b"abc", b"abd", "from byte 0x2: 63 != 64"),
        (b"abc", b"ab", "from byte 0x2: 63 != the end"),
        (b"", b"a", "from byte 0x0: the end != 61"),
    ],
    ids=["content", "longer", "empty"],
)
def test_first_difference_is_named(left, right, expected):
    assert explain(left, right) == [f"<{len(left)} bytes> == <{len(right)} bytes>", expected]


def test_large_data_is_explained_at_once_where_pytest_would_make_a_diff(tmp_path):
    (tmp_path / "conftest.py").write_text("from vuc import difference\ndifference.install()\n")
    (tmp_path / "test_large.py").write_text(
        f"def test():\n    assert bytes(range(256)) * {LARGE >> 8} == bytes({LARGE})\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-vv", str(tmp_path)],
        env={**os.environ, "CI": "true"}, text=True, timeout=60, stdout=subprocess.PIPE,
    )
    assert f"<{LARGE} bytes> == <{LARGE} bytes>" in done.stdout
    assert "from byte 0x1: 01 02" in done.stdout
