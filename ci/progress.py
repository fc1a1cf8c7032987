# SPDX-License-Identifier: BSD-3-Clause
"""How far a long run is, on standard error: a bar with the time left on a terminal that has rich, a
line for each tenth anywhere else.

    with Progress("floods", ["X01", "X02"], seconds={"X01": 2.5}) as progress:
        progress.step("X01")
        progress.say("a line that stays above the bar")

Steps differ in length, so the estimate counts a step by what it took in an earlier run, where that
is known, and else as the known ones do on average.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from statistics import mean
from time import monotonic
from typing import Any, Self, TextIO

PARTS = 10  # lines of a run without a terminal


def duration(seconds: float) -> str:
    """A time as people say it."""
    whole = round(seconds)
    return f"{whole} s" if whole < 90 else f"{whole // 60} min {whole % 60:02} s"


def _bar(stream: TextIO) -> Any:
    # A bar of rich; None where nobody looks on, or there is no rich.
    if not stream.isatty():
        return None
    try:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bar
    except ModuleNotFoundError:
        return None
    text = TextColumn("{task.description}", markup=False)
    state = TextColumn("{task.percentage:>3.0f} %, {task.fields[state]}", markup=False)
    # Drawn at each step, and by no thread: what runs may fork, and write by itself.
    return Bar(text, BarColumn(), state, TimeElapsedColumn(), console=Console(file=stream),
               auto_refresh=False, redirect_stdout=False, redirect_stderr=False)


class Progress:
    """A run of named steps; it begins with the context."""

    def __init__(self, title: str, steps: Sequence[str], seconds: Mapping[str, float] | None = None,
                 stream: TextIO | None = None):
        known = {name: max(took, 0.001) for name, took in (seconds or {}).items() if name in steps}
        self.usual = mean(known.values()) if known else 1.0
        self.known = known
        self.title = title
        self.whole = sum(known.get(name, self.usual) for name in steps)
        self.done = 0.0
        self.told = 0  # tenths
        self.stream = stream or sys.stderr
        self.bar = _bar(self.stream)
        self.start = monotonic()

    def __enter__(self) -> Self:
        self.start = monotonic()
        if self.bar:
            self.bar.start()
            self.task = self.bar.add_task(self.title, total=self.whole, state="...")
            self.bar.refresh()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar:
            self.bar.stop()

    def left(self, now: float | None = None) -> float | None:
        """Seconds until the end, going by what is done; None before anything is."""
        if not self.done:
            return None
        took = (monotonic() if now is None else now) - self.start
        return max(took / self.done * (self.whole - self.done), 0.0)

    def step(self, name: str) -> None:
        """That step is over."""
        self.done = min(self.done + self.known.get(name, self.usual), self.whole)
        state = f"about {duration(self.left() or 0)} left"
        if self.bar:
            self.bar.update(self.task, completed=self.done, state=state, refresh=True)
        elif (tenth := int(PARTS * self.done / self.whole + 1e-9)) > self.told:
            self.told = tenth
            part = f"{100 * self.done / self.whole:.0f} %"
            self.say(f"{self.title}: {part}, {duration(monotonic() - self.start)}, {state}")

    def say(self, text: str) -> None:
        """A line of its own."""
        if self.bar:
            self.bar.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=self.stream, flush=True)
