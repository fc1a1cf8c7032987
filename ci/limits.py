# SPDX-License-Identifier: BSD-3-Clause
"""Runs the floods against a target, fits curves, and compares them with a baseline.

    limits.py [--target=FILE] [--server=COMMAND] [--baseline=FILE] [--quick] [--runs=N]
              [--select=EXPRESSION] [--report=DIR] [--version=TEXT] [--update-baseline]

Runs cases/floods several times, each run with servers of its own, and takes the median of what each
flood has shown (vuc.limits.Record): cost per unit (Theil-Sen), peak, form and knee of its curve,
where and with which errno the server refuses, what is left behind, how an honest client fared. It
prints a table and the verdict, and writes DIR/limits-TARGET.json (schema version in it; a reader
has to do without `took_s`, `cores`, `load` and a flood's `seen`, which earlier reports and all
baselines lack). The baseline is cases/floods/baselines/TARGET.json unless told; --update-baseline
writes it, for a diff that somebody reviews. --quick runs a tenth of the load. --select is pytest's
-k.

What is worse than the baseline beyond ci/limits_judge.py's tolerances makes the exit status 1; 2 is
wrong usage, or no flood that could be run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tomllib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Timer
from time import monotonic
from typing import Self

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "harness"))

from limits_judge import Problem, compare, failing, summary  # noqa: E402 - the path comes first
from progress import Progress  # noqa: E402

from vuc.limits import SCHEMA_VERSION, Record  # noqa: E402

BASELINES = ROOT / "cases" / "floods" / "baselines"
REFERENCE = "cases/targets/reference.toml"
QUICK, FULL = "quick", "full"
SCALES = {QUICK: 0.1, FULL: 1.0}
RUNS = {QUICK: 2, FULL: 2}
LIMIT_S = 900  # for one run; nothing comes near it unless it hangs
SIGNIFICANT = 4  # digits that are kept
UNKEPT = ("points", "seconds", "seen")  # of a baseline
COLLECTED = re.compile(r"^(?:collecting \.\.\. )?collected (?:.* / )?(\d+)(?: items?| selected)$")
OVER = re.compile(r"^cases/floods/(?:.*/)?test_\w+\.py::test_(\S+) [A-Z]+")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="floods against a target, and a baseline")
    parser.add_argument("--target", help=f"default: {REFERENCE}, without --server")
    parser.add_argument("--server", help="the command, instead of the target's own")
    parser.add_argument("--baseline", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--runs", type=int)
    parser.add_argument("--select")
    parser.add_argument("--report", type=Path, default=Path("build/report"))
    parser.add_argument("--version", default="")
    parser.add_argument("--update-baseline", action="store_true")
    parser.add_argument("--untimed", action="store_true",
                        help="show processor time and latency and do not judge them: for a machine "
                             "that others use, too")
    options = parser.parse_args()
    if options.target is None and options.server is None:
        options.target = REFERENCE
    return options


def name_of(target: str | None) -> str:
    """The name in a target file; of a server without one, what reports call it."""
    if target is None:
        return "server"
    return tomllib.loads(Path(target).read_text(encoding="utf-8"))["name"]


class Watch:
    """Tells how far the runs are, from when the first one knows how many floods it has. seconds:
    what each took when it last ran."""

    def __init__(self, runs: int, seconds: Mapping[str, float]):
        self.runs = runs
        self.seconds = dict(seconds)
        self.progress: Progress | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.progress:
            self.progress.__exit__()

    def line(self, text: str) -> None:
        """What pytest says."""
        if match := COLLECTED.match(text):
            known = list(self.seconds)[:int(match[1])]
            names = known + [""] * (int(match[1]) - len(known))
            if self.progress is None:
                self.progress = Progress("floods", names * self.runs, self.seconds).__enter__()
        elif self.progress and (match := OVER.match(text)):
            self.progress.step(flood_of(match[1]))


def followed(words: Sequence[str], watch: Watch) -> str:
    """Run pytest, line by line; what it has said."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
    env["PYTHONPATH"] = str(ROOT / "harness")
    with subprocess.Popen(words, cwd=ROOT, env=env, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT) as process:
        timer = Timer(LIMIT_S, process.kill)
        timer.start()
        try:
            said = []
            for line in process.stdout:
                said.append(line)
                watch.line(line)
        finally:
            timer.cancel()
    return "".join(said)


def run(options: argparse.Namespace, mode: str, folder: Path, watch: Watch) -> dict[str, dict]:
    """One run of all floods: its records go to the folder; the results of the cases by the name of
    their flood."""
    shutil.rmtree(folder, ignore_errors=True)
    words = [sys.executable, "-m", "pytest", "-p", "vuc.plugin", "cases/floods", "-v",
             "--level=all", f"--scale={SCALES[mode]}", f"--limits={folder / 'records'}",
             f"--report-dir={folder}"]
    words += [f"--target={options.target}"] if options.target else []
    words += [f"--server={options.server}"] if options.server else []
    words += ["-k", options.select] if options.select else []
    said = followed(words, watch)
    reports = list(folder.glob("*.json"))
    if not reports:
        sys.exit(f"{said}\nverdict: no verdict (no flood has run), exit code 2")
    results = json.loads(reports[0].read_text(encoding="utf-8"))["results"]
    return {flood_of(result["id"]): result for result in results}


def flood_of(case: str) -> str:
    """The name of the flood of a case, as its record has it."""
    row, _, rest = case.rpartition("/")[2].partition("_")
    which = rest.partition("[")[2].rstrip("]")
    return f"{row.upper()}-{which}" if which else row.upper()


def took(path: Path, mode: str) -> dict[str, float]:
    """Seconds of each flood in the report of an earlier run; empty without one of that mode."""
    with suppress(OSError, ValueError, KeyError):
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["mode"] == mode:
            return {name: one["seconds"] for name, one in data["floods"].items()}
    return {}


def measured(options: argparse.Namespace, mode: str,
             earlier: Mapping[str, float]) -> dict[str, dict]:
    """The summaries of all floods over all runs, by name; earlier: as took() has it."""
    records: dict[str, list[Record]] = defaultdict(list)
    verdicts: dict[str, list[dict]] = defaultdict(list)
    runs = options.runs or RUNS[mode]
    with Watch(runs, earlier) as watch:
        for number in range(runs):
            folder = options.report.resolve() / "limits" / str(number)
            for name, result in run(options, mode, folder, watch).items():
                verdicts[name].append(result)
            for path in sorted((folder / "records").glob("*.json")):
                one = Record.read(path)
                records[one.flood].append(one)
    return {name: summary(records.get(name, []), verdicts[name]) for name in sorted(verdicts)
            if any(one["verdict"] != "SKIP" for one in verdicts[name])}


def rounded(value: object) -> object:
    """The same with few digits, so that a diff shows what matters."""
    if isinstance(value, float):
        return float(f"{value:.{SIGNIFICANT}g}")
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    return [rounded(one) for one in value] if isinstance(value, list) else value


def read_baseline(path: Path, mode: str) -> dict[str, dict]:
    """What the file has of that mode; empty without one."""
    if not path.exists():
        return {}
    data = json.loads(path.read_text(encoding="utf-8"))
    if data["schema"] != SCHEMA_VERSION:
        sys.exit(f"{path}: schema {data['schema']}, this is {SCHEMA_VERSION}; write it anew with "
                 "--update-baseline\nverdict: no verdict (wrong usage), exit code 2")
    return data["modes"].get(mode, {})


def write_baseline(path: Path, target: str, mode: str, floods: dict[str, dict], *,
                   whole: bool = False) -> None:
    """Put these floods in the place of those of the mode, without what a report alone has; whole:
    those that were not run are gone, but for what not every machine can run."""
    data = {"schema": SCHEMA_VERSION, "target": target, "modes": {}}
    if path.exists():
        data = json.loads(path.read_text(encoding="utf-8"))
    kept = {name: {key: value for key, value in one.items() if key not in UNKEPT}
            for name, one in floods.items()}
    before = {name: one for name, one in data["modes"].get(mode, {}).items()
              if not whole or one.get("optional")}
    data["modes"][mode] = {**before, **kept}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rounded(data), indent=1, sort_keys=True) + "\n", encoding="utf-8")
    print(f"written: {path}")


def refusal_text(one: dict) -> str:
    """Where it was refused, and how."""
    if one["refused_at"] is None:
        return "closed" if one["ended"] else "-"
    return f"{one['refused_at'][0]:.0f} {'/'.join(one['errnos'])}"


def table(floods: dict[str, dict], problems: list[Problem]) -> str:
    """A line for each flood, and one for each problem."""
    head = (f"{'flood':<22}{'units':>9}  {'B/unit':>8} {'us/unit':>8}  {'peak KiB':>8}  "
            f"{'fds':>4} {'vmas':>5}  {'refused at':<16} {'honest p50':>10}  verdict")
    lines = [head, "-" * len(head)]
    bad = {problem.flood for problem in problems}
    for name, one in floods.items():
        anon, honest = one["metrics"]["anon"], one["honest"]
        ratio = f"x {honest['ratio_p50']:.1f}" if honest else "-"
        word = "WORSE" if name in bad else "ok" if one["verdict"] == "PASS" else one["verdict"]
        lines.append(
            f"{name:<22}{one['units']:>9} {max(anon['slope'], 0) * 1024:>9.1f} "
            f"{max(one['metrics']['cpu']['slope'], 0):>8.2f} {anon['peak']:>9.0f} "
            f"{one['metrics']['fds']['peak']:>5.0f} {one['metrics']['vmas']['peak']:>5.0f}  "
            f"{refusal_text(one):<16} {ratio:>10}  {word}")
    return "\n".join([*lines, "", *(problem.text() for problem in problems)])


def concluded(floods: dict[str, dict], problems: list[Problem], mode: str,
              known: bool) -> dict[str, object]:
    """The verdict, why, and the exit status; known: there is a baseline, or there will be one."""
    why = f"{len(floods)} floods, {mode}" + ("" if known else ", no baseline")
    if problems:
        why = f"{len({one.flood for one in problems})} of {why}"
    return {"verdict": "worse" if problems else "as good", "why": why,
            "exit_code": 1 if problems else 0}


def main() -> int:
    """Run, compare, print; the exit status."""
    options = arguments()
    began, load = monotonic(), os.getloadavg()[0]
    os.chdir(ROOT)
    mode = QUICK if options.quick else FULL
    target = name_of(options.target)
    path = options.baseline or BASELINES / f"{target}.json"
    name = f"limits-{target}{'-' + options.version if options.version else ''}.json"
    floods = measured(options, mode, took(options.report / name, mode))
    if not floods:
        print("verdict: no verdict (no flood could be run), exit code 2")
        return 2
    baseline = read_baseline(path, mode)
    problems = failing(floods) if options.update_baseline else compare(
        floods, baseline, bool(options.select), not options.untimed)
    print(table(floods, problems))
    report = {"schema": SCHEMA_VERSION, "target": target, "version": options.version, "mode": mode,
              "scale": SCALES[mode], "kernel": platform.release(), "cores": os.cpu_count(),
              "load": [load, os.getloadavg()[0]], "took_s": monotonic() - began,
              **concluded(floods, problems, mode, bool(baseline) or options.update_baseline),
              "problems": [vars(one) for one in problems], "floods": floods}
    options.report.mkdir(parents=True, exist_ok=True)
    text = json.dumps(rounded(report), indent=1) + "\n"
    (options.report / name).write_text(text, encoding="utf-8")
    if options.update_baseline:
        write_baseline(path, target, mode, floods, whole=not options.select)
    print(f"verdict: {report['verdict']} ({report['why']}), exit code {report['exit_code']}")
    return report["exit_code"]


if __name__ == "__main__":
    sys.exit(main())
