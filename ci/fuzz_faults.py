# SPDX-License-Identifier: BSD-3-Clause
"""The table of faults: what the fuzzer of sessions finds of the named faults of the reference
server, from nothing, and how soon.

    fuzz_faults.py [--fuzzer=session] [--binary=FILE] [--reduce=FILE] [--build=DIR] [--seed=N]
                   [--time=S] [--long=S] [--most=N] [--jobs=N] [--fresh] [--table=FILE] [FAULT...]

Each run begins with an empty corpus and the same seed, and ends with its first finding or when it
has used --time seconds of CPU; then --long, if it is not 0, is the time of another run of the
faults that were not found, --most of them. Before all that the server without a fault has to
survive as long. What is found is made small (fuzz/reduce.c). build/report/fuzz-faults.json has
what was run and is gone on with, unless the fuzzer is another one now; --table is the same for
readers. fuzz/unseen.toml names the faults that no message and no account can show; those of its
rows with `order` are looked for by --fuzzer=order, which looks into memory, and whose table stands
behind the other one.

Exit status: 0 nine tenths are found, 1 fewer, 2 wrong usage, or the healthy server has a finding.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from campaign import fixed_addresses
from campaign_findings import Replay

ROOT = Path(__file__).resolve().parents[1]
FAULTS = ROOT / "reference-server/fault.h"
UNSEEN = ROOT / "fuzz/unseen.toml"
SESSION, ORDER = "session", "order"
ORDER_TITLE = "# What the fuzzer of orders finds"
HEALTHY = ""  # the name of no fault
WANTED = 0.9
HANG_S = 10
NEXT_SEED = 1000
FEW, BROKEN = 1, 2


class Broken(Exception):
    """The table would say nothing."""


@dataclass
class Run:
    """What became of one fault. `cpu` are seconds until it was found, or that were spent."""

    found: bool
    cpu: float
    limit: int
    signature: str = ""
    program: str = ""

    @property
    def steps(self) -> int:
        return len(self.program.splitlines())


def read_faults(text: str) -> dict[str, str]:
    """The sentences of fault.h by name, in its order."""
    rows = re.findall(r'FAULT\((\w+),[\s\\]*((?:"[^"]*"[\s\\]*)+)\)', text)
    return {name: "".join(re.findall('"([^"]*)"', words)) for name, words in rows}


def read_unseen(text: str, faults: Iterable[str]) -> dict[str, str]:
    """Why a fault is not to be seen, by name; Broken for a name that is none."""
    unseen = {name: row["why"] for row in tomllib.loads(text)["unseen"] for name in row["names"]}
    if unknown := unseen.keys() - set(faults):
        raise Broken(f"no such fault: {', '.join(sorted(unknown))}")
    return unseen


def read_ordered(text: str) -> list[str]:
    """The faults that are for the fuzzer of orders."""
    rows = tomllib.loads(text)["unseen"]
    return [name for row in rows if row.get(ORDER) for name in row["names"]]


def fingerprint(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def limited(seconds: int) -> None:
    """In the child: it ends by a signal when it has used so much CPU time."""
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))


class Fuzzer:
    """The build with faults: `binary` is the fuzzer, `reduce` makes a program small; None where
    inputs are none. What does not fail again by itself counts as nothing: the search goes on behind
    it with other seeds."""

    def __init__(self, binary: Path, reduce: Path | None, seed: int):
        self.binary, self.reduce, self.seed = binary.resolve(), reduce and reduce.resolve(), seed
        self.before = fixed_addresses()

    def search(self, fault: str, seconds: int) -> Run:
        """The first finding that comes again, or none in that CPU time."""
        spent, seed = 0.0, self.seed
        while True:
            run = self.once(fault, max(1, round(seconds - spent)), seed)
            run.cpu, run.limit = round(run.cpu + spent, 2), seconds
            if run.signature or not run.found:
                return run
            spent, seed = run.cpu, seed + NEXT_SEED
            if spent >= seconds:
                return Run(False, spent, seconds)

    def once(self, fault: str, seconds: int, seed: int) -> Run:
        """One run of one process in a folder of its own."""
        with tempfile.TemporaryDirectory() as folder:
            command = [*self.before, self.binary, f"-seed={seed}", "-max_len=2048",
                       f"-timeout={HANG_S}", f"-artifact_prefix={folder}/"]  # fmt: skip
            environment = {**os.environ, "ASAN_OPTIONS": "symbolize=0", "VUC_FAULT": fault}
            if fault == HEALTHY:
                del environment["VUC_FAULT"]
            status, cpu = spend(command, environment, seconds)
            left = [path for path in Path(folder).iterdir()
                    if not path.name.startswith("slow-unit")]  # fmt: skip
            if not left and status != -signal.SIGXCPU:
                raise Broken(f"{fault or 'no fault'}: the fuzzer ended with {status}")
            run = Run(bool(left), cpu, seconds)
            if left:
                self.look(environment, left[0], run)
            return run

    def look(self, environment: dict[str, str], path: Path, run: Run) -> None:
        """Names what was found, unless it does not come again, and makes the program small."""
        fault = [f"VUC_FAULT={environment.get('VUC_FAULT', '')}"] * ("VUC_FAULT" in environment)
        report, _ = Replay([*self.before, "env", *fault, self.binary]).until_it_fails(path)
        run.signature = report.signature
        if self.reduce is None:
            return
        limits = {"ASAN_OPTIONS": "symbolize=0:max_allocation_size_mb=2048"}  # as libFuzzer has it
        done = subprocess.run([*self.before, self.reduce, path], env=environment | limits,
                              text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, check=False)  # fmt: skip
        run.program = done.stdout if done.returncode == 0 else ""


def spend(command: list[Any], environment: dict[str, str], seconds: int) -> tuple[int, float]:
    """The exit status of a command as subprocess has it, and the CPU time that it took."""
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, preexec_fn=lambda: limited(seconds),
    )  # fmt: skip
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, round(usage.ru_utime + usage.ru_stime, 2)


class Table:
    """The runs so far, in a file that is written after each."""

    def __init__(self, path: Path, key: dict[str, Any], fresh: bool):
        self.path, self.key = path, key
        self.runs: dict[str, Run] = {}
        if path.exists() and not fresh:
            kept = json.loads(path.read_text(encoding="utf-8"))
            if kept["key"] == key:
                self.runs = {name: Run(**run) for name, run in kept["runs"].items()}

    def needs(self, name: str, seconds: int) -> bool:
        run = self.runs.get(name)
        return run is None or (not run.found and run.limit < seconds)

    def enter(self, name: str, run: Run) -> None:
        self.runs[name] = run
        self.path.parent.mkdir(parents=True, exist_ok=True)
        runs = {name: asdict(run) for name, run in self.runs.items()}
        text = json.dumps({"key": self.key, "runs": runs}, indent=1) + "\n"
        self.path.write_text(text, encoding="utf-8")


def tell(name: str, run: Run) -> None:
    what = f"{run.signature} ({run.steps} steps)" if run.found else "not found"
    print(f"{name or 'no fault'}: {run.cpu:.1f} s, {what}", flush=True)


def search_all(fuzzer: Fuzzer, table: Table, names: Iterable[str], seconds: int,
               jobs: int) -> None:  # fmt: skip
    """Runs those that were not run so long yet."""

    def one(name: str) -> None:
        run = fuzzer.search(name, seconds)
        table.enter(name, run)
        tell(name, run)

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(one, [name for name in names if table.needs(name, seconds)]))


def row(name: str, sentence: str, run: Run | None) -> str:
    if run is None or not run.found:
        spent = f"not in {run.limit}" if run else "not run"
        return f"| {name} | {sentence} | {spent} | | |"
    return f"| {name} | {sentence} | {run.cpu:.1f} | {run.signature} | {run.steps} |"


def listing(name: str, run: Run) -> list[str]:
    return [f"<details><summary>{name}</summary>", "", "```", run.program.rstrip("\n"), "```", "",
            "</details>", ""]  # fmt: skip


def markdown(table: Table, faults: dict[str, str], unseen: dict[str, str]) -> str:
    """The table for readers."""
    seen = [name for name in faults if name not in unseen]
    runs = {name: run for name in seen if (run := table.runs.get(name))}
    found = [name for name, run in runs.items() if run.found]
    limit = min((run.limit for run in runs.values()), default=0)
    soon = [name for name in found if runs[name].cpu <= limit]
    by_reason: dict[str, list[str]] = {}
    for name, why in unseen.items():
        by_reason.setdefault(why, []).append(name)
    lines = [
        "# What the fuzzer of sessions finds", "",
        "Each named fault of the reference server (`reference-server/fault.h`) that messages or "
        "the accounts of the server can show was", "looked for by `fuzz_session` from an empty "
        f"corpus, with seed {table.key['seed']}. Found within {limit} seconds of CPU time each: "
        f"{len(soon)} of {len(seen)}", f"({100 * len(soon) / len(seen):.0f} %); in longer runs: "
        f"{len(found) - len(soon)} more. The other {len(unseen)} of {len(faults)} faults stand "
        "below with the reason why they are not looked for.", "`make fuzz-faults` has made this "
        "file.", "",
        "| fault | what the server does | CPU-seconds | signature | steps |",
        "| --- | --- | --- | --- | --- |",
        *(row(name, faults[name], runs.get(name)) for name in seen), "",
        "## Not to be seen", "",
        *(f"- {why}: {', '.join(names)}." for why, names in by_reason.items()), "",
        "## The programs", "", "Made small by `fuzz/reduce.c`; `corpus/README.md` says how they "
        "are read.", "",
    ]  # fmt: skip
    for name in found:
        lines += listing(name, runs[name])
    return "\n".join(lines).rstrip("\n") + "\n"


def ordered(table: Table, faults: dict[str, str], names: list[str]) -> str:
    """The table of the fuzzer of orders."""
    runs = {name: run for name in names if (run := table.runs.get(name))}
    limit = min((run.limit for run in runs.values()), default=0)
    lines = [
        ORDER_TITLE, "",
        "Faults that need threads that meet, or a look into memory (`order` in `unseen.toml`), "
        "were looked for by `fuzz_order`", f"from an empty corpus, with seed {table.key['seed']} "
        f"and {limit} seconds of CPU time: {sum(run.found for run in runs.values())} of "
        f"{len(names)} are found.", "`make fuzz-faults FUZZER=order` has made this table.", "",
        "| fault | what the server does | CPU-seconds | signature |", "| --- | --- | --- | --- |",
        *(row(name, faults[name], runs.get(name)).rsplit("|", 2)[0] + "|" for name in names),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def write(path: Path, part: str) -> None:
    """One of the two tables; the other one stays as it is."""
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    head, _, tail = old.partition(ORDER_TITLE)
    if part.startswith(ORDER_TITLE):
        new = (head.rstrip("\n") + "\n\n" if head else "") + part
    else:
        new = part + ("\n" + ORDER_TITLE + tail if tail else "")
    path.write_text(new, encoding="utf-8")


def check_healthy(fuzzer: Fuzzer, table: Table, seconds: int) -> None:
    search_all(fuzzer, table, [HEALTHY], seconds, 1)
    run = table.runs[HEALTHY]
    if run.found:
        raise Broken(f"without any fault there is a finding: {run.signature}\n{run.program}")


def read_arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="the table of faults; see the head of the file")
    parser.add_argument("--fuzzer", choices=[SESSION, ORDER], default=SESSION)
    parser.add_argument("--build", type=Path, default=Path("build"))
    parser.add_argument("--binary", type=Path)
    parser.add_argument("--reduce", type=Path)
    parser.add_argument("--table", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--time", type=int, default=60, help="CPU-seconds for each fault")
    parser.add_argument("--long", type=int, default=0, help="of those that are not found")
    parser.add_argument("--most", type=int, default=20, help="that are run so long")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--fresh", action="store_true", help="goes on with nothing")
    parser.add_argument("faults", nargs="*", metavar="FAULT")
    asked = parser.parse_args(words)
    asked.binary = asked.binary or asked.build / f"faulty/fuzz_{asked.fuzzer}"
    if asked.fuzzer == SESSION:
        asked.reduce = asked.reduce or asked.build / "faulty/reduce_session"
    return asked


def run(asked: argparse.Namespace) -> int:
    faults = read_faults(FAULTS.read_text(encoding="utf-8"))
    unseen = read_unseen(UNSEEN.read_text(encoding="utf-8"), faults)
    order = read_ordered(UNSEEN.read_text(encoding="utf-8")) if asked.fuzzer == ORDER else []
    names = asked.faults or order or [name for name in faults if name not in unseen]
    if unknown := set(names) - faults.keys():
        raise Broken(f"no such fault: {', '.join(sorted(unknown))}")
    fuzzer = Fuzzer(asked.binary, asked.reduce, asked.seed)
    key = {"binary": fingerprint(asked.binary), "seed": asked.seed}
    report = "fuzz-faults-order.json" if order else "fuzz-faults.json"
    table = Table(asked.build / "report" / report, key, asked.fresh)
    check_healthy(fuzzer, table, asked.time)
    search_all(fuzzer, table, names, asked.time, asked.jobs)
    left = [name for name in names if not table.runs[name].found]
    if asked.long:
        search_all(fuzzer, table, left[: asked.most], asked.long, asked.jobs)
    if asked.table:
        made = ordered(table, faults, order) if order else markdown(table, faults, unseen)
        write(asked.table, made)
    found = sum(table.runs[name].found for name in names)
    print(f"{found} of {len(names)} found; {table.path}")
    return 0 if found >= WANTED * len(names) else FEW


def main(words: list[str]) -> int:
    asked = read_arguments(words)
    try:
        return run(asked)
    except (Broken, OSError) as error:
        print(f"fuzz_faults: {error}\nverdict: broken, exit code {BROKEN}", file=sys.stderr)
        return BROKEN


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
