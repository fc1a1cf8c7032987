# SPDX-License-Identifier: BSD-3-Clause
"""The side that talks to the user: collects the results of all processes, prints the summary and
the verdict, writes the reports and has the last word on the exit code.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from .causes import same_cause
from .duration import DEFAULT_SCALE
from .evidence import oracles
from .known import outdated
from .profile import Profile
from .report import Run, around, deviations, fix_lines, kernel, known_lines, skips, table
from .verdict import BROKEN, Judge, run_verdict

FEW = 10  # failures are listed one and all; of more, one per cause
SLOW = 60  # seconds, after which a run with failures says how to wait less
DEFAULT_CHARS = "fE"  # of pytest's short summary, which says nothing that is not above it
FIGURE = "figure "  # begins the names of the properties that are printed with the summary
SELECTING = ("keyword", "markexpr", "deselect", "lf", "failedfirst", "ignore", "ignore_glob")


def is_complete(config: pytest.Config) -> bool:
    """Does this run select all cases? Only then an unused known failure means something."""
    if any(getattr(config.option, name, None) for name in (*SELECTING, "maxfail", "stepwise")):
        return False
    paths = [Path(config.invocation_params.dir, word) for word in config.args]
    return all(path.is_dir() and not (path.parent / "conftest.py").exists() for path in paths)


def repeat_command(option: Any) -> str:
    """The command that runs one case again as it ran here; {case} stands for its nodeid."""
    words = [f"--{name}={getattr(option, name)}" for name in ("target", "server", "socket")
             if getattr(option, name)]
    if option.viommu_dialect:
        words.append(f"--viommu-dialect={option.viommu_dialect}")
    if option.level != "must":
        words.append(f"--level={option.level}")
    if option.patience != 1:
        words.append(f"--patience={option.patience:g}")
    if option.scale != DEFAULT_SCALE:
        words.append(f"--scale={option.scale:g}")
    return f"{shlex.quote(sys.executable)} -m pytest {{case}} {shlex.join(words)}"


def crashed_process(report: Any) -> dict[str, Any]:
    """The result of a case during which the process that ran it was lost."""
    return {
        "id": report.nodeid, "nodeid": report.nodeid, "area": "", "level": "", "requirements": [],
        "readings": [], "verdict": BROKEN, "code": "harness", "blamed": "", "blamed_level": "",
        "gated": False, "reason": "", "link": "", "listing": str(report.longrepr), "seconds": 0.0,
        "envelope": [],
    }  # fmt: skip


class Reporter:
    """Makes the report of a run from the results that come in."""

    def __init__(self, config: pytest.Config, profile: Profile, judge: Judge):
        self.config = config
        self.start = monotonic()
        arguments = [str(word) for word in config.invocation_params.args]
        self.run = Run(profile, judge.register, judge, arguments)
        self.run.repeat = repeat_command(config.option)
        self.run.started = datetime.now(UTC).isoformat(timespec="seconds")
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
        run.complete = ended and is_complete(self.config)
        if run.complete:
            run.outdated = outdated(run.profile.known, run.results)
        if code == 0 and run.outdated:
            code = 1
        run.verdict, run.why = run_verdict(run.results, len(run.outdated), code)
        if code == 0 and run.verdict == "no verdict":
            code = 5
        run.exit_code = session.exitstatus = code
        run.write(self.directory / f"{run.profile.name}.json")

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: Any) -> Iterator[None]:
        """pytest prints the listings it is left with, then comes what is ours."""
        stats = terminalreporter.stats
        failed = stats.get("failed", [])
        shown = self.listed(failed)
        if failed:
            stats["failed"] = shown
        if self.config.option.reportchars == DEFAULT_CHARS:
            terminalreporter.reportchars = ""
        yield
        if failed:
            stats["failed"] = failed
        if self.run.results:
            self.summary(terminalreporter, len(failed) - len(shown))

    def listed(self, failed: list) -> list:
        """The failures that are shown with their listing."""
        if len(failed) <= FEW or self.config.option.verbose > 0:
            return failed
        firsts = {same_cause(one.vuc): one for one in reversed(failed) if hasattr(one, "vuc")}
        return list(reversed(firsts.values())) + [x for x in failed if not hasattr(x, "vuc")]

    def summary(self, terminal: Any, hidden: int) -> None:
        run = self.run
        if hidden:
            terminal.write_line(f"{hidden} more listings of the same causes: -v, or the report")
        terminal.section("requirements: area x level")
        for line in [*table(run), "", *deviations(run), *known_lines(run), *skips(run),
                     *around(run), *self.figures]:
            terminal.write_line(line)
        terminal.write_line(f"oracles on {kernel()}: {self.oracles_line()}")
        if fix := fix_lines(run):
            terminal.section("what to fix first")
            for line in fix:
                terminal.write_line(line)
            if run.seconds > SLOW:
                terminal.write_line("much of the time was spent on waiting for a server that "
                                    "fails; ARGS=--patience=0.2 waits less")
        terminal.section("report")
        name = self.directory / run.profile.name
        terminal.write_line(f"{name}.json has every case with its listing, {name}.xml is JUnit")
        terminal.write_line("make report: one page of HTML over all targets that were run")

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        terminal = self.config.pluginmanager.get_plugin("terminalreporter")
        if terminal is not None and self.run.verdict:
            terminal.write_line(self.run.last_line())
