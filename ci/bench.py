# SPDX-License-Identifier: BSD-3-Clause
"""Measures the reference server, beside peers, and writes a page of what came out.

    bench.py [--runs=N] [--full] [--quick] [--build=DIR] [--report=DIR] [--peer=NAME=COMMAND ...]

Runs the programs bench_space (the table of mappings alone) and bench_socket (a server, by its
socket) several times, the sides in turns, so that what else the machine does hits all alike. Prints
bench.md and leaves it in build/report beside bench.json, a list of {name, unit, median, spread,
peer, ratio}: spread is the median absolute deviation, ratio the median over the runs of ours
divided by the peer's in the same run. A row whose name is `PEER:...` is a peer's own figure.
Nothing passes or fails by time; the exit status is 1 when something of ours could not be measured.
libvfio-user is a peer where $LIBVFIO_USER is the prefix of an installed one; --peer adds any other
server with the test device, {socket} in its command is filled in.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from statistics import median

from progress import Progress

OURS = "reference"
LIBVFIO_USER = "libvfio-user"
PORT = Path("ci/peers/libvfio-user/Makefile")
MILLION = 1 << 20
SIZES = (16, 256, 4096, 32768, MILLION)  # the fourth is within the limits of libvfio-user
LIMIT_S = 900
READ_TARGET = 1.15  # times ping-pong
PING_PONG, FOUR_CALLS = "ping-pong", "four calls"
QUOTAS = ("--max-dma-maps=4194304", f"--table-bytes={1 << 32}")

# What is aimed at: title, row, target, peers that belong to it.
TARGETS = (
    ("Lookup in the table, random, 1 M mappings of a page, dense",
     "lookup.table.dense.1048576", "<= 25 ns", ("flat array", "sorted tree")),
    ("the same, far apart", "lookup.table.far.1048576", "", ("sorted tree",)),
    ("Memory per mapping, dense", "bytes.table.dense.1048576", "<= 8.5 B",
     ("flat array", "sorted tree")),
    ("Memory per mapping, far apart", "bytes.table.far.1048576", "<= 520 B", ("sorted tree",)),
    ("Growth of the server per mapping, 1 M mappings", "rss.1048576", "", ()),
    ("VMAs more with 1 M mappings of one file", "vmas_fd.1048576",
     "one of the file, some of the table", ()),
    ("Descriptors more with 1 M mappings of one file", "fds_fd.1048576", "0", ()),
    ("Table of 1 TiB in pages of 4 KiB", "bytes.table.terabyte", "<= 2.1 GiB", ()),
    ("Time to build it", "build.table.terabyte", "< 30 s", ()),
    ("DMA_MAP pipelined, without a descriptor, up to 1 M", "fill.1048576", ">= 2 M/s", ()),
    ("the same in a table of 32,768", "map.32768", ">= 10 times libvfio-user", (LIBVFIO_USER,)),
    ("DMA_MAP pipelined, each with the descriptor of one file", "fill_fd.1048576", ">= 0.25 M/s",
     ()),
    ("the same in a table of 32,768", "map_fd.32768", ">= 4 times libvfio-user", (LIBVFIO_USER,)),
    ("REGION_READ of 4 bytes, round trip, p50", "read.p50", f"<= {READ_TARGET} times ping-pong",
     (PING_PONG, FOUR_CALLS, LIBVFIO_USER)),
    ("the same, processor time of the server", "read.cpu", "",
     (PING_PONG, FOUR_CALLS, LIBVFIO_USER)),
    ("the four calls of the server alone, round trip, p50", "fourcalls.p50", "", (PING_PONG,)),
    ("DMA_UNMAP of an idle mapping, p50", "unmap_idle.p50", "", (LIBVFIO_USER,)),
    ("what DMA elsewhere adds to that", "unmap_beside_dma_added.p50", "0", ()),
    ("what DMA to that mapping adds", "unmap_under_dma_added.p50", "<= a time slice", ()),
)  # fmt: skip

# Rows that grow with the number of mappings: title, row without the number.
GROWTH = (
    ("lookup, dense", "lookup.table.dense"),
    ("lookup in a flat array", "lookup.flat.dense"),
    ("lookup in a sorted tree", "lookup.tree.dense"),
    ("lookup, far apart", "lookup.table.far"),
    ("lookup under a hazard, dense", "reference.table.dense"),
    ("insert, dense", "insert.table.dense"),
    ("remove, dense", "remove.table.dense"),
    ("memory, dense", "bytes.table.dense"),
    ("memory, one in 2 MiB", "bytes.table.step"),
    ("memory, far apart", "bytes.table.far"),
    ("memory, worst case", "bytes.table.worst"),
    ("DMA_MAP", "map"),
    ("DMA_MAP, processor time of the server", "map_cpu"),
    ("DMA_MAP with a file", "map_fd"),
    ("the same, processor time of the server", "map_fd_cpu"),
    ("DMA_UNMAP", "unmap"),
    ("DMA_UNMAP, processor time of the server", "unmap_cpu"),
    ("DMA_UNMAP of a file", "unmap_fd"),
    ("lookups by the device, processor time of the server each", "touch_cpu"),
    ("growth of the server, without files", "rss"),
    ("growth of the server, with a file", "rss_fd"),
    ("VMAs, without files", "vmas"),
    ("VMAs, with a file", "vmas_fd"),
    ("descriptors, with a file", "fds_fd"),
)


class CannotMeasure(Exception):
    """A program of ours failed, or said something that is no figure."""


@dataclass
class Samples:
    """Per series (its side, its name) the value of each run, and the unit."""

    values: dict[tuple[str, str], dict[int, float]] = field(
        default_factory=lambda: defaultdict(dict))
    units: dict[str, str] = field(default_factory=dict)

    def add(self, side: str, run: int, line: str) -> str:
        """Takes a line of output; the name of what it says."""
        try:
            row = json.loads(line)
            name, unit = row["name"], row["unit"]
            self.values[side, name][run] = float(row["value" if "value" in row else "median"])
        except (ValueError, KeyError, TypeError) as error:
            raise CannotMeasure(f"no figure: {line!r}") from error
        self.units[name] = unit
        return name


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    sizes: tuple[int, ...]
    reads: int
    unmaps: int
    table: tuple[str, ...]  # arguments of bench_space

    def jobs(self, ours: bool) -> Iterator[tuple[str, int]]:
        """What bench_socket is asked, and for how many."""
        for size in self.sizes:
            yield "maps", size
            yield "maps_fd", size
            yield "touch", size
        yield "read", self.reads
        yield "unmap" if ours else "unmap_idle", self.unmaps


def plan(arguments: argparse.Namespace) -> Plan:
    """As the options say."""
    if arguments.quick:
        return Plan((16, 256), 200, 5, ("1", "256"))
    most = ("16777216", "terabyte") if arguments.full else (str(MILLION),)
    return Plan(SIZES, 20000, 500, ("1", *most))


def lines_of(command: list[str]) -> list[str]:
    """The output of a program that succeeds."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotMeasure(f"{command[0]}: {error}") from error
    if done.returncode:
        raise CannotMeasure(f"{shlex.join(command)}: {done.stderr.strip() or done.returncode}")
    return done.stdout.splitlines()


class Measuring:
    """All runs; what a side refused is not asked again for more mappings."""

    def __init__(self, build: Path, sides: dict[str, list[str]], what: Plan):
        self.bench = build / "bench"
        self.sides = sides
        self.plan = what
        self.samples = Samples()
        self.notes: dict[str, None] = {}
        self.refused: dict[tuple[str, str], int] = {}

    def run(self, number: int) -> None:
        """One run of everything, the sides in turns; every other run the other way round."""
        for line in lines_of([str(self.bench / "bench_space"), *self.plan.table]):
            self.samples.add(OURS, number, line)
        queues = [(side, list(self.plan.jobs(side == OURS))) for side in self.sides]
        if number % 2:
            queues.reverse()
        for place in range(len(queues[0][1])):
            for side, jobs in queues:
                self.job(side, number, *jobs[place])

    def job(self, side: str, run: int, what: str, count: int) -> None:
        """One measurement of one side. Peers are excused, with a note."""
        if self.refused.get((side, what), count + 1) <= count:
            return
        command = [str(self.bench / "bench_socket"), what, str(count), *self.sides[side]]
        try:
            lines = lines_of(command)
            names = [self.samples.add(side, run, line) for line in lines]
        except CannotMeasure as error:
            if side == OURS:
                raise
            self.refused[side, what] = count
            self.notes[f"{side}: {what} {count:,}: not measured ({reason(error)})"] = None
            return
        for name in names:
            if name.startswith("refused_after"):
                self.refused[side, what] = count
                taken = self.samples.values[side, name][run]
                self.notes[f"{side}: {what} {count:,}: refused after {taken:,.0f}"] = None


def reason(error: Exception) -> str:
    """What the program said, without its command."""
    return str(error).rsplit("bench_socket: ", 1)[-1]


# --- rows ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """A row of bench.json."""

    name: str
    unit: str
    median: float
    spread: float
    peer: str | None = None
    ratio: float | None = None


def spread(values: list[float]) -> float:
    """Median absolute deviation."""
    middle = median(values)
    return median(abs(value - middle) for value in values)


def peer_series(samples: Samples, name: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """Who measured the same as our series of that name: the peer, and its series."""
    for side, other in samples.values:
        if other == name and side != OURS:
            yield side, (side, other)
    for structure, peer in (("flat", "flat array"), ("tree", "sorted tree")):
        other = name.replace(".table.", f".{structure}.")
        if other != name and (OURS, other) in samples.values:
            yield peer, (OURS, other)
    what, _, end = name.partition(".")
    exchanges = {"read": (FOUR_CALLS, PING_PONG), "fourcalls": (PING_PONG,)}
    for peer in exchanges.get(what, ()):
        series = (OURS, f"{peer.replace(' ', '').replace('-', '')}.{end}")
        if series in samples.values:
            yield peer, series


def ratio(ours: dict[int, float], theirs: dict[int, float]) -> float | None:
    """Median over the runs that both have; None where the peer's is 0 or there is none."""
    both = [ours[run] / theirs[run] for run in ours if theirs.get(run)]
    return round(median(both), 4) if both else None


def rows_of(samples: Samples) -> list[Row]:
    """Each series once for each peer, or once without."""
    rows = []
    for (side, name), values in samples.values.items():
        figures = (samples.units[name], round(median(values.values()), 4),
                   round(spread(list(values.values())), 4))  # fmt: skip
        if side != OURS:
            rows.append(Row(f"{side}:{name}", *figures))
            continue
        peers = [(peer, ratio(values, samples.values[series]))
                 for peer, series in peer_series(samples, name)]  # fmt: skip
        rows += [Row(name, *figures, *peer) for peer in peers or [(None, None)]]
    return rows


# --- the page -----------------------------------------------------------------------------------


def number(value: float) -> str:
    """Three digits that count."""
    for limit, suffix in ((1e6, " M"), (1e4, " k")):
        if abs(value) >= limit:
            return f"{value / limit if limit == 1e6 else value / 1e3:.3g}{suffix}"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def figure(row: Row) -> str:
    """Median, spread and unit."""
    return f"{number(row.median)} ± {number(row.spread)} {row.unit}"


def table(head: tuple[str, ...], lines: list[tuple[str, ...]]) -> list[str]:
    """A table of Markdown."""
    return ["| " + " | ".join(cells) + " |"
            for cells in (head, ("---",) * len(head), *lines)] + [""]  # fmt: skip


def target_lines(rows: list[Row]) -> Iterator[tuple[str, ...]]:
    """One line for each target."""
    for title, name, target, peers in TARGETS:
        found = [row for row in rows if row.name == name]
        beside = [f"{row.ratio:.3g} times {row.peer}" for row in found
                  if row.peer in peers and row.ratio is not None]  # fmt: skip
        measured = figure(found[0]) if found else "not measured"
        yield title, target or "-", measured, ", ".join(beside) or "-"


def read_lines(rows: list[Row]) -> list[str]:
    """What REGION_READ costs beside its target, and how much of that is system calls."""
    ratios = {(row.name, row.peer): row.ratio for row in rows}
    reached, ours = ratios.get(("read.p50", PING_PONG)), ratios.get(("read.p50", FOUR_CALLS))
    calls = ratios.get(("fourcalls.p50", PING_PONG))
    if reached is None or ours is None or calls is None:
        return []
    verdict = "reached" if reached <= READ_TARGET else "missed"
    return [
        f"REGION_READ takes {reached:.3g} times a ping-pong: the target of {READ_TARGET} is "
        f"{verdict}. A ping-pong is",
        "two system calls on each side, recv and send. The server makes four: epoll_wait, as it",
        "has many clients; recvmsg with MSG_PEEK, as a read may take several messages and",
        "descriptors belong to one of them; recv; send. A bare loop of these four, which does",
        f"nothing else, takes {calls:.3g} times a ping-pong, and REGION_READ {ours:.3g} times "
        "that loop.", "",
    ]  # fmt: skip


def growth_lines(rows: list[Row], sizes: list[int]) -> Iterator[tuple[str, ...]]:
    """One line for each cost and side that has figures."""
    by_name = {row.name: row for row in rows}
    sides = sorted({row.name.split(":")[0] for row in rows if ":" in row.name})
    for title, name in GROWTH:
        for side in ("", *sides):
            prefix = f"{side}:" if side else ""
            found = [by_name.get(f"{prefix}{name}.{size}") for size in sizes]
            units = {row.unit for row in found if row}
            if units:
                yield (f"{title}, {side}" if side else title, *units,
                       *(number(row.median) if row else "" for row in found))  # fmt: skip


def first_line(command: list[str]) -> str:
    """What a program says first, or that it is not there."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
        return (done.stdout.splitlines() or ["unknown"])[0]
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"


def field_of(path: str, key: str) -> str:
    """The first `key : value` of a file in /proc."""
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        if line.startswith(key):
            return line.split(":", 1)[1].strip()
    return "unknown"


def machine(load: tuple[float, float]) -> list[tuple[str, str]]:
    """Where and with what it was measured."""
    compiler = [*shlex.split(os.environ.get("CC") or "cc"), "--version"]
    commit = first_line(["git", "describe", "--always", "--dirty"])
    return [
        ("date", f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC"),
        ("commit", commit),
        ("machine", f"{field_of('/proc/cpuinfo', 'model name')}, {os.cpu_count()} processors, "
                    f"{field_of('/proc/meminfo', 'MemTotal')}"),
        ("kernel", f"{platform.system()} {platform.release()} {platform.machine()}"),
        ("compiler", first_line(compiler)),
        ("load average before and after", f"{load[0]:.1f}, {load[1]:.1f}"),
    ]  # fmt: skip


def page(rows: list[Row], about: list[tuple[str, str]], notes: list[str]) -> str:
    """bench.md."""
    sizes = sorted({int(end) for row in rows if (end := row.name.rsplit(".", 1)[-1]).isdigit()})
    lines = ["# Measurements of the reference server", ""]
    lines += table(("", ""), about)
    lines += [
        "Median ± median absolute deviation. What stands beside is ours divided by the peer's, the",
        "median over the runs, in each of which all were measured in turns. On a machine that does",
        "other things as well, rates and latencies say little, ratios and processor time more.", "",
    ]  # fmt: skip
    lines += ["## Targets", ""]
    lines += table(("what", "target", "measured", "beside"), list(target_lines(rows)))
    lines += read_lines(rows)
    lines += ["## Growth with the number of mappings", ""]
    lines += table(("cost", "unit", *(f"{size:,}" for size in sizes)),
                   list(growth_lines(rows, sizes)))  # fmt: skip
    if notes:
        lines += ["## Not measured", "", *(f"- {note}" for note in notes), ""]
    return "\n".join(lines)


# --- the program --------------------------------------------------------------------------------


def libvfio_user(notes: dict[str, None]) -> dict[str, list[str]]:
    """The test device on libvfio-user, built first, where the library is installed."""
    prefix = os.environ.get("LIBVFIO_USER")
    if not prefix or not PORT.exists():
        notes["libvfio-user: LIBVFIO_USER does not name the prefix of an installed one"] = None
        return {}
    command = ["make", "-s", "-f", str(PORT), f"LIBVFIO_USER={prefix}"]
    environment = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS")}
    if subprocess.run(command, env=environment, check=False).returncode:
        notes["libvfio-user: our port of the test device could not be built"] = None
        return {}
    return {LIBVFIO_USER: ["build/peers/libvfio-user/vdma", "--socket-path={socket}"]}


def options(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="bench.py", description="see the head of the file")
    parser.add_argument("--build", type=Path, default=Path("build"))
    parser.add_argument("--report", type=Path, help="default: report in the build directory")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--full", action="store_true", help="16 M mappings, 1 TiB")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to try the program")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=COMMAND")
    found = parser.parse_args(arguments)
    if found.runs < 1 or not all("=" in peer for peer in found.peer):
        parser.error("--runs is at least 1, --peer is NAME=COMMAND")
    return found


def main(arguments: list[str]) -> int:
    """Measures and reports; the exit status."""
    asked = options(arguments)
    notes: dict[str, None] = {}
    sides = {OURS: [str(asked.build / "vuc-server"), "--socket-path={socket}", *QUOTAS]}
    if not asked.quick:
        sides |= libvfio_user(notes)
    for peer in asked.peer:
        name, command = peer.split("=", 1)
        sides[name] = shlex.split(command)
    measuring = Measuring(asked.build, sides, plan(asked))
    measuring.notes = notes
    before = os.getloadavg()[0]
    try:
        with Progress("runs", [""] * asked.runs) as progress:
            for run in range(asked.runs):
                measuring.run(run)
                progress.step("")
    except CannotMeasure as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    rows = rows_of(measuring.samples)
    about = [*machine((before, os.getloadavg()[0])), ("runs", str(asked.runs))]
    text = page(rows, about, list(notes))
    report = asked.report or asked.build / "report"
    report.mkdir(parents=True, exist_ok=True)
    (report / "bench.md").write_text(text, encoding="utf-8")
    (report / "bench.json").write_text(
        json.dumps([vars(row) for row in rows], indent=1) + "\n", encoding="utf-8")
    print(text)
    print(f"{report / 'bench.md'}, {report / 'bench.json'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
