# SPDX-License-Identifier: BSD-3-Clause
"""The options of the program: what it prints when asked, and that it refuses what is wrong.

What options do is the matter of the cases, which start the server with them as variants.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

SERVER = Path(__file__).resolve().parents[2] / "build" / "vuc-server"
LIMIT = 20  # seconds; nothing comes near it unless it serves in spite of its options
USAGE = 2
WRONG = [
    "--without=", "--without=reset,", "--without=reset,unknown", "--without=rese",
    "--without=resett",
    "--with=reset", "--with=migration", "--with=write_multiple", "--with=", "--require=reset",
    "--require=", "--profile=bare", "--profile=", "--devices=0", "--devices=63", "--devices=1x",
    "--devices=", "--max-msg-fds=254", "--max-data-xfer-size=0", "--max-data-xfer-size=16777217",
    "--max-dma-maps=4294967296", "--t-partial=0", "--t-idle=-1", "--t-dma= 1", "--t-drain=1.5",
    "--fd=2147483648",
]


def call(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([SERVER, *arguments], text=True, capture_output=True, timeout=LIMIT,
                          check=False)


def test_help_names_every_option():
    done = call("--help")
    assert done.returncode == 0 and not done.stderr
    source = (SERVER.parents[1] / "reference-server" / "main.c").read_text(encoding="utf-8")
    options = re.findall(r'\{ "([a-z-]+)", (?:required|no)_argument', source)
    assert len(options) > 10
    assert all(f"--{option}" in done.stdout for option in options)


def test_version_is_one_line():
    done = call("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"vuc-server \d+\.\d+\n", done.stdout)


@pytest.mark.parametrize("option", WRONG)
def test_bad_value_is_refused(option, tmp_path):
    done = call(option, f"--socket-path={tmp_path}/s")
    assert done.returncode == USAGE
    assert "bad value" in done.stderr and "--help" in done.stderr
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("words", [["--unknown"], ["--devices"], ["word"], ["--verbose=1"]])
def test_unknown_words_are_refused(words, tmp_path):
    done = call(f"--socket-path={tmp_path}/s", *words)
    assert done.returncode == USAGE and done.stderr
    assert not (tmp_path / "s").exists()
