# SPDX-License-Identifier: BSD-3-Clause
"""What a fuzzing campaign has found: what makes two findings the same, and where they are kept.

An input that an engine gives is run again; what the entry then prints decides which finding it is.
Each finding is a folder below the store, named by its signature: `input` (the bytes, of the
smallest input so far), `program.prog` (the same as text, where inputs are programs), `report.txt`
(what the entry printed), and `finding.json`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

HANG_S = 20  # twice what the engines take for one
TRIES = 5
FRAMES = 3
NAME_LETTERS = 90
NOT_AGAIN = "not-reproduced"

# What the model says (verdict.h), and what an entry says that has no program.
MODEL = re.compile(r"^ +signature +(\S.*)$", re.MULTILINE)
FINDING = re.compile(r"^finding: (.*)$", re.MULTILINE)
CLAUSE = re.compile(r"([a-z][\w.-]+) \[([A-Z][A-Z0-9-]+)\]")
# What sanitizers and engines say.
SUMMARY = re.compile(
    r"^SUMMARY: \w+: (?:(data race|[a-zA-Z][\w-]*)|(\d+ byte\(s\) leaked))", re.MULTILINE
)
UNDEFINED = re.compile(r"runtime error: (.*)$", re.MULTILINE)
FRAME = re.compile(r"^ *#\d+ (?:0x[0-9a-f]+ in )?(\S+) (/\S+?):\d+(?::\d+)?(?: \(.*)?$")
NO_FRAME = re.compile(r"__|LLVMFuzzer|(abort|raise|driver_finding|runner_report|main)$")
# What an engine says around the words of an entry.
AROUND = re.compile(r"^(INFO|Running|\S+: Running).*\n|^(AddressSanitizer:DEADLY|==\d+== ?ERROR)"
                    r"[\s\S]*", re.MULTILINE)  # fmt: skip
ABORTED = ("deadly", "ABRT")
EXITED = "libFuzzer: fuzz target exited"
BROKEN_STATUS = 3  # of an entry that can not go on for a reason of its own


@dataclass(frozen=True)
class Report:
    """One run of one input: what was printed, and what it is about ("" when nothing was wrong)."""

    text: str
    signature: str
    broken: bool = False  # this side, and not what is tested

    @property
    def short(self) -> list[str]:
        """The lines for a reader: the entry's own words if it has seen it by itself."""
        own = MODEL.search(self.text) or FINDING.search(self.text)
        return (AROUND.sub("", self.text) if own else self.text).strip().splitlines()


def frames(text: str) -> list[str]:
    """The functions of ours on top of the first stack that has some."""
    found: list[str] = []
    for line in text.splitlines():
        match = FRAME.match(line)
        if match and not NO_FRAME.match(match[1]):
            found.append(match[1])
        if len(found) == FRAMES or (found and not line.strip()):
            break
    return found


def stack_of(kind: str, text: str) -> str:
    return " ".join([kind, " < ".join(frames(text))]).strip()


def plain(text: str) -> str:
    """Without numbers, which differ from run to run."""
    return re.sub(r"0x[0-9a-f]+|\d+", "N", text).strip()


def sanitizer_signature(text: str) -> str:
    """Of what a sanitizer stopped; "" if it was none."""
    if match := UNDEFINED.search(text):
        return stack_of(plain(match[1])[:NAME_LETTERS], text[match.end():])
    match = SUMMARY.search(text)
    if not match or match[1] in ABORTED:
        return ""
    return stack_of("leak" if match[2] else match[1], text)


def signature(text: str) -> str:
    """Of a report that is known to be of a failure."""
    if found := sanitizer_signature(text):
        return found
    if match := MODEL.search(text):
        return match[1].strip()
    if match := FINDING.search(text):
        clause = CLAUSE.match(match[1])
        return " ".join(clause.groups()) if clause else plain(match[1])
    return stack_of("abort", text)


def folder_name(text: str) -> str:
    """A signature as the name of a folder."""
    name = re.sub(r"[^\w.+-]+", "-", text).strip("-.")
    if len(name) > NAME_LETTERS:
        name = f"{name[:NAME_LETTERS]}-{zlib.crc32(text.encode()):08x}"
    return name


@dataclass(frozen=True)
class Replay:
    """How an input is run again: the words of the command before it. The sanitizers' options are
    set so that all engines' binaries say the same."""

    command: Sequence[str | Path]
    tries: int = TRIES

    def once(self, *paths: Path) -> Report:
        """Runs them in one process, up to the first that fails."""
        environment = os.environ | {
            "ASAN_OPTIONS": "handle_abort=1:abort_on_error=0:symbolize=1:malloc_context_size=30",
            "UBSAN_OPTIONS": "print_stacktrace=1",
        }
        process = subprocess.Popen(
            [*self.command, *paths], env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            output, hangs = process.communicate(timeout=HANG_S)[0], False
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)  # its stack is printed then
            output, hangs = finish(process), True
        text = output.decode(errors="replace")
        if hangs:
            return Report(f"it does not end within {HANG_S} s\n{text}", "timeout")
        if process.returncode == 0:
            return Report(text, "")
        return Report(text, signature(text), EXITED in text or process.returncode == BROKEN_STATUS)

    def until_it_fails(self, path: Path) -> tuple[Report, int]:
        """The first run that fails, or the last, and how many there were."""
        for number in range(1, self.tries + 1):
            report = self.once(path)
            if report.signature:
                break
        return report, number

    def count(self, path: Path) -> int:
        """In how many of all tries it fails, of what need not do the same again."""
        return sum(bool(self.once(path).signature) for _ in range(self.tries))


def finish(process: subprocess.Popen[bytes]) -> bytes:
    """What a process still says that was told to end; it is killed if it does not."""
    try:
        return process.communicate(timeout=HANG_S)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        return process.communicate()[0]


@dataclass
class Finding:
    """finding.json. `count` is over all campaigns, `seen` in this one."""

    signature: str
    folder: str
    engine: str
    first: str
    runs: int  # until it was seen again; 0: it was not
    size: int  # bytes of the input
    count: int = 0
    seen: int = 0
    known: bool = False  # before this campaign
    after: float = 0  # seconds of its first campaign
    shown: int = 0  # of `tried` runs of the input that is kept
    tried: int = 0  # 0: that was not counted


class Store:
    """The findings of one entry. `vuc` prints an input as a program; None where it is none."""

    def __init__(self, folder: Path, vuc: Path | None):
        self.folder = folder
        self.vuc = vuc
        self.findings: dict[str, Finding] = {}
        for path in sorted(folder.glob("*/finding.json")):
            kept = Finding(**json.loads(path.read_text(encoding="utf-8")))
            kept.known, kept.seen = True, 0
            self.findings[kept.signature] = kept

    def add(self, source: Path, report: Report, runs: int, engine: str) -> Finding:
        """Takes an input in; the report has a signature, or the failure did not come again and
        nobody knows what it was. `runs` is how many it took, 0 if that is of the first one."""
        name = report.signature or NOT_AGAIN
        finding = self.findings.get(name)
        size = source.stat().st_size
        new = finding is None
        if finding is None:
            now = datetime.now(timezone.utc).isoformat(timespec="seconds")
            finding = Finding(name, folder_name(name), engine, now, runs, size)
            self.findings[name] = finding
        finding.count += 1
        finding.seen += 1
        better = (bool(runs), -size) > (bool(finding.runs), -finding.size)
        if new or (better and report.signature):
            finding.size, finding.runs = size, runs
            self.write(finding, source, report.text)
        elif not report.signature:
            shutil.copy(source, self.folder / finding.folder / f"input-{finding.count}")
        self.save(finding)
        return finding

    def write(self, finding: Finding, source: Path, text: str) -> None:
        folder = self.folder / finding.folder
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, folder / "input")
        (folder / "report.txt").write_text(text, encoding="utf-8")
        if self.vuc:
            subprocess.run([self.vuc, "print", "--output", folder / "program.prog",
                            folder / "input"], check=True)  # fmt: skip

    def save(self, finding: Finding) -> None:
        path = self.folder / finding.folder / "finding.json"
        path.write_text(json.dumps(asdict(finding), indent=1) + "\n", encoding="utf-8")

    @property
    def seen(self) -> list[Finding]:
        return [one for one in self.findings.values() if one.seen]

    @property
    def kept(self) -> list[Finding]:
        """Of earlier campaigns, not seen in this one."""
        return [one for one in self.findings.values() if not one.seen]
