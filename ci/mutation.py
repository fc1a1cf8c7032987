# SPDX-License-Identifier: BSD-3-Clause
"""Shows what the cases are worth: small mistakes made in the server, and whether a case fails.

    mutation.py run [-n N] [--seed SEED] [--threshold PERCENT]
    mutation.py table [--tries N]

`run` takes a sample of the mutants of the protocol files (mutants.py), builds each and runs the
cases against it until one fails, those first that spend most of their time at the mutated line. A
mutant that does not compile is not counted, and the next one of the sample takes its place.
Results are kept in build/mutation as long as file, edit and suite stay the same, so an interrupted
run goes on where it was. A mutant that no case notices is built with sanitizers and tried again.
Prints killed/compiled per file, writes build/report/mutation.json and
.md, and fails when fewer than --threshold percent were killed or SURVIVORS is out of date.
ci/mutation_survivors.toml says of survivors why no case notices them.

`table` makes cases/caught.toml anew (mutation_table.py).
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "harness"))

from mutants import Mutant, mutants_of  # noqa: E402
from mutation_build import BESIDE, Build, Kept  # noqa: E402
from mutation_cases import Suite, Task, forked, with_suite  # noqa: E402
from progress import Progress  # noqa: E402

SURVIVORS = "ci/mutation_survivors.toml"
KILLED, SURVIVED, UNCOMPILED = "killed", "survived", "does not compile"
SAME = "the compiler makes the same machine code of it"


def sample(mutants: Iterable[Mutant], seed: int) -> list[Mutant]:
    """All of them, in an order that the seed decides, and that stays for those that stay when
    others come or go."""
    return sorted(mutants, key=lambda m: hashlib.sha256(f"{seed} {m.key}".encode()).digest())


class Mutation:
    """The mutants of a tree, what its cases reach, and runs of the ones against the others."""

    def __init__(self, build: Build, suite: Suite):
        self.build, self.suite = build, suite
        self.sanitized = Build(build.root, sanitized=True)
        self.sanitized.ordinary()
        suite.control(build.ordinary(), say)
        self.mutants = mutants_of(build.root, build.protocol, build.flags)
        self.reach = suite.reach(say)

    def reachers(self, mutant: Mutant) -> list[str]:
        """The functions whose cases execute the mutated line, those first that do so for the
        largest part of what they execute; for one outside of functions, the mutated file."""
        shares = {}
        for name, files in self.reach.items():
            lines = files.get(mutant.file, {})
            count = lines.get(str(mutant.line), 0) if mutant.in_function else sum(lines.values())
            if count or not mutant.in_function:
                shares[name] = count / (1 + sum(sum(file.values()) for file in files.values()))
        return sorted(shares, key=lambda name: -shares[name])

    def attempt(self, mutant: Mutant, hunt: Callable[[Path], list[dict]],
                build: Build | None = None) -> dict:
        """In a process of its own: builds the mutant and returns what hunt(server) finds."""
        build = build or self.build
        folder = build.folder / "work" / str(os.getpid())
        program, same = build.mutated(mutant, folder)
        try:
            if program is None:
                return {"status": UNCOMPILED, "found": []}
            if same:
                return {"status": SURVIVED, "found": [], "why": SAME}
            self.suite.judge_by(build)
            if mutant.file in build.protocol and not self.suite.lives(program):
                dead = {"function": "", "case": "any", "code": "it does not come up"}
                return {"status": KILLED, "found": [dead]}
            found = hunt(program)
            return {"status": KILLED if found else SURVIVED, "found": found}
        finally:
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()

    def attempt_both(self, mutant: Mutant, hunt: Callable[[Path], list[dict]]) -> dict:
        """The same, and with sanitizers if it survives."""
        result = self.attempt(mutant, hunt)
        if result["status"] != SURVIVED or "why" in result:
            return result
        return self.attempt(mutant, hunt, self.sanitized)

    def kept(self, mutant: Mutant) -> Kept:
        """What is known of a mutant."""
        source = (self.build.source / mutant.file).read_bytes()
        edit = f"{mutant.start} {mutant.end} {mutant.text}".encode()
        name = hashlib.sha256(source + edit).hexdigest()
        path = self.build.folder / "results" / f"{name}.json"
        return Kept(path, self.build.common, self.build.cases)

    def open(self, mutant: Mutant, kept: Kept) -> list[str] | None:
        """The functions that have yet to be run against a mutant; None if it is decided."""
        if kept.value is None:
            return self.reachers(mutant)
        if kept.value["status"] == KILLED:
            by = kept.value["found"][0]["function"]
            return None if not by or kept.holds(by) else self.reachers(mutant)
        return [n for n in self.reachers(mutant) if not kept.holds(n)] or None

    def results(self, mutants: Iterable[Mutant]) -> Iterator[tuple[Mutant, dict]]:
        """What becomes of each mutant: those first of which it is known."""
        tasks = []
        for mutant in mutants:
            kept = self.kept(mutant)
            names = self.open(mutant, kept)
            if names is None:
                yield mutant, kept.value
                continue
            tasks.append(Task((mutant, kept), lambda on, m=mutant, n=names: self.attempt_both(
                m, lambda program: self.suite.hunt_one(program, n, on))))
        for task in forked(tasks, self.suite.jobs):
            late = {"function": "", "case": task.said, "code": "time is up"}
            mutant, kept = task.name
            if task.died:
                raise RuntimeError(f"{mutant.key}: the process that ran {task.said} has died")
            yield mutant, kept.put(task.result or {"status": KILLED, "found": [late]})

    def first(self, count: int, seed: int) -> list[tuple[Mutant, dict]]:
        """The results of the first `count` mutants of the sample that compile."""
        order, done = iter(sample(self.mutants, seed)), []
        with Progress("mutants", [""] * count) as progress:
            while batch := list(itertools.islice(order, count - len(done))):
                for mutant, result in self.results(batch):
                    if result["status"] != UNCOMPILED:
                        done.append((mutant, result))
                        progress.say(f"[{len(done)}/{count}] {line_of(mutant, result)}")
                        progress.step("")
        return sorted(done, key=lambda pair: (pair[0].file, pair[0].start, pair[0].text))


def say(text: str) -> None:
    """A line of progress. Standard output is pytest's while it is loaded."""
    print(text, file=sys.stderr, flush=True)


def line_of(mutant: Mutant, result: dict) -> str:
    by = "".join(f" by {one['case']} ({one['code']})" for one in result["found"][:1])
    return f"{result['status']} {mutant.line} {mutant.key}{by}"


def read_survivors(path: Path) -> dict[str, str]:
    """Why no case notices a mutant, by its key."""
    rows = tomllib.loads(path.read_text(encoding="utf-8")).get("survivor", [])
    return {row["mutant"]: row["why"] for row in rows}


def summary(done: Sequence[tuple[Mutant, dict]]) -> list[str]:
    """killed/compiled per file and in all."""
    compiled = Counter(mutant.file for mutant, _ in done)
    killed = Counter(mutant.file for mutant, result in done if result["status"] == KILLED)
    rows = [(name, killed[name], compiled[name]) for name in sorted(compiled)]
    rows.append(("all", killed.total(), compiled.total()))
    return [f"{name:<24} {k:>4}/{n:<4} {100 * k / n:5.1f} %" for name, k, n in rows]


def write_reports(folder: Path, arguments: argparse.Namespace, done: Sequence,
                  reasons: dict[str, str]) -> None:
    """mutation.json and mutation.md."""
    rows = [
        {"mutant": m.key, "file": m.file, "function": m.owner, "operator": m.operator,
         "line": m.line, "status": result["status"], "found": result["found"],
         "why": result.get("why") or reasons.get(m.key, "")}
        for m, result in done
    ]
    folder.mkdir(parents=True, exist_ok=True)
    report = {"seed": arguments.seed, "compiled": len(done),
              "killed": sum(row["status"] == KILLED for row in rows), "mutants": rows}
    (folder / "mutation.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    text = ["# Mutation", "", f"Seed {arguments.seed}, {len(done)} mutants that compile.", "",
            "```", *summary(done), "```", "", "## Survivors", ""]
    text += [f"- line {row['line']}, `{row['mutant']}`: {row['why'] or 'not explained'}"
             for row in rows if row["status"] == SURVIVED]
    (folder / "mutation.md").write_text("\n".join(text) + "\n", encoding="utf-8")


def run(arguments: argparse.Namespace, build: Build, suite: Suite) -> int:
    mutation = Mutation(build, suite)
    say(f"{len(mutation.mutants)} mutants, {arguments.n} of them with seed {arguments.seed}")
    done = mutation.first(arguments.n, arguments.seed)
    reasons = read_survivors(build.root / SURVIVORS)
    write_reports(build.root / "build" / "report", arguments, done, reasons)
    stale = set(reasons) - {mutant.key for mutant in mutation.mutants}
    stale |= {m.key for m, result in done if result["status"] == KILLED and m.key in reasons}
    for mutant, result in done:
        if result["status"] == SURVIVED:
            why = result.get("why") or reasons.get(mutant.key, "not explained")
            say(f"survived: {mutant.line} {mutant.key}: {why}")
    say("\n".join([*summary(done), *(f"{SURVIVORS}: out of date: {key}" for key in sorted(stale))]))
    killed = sum(result["status"] == KILLED for _, result in done)
    return int(bool(stale) or not done or 100 * killed < arguments.threshold * len(done))


def table(arguments: argparse.Namespace, build: Build, suite: Suite) -> int:
    from mutation_table import Table

    return Table(Mutation(build, suite), say).make(arguments.tries)


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="mutation.py")
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("run")
    one.add_argument("-n", type=int, default=200)
    one.add_argument("--seed", type=int, default=1)
    one.add_argument("--threshold", type=float, default=80.0)
    one.set_defaults(work=run)
    other = commands.add_parser("table")
    other.add_argument("--tries", type=int, default=400)
    other.set_defaults(work=table)
    for command in (one, other):
        command.add_argument("--jobs", type=int, default=BESIDE, help="mutants side by side")
    arguments, build = parser.parse_args(words), Build(ROOT)
    return with_suite(build, arguments.jobs, lambda suite: arguments.work(arguments, build, suite))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
