# SPDX-License-Identifier: BSD-3-Clause
"""fuzz_curve follows the coverage of what runs, and says when nothing does."""

import csv
import os
import xml.etree.ElementTree as ElementTree

import fuzz_curve
import pytest
from fuzz_curve import Point

GROWS = """#!/bin/bash
{ echo "INFO: seed corpus"
echo "#2	INITED cov: 7 ft: 9 corp: 1/1b exec/s: 0 rss: 1Mb"
echo "#8	pulse  cov: 7 ft: 9 corp: 1/1b"
echo "#9	NEW    cov: 30 ft: 9 corp: 2/2b"; } >&2
while :; do :; done
"""


@pytest.fixture
def run(tmp_path):
    """A function that draws the curves of entries that are scripts: the exit status."""

    def start(**scripts):
        (tmp_path / "fuzz").mkdir(exist_ok=True)
        (tmp_path / "seeds").mkdir(exist_ok=True)
        for name, text in scripts.items():
            (tmp_path / f"fuzz/fuzz_{name}").write_text(text, encoding="utf-8")
            os.chmod(tmp_path / f"fuzz/fuzz_{name}", 0o755)
        return fuzz_curve.main([f"--build={tmp_path}", "--time=1",
                                *(f"{name}={tmp_path}/seeds" for name in scripts)])  # fmt: skip

    return start


def test_coverage_is_written_and_drawn(run, tmp_path):
    assert run(session=GROWS, wire=GROWS.replace("30", "20")) == 0
    with (tmp_path / "report/fuzz-curve.csv").open(encoding="utf-8") as file:
        rows = [(row["entry"], int(row["coverage"])) for row in csv.DictReader(file)]
    assert rows == [("session", 7), ("session", 30), ("session", 30),
                    ("wire", 7), ("wire", 20), ("wire", 20)]  # fmt: skip
    drawn = ElementTree.parse(tmp_path / "report/fuzz-curve.svg").getroot()
    texts = [element.text for element in drawn if element.tag.endswith("text")]
    assert "session: 30" in texts and "wire: 20" in texts


def test_entry_that_does_not_run_is_no_curve(run, capsys):
    assert run(session="#!/bin/sh\nexit 1\n") == fuzz_curve.BROKEN
    assert "fuzz_session does not run" in capsys.readouterr().err


def test_entry_that_ends_early_is_told(run, capsys):
    assert run(session=GROWS.replace("while :; do :; done", "exit 77")) == 0
    assert "fuzz_session ended early, with 77" in capsys.readouterr().err


def test_only_what_grows_is_kept():
    points = [Point(0, 5), Point(1, 5), Point(2, 4), Point(3, 6)]
    assert fuzz_curve.grown(points) == [Point(0, 5), Point(3, 6)]
    assert fuzz_curve.cpu_of(os.getpid()) > 0
