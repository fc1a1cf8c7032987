# SPDX-License-Identifier: BSD-3-Clause
"""Measures what the reference server costs a campaign over its socket, beside a server that does
nothing.

    fuzz_rate.py [--build=DIR] [--programs=2000] [--runs=3] [--seed=1] [--corpus=DIR]...

Runs `vuc fuzz` with the same programs on build/vuc-server and on build/bench/bench_null, in turns,
and prints the medians: programs and messages a second, without what is spent on findings, of which
the one that does nothing has many; the processor time of a program, in vuc and in the server; and
the ratios. Nothing passes or fails by time; exit status 1: a run failed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median

OURS, NULL = "reference", "null"


class CannotMeasure(Exception):
    """A run ended otherwise than with or without findings, or not with all programs."""


@dataclass(frozen=True)
class Run:
    """One campaign."""

    rate: float  # programs/s
    messages: float  # received/s
    restarts: int
    findings: int


def measure(command: list[str], server: list[str], programs: int) -> Run:
    """One campaign on that server."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        run = subprocess.run([*command, f"--findings={folder}/findings", f"--report={report}",
                              "--", *server], stdout=subprocess.DEVNULL, check=False)  # fmt: skip
        if run.returncode not in (0, 1):
            raise CannotMeasure(f"{server[0]}: exit status {run.returncode}")
        told = json.loads(report.read_text(encoding="utf-8"))
    if told["programs"] != programs:
        raise CannotMeasure(f"{server[0]}: {told['programs']} programs of {programs}")
    seconds = max(told["seconds"], 0.1)  # the report has one digit behind the point
    return Run(programs / seconds, told["received"] / seconds, told["restarts"],
               len(told["findings"]))


def table(runs: dict[str, list[Run]]) -> list[str]:
    """The medians, and the ratio of ours to the other."""
    lines = ["| server | programs/s | replies/s | restarts | findings |",
             "| --- | --- | --- | --- | --- |"]
    for side, found in runs.items():
        figures = (median(getattr(run, name) for run in found)
                   for name in ("rate", "messages", "restarts", "findings"))
        lines.append(f"| {side} | " + " | ".join(f"{figure:.0f}" for figure in figures) + " |")
    ratios = [ours.rate / null.rate for ours, null in zip(runs[OURS], runs[NULL], strict=True)]
    lines += ["", f"{median(ratios):.2f} times the programs/s of the null server "
                  f"({', '.join(f'{ratio:.2f}' for ratio in ratios)})"]
    return lines


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--build", type=Path, default=Path("build"))
    parser.add_argument("--programs", type=int, default=2000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--corpus", type=Path, action="append", default=[])
    asked = parser.parse_args(words)
    if asked.runs < 1 or asked.programs < 1:
        parser.error("--runs and --programs are at least 1")
    command = [str(asked.build / "vuc"), "fuzz", "--minimize=0", "--timeout=100",
               f"--seed={asked.seed}", f"--programs={asked.programs}",
               *(f"--corpus={path}" for path in asked.corpus)]
    servers = {OURS: [str(asked.build / "vuc-server"), "--socket-path={socket}"],
               NULL: [str(asked.build / "bench/bench_null"), "{socket}"]}
    runs: dict[str, list[Run]] = {side: [] for side in servers}
    try:
        for _ in range(asked.runs):
            for side, server in servers.items():
                runs[side].append(measure(command, server, asked.programs))
    except (CannotMeasure, OSError) as error:
        print(f"fuzz_rate: {error}", file=sys.stderr)
        return 1
    print("\n".join(table(runs)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
