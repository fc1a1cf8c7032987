# SPDX-License-Identifier: BSD-3-Clause
"""Measures what it is worth to search in the process: the same schedules there and over a socket.

    explore_rate.py [--schedules=200] [--build=DIR] [--scenario=NAME]

build/explore searches each scenario up to so many schedules and writes them down;
build/explore-socket executes them on build/vuc-server, one event after the other, all hold points
on. Prints events a second of both, by the clock and by the processor time that client and server
take together, and the ratios. Scenarios in which time passes are not counted in the sum: there a
socket waits. Exit status 1: something of ours failed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

SERVER = ("vuc-server", "--viommu-dialect=native", "--socket-path={socket}")
TIMED = {"drain", "responses", "credit"}  # they wait for time in most schedules
NAME, EVENTS, SCHEDULES = 0, 1, 2


def table(words: list[str | Path]) -> dict[str, list[str]]:
    """What a program prints, as rows by the first word; ends the script when it fails."""
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        print(done.stdout, end="", file=sys.stderr)
        sys.exit(1)
    rows = [line.split() for line in done.stdout.splitlines()]
    return {row[NAME]: row for row in rows if len(row) > SCHEDULES and row[EVENTS].isdecimal()}


def line(name: str, events: int, inside: float, outside: tuple[float, float]) -> str:
    """One row: seconds inside, and outside by the clock and of the processor."""
    clock, processor = outside
    return (f"| {name} | {events} | {events / inside:.0f} | {events / clock:.0f} "
            f"| {events / processor:.0f} | {clock / inside:.0f} | {processor / inside:.0f} |")


def main() -> int:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--schedules", type=int, default=200)
    parser.add_argument("--build", type=Path, default=Path("build"))
    parser.add_argument("--scenario")
    options = parser.parse_args()
    one = [f"--scenario={options.scenario}"] if options.scenario else []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "schedules"
        inside = table([options.build / "explore", f"--most={options.schedules}",
                        f"--print={file}", *one])
        outside = table([options.build / "explore-socket", f"--follow={file}", *one, "--",
                         str(options.build / SERVER[0]), *SERVER[1:]])
    print("| scenario | events | in process, events/s | socket, events/s | per CPU-second "
          "| ratio | of CPU time |\n| --- | --- | --- | --- | --- | --- | --- |")
    total = [0.0, 0.0, 0.0, 0.0]
    for name, row in outside.items():
        events = int(row[EVENTS])
        rate = float(inside[name][7])  # of all that it executed, pruned schedules included
        clock, processor = float(row[3]), float(row[5])
        print(line(name, events, events / rate, (clock, processor)))
        if name not in TIMED:
            total = [a + b for a, b in
                     zip(total, (events, events / rate, clock, processor), strict=True)]
    if total[0]:
        print(line("sum, where no time passes", int(total[0]), total[1], (total[2], total[3])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
