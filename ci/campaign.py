# SPDX-License-Identifier: BSD-3-Clause
"""Runs a fuzzing campaign: one entry, one engine, so many seconds.

    campaign.py fuzz|afl FUZZER --binary=FILE [--time=S] [--jobs=N] [--max-len=N] [--tries=N]
                [--count] [--resume] [--seeds=DIR]... [--vuc=FILE] [--cmplog=FILE] [--mutator=FILE]
                [--build=DIR] [-- ARGUMENT...]

Prints one line of status while it runs and each finding once, when it is first seen; campaign_
findings.py says what makes two the same and what is kept of them below build/findings/FUZZER.
Inputs that are programs are told by --vuc: they are stored as text, too, and of the seeds those
that end in .prog are packed. --count is for an entry that need not do the same again: what it
found is run as often as --tries says, and told as k of n runs. The corpus that is kept is
build/corpus/FUZZER (afl-FUZZER), smaller at the end. --resume goes on with it, and with the counts;
without it the seeds are the beginning. Findings are never removed here. build/report/fuzz-FUZZER.
json (afl-FUZZER.json) has everything.

Exit status: 0 nothing found, 1 findings in this campaign, 2 wrong usage, or a broken entry.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from campaign_engines import ENGINES, Afl, LibFuzzer, Plan, Progress
from campaign_findings import NOT_AGAIN, TRIES, Finding, Replay, Report, Store, signature
from campaign_seeds import gather, never_empty

TICK_S = 1.0
QUIET_S = 10.0  # between two lines where there is no terminal
TOGETHER = 64  # seeds in one process
LATE_S = 60.0  # behind its time an engine is ended
REPORT_LINES = 60
FOUND, BROKEN = 1, 2


class Broken(Exception):
    """The campaign can not be, or says nothing: not the server's fault."""


class Screen:
    """One line that is written over on a terminal, and now and then a line elsewhere."""

    def __init__(self) -> None:
        self.live = sys.stdout.isatty()
        self.last = time.monotonic()
        self.width = 0

    def status(self, text: str) -> None:
        now = time.monotonic()
        if self.live:
            text = text[: shutil.get_terminal_size().columns - 1]
            print(f"\r{text:<{self.width}}", end="", flush=True)
            self.width = len(text)
        elif now - self.last >= QUIET_S:
            print(text, flush=True)
            self.last = now

    def say(self, text: str) -> None:
        if self.width:
            print()
        self.width = 0
        print(text, flush=True)


def fixed_addresses() -> tuple[str, ...]:
    """Older sanitizers can not map their shadow where the kernel randomises 32 bits."""
    words = ("setarch", platform.machine(), "-R")
    try:
        done = subprocess.run([*words, "true"], capture_output=True, check=False)
    except OSError:
        return ()
    return words if done.returncode == 0 else ()


def counted(number: int) -> str:
    return f"{number} finding{'s' * (number != 1)}"


@dataclass
class Campaign:
    """A campaign under way. `earlier` is the report that a resumed one goes on with."""

    engine: LibFuzzer | Afl
    name: str
    store: Store
    build: Path
    tries: int = TRIES
    screen: Screen = field(default_factory=Screen)
    curve: list[dict[str, float]] = field(default_factory=list)
    earlier: dict[str, Any] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)
    ended: float | None = None
    cpu: float = 0.0

    @property
    def report_file(self) -> Path:
        return self.build / "report" / f"{self.name}-{self.engine.plan.fuzzer}.json"

    @property
    def replay(self) -> Replay:
        return Replay(self.engine.replay, self.tries)

    @property
    def seconds(self) -> float:
        return (self.ended or time.monotonic()) - self.started

    def resume(self) -> None:
        """What was found in the campaign so far counts as found in it."""
        if not self.report_file.exists():
            return
        self.earlier = json.loads(self.report_file.read_text(encoding="utf-8"))
        self.curve = self.earlier["curve"]
        for one in self.earlier["findings"]:
            if kept := self.store.findings.get(one["signature"]):
                kept.seen = one["seen"]

    def take(self, path: Path, report: Report, runs: int) -> None:
        """One input of which the engine says, or was seen, that it fails. Broken if that is of this
        side's making."""
        if report.broken:
            raise Broken(f"the entry can not go on:\n{report.text[-2000:]}")
        known = (report.signature or NOT_AGAIN) in self.store.findings
        finding = self.store.add(path, report, runs, self.name)
        if not known:
            finding.after = round(self.seconds + self.earlier.get("seconds", 0), 1)
            self.store.save(finding)
        if not known and report.signature:
            self.show(finding, report.short)

    def show(self, finding: Finding, lines: list[str]) -> None:
        """A new finding, with what the entry printed about it."""
        more = [f"... {len(lines) - REPORT_LINES} more lines"] * (len(lines) > REPORT_LINES)
        self.screen.say("\n".join([
            f"\nfound: {finding.signature}", *lines[:REPORT_LINES], *more,
            f"kept in {self.store.folder / finding.folder}\n",
        ]))  # fmt: skip

    def check_seeds(self, folder: Path) -> None:
        """Engines drop seeds that fail, so those are run before: many in a process, and of those
        with one that fails each by itself."""
        paths = sorted(folder.iterdir())
        for at in range(0, len(paths), TOGETHER):
            many = paths[at : at + TOGETHER]
            if self.replay.once(*many).signature:
                self.check_each(many)
        never_empty(folder)

    def check_each(self, paths: Iterable[Path]) -> None:
        for path in paths:
            report = self.replay.once(path)
            if report.signature:
                self.take(path, report, 1)
                path.unlink()

    def collect(self, until: float | None = None) -> None:
        """Runs what the engine left again, up to a moment of time.monotonic(), and takes it."""
        for path in self.engine.artifacts():
            if until and time.monotonic() > until:
                break
            said = self.engine.said(path)
            report, runs = self.replay.until_it_fails(path)
            if said and not report.signature:
                report, runs = Report(said, signature(said)), 0
            self.take(path, report, runs)
            path.unlink()

    def note(self, progress: Progress) -> None:
        """A point of the curve, when something has changed."""
        before = self.earlier.get("seconds", 0)
        point = {"seconds": round(self.seconds + before, 1), **self.total(progress)}
        if progress.executions and (
            not self.curve or self.curve[-1]["executions"] != point["executions"]
        ):
            self.curve.append(point)

    def total(self, progress: Progress) -> dict[str, float]:
        return {
            "executions": progress.executions + self.earlier.get("executions", 0),
            "coverage": progress.coverage, "corpus": progress.corpus,
        }  # fmt: skip

    def line(self, progress: Progress) -> str:
        left = max(0, round(self.engine.plan.seconds - self.seconds))
        seen = self.store.seen
        found = "; ".join(f"{one.signature} x{one.seen}" for one in seen)
        return (
            f"{self.engine.plan.fuzzer}: {progress.rate:,}/s, {progress.executions:,} run, "
            f"coverage {progress.coverage:,}, corpus {progress.corpus:,}, {left} s left, "
            f"{counted(len(seen))}{': ' * bool(found)}{found}"
        )

    def watch(self) -> None:
        """Until the engine ends, or its time is long over."""
        end = self.engine.plan.seconds + LATE_S
        ended = False
        while not ended and self.seconds < end:
            ended = self.engine.wait(TICK_S)
            self.collect(time.monotonic() + 10 * TICK_S)
            progress = self.engine.progress()
            self.note(progress)
            self.screen.status(self.line(progress))

    def run(self) -> None:
        """All of it; an interrupt ends the engine and keeps what there is."""
        self.engine.start()
        try:
            self.watch()
        except KeyboardInterrupt:
            self.screen.say("interrupted")
        finally:
            self.engine.stop()
            self.ended = time.monotonic()
            usage = resource.getrusage(resource.RUSAGE_CHILDREN)
            self.cpu = usage.ru_utime + usage.ru_stime
        self.collect()
        self.note(self.engine.progress())

    def count(self) -> None:
        """How often each finding of this campaign comes again."""
        for finding in self.store.seen:
            path = self.store.folder / finding.folder / "input"
            finding.shown, finding.tried = self.replay.count(path), self.tries
            self.store.save(finding)

    def judge(self) -> int:
        """The exit status; Broken when the campaign proves nothing."""
        if not self.engine.progress().executions and not self.store.seen:
            raise Broken(f"nothing was run; the engine's own words are in {self.engine.plan.work}")
        return FOUND if self.store.seen else 0

    def result(self, status: int) -> dict[str, Any]:
        progress = self.engine.progress()
        seconds = self.seconds + self.earlier.get("seconds", 0)
        total = self.total(progress)
        return {
            "fuzzer": self.engine.plan.fuzzer, "engine": self.name, "exit": status,
            "seconds": round(seconds, 1),
            "cpu_seconds": round(self.cpu + self.earlier.get("cpu_seconds", 0), 1),
            "jobs": self.engine.plan.jobs, **total,
            "rate": round(total["executions"] / seconds), "curve": self.curve,
            "corpus_kept": len(list(self.engine.plan.corpus.glob("*"))),
            "findings": [asdict(one) for one in self.store.seen],
            "kept": [asdict(one) for one in self.store.kept],
        }  # fmt: skip

    def lines_of(self, finding: Finding) -> list[str]:
        folder = self.store.folder / finding.folder
        again = " ".join(map(str, [*self.engine.plan.before, self.engine.plan.binary]))
        return [
            f"  {finding.signature}",
            f"    {finding.seen} times{', known before' * finding.known}; {folder}",
            *[f"    again in {finding.shown} of {finding.tried} runs"] * bool(finding.tried),
            *[f"    not seen again in {self.tries} runs"] * (not finding.runs),
            f"    again: {again} {folder / 'input'}",
        ]

    def tell(self, result: dict[str, Any]) -> None:
        """The end of the console output."""
        say = self.screen.say
        say(f"{result['executions']:,} inputs in {result['seconds']:.0f} s ({result['rate']:,}/s), "
            f"coverage {result['coverage']:,}, corpus of {result['corpus_kept']:,}")  # fmt: skip
        for finding in self.store.seen:
            say("\n".join(self.lines_of(finding)))
        if self.store.kept:
            say(f"{counted(len(self.store.kept))} of earlier campaigns, not seen in this one, in "
                f"{self.store.folder}")  # fmt: skip
        say(str(self.report_file))
        say(f"verdict: {counted(len(self.store.seen))}, exit code {result['exit']}")


def read_arguments(words: list[str]) -> argparse.Namespace:
    extra: list[str] = []
    if "--" in words:
        at = words.index("--")
        words, extra = words[:at], words[at + 1 :]
    parser = argparse.ArgumentParser(description="a fuzzing campaign; see the head of the file")
    parser.add_argument("engine", choices=sorted(ENGINES))
    parser.add_argument("fuzzer")
    parser.add_argument("--binary", type=Path, required=True)
    parser.add_argument("--time", type=int, default=60, help="seconds")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--max-len", type=int, default=2048, help="bytes of an input")
    parser.add_argument("--tries", type=int, default=TRIES, help="runs until a finding comes again")
    parser.add_argument("--count", action="store_true", help="how often findings come again")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--seeds", type=Path, action="append", default=[])
    for name in ("vuc", "cmplog", "mutator"):
        parser.add_argument(f"--{name}", type=Path)
    parser.add_argument("--build", type=Path, default=Path("build"))
    asked = parser.parse_args(words)
    asked.arguments = tuple(extra)
    if min(asked.time, asked.jobs, asked.tries) < 1:
        parser.error("--time, --jobs and --tries begin with 1")
    return asked


def make_campaign(asked: argparse.Namespace) -> Campaign:
    """Broken when something that it needs is not there."""
    for path in (asked.binary, asked.vuc, asked.cmplog, asked.mutator):
        if path and not path.is_file():
            raise Broken(f"{path} is not there")
    name = asked.fuzzer if asked.engine == "fuzz" else f"{asked.engine}-{asked.fuzzer}"
    work = asked.build / "campaign" / name
    work.mkdir(parents=True, exist_ok=True)
    plan = Plan(
        asked.fuzzer, asked.binary, work, asked.build / "corpus" / name, work / "seeds",
        asked.time, asked.jobs, asked.max_len, asked.resume, asked.cmplog, asked.mutator,
        fixed_addresses(), asked.arguments,
    )  # fmt: skip
    store = Store(asked.build / "findings" / asked.fuzzer, asked.vuc)
    return Campaign(ENGINES[asked.engine](plan), asked.engine, store, asked.build, asked.tries)


def main(words: list[str]) -> int:
    asked = read_arguments(words)
    try:
        campaign = make_campaign(asked)
        if asked.resume:
            campaign.resume()
        gather(asked.seeds, campaign.engine.plan.seeds, asked.vuc)
        campaign.check_seeds(campaign.engine.plan.seeds)
        campaign.collect()  # what one that was cut off has left
        campaign.started = time.monotonic()
        campaign.run()
        status = campaign.judge()
        if asked.count:
            campaign.count()
    except (Broken, OSError, subprocess.CalledProcessError) as error:
        print(f"campaign: {error}\nverdict: broken, exit code {BROKEN}", file=sys.stderr)
        return BROKEN
    campaign.engine.minimise()
    result = campaign.result(status)
    campaign.report_file.parent.mkdir(parents=True, exist_ok=True)
    campaign.report_file.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    campaign.tell(result)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
