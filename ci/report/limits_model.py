# SPDX-License-Identifier: BSD-3-Clause
"""What the report shows of limits, made from the files of `make limits`: pure data, no markup.

A Series is one server's floods, from a run (build/report/limits-*.json, with all points) or from a
committed baseline (without them: its curves are the fits). A Panel is what one row of
cases/floods/README.md has shown of one metric, over all series. A Summary is one server in short.
Sizes are KiB, processor time is microseconds, as in the files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

from vuc.limits import NOISE, SCHEMA_VERSION
from vuc.measure import METRICS

ROOT = Path(__file__).resolve().parents[2]
FLOODS = ROOT / "cases" / "floods"
FAMILIES = {"maps": "Mappings", "files": "Files and descriptors", "streams": "Messages and replies",
            "clients": "Clients, and what the device does", "pasids": "Address spaces",
            "paging": "Page requests", "slow_files": "Memory whose pages never come",
            "workloads": "What guests do"}
OURS = "reference"  # stands first
# Address space is left out: what is mapped of a large file says little of what it costs.
HELD = tuple(name for name in METRICS if name not in ("cpu", "space"))
WORDS = {"anon": "memory, KiB", "file": "memory of files, KiB", "shmem": "shared memory, KiB",
         "page_tables": "page tables, KiB", "space": "address space, KiB",
         "vmas": "areas of addresses", "fds": "descriptors", "threads": "threads",
         "log": "log, bytes", "cpu": "processor time, us"}
AMOUNTS = {"anon": "KiB of memory", "file": "KiB of files", "shmem": "KiB of shared memory",
           "page_tables": "KiB of page tables", "space": "KiB of addresses", "vmas": "areas",
           "fds": "descriptors", "threads": "threads", "log": "bytes of log"}
BUSY = 4 * NOISE["cpu"]  # microseconds below which a curve of processor time is not shown
STEPS = 16  # points of a curve
KEPT = 0.05  # part of what a flood has cost that may stay behind it, and what an allocator keeps
STAYS = {"anon": 2048, "file": 2048}
STARVED = 10_000  # microseconds of an honest client's p99, below which its ratio is no concern
TELLING = 4.0  # times what means nothing, from which a flood is told of
MOST = 30  # floods of the table in a summary
WORST = 5  # things that are told first
ROW = re.compile(r"^\| ([A-Z]\d\d) \| ([^|]+) \| ([^|]*) \|$", re.MULTILINE)
CASE = re.compile(r"`([a-z_]+)/[a-z]\d\d_")
BEST = {"slope": 0.0, "peak": 0.0, "form": "flat"}


class LimitsError(ValueError):
    """A file of limits that can not be used; the message says which and what to do."""


@dataclass(frozen=True)
class Row:
    """A row of the table of floods: what it attacks, and the family that its cases stand in."""

    name: str
    attacks: str
    family: str


def rows(text: str | None = None) -> dict[str, Row]:
    """The rows of cases/floods/README.md that have cases, by name, in order."""
    text = (FLOODS / "README.md").read_text(encoding="utf-8") if text is None else text
    found = ((name, attacks, CASE.search(cases)) for name, attacks, cases in ROW.findall(text))
    return {name: Row(name, attacks, case[1]) for name, attacks, case in found if case}


# ---- one server ----


@dataclass
class Series:
    """One server's floods by name; `run`: what `path` has, None for a baseline."""

    name: str
    mode: str
    floods: dict[str, dict[str, Any]]
    run: dict[str, Any] | None = None
    path: Path = Path()

    @property
    def label(self) -> str:
        """What a legend calls it."""
        words = [self.name, *(["baseline"] if self.run is None else []), self.mode]
        return ", ".join(words)

    def of_row(self, row: str) -> dict[str, dict[str, Any]]:
        """Its floods of a row, by name."""
        return {name: one for name, one in self.floods.items() if name.partition("-")[0] == row}


def read_runs(directory: Path) -> list[Series]:
    """The runs of a directory, by name; LimitsError where a file is none of this version."""
    found = []
    for path in sorted(directory.glob("limits-*.json")):
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise LimitsError(f"{path}: can not be read: {error}") from error
        if not isinstance(data, dict) or data.get("schema") != SCHEMA_VERSION:
            raise LimitsError(f"{path}: no limits of schema {SCHEMA_VERSION}: run make limits "
                              "again, or remove the file")
        name = "-".join(part for part in (data["target"], data["version"]) if part)
        found.append(Series(name, data["mode"], data["floods"], data, path))
    return sorted(found, key=lambda one: not one.name.startswith(OURS))


def read_baselines(folder: Path, runs: Sequence[Series]) -> list[Series]:
    """The baselines of a folder, each in the mode in which that server was run, or the first one
    was, or else in one that it has."""
    wanted = {one.run["target"]: one.mode for one in runs if one.run}
    found = []
    for path in sorted(folder.glob("*.json")):
        data = json.loads(path.read_text(encoding="utf-8"))
        mode = wanted.get(data["target"], runs[0].mode)
        kept = mode if mode in data["modes"] else next(iter(data["modes"]), "")
        if data["schema"] == SCHEMA_VERSION and kept:
            found.append(Series(data["target"], kept, data["modes"][kept]))
    return found


def series(directory: Path, baselines: Path = FLOODS / "baselines") -> list[Series]:
    """All that is shown side by side: the runs, then the baselines; none without a run."""
    runs = read_runs(directory)
    return [*runs, *read_baselines(baselines, runs)] if runs else []


def curve(one: Mapping[str, Any], metric: str) -> list[tuple[float, float]]:
    """Units and what is held beyond the start: the points that were taken, or the fit of them."""
    points = one.get("points")
    if points:
        column = 1 + METRICS.index(metric)
        return [(point[0], point[column] - points[0][column]) for point in points]
    fit, units = one["metrics"][metric], one["units"]
    top = fit["peak"]
    bend = min(units, top / fit["slope"]) if fit["slope"] > 0 else units / STEPS  # a step at once
    middle = [(bend, top)] if 0 < bend < units else []
    return [(0, 0), *((bend * part / 8, top * part / 8) for part in range(1, 8)), *middle,
            (units, top)]


def weight(one: Mapping[str, Any], metric: str) -> float:
    """How many times what means nothing a flood has taken of the metric."""
    return max(one["metrics"].get(metric, BEST)["peak"], 0) / NOISE[metric]


def heaviest(one: Mapping[str, Any]) -> float:
    """The same of what it takes most of."""
    return max(weight(one, metric) for metric in HELD)


# ---- one row over all servers ----


@dataclass
class Panel:
    """One metric of one flood: the curves of those that ran it."""

    title: str
    metric: str
    unit: str
    lines: list[tuple[Series, dict[str, Any]]] = field(default_factory=list)


@dataclass
class Family:
    """The panels of the rows of one folder, of what is held and of processor time, and the rows
    that have held nothing."""

    title: str
    held: list[Panel] = field(default_factory=list)
    busy: list[Panel] = field(default_factory=list)
    nothing: list[str] = field(default_factory=list)


def _panel(row: Row, all_series: Sequence[Series], metrics: Sequence[str],
           least: float) -> Panel | None:
    # Of the floods of a row the one that takes most of any metric, and that metric.
    seen = [(weight(one, metric), name, metric) for some in all_series
            for name, one in some.of_row(row.name).items() for metric in metrics]
    most, name, metric = max(seen, default=(0.0, "", ""))
    if most <= least:
        return None
    which = f" ({name.partition('-')[2]})" if "-" in name else ""
    lines = [(some, some.floods[name]) for some in all_series
             if name in some.floods and some.floods[name]["units"]]
    unit = next((one["unit"] for _, one in lines), "")
    return Panel(f"{row.name} {row.attacks}{which}", metric, unit, lines)


def families(all_series: Sequence[Series], table: Mapping[str, Row]) -> list[Family]:
    """The families in the order of the table, without what no run has a flood of."""
    found: dict[str, Family] = {}
    for row in table.values():
        if not any(some.of_row(row.name) for some in all_series if some.run):
            continue
        family = found.setdefault(row.family, Family(FAMILIES.get(row.family, row.family)))
        held = _panel(row, all_series, HELD, 2.0)
        busy = _panel(row, all_series, ("cpu",), BUSY / NOISE["cpu"])
        if held:
            family.held.append(held)
        else:
            family.nothing.append(row.name)
        if busy:
            family.busy.append(busy)
    return list(found.values())


# ---- one server in short ----


def bytes_of_unit(one: Mapping[str, Any]) -> float:
    """Bytes of memory that each unit takes, 0 where the curve is flat."""
    fit = one["metrics"]["anon"]
    return 0.0 if fit["form"] == "flat" else max(fit["slope"], 0.0) * 1024


def time_of_unit(one: Mapping[str, Any]) -> float:
    """Microseconds of processor time of a unit, 0 where too little was used to tell, or not by
    the units alone."""
    if not one["cost"]:
        return 0.0
    fit = one["metrics"]["cpu"]
    return max(fit["slope"], 0.0) if fit["peak"] > NOISE["cpu"] else 0.0


def kept(one: Mapping[str, Any], when: str) -> list[str]:
    """What is still held `when` all was given back, or the client has left, in words."""
    return [f"{value:,.0f} {AMOUNTS[name]}"
            for name, value in one["recovered"].get(when, {}).items()
            if value > STAYS.get(name, NOISE[name]) + KEPT * max(one["metrics"][name]["peak"], 0)]


def refusal(one: Mapping[str, Any]) -> str:
    """Where it says no, and how."""
    if one["refused_at"]:
        errnos = "/".join("no reason" if name == "0" else name for name in one["errnos"])
        at = one["refused_at"][0]
        where = "every one" if at < 2 else f"after {at:,.0f}"
        return f"{where}: {errnos}" if errnos else where
    return "closes the connection" if one["ended"] else "-"


def endless(one: Mapping[str, Any]) -> bool:
    """Does it go on taking, without ever a no, as far as the flood goes?"""
    return (one["refused_at"] is None and not one["ended"]
            and any(one["metrics"][name]["form"] in ("linear", "super-linear")
                    and weight(one, name) > TELLING for name in ("anon", "fds", "vmas")))


def _taken(one: Mapping[str, Any]) -> str:
    parts = [f"{one['metrics'][name]['peak']:,.0f} {AMOUNTS[name]}" for name in HELD
             if weight(one, name) > 1]
    return ", ".join(parts)


def _concerns(name: str, one: Mapping[str, Any]) -> Iterable[tuple[float, float, str]]:
    """What is bad about one flood: how bad, how much of it, and in words."""
    most = heaviest(one)
    if one["verdict"] not in ("PASS", "KNOWN"):
        yield 5, most, f"the case fails: {one['listing']}"
    for when, words in (("disconnect", "when the client has left"), ("all", "when all is back")):
        if kept(one, when):
            yield 4, most, f"holds {', '.join(kept(one, when))} {words}"
    if one["one"] is False:
        yield 4, most, "a unit that is given back makes no room for the next"
    told = METRICS if one["cost"] else HELD  # time that is not the units' own says nothing
    bent = [WORDS[metric].partition(",")[0] for metric in told
            if one["metrics"][metric]["form"] == "super-linear" and weight(one, metric) > TELLING]
    if bent:
        yield 3, most, f"the more there are, the more each costs: {bent[0]}"
    if endless(one):
        yield 2, most, (f"takes all {one['units']:,} {one['unit']}s of the load and does not say "
                        f"no: {_taken(one)}")
    honest = one["honest"]
    if honest and honest["error"]:
        yield 5, most, f"the honest client: {honest['error']}"
    elif honest and honest["loaded_p99"] > STARVED:
        yield 1, honest["ratio_p99"], (
            f"an honest client waits {honest['loaded_p99'] / 1000:.0f} ms (p99), "
            f"{honest['ratio_p99']:.0f} times as long as without")
    if _taken(one):
        yield 0, most, f"at the most {_taken(one)} for {one['units']:,} {one['unit']}s"


@dataclass
class Summary:
    """One run in short; what a person needs in a minute."""

    series: Series
    rows: Mapping[str, Row]

    @property
    def run(self) -> dict[str, Any]:
        """The file that it was read from."""
        return self.series.run or {}

    @cached_property
    def floods(self) -> dict[str, dict[str, Any]]:
        """The floods that were run."""
        return {name: one for name, one in self.series.floods.items() if one["units"]}

    def attacks(self, name: str) -> str:
        """What a flood attacks, in words."""
        row, _, which = name.partition("-")
        words = self.rows[row].attacks if row in self.rows else row
        return f"{words} ({which})" if which else words

    @cached_property
    def limits(self) -> dict[str, dict[str, Any]]:
        """The floods in which some were taken, and then no more."""
        return {name: one for name, one in self.floods.items()
                if (one["refused_at"] and one["refused_at"][0] > 1) or one["ended"]}

    @cached_property
    def endless(self) -> dict[str, dict[str, Any]]:
        """The floods that met no limit, though what is held grew to their end."""
        return {name: one for name, one in self.floods.items() if endless(one)}

    @cached_property
    def telling(self) -> dict[str, dict[str, Any]]:
        """The floods that take the most, among those that meet a limit or take what counts."""
        weights = {name: heaviest(one) for name, one
                   in self.floods.items()}
        found = [name for name, most in weights.items()
                 if name in self.limits or name in self.endless or most > TELLING]
        shown = set(sorted(found, key=lambda name: -weights[name])[:MOST])
        return {name: one for name, one in self.floods.items() if name in shown}

    def errnos(self) -> str:
        """How it says no, by the number of floods, the most used first."""
        seen: dict[str, int] = {}
        for one in self.floods.values():
            for name in one["errnos"]:
                word = "no reason" if name == "0" else name
                seen[word] = seen.get(word, 0) + 1
        order = sorted(seen.items(), key=lambda pair: -pair[1])
        return ", ".join(f"{name} ({count})" for name, count in order) or "nothing was refused"

    def recovers(self) -> list[tuple[str, str]]:
        """What is asked of recovery, and in how many floods it holds."""
        flags = [one["one"] for one in self.floods.values() if one["one"] is not None]
        found = [("one given back makes room for one", sum(flags), len(flags))]
        for when, words in (("all", "all given back: as before"),
                            ("disconnect", "the client has left: as before")):
            asked = [one for one in self.floods.values() if when in one["recovered"]]
            found.append((words, sum(not kept(one, when) for one in asked), len(asked)))
        return [(words, f"{good} of {asked}") for words, good, asked in found if asked]

    def honest(self) -> str:
        """How an honest client fares beside the floods."""
        seen = {name: one["honest"] for name, one in self.floods.items() if one["honest"]}
        if not seen:
            return "not told: the server has one client at a time"
        bad = [name for name, one in seen.items() if one["error"]]
        name = max(seen, key=lambda key: seen[key]["loaded_p99"])
        middle = median(one["ratio_p50"] for one in seen.values())
        late = median(one["ratio_p99"] for one in seen.values())
        words = (f"waits {middle:.1f} times as long as without a flood (p50), {late:.1f} times "
                 f"(p99); longest in {name}, p99 {seen[name]['loaded_p99'] / 1000:.1f} ms")
        return words + (f"; not served in {', '.join(bad)}" if bad else "; served in all of them")

    def dearest(self, measure: Any, most: int = 3) -> list[tuple[str, float]]:
        """The floods whose units cost most by that measure."""
        costs = ((name, measure(one)) for name, one in self.floods.items())
        order = sorted((pair for pair in costs if pair[1] > 0), key=lambda pair: -pair[1])
        return order[:most]

    def costs(self) -> list[tuple[str, str]]:
        """The units that cost most memory, and most time, in words."""
        memory = self.dearest(bytes_of_unit)
        time = self.dearest(time_of_unit)
        return [
            ("memory", "; ".join(f"{name} {cost:,.0f} B/{self.floods[name]['unit']}"
                                 for name, cost in memory) or "none that grows"),
            ("processor time", "; ".join(f"{name} {cost:,.1f} us/{self.floods[name]['unit']}"
                                         for name, cost in time) or "none that counts"),
        ]

    def worst(self) -> list[tuple[str, str]]:
        """The five worst things, one a row at the most, with the flood that shows each."""
        found = [(6.0, 0.0, problem["flood"], f"{problem['what']}: {problem['now']}, baseline "
                  f"{problem['baseline']}") for problem in self.run.get("problems", [])
                 if problem["baseline"] != "not in it"]
        found += [(level, much, name, words) for name, one in self.floods.items()
                  for level, much, words in _concerns(name, one)]
        shown: dict[str, tuple[str, str]] = {}
        for _, _, name, words in sorted(found, key=lambda one: (-one[0], -one[1], one[2])):
            shown.setdefault(name.partition("-")[0], (name, words))
        return list(shown.values())[:WORST]
