# SPDX-License-Identifier: BSD-3-Clause
"""The engines of a fuzzing campaign: how each is started, what it says of its progress, where it
leaves what it found, and how its corpus is made small.

Both work below one folder of their own and run beside themselves by their own means: libFuzzer with
-fork, AFL++ with a main and secondary instances over a common folder.
"""

from __future__ import annotations

import csv
import ctypes
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HANG_S = 10
STOP_S = 30  # for an engine to end by itself
SMALL_S = 600  # for a corpus to be made small
PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Progress:
    """What an engine has done so far; `coverage` counts edges."""

    executions: int = 0
    rate: int = 0
    coverage: int = 0
    corpus: int = 0


@dataclass(frozen=True)
class Plan:
    """A campaign. Folders: `work` for the engine, `corpus` of what is kept, `seeds` to begin with;
    `before` are the words that a command has to begin with here."""

    fuzzer: str
    binary: Path
    work: Path
    corpus: Path
    seeds: Path
    seconds: int
    jobs: int = 1
    longest: int = 2048  # bytes of an input
    resume: bool = False
    cmplog: Path | None = None
    mutator: Path | None = None
    before: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.is_file())


def children() -> list[int]:
    """Processes of this one, with those whose parent has ended; none where no kernel says so."""
    path = Path(f"/proc/self/task/{os.getpid()}/children")
    return list(map(int, path.read_text(encoding="ascii").split())) if path.exists() else []


class Engine:
    """What both share. What an engine starts and forgets becomes a child of this process, so that
    it can be ended: one that is left would keep its locks."""

    def __init__(self, plan: Plan):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self.plan = plan
        self.processes: list[subprocess.Popen[bytes]] = []
        self.temporary = plan.work / "tmp"
        self.log = plan.work / "engine.log"

    @property
    def replay(self) -> list[str | Path]:
        """The words that an input's name is put behind to run it alone."""
        return [*self.plan.before, self.plan.binary]

    def said(self, path: Path) -> str:
        """What the process printed that left an artifact, if the engine's processes keep that. It
        is told once."""
        return ""

    def prepare(self) -> None:
        """Without RESUME nothing of an earlier campaign is used. Its findings were taken."""
        if not self.plan.resume:
            shutil.rmtree(self.plan.corpus, ignore_errors=True)
        shutil.rmtree(self.temporary, ignore_errors=True)
        for folder in (self.plan.corpus, self.temporary):
            folder.mkdir(parents=True, exist_ok=True)

    def spawn(self, command: Sequence[str | Path], log: Path, environment: dict[str, str]) -> None:
        """Starts one; what it prints goes to the file `log`."""
        with log.open("wb") as output:
            self.processes.append(subprocess.Popen(
                [*self.plan.before, *command], stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, start_new_session=True,
                env=environment | {"TMPDIR": str(self.temporary.resolve())},
            ))  # fmt: skip

    def wait(self, seconds: float) -> bool:
        """Up to so long; True when all have ended."""
        for process in self.processes:
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                return False
        return True

    def stop(self) -> None:
        """Ends all, softly first, and whatever they have left. libFuzzer itself does not hear an
        interrupt while it waits for its processes, which are of its group."""
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
        self.wait(STOP_S)
        while orphans := children():
            for pid in orphans:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)

    def quietly(self, command: Sequence[str | Path], environment: dict[str, str]) -> bool:
        """Runs a tool of the engine to its end; whether it succeeded."""
        environment = environment | {"TMPDIR": str(self.temporary.resolve())}
        with (self.plan.work / "minimise.log").open("wb") as output:
            try:
                return subprocess.run(
                    [*self.plan.before, *command], stdin=subprocess.DEVNULL, stdout=output,
                    stderr=subprocess.STDOUT, timeout=SMALL_S, check=False, env=environment,
                ).returncode == 0  # fmt: skip
            except subprocess.TimeoutExpired:
                return False


class LibFuzzer(Engine):
    """One process that starts others, each for a share of the time."""

    LINE = re.compile(r"^#(\d+): cov: (\d+) ft: \d+ corp: (\d+) exec/s:? (\d+)", re.MULTILINE)

    @property
    def found(self) -> Path:
        return self.plan.work / "artifacts"

    @property
    def reports(self) -> Path:
        """A file of each process that found something: of the parent's log no report is a part."""
        return self.plan.work / "reports"

    @property
    def environment(self) -> dict[str, str]:
        keep = f"log_path={self.reports.resolve()}/sanitizer"
        options = {
            name: ":".join(filter(None, (os.environ.get(name), keep)))
            for name in ("ASAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS")
        }
        return os.environ | options | {"VUC_REPORTS": str(self.reports.resolve())}

    def start(self) -> None:
        self.prepare()
        self.found.mkdir(exist_ok=True)
        shutil.rmtree(self.reports, ignore_errors=True)
        self.reports.mkdir()
        plan = self.plan
        self.spawn(
            [plan.binary, f"-fork={plan.jobs}", "-ignore_crashes=1", "-ignore_ooms=1",
             "-ignore_timeouts=1", f"-max_total_time={plan.seconds}", f"-max_len={plan.longest}",
             f"-timeout={HANG_S}", f"-artifact_prefix={self.found}/", *plan.arguments,
             plan.corpus, plan.seeds],
            self.log, self.environment,
        )  # fmt: skip

    def progress(self) -> Progress:
        """A line comes when a process ends."""
        lines = self.LINE.findall(self.log.read_text(errors="replace"))
        if not lines:
            return Progress()
        executions, coverage, corpus, rate = map(int, lines[-1])
        return Progress(executions, rate, coverage, corpus)

    def artifacts(self) -> list[Path]:
        """Inputs that were only slow are no findings."""
        return [path for path in files(self.found) if not path.name.startswith("slow-unit")]

    def said(self, path: Path) -> str:
        """A report is written right before its artifact: by the process itself, to a file that has
        its number for a name, by a sanitizer, or by both."""
        written = path.stat().st_mtime_ns
        before = [one for one in files(self.reports) if one.stat().st_mtime_ns <= written]
        if not before:
            return ""
        last = max(before, key=lambda one: one.stat().st_mtime_ns).name.rpartition(".")[2]
        reports = [self.reports / last, self.reports / f"sanitizer.{last}"]
        text = "".join(one.read_text(errors="replace") for one in reports if one.exists())
        for one in reports:
            one.unlink(missing_ok=True)
        return text

    def minimise(self) -> None:
        """The corpus becomes the part of it that covers the same; else it stays."""
        small = self.plan.work / "small"
        shutil.rmtree(small, ignore_errors=True)
        small.mkdir(parents=True)
        if self.quietly([self.plan.binary, "-merge=1", f"-timeout={HANG_S}",
                         f"-artifact_prefix={self.temporary}/", small, self.plan.corpus],
                        dict(os.environ)):  # fmt: skip
            shutil.rmtree(self.plan.corpus)
            small.rename(self.plan.corpus)


class Afl(Engine):
    """Instances over one folder. Without a file of arguments the binary is AFL++'s persistent
    loop; with one it runs that file."""

    SETTINGS = {
        "AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES": "1", "AFL_SKIP_CPUFREQ": "1",
        "AFL_NO_AFFINITY": "1", "AFL_NO_UI": "1", "AFL_NO_CRASH_README": "1", "AFL_FAST_CAL": "1",
        "AFL_CMIN_ALLOW_ANY": "1", "AFL_ALLOW_TMP": "1",
    }  # fmt: skip

    before = 0  # executions of the campaign that is resumed

    @property
    def out(self) -> Path:
        return self.plan.work / "out"

    @property
    def environment(self) -> dict[str, str]:
        """It wants to set the sanitizers' options by itself."""
        kept = {key: value for key, value in os.environ.items() if not key.endswith("SAN_OPTIONS")}
        kept |= self.SETTINGS
        if self.plan.resume and self.out.exists():
            kept["AFL_AUTORESUME"] = "1"
        if self.plan.mutator:
            kept["AFL_CUSTOM_MUTATOR_LIBRARY"] = str(self.plan.mutator.resolve())
        return kept

    def start(self) -> None:
        """Instances that go on count on."""
        self.prepare()
        if not self.plan.resume:
            shutil.rmtree(self.out, ignore_errors=True)
        self.before = sum(int(row["total_execs"]) for row in self.tables())
        environment = self.environment
        for number in range(self.plan.jobs):
            self.spawn(self.command(number), self.log.with_suffix(f".{number}.log"), environment)

    def command(self, number: int) -> list[str | Path]:
        """The first instance knows what is compared; one that is alone is no part of a group."""
        plan = self.plan
        words: list[str | Path] = [
            "afl-fuzz", "-i", plan.seeds, "-o", self.out, "-V", str(plan.seconds),
            "-t", str(1000 * HANG_S), "-G", str(plan.longest),
        ]  # fmt: skip
        if plan.jobs > 1:
            words += ["-S" if number else "-M", f"job{number}"]
        if plan.cmplog and number == 0:
            words += ["-c", plan.cmplog]
        return [*words, *plan.arguments, "--", plan.binary]

    def tables(self) -> list[dict[str, str]]:
        """The last line of each instance, the numbers by their names."""
        last = []
        for path in self.out.glob("*/plot_data"):
            lines = path.read_text(encoding="utf-8").lstrip("# ").splitlines()
            rows = list(csv.DictReader(lines, skipinitialspace=True))
            last += [row for row in rows[-1:] if None not in row.values()]
        return last

    def progress(self) -> Progress:
        rows = self.tables()
        if not rows:
            return Progress()
        return Progress(
            sum(int(row["total_execs"]) for row in rows) - self.before,
            round(sum(float(row["execs_per_sec"]) for row in rows)),
            max(int(row["edges_found"]) for row in rows),
            max(int(row["corpus_count"]) for row in rows),
        )

    def artifacts(self) -> list[Path]:
        return [path for kind in ("crashes", "hangs")
                for folder in sorted(self.out.glob(f"*/{kind}")) for path in files(folder)]

    def minimise(self) -> None:
        """What is worth keeping of the queues becomes the corpus; else all of them."""
        queues, small = self.plan.work / "queues", self.plan.work / "small"
        for folder in (queues, small):
            shutil.rmtree(folder, ignore_errors=True)
        queues.mkdir()
        for path in self.out.glob("*/queue/*"):
            if path.is_file():
                shutil.copy(path, queues / f"{path.parent.parent.name}-{path.name}")
        command = ["afl-cmin", "-i", queues, "-o", small, "-t", str(1000 * HANG_S), "--",
                   self.plan.binary]  # fmt: skip
        done = self.quietly(command, self.environment)
        shutil.rmtree(self.plan.corpus)
        (small if done else queues).rename(self.plan.corpus)


ENGINES: dict[str, type[LibFuzzer] | type[Afl]] = {"fuzz": LibFuzzer, "afl": Afl}
