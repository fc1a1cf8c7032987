# SPDX-License-Identifier: BSD-3-Clause
"""Runs the suite as a user does, on cases that a self-test writes, and reads what it left."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

HARNESS = Path(__file__).resolve().parents[1]
ROOT = HARNESS.parent
FAKE = Path(__file__).with_name("fake_server.py")
PATIENCE = "0.2"
LIMIT = 120  # seconds for one run; nothing comes near it unless it hangs

CONFTEST = f"""
import sys
sys.path.insert(0, {str(HARNESS)!r})
pytest_plugins = ("vuc.plugin",)
"""
HEAD = """
import pytest
from vuc import covers, hostile, needs
"""
# Two cases with a reset between them: the command on which most fake defects show.
CASES = """
@covers("INFO-DEV-001")
def test_before(session):
    session.call("DEVICE_GET_INFO")

@covers("RST-DEV-001")
def test_reset(session):
    session.call("DEVICE_RESET")

@covers("INFO-DEV-002")
def test_behind(session):
    session.call("DEVICE_GET_INFO")
"""


@dataclass
class Finished:
    """A run that has ended: exit code, output, and the reports in `directory`."""

    exit_code: int
    output: str
    directory: Path
    name: str

    @cached_property
    def report(self) -> dict:
        """The JSON report."""
        return json.loads((self.directory / f"{self.name}.json").read_text(encoding="utf-8"))

    @property
    def junit(self) -> Path:
        """The JUnit report."""
        return self.directory / f"{self.name}.xml"

    def result(self, case: str) -> dict:
        """The result of the case with this id."""
        return next(result for result in self.report["results"] if result["id"] == case)

    def words(self) -> dict[str, str]:
        """The verdict of each case by its id without the file."""
        return {r["id"].partition("/")[2]: r["verdict"] for r in self.report["results"]}

    def last_line(self) -> str:
        """What the user reads last."""
        return self.output.rstrip().splitlines()[-1]


def fake(defect: str = "") -> list[str]:
    """The command of the fake server with a defect ("crash 13")."""
    return [sys.executable, str(FAKE), "{socket}", *defect.split()]


def profile(path: Path, argv: list[str], extra: str = "") -> Path:
    """Writes a target file; `extra` is TOML behind the usual keys."""
    words = json.dumps(argv)
    path.write_text(
        f'schema = 1\nname = "fake"\nargv = {words}\n{textwrap.dedent(extra)}', encoding="utf-8"
    )
    return path


class Suite:
    """A folder with cases, and a target file beside it."""

    def __init__(self, folder: Path, cases: str = CASES):
        self.folder = folder
        (folder / "cases").mkdir()
        (folder / "cases" / "conftest.py").write_text(CONFTEST, encoding="utf-8")
        self.write(cases)

    def write(self, cases: str, name: str = "test_sample.py") -> None:
        """Adds a file of cases."""
        text = HEAD + textwrap.dedent(cases)
        (self.folder / "cases" / name).write_text(text, encoding="utf-8")

    def run(self, *arguments: str, defect: str = "", extra: str = "sessions = 'many'") -> Finished:
        """Runs against the fake server; `extra` goes into its target file."""
        target = profile(self.folder / "fake.toml", fake(defect), extra)
        return self.call("fake", f"--target={target}", *arguments)

    def call(self, name: str, *arguments: str) -> Finished:
        """Runs pytest on the folder; `name` is that of the profile."""
        shutil.rmtree(self.folder / "report", ignore_errors=True)
        # What runs comes first: before the plugin is known, pytest takes an option with a blank
        # in it for a path, and no path behind it.
        chosen = [] if any(word.startswith("cases") for word in arguments) else ["cases"]
        words = [sys.executable, "-m", "pytest", *chosen, f"--patience={PATIENCE}", *arguments,
                 f"--report-dir={self.folder / 'report'}", "-p", "no:cacheprovider"]
        drop = ("PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER", "PYTEST_CURRENT_TEST")
        env = {key: value for key, value in os.environ.items()
               if key not in drop and not key.startswith("PYTEST_XDIST")}
        done = subprocess.run(words, cwd=self.folder, env=env, text=True, timeout=LIMIT,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        return Finished(done.returncode, done.stdout, self.folder / "report", name)
