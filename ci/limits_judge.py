# SPDX-License-Identifier: BSD-3-Clause
"""What limits.py takes for the same and for worse: a flood's summary over several runs, and its
comparison with a baseline. Pure data.

A summary has medians over the runs, and the spread (largest less smallest) of what varies. Against
the baseline each metric may grow by a factor and by what it moves without any meaning, and by the
spreads of both, so that a noisy figure has the room that it needs:

    value <= factor * baseline + NOISE + spread + spread of the baseline

Processor time is compared as a multiple of what a small message over a socket costs in the same run
(the calibration), and only where the flood has used enough of it to be measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from vuc.flood import Latency
from vuc.limits import NOISE, Record, knee, rise, shape, slope
from vuc.measure import METRICS

HELD = tuple(name for name in METRICS if name != "cpu")
# How far a peak may lie above the baseline's.
FACTORS = {"anon": 1.25, "file": 1.25, "shmem": 1.25, "page_tables": 1.25, "space": 1.25,
           "vmas": 1.1, "fds": 1.1, "threads": 1.0, "log": 2.0}
ROOM = {**NOISE, "space": 16384}
CPU_FACTOR = 2.5  # caches, and who else is on the other thread of the core
CPU_SEEN = 60_000  # microseconds of a flood, below which nothing is said about its cost
REFUSAL = 0.02  # part by which the point of refusal may move where it did not in the baseline
REFUSAL_NOISY = 0.3  # and where it did
KNEE = 0.3  # part by which the knee of a plateau may move
SEEN_RISE = 4  # times what a curve moves by without meaning, above which its knee is judged
CURVE_STEPS = 16  # of a curve, from point to point
STARVED_FACTOR = 50  # times the baseline's ratio: so far off, it is no longer the machine
STARVED = 250_000  # microseconds of the honest client's p99
FORMS = ("flat", "short", "plateau", "linear", "super-linear")  # from good to bad


@dataclass(frozen=True)
class Problem:
    """One thing that is worse than the baseline."""

    flood: str
    what: str
    baseline: str
    now: str

    def text(self) -> str:
        """One line."""
        return f"WORSE {self.flood}: {self.what}: {self.now}, baseline {self.baseline}"


# ---- one flood over several runs ----


def _spread(values: Sequence[float]) -> float:
    return max(values) - min(values)


def _metric(records: Sequence[Record], name: str) -> dict[str, Any]:
    curves = [record.curve(name) for record in records]
    peaks = [rise(curve) for curve in curves]
    bends = [bend for curve in curves if (bend := knee(curve, ROOM[name])) is not None]
    forms = sorted((shape(curve, ROOM[name]) for curve in curves), key=FORMS.index)
    found = {"slope": median(slope(curve) for curve in curves), "peak": median(peaks),
             "spread": _spread(peaks), "form": forms[(len(forms) - 1) // 2]}
    return {**found, "knee": median(bends), "knee_spread": _spread(bends)} if bends else found


def _cost(records: Sequence[Record]) -> dict[str, float]:
    # Processor time of one unit, in small messages over a socket. Where units are paced, sleeping
    # and waking and the honest client make the most of it.
    costs = [slope(record.curve("cpu")) / record.calibration for record in records
             if record.calibration and not record.paced]
    return {"unit": median(costs), "spread": _spread(costs)} if costs else {}


def _recovered(records: Sequence[Record]) -> dict[str, dict[str, float]]:
    # The best of the runs: what is really kept is kept in each of them.
    times = {when for record in records for when in record.recovered}
    return {
        when: {name: min(record.recovered[when][name] for record in records
                         if when in record.recovered)
               for name in next(r.recovered[when] for r in records if when in r.recovered)}
        for when in sorted(times)
    }


def _honest(records: Sequence[Record]) -> dict[str, Any] | None:
    seen = [record.honest for record in records if record.honest is not None]
    if not seen:
        return None
    ratios = [one.loaded_p99 / one.unloaded_p99 for one in seen if one.unloaded_p99]
    middles = [one.loaded_p50 / one.unloaded_p50 for one in seen if one.unloaded_p50]
    return {
        "unloaded_p50": median(one.unloaded_p50 for one in seen),
        "unloaded_p99": median(one.unloaded_p99 for one in seen),
        "loaded_p50": median(one.loaded_p50 for one in seen),
        "loaded_p99": median(one.loaded_p99 for one in seen),
        "longest": max(one.longest for one in seen),
        "ratio_p50": median(middles) if middles else 0.0,
        "ratio_p99": median(ratios) if ratios else 0.0,
        "error": next((one.error for one in seen if one.error), ""),
    }


def _latency(counts: Iterable[Mapping[str, int]]) -> dict[str, Any]:
    # Of all runs: microseconds, and the histogram.
    whole = Latency()
    for one in counts:
        whole.add(Latency.of(one))
    return {"p50": whole.quantile(0.5) * 1e6, "p99": whole.quantile(0.99) * 1e6,
            "counts": whole.sparse()}


def _seen(records: Sequence[Record]) -> dict[str, Any]:
    """What a report has beside what is compared; histograms over all runs, the rest of the
    first."""
    honest = [record.honest for record in records if record.honest is not None]
    return {
        "latency": _latency(record.latency for record in records),
        "honest_latency": {"unloaded": _latency(one.unloaded for one in honest),
                           "loaded": _latency(one.loaded for one in honest)} if honest else None,
        "fds": records[0].fds,
        "queues": records[0].queues,
        "kernel_areas": records[0].kernel_areas,
        "idle": records[0].idle,
        "rates": records[0].rates,
    }


def _verdict(results: Iterable[Mapping[str, Any]]) -> tuple[str, str]:
    # One pass is enough: what depends on the hour is no regression.
    words = [(result["verdict"], (result["listing"] or "").partition("\n")[0])
             for result in results]
    return next((one for one in words if one[0] == "PASS"), words[0])


def summary(records: Sequence[Record], results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What one flood has shown over all runs."""
    verdict, listing = _verdict(results)
    seconds = median(result.get("seconds", 0.0) for result in results)
    if not records:
        return {"unit": "", "units": 0, "verdict": verdict, "listing": listing,
                "seconds": seconds,
                "metrics": {name: {"slope": 0.0, "peak": 0.0, "spread": 0.0, "form": "flat"}
                            for name in METRICS},
                "cost": {}, "refused_at": None, "errnos": [], "ended": False, "one": None,
                "recovered": {}, "honest": None, "points": []}
    refused = [record.refused_at for record in records if record.refused_at is not None]
    flags = [record.one for record in records if record.one is not None]
    return {
        "unit": records[0].unit,
        "units": int(records[0].points[-1][0]),
        "verdict": verdict,
        "listing": listing,
        "seconds": seconds,
        "metrics": {name: _metric(records, name) for name in METRICS},
        "cost": _cost(records),
        "refused_at": [min(refused), max(refused)] if refused else None,
        "errnos": sorted({name for record in records for name in record.errnos}),
        "ended": all(record.ended for record in records),
        "one": any(flags) if flags else None,
        **({"optional": True} if records[0].optional else {}),
        "recovered": _recovered(records),
        "honest": _honest(records),
        "points": records[0].points,
        "seen": _seen(records),
    }


# ---- against the baseline ----


def _worse_metrics(one: Mapping[str, Any], base: Mapping[str, Any]) -> Iterable[tuple]:
    for name in HELD:
        now, then = one["metrics"][name], base["metrics"][name]
        room = ROOM[name] + now["spread"] + then["spread"]
        allowed = FACTORS[name] * max(then["peak"], 0) + room
        if now["peak"] > allowed:
            yield (f"most of {name}", f"{then['peak']:.0f} (allowed {allowed:.0f})",
                   f"{now['peak']:.0f}")
        elif now["peak"] > then["peak"] + room and _bends(now, then):
            yield f"form of {name}", then["form"], now["form"]
        elif steep := _steeper(name, one, base):
            yield f"{name} of a unit", *steep
        elif moved := _moved(name, one, base):
            yield f"knee of {name}", *moved


def _bends(now: Mapping[str, Any], then: Mapping[str, Any]) -> bool:
    # Where a plateau was, what goes on growing is worse; and what bends upwards always is.
    return (now["form"], then["form"]) == ("linear", "plateau") \
        or now["form"] == "super-linear" != then["form"]


def _steeper(name: str, one: Mapping[str, Any], base: Mapping[str, Any]) -> tuple | None:
    # The room is what the curve may move by, and how far the runs lie apart, over all its units.
    now, then = one["metrics"][name], base["metrics"][name]
    if now["form"] != "linear" or then["form"] != "linear":
        return None
    room = (ROOM[name] + now["spread"] + then["spread"]) / max(1, min(one["units"], base["units"]))
    allowed = FACTORS[name] * max(then["slope"], 0) + room
    return (f"{then['slope']:.4g} (allowed {allowed:.4g})",
            f"{now['slope']:.4g}") if now["slope"] > allowed else None


def _moved(name: str, one: Mapping[str, Any], base: Mapping[str, Any]) -> tuple | None:
    # Where a plateau begins is a limit, too; each of both is known to the distance of two points.
    # A curve that hardly rises bends anywhere, and so does one that the runs do not agree on.
    now, then = one["metrics"][name], base["metrics"][name]
    if now["form"] != "plateau" or then["form"] != "plateau" \
            or min(now["peak"], then["peak"]) < SEEN_RISE * ROOM[name] \
            or any(kept.get("knee_spread", 0) > KNEE * kept["knee"] for kept in (now, then)):
        return None
    room = (one["units"] + base["units"]) / CURVE_STEPS \
        + now.get("knee_spread", 0) + then.get("knee_spread", 0)
    if abs(now["knee"] - then["knee"]) <= KNEE * then["knee"] + room:
        return None
    return f"{then['knee']:g}", f"{now['knee']:g}"


def _worse_cost(one: Mapping[str, Any], base: Mapping[str, Any]) -> Iterable[tuple]:
    now, then = one["cost"], base["cost"]
    if not now or not then or one["metrics"]["cpu"]["peak"] < CPU_SEEN:
        return
    allowed = CPU_FACTOR * max(then["unit"], 0) + then["spread"]
    if now["unit"] - now["spread"] > allowed:
        yield ("processor time of a unit, in small messages", f"{then['unit']:.2f}",
               f"{now['unit']:.2f}")


def _worse_refusal(one: Mapping[str, Any], base: Mapping[str, Any]) -> Iterable[tuple]:
    now, then = one["refused_at"], base["refused_at"]
    if (now is None) != (then is None):
        word = "never"
        yield "point of refusal", word if then is None else then[0], word if now is None else now[0]
    elif now is not None:
        part = REFUSAL if then[0] == then[1] else REFUSAL_NOISY
        low, high = then[0] * (1 - part) - 1, then[1] * (1 + part) + 1
        if now[0] < low or now[1] > high:
            yield "point of refusal", f"{then[0]} to {then[1]}", f"{now[0]} to {now[1]}"
    new = sorted(set(one["errnos"]) - set(base["errnos"]))
    if new:
        yield "errno", "/".join(base["errnos"]) or "none", "/".join(new)
    if one["ended"] and not base["ended"]:
        yield "end of the connection", "it stays", "it is closed"


def _worse_recovery(one: Mapping[str, Any], base: Mapping[str, Any]) -> Iterable[tuple]:
    if base["one"] and one["one"] is False:
        yield "a unit that is given back", "makes room", "makes none"
    for when, kept in one["recovered"].items():
        for name, value in kept.items():
            then = base["recovered"].get(when, {}).get(name, 0)
            if value > max(then, 0) + ROOM[name]:
                yield f"{name} that is kept ({when})", f"{then:.0f}", f"{value:.0f}"


def _worse_service(one: Mapping[str, Any], base: Mapping[str, Any]) -> Iterable[tuple]:
    now, then = one["honest"], base["honest"]
    if now and then and now["error"] and not then["error"]:
        yield "the honest client", "is served", now["error"]


def _worse_latency(one: Mapping[str, Any], base: Mapping[str, Any]) -> Iterable[tuple]:
    now, then = one["honest"], base["honest"]
    if (now and then and now["loaded_p99"] > STARVED
            and now["ratio_p99"] > STARVED_FACTOR * max(then["ratio_p99"], 1)):
        yield ("p99 of the honest client, to that without a flood", f"{then['ratio_p99']:.1f}",
               f"{now['ratio_p99']:.1f}")


COUNTED = (_worse_metrics, _worse_refusal, _worse_recovery, _worse_service)
TIMED = (_worse_cost, _worse_latency)


def judge(name: str, one: Mapping[str, Any], base: Mapping[str, Any],
          timed: bool = True) -> list[Problem]:
    """What is worse in one flood; what was measured in time, too, if `timed`."""
    found = [Problem(name, what, str(then), str(now))
             for check in COUNTED + (TIMED if timed else ())
             for what, then, now in check(one, base)]
    if one["verdict"] != "PASS" and base["verdict"] == "PASS":
        found.insert(0, Problem(name, "case", "PASS", f"{one['verdict']} {one['listing']}"))
    return found


def failing(floods: Mapping[str, Mapping[str, Any]]) -> list[Problem]:
    """The cases that fail in each run, whatever a baseline has."""
    return [Problem(name, "case", "is written anew", f"{one['verdict']} {one['listing']}")
            for name, one in floods.items() if one["verdict"] not in ("PASS", "KNOWN")]


def compare(floods: Mapping[str, Mapping[str, Any]], baseline: Mapping[str, Mapping[str, Any]],
            part: bool, timed: bool = True) -> list[Problem]:
    """What is worse than the baseline; `part`: only some of its floods were run; `timed` as in
    judge(). Floods that the baseline has not got have to pass where there is one."""
    found = []
    for name, one in floods.items():
        if name in baseline:
            found += judge(name, one, baseline[name], timed)
        elif one["verdict"] not in ("PASS", "KNOWN"):
            found.append(Problem(name, "case", "not in it", f"{one['verdict']} {one['listing']}"))
    if not part:
        found += [Problem(name, "case", "there", "not run") for name in baseline
                  if name not in floods and not baseline[name].get("optional")]
    return found
