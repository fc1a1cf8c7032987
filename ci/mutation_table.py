# SPDX-License-Identifier: BSD-3-Clause
"""Makes cases/caught.toml: for each test function with a case of level MUST, what it was seen to
catch: a fault of the faulty build that names it (reference-server/tests/faults.toml), or a mutant.

What the file says already is tried first, so a fresh table holds nothing that is not so now. Then
mutants are run against the functions without one that reach them, until each has caught one or the
tries are used up: those first on lines that few functions reach, and of them those that the most
of the functions without one do. A server that does not come up, or on which most of many functions
fail, says nothing about a single case and is not counted.
"""

from __future__ import annotations

import json
from bisect import bisect
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from time import monotonic
from typing import TYPE_CHECKING

from check_caught import CAUGHT, FAULTS, fault_names, read_caught
from mutants import Mutant, mutants_of
from mutation_cases import Task, forked

if TYPE_CHECKING:
    from mutation import Mutation

PROGRAM = "main.c"
# Files of the test device, which tell less than those of the protocol and come last.
DEVICE = "device_"
# Functions that reach a line: the fewer, the more is what they do about that line.
TIERS = (20, 60, 240)
WIDE, BROAD = 60, 0.5  # of more functions than that, at most this part may fail on one mutant
MOST = 20  # cases of a function
SECONDS = 90.0  # for one mutant
# What breaks most surely first; what stands behind STRONG comes when nothing else is left.
ORDER = ("condition", "statement", "negation", "result", "equality", "branches", "logic",
         "arithmetic", "relation", "bits", "constant")
STRONG = ORDER[:6]
HEAD = """\
# SPDX-License-Identifier: BSD-3-Clause
# What each test function with a case of level MUST was seen to catch: `fault NAME`, a fault of the
# faulty build (reference-server/fault.h), or `mutant FILE:FUNCTION: before -> after`, one edit of
# the reference server. Made by `make caught`; ci/check_caught.py holds it to be complete. What
# stands in [not] has caught neither, for the reason given there.
"""


def written(caught: dict[str, str], excused: dict[str, str]) -> str:
    """The text of the file."""
    lines = [HEAD, "[caught]"]
    lines += [f'"{name}" = {json.dumps(what)}' for name, what in sorted(caught.items())]
    lines += ["", "[not]"]
    lines += [f'"{name}" = {json.dumps(why)}' for name, why in sorted(excused.items())]
    return "\n".join(lines) + "\n"


class Table:
    """The search for what the functions catch."""

    def __init__(self, mutation: Mutation, say: Callable[[str], None]):
        self.mutation, self.say = mutation, say
        self.suite = mutation.suite
        self.root = mutation.build.root
        self.must = mutation.suite.must
        build = mutation.build
        # The program itself is no part of the protocol, but of what some functions are about.
        self.mutants = mutation.mutants + mutants_of(self.root, [PROGRAM], build.flags)
        self.by_key = {mutant.key: mutant for mutant in self.mutants}
        self.before, self.excused = read_caught(self.root / CAUGHT)
        self.caught = {
            name: f"fault {fault}"
            for fault, names in fault_names(self.root / FAULTS).items()
            for name in names & self.must
        }
        self.lines: dict[tuple[str, int], set[str]] = {}
        for name, files in mutation.reach.items():
            for file, counts in files.items():
                for line in counts:
                    self.lines.setdefault((file, int(line)), set()).add(name)

    @property
    def missing(self) -> set[str]:
        return self.must - self.caught.keys()

    def claimed(self) -> Iterator[tuple[Mutant, list[str]]]:
        """What the file says now, mutant by mutant."""
        by_mutant: dict[str, list[str]] = {}
        for name, what in self.before.items():
            word, _, key = what.partition(" ")
            if word == "mutant" and key in self.by_key and name in self.missing:
                by_mutant.setdefault(key, []).append(name)
        for key, names in by_mutant.items():
            yield self.by_key[key], names

    def candidates(self, tries: int) -> Iterator[tuple[Mutant, list[str]]]:
        """The next mutant each time, and the functions to run: one of a line that most of what is
        missing reaches; each line once, then again with its next mutant."""
        at: dict[tuple[str, int], list[Mutant]] = {}
        for mutant in sorted(self.mutants, key=lambda m: ORDER.index(m.operator)):
            if mutant.in_function and (mutant.file, mutant.line) in self.lines:
                at.setdefault((mutant.file, mutant.line), []).append(mutant)
        rounds: Counter[tuple[str, int]] = Counter()
        for _ in range(tries):
            missing = self.missing
            place = max(at, default=None, key=lambda place: (
                bool(self.lines[place] & missing), not place[0].startswith(DEVICE),
                at[place][0].operator in STRONG, -bisect(TIERS, len(self.lines[place])),
                -rounds[place], len(self.lines[place] & missing)))
            if place is None or not self.lines[place] & missing:
                return
            mutant = at[place].pop(0)
            rounds[place] += 1
            if not at[place]:
                del at[place]
            yield mutant, [n for n in self.mutation.reachers(mutant) if n in missing]

    def tasks(self, pairs: Iterator[tuple[Mutant, list[str]]]) -> Iterator[Task]:
        for mutant, names in pairs:
            def body(on, mutant=mutant, names=names):
                return self.mutation.attempt(
                    mutant, lambda server: self.suite.hunt(server, self.until(names), on, MOST))

            yield Task((mutant, names), body)

    def until(self, names: Sequence[str]) -> Iterator[str]:
        """The names, until time is up."""
        end = monotonic() + SECONDS
        for name in names:
            if monotonic() > end:
                return
            yield name

    def search(self, pairs: Iterator[tuple[Mutant, list[str]]]) -> None:
        for count, task in enumerate(forked(self.tasks(pairs), self.suite.jobs), 1):
            mutant, names = task.name
            found = [one["function"] for one in (task.result or {"found": []})["found"]]
            if "" in found or (len(names) > WIDE and len(found) > BROAD * len(names)):
                found = []
            for name in set(found) & self.missing:
                self.caught[name] = f"mutant {mutant.key}"
                self.write()
            self.say(f"[{count}] {len(found)} of {len(names)} notice {mutant.key}; "
                     f"{len(self.missing)} functions are left")

    def write(self) -> None:
        """Writes what is known by now; the old file is there until the new one is complete."""
        excused = {name: why for name, why in self.excused.items() if name in self.missing}
        part = self.mutation.build.folder / "caught.part"
        part.write_text(written(self.caught, excused), encoding="utf-8")
        part.replace(self.root / CAUGHT)

    def make(self, tries: int) -> int:
        """Writes the file; 0 if each function has caught something or stands in [not]."""
        self.search(self.claimed())
        self.search(self.candidates(tries))
        self.write()
        left = sorted(self.missing - self.excused.keys())
        self.say("\n".join([*(f"has caught nothing: {name}" for name in left),
                            f"{len(self.caught)} of {len(self.must)} functions"]))
        return int(bool(left))
