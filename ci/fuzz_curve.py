# SPDX-License-Identifier: BSD-3-Clause
"""Coverage of the server against CPU time: programs beside raw bytes.

    fuzz_curve.py --time=S [--build=DIR] [--vuc=FILE] [--seed=N] [--out=DIR] ENTRY=SEEDS[,SEEDS]...

Each entry runs alone for so many seconds of CPU time, in one process, from its seeds; those that
end in .prog are packed. Coverage counts edges of the server, which all entries are linked with.
OUT (build/report) gets fuzz-curve.csv, a line for each time that the coverage of an entry grew,
and the same as fuzz-curve.svg.

Exit status: 0; 2 for wrong usage, or when an entry does not run.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from campaign import fixed_addresses
from campaign_seeds import gather

LINE = re.compile(r"^#\d+\s.*?cov: (\d+)")
TICKS = os.sysconf("SC_CLK_TCK")
BROKEN = 2
COLOURS = ("#1b6ca8", "#c8553d", "#588157", "#6d597a")
WIDTH, HEIGHT, MARGIN = 720, 400, 60


class Broken(Exception):
    """There is no curve."""


@dataclass(frozen=True)
class Point:
    """So many edges after so many seconds of CPU time."""

    cpu: float
    coverage: int


def cpu_of(pid: int) -> float:
    """Seconds that a process has used: fields of stat, behind its name, which may be anything."""
    text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    fields = text.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def grown(points: Iterable[Point]) -> list[Point]:
    """Those at which there was more than ever before."""
    kept: list[Point] = []
    for point in points:
        if not kept or point.coverage > kept[-1].coverage:
            kept.append(point)
    return kept


def limited(seconds: int) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))


def run(binary: Path, seeds: Path, seconds: int, seed: int) -> list[Point]:
    """One process, until its CPU time is over. What it finds ends it, and is no matter of ours."""
    with tempfile.TemporaryDirectory() as folder:
        command = [*fixed_addresses(), binary, f"-seed={seed}", "-max_len=2048",
                   "-ignore_crashes=1", f"-artifact_prefix={folder}/", folder, seeds]  # fmt: skip
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True, errors="replace", preexec_fn=lambda: limited(seconds),
        )  # fmt: skip
        assert process.stderr
        points = []
        for line in process.stderr:
            if match := LINE.match(line):
                points.append(Point(cpu_of(process.pid), int(match[1])))
        status = process.wait()
    if not points:
        raise Broken(f"{binary.name} does not run")
    end = float(seconds)
    if status != -signal.SIGXCPU:
        end = points[-1].cpu
        print(f"{binary.name} ended early, with {status}", file=sys.stderr)
    return [*grown(points), Point(end, points[-1].coverage)]


def write_csv(path: Path, curves: dict[str, list[Point]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["entry", "cpu_seconds", "coverage"])
        for entry, points in curves.items():
            table.writerows([entry, f"{point.cpu:.2f}", point.coverage] for point in points)


def steps(points: list[Point], across: float, up: float) -> str:
    """The corners of a line that goes up at each point and straight on between them."""
    corners = []
    before = 0
    for point in points:
        x = MARGIN + point.cpu * across
        corners += [f"{x:.1f},{HEIGHT - MARGIN - before * up:.1f}",
                    f"{x:.1f},{HEIGHT - MARGIN - point.coverage * up:.1f}"]  # fmt: skip
        before = point.coverage
    return " ".join(corners)


def svg(curves: dict[str, list[Point]]) -> str:
    """Both axes begin at 0; the ends of both are told."""
    longest = max(point.cpu for points in curves.values() for point in points) or 1
    most = max(point.coverage for points in curves.values() for point in points) or 1
    across, up = (WIDTH - 2 * MARGIN) / longest, (HEIGHT - 2 * MARGIN) / most
    floor = HEIGHT - MARGIN
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        'font-family="sans-serif" font-size="13">',
        f'<path d="M{MARGIN},{MARGIN} V{floor} H{WIDTH - MARGIN}" fill="none" stroke="#888"/>',
        f'<text x="{MARGIN}" y="{MARGIN - 12}">edges of the server, up to {most}</text>',
        f'<text x="{WIDTH - MARGIN}" y="{floor + 22}" text-anchor="end">CPU-seconds, up to '
        f"{longest:.0f}</text>",
    ]
    for number, (entry, points) in enumerate(curves.items()):
        colour = COLOURS[number % len(COLOURS)]
        lines += [
            f'<polyline points="{steps(points, across, up)}" fill="none" stroke="{colour}" '
            'stroke-width="2"/>',
            f'<text x="{MARGIN + 16}" y="{MARGIN + 18 * number + 12}" fill="{colour}">{entry}: '
            f"{points[-1].coverage}</text>",
        ]
    return "\n".join([*lines, "</svg>", ""])


def read_arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="coverage over time; see the head of the file")
    parser.add_argument("--time", type=int, default=60, help="CPU-seconds of each entry")
    parser.add_argument("--build", type=Path, default=Path("build"))
    parser.add_argument("--vuc", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    parser.add_argument("entries", nargs="+", metavar="ENTRY=SEEDS")
    asked = parser.parse_args(words)
    asked.out = asked.out or asked.build / "report"
    if not all("=" in word for word in asked.entries):
        parser.error("an entry is named with its seeds")
    return asked


def main(words: list[str]) -> int:
    asked = read_arguments(words)
    curves = {}
    try:
        for word in asked.entries:
            entry, _, names = word.partition("=")
            seeds = asked.build / "campaign" / f"curve-{entry}"
            gather([Path(name) for name in names.split(",")], seeds, asked.vuc)
            binary = asked.build / "fuzz" / f"fuzz_{entry}"
            curves[entry] = run(binary, seeds, asked.time, asked.seed)
            print(f"{entry}: {curves[entry][-1].coverage} edges", flush=True)
    except (Broken, OSError, subprocess.CalledProcessError) as error:
        print(f"fuzz_curve: {error}", file=sys.stderr)
        return BROKEN
    asked.out.mkdir(parents=True, exist_ok=True)
    write_csv(asked.out / "fuzz-curve.csv", curves)
    (asked.out / "fuzz-curve.svg").write_text(svg(curves), encoding="utf-8")
    print(asked.out / "fuzz-curve.svg")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
