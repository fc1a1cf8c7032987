# SPDX-License-Identifier: BSD-3-Clause
"""The side that talks to the user: collects the results of all processes, prints the summary and
the verdict, writes the reports and has the last word on the exit code.
"""

from __future__ import annotations

from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from .evidence import oracles
from .known import outdated
from .profile import Profile
from .report import Run, deviations, kernel, known_lines, skips, table
from .verdict import BROKEN, Judge, run_verdict

FIGURE = "figure "  # begins the names of the properties that are printed with the summary
SELECTING = ("keyword", "markexpr", "deselect", "lf", "failedfirst", "ignore", "ignore_glob")


def is_complete(config: pytest.Config) -> bool:
    """Does this run select all cases? Only then an unused known failure means something."""
    if any(getattr(config.option, name, None) for name in (*SELECTING, "maxfail", "stepwise")):
        return False
    paths = [Path(config.invocation_params.dir, word) for word in config.args]
    return all(path.is_dir() and not (path.parent / "conftest.py").exists() for path in paths)


def crashed_process(report: Any) -> dict[str, Any]:
    """The result of a case during which the process that ran it was lost."""
    return {
        "id": report.nodeid, "nodeid": report.nodeid, "area": "", "level": "", "requirements": [],
        "verdict": BROKEN, "code": "harness", "blamed": "", "blamed_level": "", "gated": False,
        "reason": "", "link": "", "listing": str(report.longrepr), "seconds": 0.0, "envelope": [],
    }  # fmt: skip


class Reporter:
    """Makes the report of a run from the results that come in."""

    def __init__(self, config: pytest.Config, profile: Profile, judge: Judge):
        self.config = config
        self.start = monotonic()
        arguments = [str(word) for word in config.invocation_params.args]
        self.run = Run(profile, judge.register, judge, arguments)
        self.directory = Path(config.option.report_dir)
        self.figures: list[str] = []
        if not config.option.xmlpath:
            config.option.xmlpath = str(self.directory / f"{profile.name}.xml")

        working, why = oracles()
        self.run.oracles = {
            name: "works" if name in working else why or "does not work"
            for name in ("lease", "seal", "pipe")
        }

    def pytest_report_header(self) -> list[str]:
        profile = self.run.profile
        return [
            f"target: {profile.name}: {profile.socket or ' '.join(profile.argv)}",
            f"level: {self.run.judge.gate}, kernel: {kernel()}, oracles: {self.oracles_line()}",
        ]

    def oracles_line(self) -> str:
        return ", ".join(f"{name} {state}" for name, state in self.run.oracles.items())

    def pytest_runtest_logreport(self, report: Any) -> None:
        result = getattr(report, "vuc", None)
        if result is not None:
            self.run.results.append(result)
            self.figures += [
                f"{result['id']}: {name.removeprefix(FIGURE)}: {value}"
                for name, value in report.user_properties if name.startswith(FIGURE)
            ]
        elif report.failed:
            self.run.results.append(crashed_process(report))

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        run = self.run
        run.seconds = monotonic() - self.start
        code = int(exitstatus)
        ended = code in (0, 1) and not session.shouldstop and not session.shouldfail
        if ended and is_complete(self.config):
            run.outdated = outdated(run.profile.known, run.results)
        if code == 0 and run.outdated:
            code = 1
        run.verdict, run.why = run_verdict(run.results, len(run.outdated), code)
        if code == 0 and run.verdict == "no verdict":
            code = 5
        run.exit_code = session.exitstatus = code
        run.write(self.directory / f"{run.profile.name}.json")

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        run = self.run
        if not run.results:
            return
        terminalreporter.section("requirements: area x level")
        for line in [*table(run), "", *deviations(run), *known_lines(run), *skips(run),
                     *self.figures]:
            terminalreporter.write_line(line)
        terminalreporter.write_line(f"oracles on {kernel()}: {self.oracles_line()}")
        terminalreporter.write_line(f"report: {self.directory / run.profile.name}.json, .xml")

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        terminal = self.config.pluginmanager.get_plugin("terminalreporter")
        if terminal is not None and self.run.verdict:
            terminal.write_line(self.run.last_line())
