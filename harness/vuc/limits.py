# SPDX-License-Identifier: BSD-3-Clause
"""What a flood has shown, as data: a Record with its curve, and what can be said about a curve.

A curve is a list of points (units, value), in the order in which they were taken. Its slope is the
Theil-Sen estimate, the median of the slopes between all pairs of points, which a single step of an
allocator does not bend. Pure data: nothing here looks at a server.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from errno import errorcode
from pathlib import Path
from statistics import median
from typing import Any

from .flood import Latency, Took, Went
from .measure import METRICS, Sample

SCHEMA_VERSION = 1
STEEPER = 2.0  # times: so much steeper at its end, a curve is no line any more
FLATTER = 0.1  # times: so much flatter at its end, it has come to a plateau
FEWEST = 6  # points of a curve whose form is judged
# What a curve may move by without any meaning, by metric: KiB, counts, bytes, microseconds.
NOISE = {"anon": 512, "file": 512, "shmem": 256, "page_tables": 64, "space": 2048, "vmas": 8,
         "fds": 2, "threads": 1, "log": 8192, "cpu": 5000}

Point = tuple[float, float]


def slope(points: Sequence[Point]) -> float:
    """The median slope between any two points; 0 where there are none with different units."""
    pairs = [
        (late - early) / (there - here)
        for index, (here, early) in enumerate(points)
        for there, late in points[index + 1 :] if there != here
    ]
    return median(pairs) if pairs else 0.0


def rise(points: Sequence[Point]) -> float:
    """How far the highest value lies above the first one."""
    return max(value for _, value in points) - points[0][1] if points else 0.0


def shape(points: Sequence[Point], noise: float) -> str:
    """The form of a curve: "flat", "linear", "plateau", "super-linear"; "short" where it has too
    few points to tell."""
    if rise(points) <= noise:
        return "flat"
    if len(points) < FEWEST:
        return "short"
    third = len(points) // 3
    first, last = slope(points[: third + 1]), slope(points[-third - 1 :])
    if last > STEEPER * max(first, 0.0) and last * (points[-1][0] - points[0][0]) > 2 * noise:
        return "super-linear"
    return "plateau" if last < FLATTER * first else "linear"


def knee(points: Sequence[Point], noise: float) -> float | None:
    """The units at which a curve that is no line bends: the point that is farthest from the
    straight way from its first to its last."""
    if shape(points, noise) not in ("plateau", "super-linear"):
        return None
    (left, low), (right, high) = points[0], points[-1]
    steep = (high - low) / (right - left)
    return max(points, key=lambda point: abs(point[1] - low - steep * (point[0] - left)))[0]


def errno_names(took: Took) -> dict[str, int]:
    """The errors of a run by the name of their errno; "0" is an error without a reason."""
    return {errorcode.get(number, str(number)): count
            for number, count in sorted(took.errors.items())}


@dataclass
class Honest:
    """An honest client beside the flood: latencies of REGION_READ in microseconds, without and
    with it, what went wrong, and both histograms (Latency.sparse)."""

    rounds: int = 0
    unloaded_p50: float = 0.0
    unloaded_p99: float = 0.0
    loaded_p50: float = 0.0
    loaded_p99: float = 0.0
    longest: float = 0.0
    error: str = ""
    unloaded: dict[str, int] = field(default_factory=dict)
    loaded: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, before: Latency, went: Went) -> Honest:
        """From the latencies before the flood, and how it went beside it."""
        def micro(latency: Latency, part: float) -> float:
            return round(latency.quantile(part) * 1e6, 1)

        return cls(went.rounds, micro(before, 0.5), micro(before, 0.99), micro(went.latency, 0.5),
                   micro(went.latency, 0.99), round(went.longest * 1e6, 1),
                   went.text() if went.error else "", before.sparse(), went.latency.sparse())


@dataclass
class Record:
    """What one run of one flood has shown.

    unit: what is counted; points: units and what the server held (METRICS); refused_at: the unit
    that was refused first; errnos: errors by name; ended: whether the server ended a connection;
    recovered: how much more than before is held (METRICS) after "all" units were given back, and
    after the "disconnect"; one: whether the next unit succeeds when one was given back; paced:
    units were not sent one behind the other, so that their processor time is not theirs alone;
    optional: the machine may lack what it needs, which is no loss of the server's; calibration:
    microseconds of processor time of a small message there and back.

    What a reader may find missing: latency: of the operations as they went, a histogram
    (Latency.sparse); fds: descriptors by kind at the "start", at their "peak" and at the "end";
    queues: units, and the bytes that lie in the attacker's socket on the way there and back;
    kernel_areas: by how many more memory areas the kernel had at the most, for all processes;
    idle: microseconds of processor time from when all had left to its rest, None if that was not
    to be seen; rates: bytes in a second that DMA has moved "alone" and "beside" the flood.
    """

    flood: str
    unit: str = ""
    scale: float = 1.0
    calibration: float = 0.0
    points: list[list[float]] = field(default_factory=list)
    refused_at: int | None = None
    errnos: dict[str, int] = field(default_factory=dict)
    ended: bool = False
    one: bool | None = None
    paced: bool = False
    optional: bool = False
    recovered: dict[str, dict[str, float]] = field(default_factory=dict)
    honest: Honest | None = None
    latency: dict[str, int] = field(default_factory=dict)
    fds: dict[str, dict[str, int]] = field(default_factory=dict)
    queues: list[list[int]] = field(default_factory=list)
    kernel_areas: int | None = None
    idle: float | None = None
    rates: dict[str, float] = field(default_factory=dict)
    schema: int = SCHEMA_VERSION

    def add(self, units: int, sample: Sample) -> None:
        """One more point."""
        self.points.append([units, *(getattr(sample, name) for name in METRICS)])

    def curve(self, metric: str) -> list[Point]:
        """The points of one metric."""
        column = 1 + METRICS.index(metric)
        return [(point[0], point[column]) for point in self.points]

    def write(self, folder: Path) -> None:
        """A file of its own in the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.flood}.json"
        path.write_text(json.dumps(asdict(self)) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Record:
        """What write() has written."""
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        honest = data.pop("honest")
        return cls(**data, honest=None if honest is None else Honest(**honest))
