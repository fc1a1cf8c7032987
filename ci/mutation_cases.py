# SPDX-License-Identifier: BSD-3-Clause
"""Runs cases against servers other than the one they were collected for, in forked processes.

pytest collects once; then, in place of its loop over the cases, it calls whom it was told, with the
Suite. Each run of cases is a process forked from there: nothing that a mutant does to it or to the
server that it starts is left for the next. A process of which nothing is heard for SILENCE seconds
is stopped.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import io
import multiprocessing
import os
import resource
import signal
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from mutation_build import COUNTING, Build, Kept

PATIENCE = 0.2
AGAIN = 1.0  # the patience with which a failure is seen a second time
SILENCE = 90.0
SHARES = 16
SOME = 3  # cases of a function that come before the rest of any
MEMORY = 4 << 30  # bytes of data that a server may have
PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
FOUND = ("FAIL", "DEVIATES")


@dataclass
class Task:
    """What a process is to do: body(say) in it, where say(text) shows that it goes on. result is
    what body returned, None if it was stopped or died by itself; said is the last text."""

    name: Any
    body: Callable[[Callable[[str], None]], Any]
    result: Any = None
    died: bool = False
    said: str = ""
    heard: float = 0.0


def _child(task: Task, line: Connection) -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    line.send(("done", task.body(lambda text: line.send(("on", text)))))
    line.close()
    os._exit(0)


def _hear(task: Task, line: Connection) -> bool:
    """Takes one message of the process; False when there will be no further one."""
    try:
        word, value = line.recv()
    except (EOFError, OSError):
        task.died = True
        return False
    task.heard = monotonic()
    if word == "done":
        task.result = value
        return False
    task.said = value
    return True


def forked(tasks: Iterable[Task], jobs: int) -> Iterator[Task]:
    """Does the tasks, `jobs` at a time, and yields each when it has ended."""
    fork = multiprocessing.get_context("fork")
    waiting, running = iter(tasks), {}
    while True:
        while len(running) < jobs and (task := next(waiting, None)) is not None:
            task.heard = monotonic()
            ours, theirs = fork.Pipe(duplex=False)
            process = fork.Process(target=_child, args=(task, theirs), daemon=True)
            process.start()
            theirs.close()
            running[ours] = task, process
        if not running:
            return
        ready = wait(list(running), 1.0)
        for line, (task, process) in list(running.items()):
            over = line in ready and not _hear(task, line)
            if over or monotonic() - task.heard > SILENCE:
                process.kill()
                process.join()
                line.close()
                del running[line]
                yield task


def function_of(item: pytest.Item) -> str:
    """The id of a case without its parameters."""
    from vuc.marks import case_id

    return case_id(item).partition("[")[0]


class Suite:
    """The collected cases, by test function ("dma_map/map_is_refused")."""

    def __init__(self, session: pytest.Session, build: Build, jobs: int):
        from vuc.plugin import CASE

        self.build, self.jobs = build, jobs
        self.ordinary = build.server
        self.runner = session.config.pluginmanager.get_plugin("vuc-runner")
        self.items: dict[str, list[pytest.Item]] = {}
        self.must: set[str] = set()
        readings = self.runner.worker.profile.readings
        for item in session.items:
            name = function_of(item)
            self.items.setdefault(name, []).append(item)
            if item.stash[CASE].read_by(readings).level == "MUST":
                self.must.add(name)

    # ---- in a process of their own ----

    def serve(self, program: Path, patience: float = PATIENCE) -> None:
        """From now on the server is this program, in all variants; those before are ended."""
        from vuc.around import Worker
        from vuc.duration import set_patience

        self.discard()
        for name, worker in self.runner.workers.items():
            argv = (str(program), *worker.profile.argv[1:])
            self.runner.workers[name] = Worker(replace(worker.profile, argv=argv))
        set_patience(patience)

    def judge_by(self, build: Build) -> None:
        """A case that fails against a mutant of that build must not fail against it as it is."""
        self.ordinary = build.server
        if build.sanitized:  # its shadow memory counts as data
            resource.setrlimit(resource.RLIMIT_DATA, (resource.RLIM_INFINITY,) * 2)

    def discard(self) -> None:
        """Ends the servers."""
        for worker in self.runner.workers.values():
            worker.discard()

    def word(self, item: pytest.Item) -> tuple[str, str]:
        """Verdict and failure code of one case, run now."""
        results = [r.vuc for r in self.runner.run(item, None) if hasattr(r, "vuc")]
        return results[0]["verdict"], results[0]["code"]

    def failing(self, item: pytest.Item, program: Path) -> str:
        """The code with which a case fails against the program, fails again with a new server and
        all the time it wants, and does not fail just then without the mutant; else empty."""
        if self.word(item)[0] not in FOUND:
            return ""
        self.serve(program, AGAIN)
        verdict, code = self.word(item)
        self.serve(self.ordinary, AGAIN)
        innocent = verdict in FOUND and self.word(item)[0] not in FOUND
        self.serve(program)
        return code if innocent else ""

    def hunt(self, program: Path, names: Iterable[str], say: Callable[[str], None],
             most: int | None = None) -> list[dict]:
        """The first failing case of each function, among the first `most`, on that program."""
        self.serve(program)
        found = [one for name in names
                 if (one := self.first(self.items[name][:most], program, say)) is not None]
        self.discard()
        return found

    def hunt_one(self, program: Path, names: Sequence[str],
                 say: Callable[[str], None]) -> list[dict]:
        """One failing case of all these functions, or none: some of each first, then the rest."""
        self.serve(program)
        some = [item for name in names for item in self.items[name][:SOME]]
        rest = [item for name in names for item in self.items[name][SOME:]]
        found = self.first([*some, *rest], program, say)
        self.discard()
        return [] if found is None else [found]

    def first(self, items: Iterable[pytest.Item], program: Path,
              say: Callable[[str], None]) -> dict | None:
        """The first of the cases that fails."""
        for item in items:
            say(item.nodeid)
            if code := self.failing(item, program):
                return {"function": function_of(item), "case": item.nodeid, "code": code}
        return None

    def lives(self, program: Path) -> bool:
        """Does that server come up and serve a client?"""
        from vuc.failure import Failure

        self.serve(program)
        try:
            self.runner.workers[""].ready()
        except Failure:
            return False
        return True

    def traced(self, name: str) -> dict[str, dict[int, int]]:
        """How often the cases of a function execute which lines, with a server of their own."""
        with tempfile.TemporaryDirectory(prefix="vuc-counters-") as folder:
            # Counters live in the mapped file (%c), so those of a server that is killed are there.
            os.environ["LLVM_PROFILE_FILE"] = f"{folder}/%p%c.profraw"
            self.serve(self.build.root / COUNTING, patience=1.0)
            for item in self.items[name]:
                self.word(item)
            self.discard()
            return self.build.counted(Path(folder))

    # ---- all of them ----

    def control(self, program: Path, say: Callable[[str], None]) -> None:
        """Leaves out the functions that fail against the server as it is, in this haste."""
        build = self.build
        kept = Kept(build.folder / "control.json", build.digest + build.common, build.cases)
        names = [name for name in self.items if not kept.holds(name)]
        tasks = [Task(n, lambda on, n=n: self.hunt(program, names[n::SHARES], on))
                 for n in range(SHARES)]
        bad = set(kept.value or []) - set(names)
        for task in forked(tasks, self.jobs) if names else ():
            bad |= {one["function"] for one in task.result}
        for name in kept.put(sorted(bad)):
            say(f"left out, fails without a mutant: {name}")
            self.items.pop(name, None)

    def reach(self, say: Callable[[str], None]) -> dict[str, dict[str, dict[str, int]]]:
        """What each function executes: function -> file -> line -> how often."""
        build = self.build
        kept = Kept(build.folder / "reach.json", build.digest + build.common, build.cases)
        found = {name: lines for name, lines in (kept.value or {}).items()
                 if name in self.items and kept.holds(name)}
        missing = [name for name in self.items if name not in found]
        if not missing:
            return found
        tasks = (Task(name, lambda on, n=name: self.traced(n)) for name in missing)
        for task in forked(tasks, self.jobs):
            found[task.name] = task.result or {}
            if len(found) % 50 == 0:
                say(f"reach: {len(found)} of {len(self.items)} functions")
        return kept.put(found)


class _Loop:
    """The plugin that takes the place of pytest's loop."""

    def __init__(self, build: Build, jobs: int, work: Callable[[Suite], int]):
        self.build, self.jobs, self.work, self.status = build, jobs, work, 2

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        gc.freeze()  # the collected cases are shared with every process
        self.status = self.work(Suite(session, self.build, self.jobs))
        return True


def with_suite(build: Build, jobs: int, work: Callable[[Suite], int]) -> int:
    """Collects the cases, calls work(suite) and returns what it does. pytest's own words are
    kept to itself unless it can not collect: then RuntimeError."""
    loop, said = _Loop(build, jobs, work), io.StringIO()
    words = ["-p", "vuc.plugin", "-c", str(build.root / ".pytest.ini"), f"--rootdir={build.root}",
             str(build.root / "cases"), "--capture=no",
             f"--target={build.root / 'cases/targets/reference.toml'}", "--level=all",
             f"--report-dir={build.folder / 'pytest'}"]
    with contextlib.redirect_stdout(said):
        status = pytest.main(words, plugins=[loop])
    if status in (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.USAGE_ERROR,
                  pytest.ExitCode.INTERNAL_ERROR):
        raise RuntimeError(said.getvalue())
    return loop.status
