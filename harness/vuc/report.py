# SPDX-License-Identifier: BSD-3-Clause
"""What a run leaves behind: results as plain dicts, the JSON report, and the text at the end.

A result is made in the process that ran the case and travels to the one that reports; its keys are
those of `results` in ci/report.schema.json.
"""

from __future__ import annotations

import json
import os
import platform
import shlex
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .causes import Cause, causes, to_fix
from .known import Outdated
from .marks import Case
from .profile import Profile
from .register import LEVELS, Register
from .verdict import DEVIATES, KNOWN, SKIP, WORDS, Judge, Verdict, requirement_verdicts

SCHEMA_VERSION = 2
SUITE_VERSION = "0.1.0"
COLUMNS = ("PASS", "FAIL", "KNOWN", "DEVIATES", "SKIP", "BROKEN")
MOST_CAUSES = 10  # that the terminal names
MOST_IDS = 4
MOST_SKIPS = 15


def result_of(case: Case, verdict: Verdict, judge: Judge, envelope: list[dict]) -> dict[str, Any]:
    """One case's result, without its duration; made of what JSON knows only."""
    gated = bool(verdict.code) and bool(verdict.requirement)
    return {
        "id": case.id,
        "nodeid": case.nodeid,
        "area": case.area,
        "level": case.level,
        "requirements": list(case.requirements),
        "readings": list(case.readings),
        "verdict": verdict.word,
        "code": verdict.code,
        "blamed": verdict.requirement,
        "blamed_level": verdict.level,
        "gated": gated and judge.fails(verdict.code, verdict.requirement, verdict.level),
        "reason": verdict.reason,
        "link": verdict.link,
        "listing": verdict.text,
        "seconds": 0.0,
        "envelope": envelope,
    }


def kernel() -> str:
    """The kernel that the oracles ran on."""
    return f"{platform.system()} {platform.release()} {platform.machine()}"


@dataclass
class Run:
    """A whole run: everything that the report is made from."""

    profile: Profile
    register: Register
    judge: Judge
    arguments: list[str]
    results: list[dict] = field(default_factory=list)
    outdated: list[Outdated] = field(default_factory=list)
    oracles: dict[str, str] = field(default_factory=dict)
    started: str = ""  # UTC, ISO 8601
    repeat: str = ""  # the command that runs one case again, {case} stands for its nodeid
    complete: bool = False  # all cases were selected
    seconds: float = 0.0
    exit_code: int = 0
    verdict: str = ""
    why: str = ""

    def last_line(self) -> str:
        """The line that every run ends with."""
        return f"verdict: {self.verdict} ({self.why}), exit code {self.exit_code}"

    def again(self, result: Mapping) -> str:
        """The command that runs this case again."""
        return self.repeat.replace("{case}", shlex.quote(result["nodeid"]), 1)

    def totals(self) -> dict[str, int]:
        counts = Counter(result["verdict"] for result in self.results)
        return {word: counts[word] for word in WORDS}

    def as_json(self) -> dict[str, Any]:
        """The contents of build/report/<target>.json."""
        return {
            "schema_version": SCHEMA_VERSION,
            "suite": {"name": "vuc", "version": SUITE_VERSION},
            "spec_version": self.register.spec_version,
            "target": self.profile.name,
            "argv": list(self.profile.argv),
            "socket": self.profile.socket or "",
            "level": self.judge.gate,
            "readings": dict(self.profile.readings),
            "kernel": kernel(),
            "oracles": self.oracles,
            "arguments": self.arguments,
            "repeat": self.repeat,
            "complete": self.complete,
            "started": self.started,
            "seconds": round(self.seconds, 3),
            "results": self.results,
            "requirements": requirement_verdicts(self.register, self.results),
            "envelope": self.envelope(),
            "outdated": [{**asdict(o.entry), "why": o.why} for o in self.outdated],
            "totals": self.totals(),
            "verdict": self.verdict,
            "why": self.why,
            "exit_code": self.exit_code,
        }

    def envelope(self) -> list[dict[str, Any]]:
        """Violations in messages, each kind once, with the first case that showed it."""
        kinds: dict[tuple, dict] = {}
        for result in self.results:
            for violation in result["envelope"]:
                key = (violation["code"], violation["requirement"], violation["verdict"])
                row = kinds.setdefault(key, {**violation, "count": 0, "first": result["id"]})
                row["count"] += 1
        return list(kinds.values())

    def write(self, path: Path) -> None:
        """Writes the JSON report; the old one is there until the new one is complete."""
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".part{os.getpid()}")
        part.write_text(json.dumps(self.as_json(), indent=1) + "\n", encoding="utf-8")
        part.replace(path)


def table(run: Run) -> list[str]:
    """Area by area, and level by level below: how many cases came out how."""
    areas = [a for a in run.register.areas() if any(r["area"] == a for r in run.results)]
    rows = [(f"{area:<12}", [r for r in run.results if r["area"] == area]) for area in areas]
    width = 13
    lines = [f"{'area':<12} {'level':<{width}}" + "".join(f"{word:>9}" for word in COLUMNS)]
    for name, results in rows:
        for level in LEVELS:
            counts = Counter(r["verdict"] for r in results if r["level"] == level)
            if counts:
                lines.append(f"{name} {level:<{width}}" + _counts(counts))
    for level in LEVELS:
        counts = Counter(r["verdict"] for r in run.results if r["level"] == level)
        lines.append(f"{'total':<12} {level:<{width}}" + _counts(counts))
    total = Counter(r["verdict"] for r in run.results)
    lines.append(f"{'total':<12} {'all':<{width}}" + _counts(total))
    return lines


def _counts(counts: Counter[str]) -> str:
    return "".join(f"{counts[word] or '.':>9}" for word in COLUMNS)


def skips(run: Run) -> list[str]:
    """How many cases were skipped for which reason, the most frequent first."""
    reasons = Counter(r["reason"] for r in run.results if r["verdict"] == SKIP).most_common()
    lines = [f"{count} skipped: {reason}" for reason, count in reasons[:MOST_SKIPS]]
    rest = reasons[MOST_SKIPS:]
    if rest:
        count = sum(count for _, count in rest)
        lines.append(f"{count} skipped for {len(rest)} further reasons, see the report")
    return lines


def around(run: Run) -> list[str]:
    """How many cases the model has not judged to their end, where it judges (cases/README.md)."""
    count = sum(r.get("unjudged", False) for r in run.results)
    return [f"{count} in part without the model: they go around their connection"] if count else []


def fixes(run: Run) -> list[Cause]:
    """What is worth a repair, most urgent first."""
    return to_fix(causes(run.results, {r.id: r.level for r in run.register.values()}))


def fix_lines(run: Run) -> list[str]:
    """What to fix first: per cause what it is, what it breaks, and how to see it again."""
    found, lines = fixes(run), []
    for number, cause in enumerate(found[:MOST_CAUSES], 1):
        names = ", ".join(cause.requirements[:MOST_IDS])
        more = len(cause.requirements) - MOST_IDS
        names += f" and {more} more" if more > 0 else ""
        known = "known, " if cause.word == "KNOWN" else ""
        lines += [
            f"{number:2}. {cause.code}: {cause.text}",
            f"      {known}{cause.level}, {cause.counts()}: {names}",
            f"      repeat: {run.again(cause.first)}",
        ]
    if len(found) > MOST_CAUSES:
        lines.append(f"    and {len(found) - MOST_CAUSES} more, see the report")
    return lines


def known_lines(run: Run) -> list[str]:
    """Known failures by reason, and the entries that are out of date."""
    reasons = Counter((r["code"], r["reason"]) for r in run.results if r["verdict"] == KNOWN)
    lines = [f"{count} known: {code}: {reason}" for (code, reason), count in reasons.items()]
    return lines + [f"OUT OF DATE: {entry.text()}" for entry in run.outdated]


def deviations(run: Run) -> list[str]:
    """One line per requirement below the gate that was broken, and per kind of violation in
    messages. The report has each case with its listing."""
    kinds: dict[tuple[str, ...], list[str]] = {}
    for r in run.results:
        if r["verdict"] == DEVIATES:
            kinds.setdefault((r["blamed"], r["blamed_level"], r["code"]), []).append(r["id"])
    lines = [
        f"DEVIATES {requirement} ({level}): {len(ids)} x {code}, first in {ids[0]}"
        for (requirement, level, code), ids in sorted(kinds.items())
    ]
    return lines + [
        f"{row['verdict']} {row['requirement']}: {row['count']} x {row['code']}: {row['text']}, "
        f"first in {row['first']}"
        for row in run.envelope()
    ]
