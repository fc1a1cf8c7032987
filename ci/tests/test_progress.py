# SPDX-License-Identifier: BSD-3-Clause
"""The progress of long runs: what is printed, and how the time left is estimated."""

import io

import progress
import pytest


class Terminal(io.StringIO):
    """Text that is written to a terminal."""

    def isatty(self):
        return True


def test_lines_come_by_tenths_where_nobody_looks_on():
    out = io.StringIO()
    names = [str(number) for number in range(100)]
    with progress.Progress("runs", names, stream=out) as bar:
        for name in names:
            bar.step(name)
    lines = out.getvalue().splitlines()
    assert len(lines) == progress.PARTS
    assert lines[0].startswith("runs: 10 %") and lines[-1].endswith("about 0 s left")


def test_estimate_goes_by_what_a_step_took_before():
    bar = progress.Progress("runs", ["long", "short", "new"], {"long": 9.0, "short": 1.0, "x": 99},
                            stream=io.StringIO())
    assert bar.left() is None
    bar.start = 0.0
    bar.step("long")
    assert bar.left(18.0) == pytest.approx(12.0)  # as long as 1 s before, and 5 s of a new one
    bar.step("short")
    bar.step("new")
    bar.step("one more than was said")
    assert bar.left(20.0) == 0.0


def test_terminal_without_rich_gets_lines(monkeypatch):
    monkeypatch.setitem(progress.sys.modules, "rich.console", None)
    out = Terminal()
    with progress.Progress("runs", ["a"], stream=out) as bar:
        bar.say("[bold]as it stands")
        bar.step("a")
    assert out.getvalue().startswith("[bold]as it stands\nruns: 100 %")


def test_terminal_has_a_bar_and_lines_above_it():
    pytest.importorskip("rich")
    out = Terminal()
    with progress.Progress("runs", ["a", "b"], stream=out) as bar:
        bar.step("a")
        bar.say("[bold]as it stands")
    assert "[bold]as it stands" in out.getvalue() and "left" in out.getvalue()


@pytest.mark.parametrize(("seconds", "words"), [(0.4, "0 s"), (89, "89 s"), (601, "10 min 01 s")])
def test_durations_are_said_as_people_do(seconds, words):
    assert progress.duration(seconds) == words
