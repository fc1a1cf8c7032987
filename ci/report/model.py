# SPDX-License-Identifier: BSD-3-Clause
"""What the report shows, made from the JSON reports of the targets: pure data, no markup.

A target's file is the output of one run (ci/report.schema.json). The page gets two things from
here: rows and summaries that the template prints, and `details`, the data behind the cells, in
which every text stands once and is named by its number.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from vuc.causes import Cause, causes, to_fix
from vuc.register import LEVELS, READINGS, Register
from vuc.report import SCHEMA_VERSION

WORDS = ("PASS", "FAIL", "KNOWN", "DEVIATES", "SKIP", "BROKEN")
BAD = ("FAIL", "BROKEN", "DEVIATES", "KNOWN")
SCHEMA = Path(__file__).resolve().parents[1] / "report.schema.json"
LISTINGS = 10  # that a cell keeps of one kind of failure; the JSON has them all
OTHERS = ("bench.json", "fuzz-*.json", "afl-*.json", "limits-*.json")  # of make bench, fuzz ...


class ReportError(ValueError):
    """A report that can not be made; the message says which file and what to do."""


@dataclass
class Cell:
    """One requirement at one target: verdict, how many of its cases are bad, how many ran."""

    word: str = "NONE"
    bad: int = 0
    ran: int = 0
    cases: list[dict] = field(default_factory=list)
    violations: list[dict] = field(default_factory=list)


class Target:
    """One implementation's report."""

    def __init__(self, data: dict[str, Any], register: Register):
        self.data = data
        self.name = data["target"]
        self.register = register

    @cached_property
    def causes(self) -> list[Cause]:
        return causes(self.data["results"], {r.id: r.level for r in self.register.values()})

    @cached_property
    def to_fix(self) -> list[Cause]:
        return to_fix(self.causes)

    @cached_property
    def cells(self) -> dict[str, Cell]:
        """By requirement; those of which no case speaks are there, too."""
        cells = {name: Cell(word) for name, word in self.data["requirements"].items()}
        for result in self.data["results"]:
            names = dict.fromkeys([*result["requirements"], result["blamed"] or ""])
            for name in (name for name in names if name in cells):
                blames = result["blamed"] == name or result["verdict"] in ("BROKEN", "SKIP")
                bad = result["verdict"] in BAD and blames
                cells[name].cases.append(result)
                cells[name].ran += result["verdict"] != "SKIP"
                cells[name].bad += bad
        for violation in self.data["envelope"]:
            if violation["requirement"] in cells:
                cells[violation["requirement"]].violations.append(violation)
        return cells

    def levels(self) -> dict[str, Counter[str]]:
        """How many requirements of each level have which verdict."""
        counts: dict[str, Counter[str]] = {level: Counter() for level in LEVELS}
        for name, word in self.data["requirements"].items():
            row = self.register.get(name)
            if row is not None and row.subject != "client":
                counts[row.level][word] += 1
        return counts

    def table(self) -> list[tuple[str, str, list[int]]]:
        """Area, level, and how many cases have which verdict; the last row is the total."""
        counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        for result in self.data["results"]:
            counts[result["area"], result["level"]][result["verdict"]] += 1
        areas, levels = self.register.areas(), (*LEVELS, "")
        order = sorted(counts, key=lambda k: (areas.index(k[0]) if k[0] in areas else len(areas),
                                              levels.index(k[1])))
        rows = [(*key, [counts[key][word] for word in WORDS]) for key in order]
        return [*rows, ("total", "", [self.data["totals"].get(word, 0) for word in WORDS])]

    def skips(self) -> list[tuple[str, int]]:
        """What was missing, and how many cases that cost."""
        return Counter(
            result["reason"] for result in self.data["results"] if result["verdict"] == "SKIP"
        ).most_common()

    def outcome(self) -> str:
        """The verdict with its reason, and a word of warning where not all cases ran."""
        part = "" if self.data["complete"] else "; only a part of the cases was selected"
        return f"{self.data['verdict']} ({self.data['why']}){part}"

    def facts(self) -> list[tuple[str, str]]:
        """What ran where, when and how, as pairs of words."""
        data = self.data
        gate = {"must": "MUST", "should": "MUST and SHOULD", "all": "all levels"}[data["level"]]
        strict = [name for name, value in data["readings"].items() if value == "strict"]
        return [
            ("server", data["socket"] or " ".join(data["argv"])),
            ("suite", f"{data['suite']['name']} {data['suite']['version']}, "
                      f"specification {data['spec_version']}"),
            ("failures that count", gate),
            ("strict readings", ", ".join(strict) or "none"),
            ("kernel", data["kernel"]),
            ("oracles", ", ".join(f"{k} {v}" for k, v in data["oracles"].items())),
            ("started", data["started"].replace("T", " ").replace("+00:00", " UTC")),
            ("duration", f"{data['seconds']:.1f} s"),
            ("pytest", " ".join(data["arguments"])),
        ]


def read(path: Path, register: Register) -> Target:
    """Reads one report; raises ReportError if it is none, or one of another version."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ReportError(f"{path}: can not be read: {error}") from error
    version = data.get("schema_version") if isinstance(data, dict) else None
    if version != SCHEMA_VERSION:
        found = "no report of this suite" if version is None else f"schema version {version}"
        raise ReportError(
            f"{path}: {found}, version {SCHEMA_VERSION} is needed: run that target again, or "
            "remove the file"
        )
    needed = json.loads(SCHEMA.read_text(encoding="utf-8"))["required"]
    missing = [key for key in needed if key not in data]
    if missing:
        raise ReportError(f"{path}: has no {', '.join(missing)}")
    return Target(data, register)


def read_all(directory: Path, register: Register, may_be_none: bool = False) -> list[Target]:
    """The reports of a directory, by name; raises ReportError where one is bad, or there is none
    and none is not enough."""
    targets, errors = [], []
    for path in sorted(Path(directory).glob("*.json")):
        if any(path.match(pattern) for pattern in OTHERS):
            continue
        try:
            targets.append(read(path, register))
        except ReportError as error:
            errors.append(str(error))
    if errors:
        raise ReportError("\n".join(errors))
    if not targets and not may_be_none:
        raise ReportError(f"{directory}: no report of any target here; run make conformance first")
    return targets


@dataclass
class Row:
    """One requirement in the matrix."""

    requirement: Any
    cells: list[Cell]

    @property
    def fails(self) -> bool:
        return any(cell.word in BAD for cell in self.cells)


def matrix(targets: list[Target], register: Register) -> list[Row]:
    """The requirements that bind a server or that a case speaks of, in order."""
    rows = [
        Row(one, [target.cells.get(one.id, Cell()) for target in targets])
        for one in register.values()
    ]
    return [
        row for row in rows
        if row.requirement.subject != "client" or any(cell.cases for cell in row.cells)
    ]


class Texts:
    """Each text once, by number."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def number(self, text: str) -> int:
        return self.numbers.setdefault(text, len(self.numbers))

    def lines(self, text: str) -> list[int]:
        return [self.number(line) for line in text.split("\n")] if text else []


def _detail(result: dict, texts: Texts, shown: bool) -> list:
    """What the page tells of a case that did not pass; the order is known to report.js."""
    readings = [texts.number(f"{x}: {READINGS.get(x, '')}") for x in result["readings"]]
    words = ("code", "blamed", "blamed_level", "reason", "link")
    listing = texts.lines(result["listing"]) if shown else 0
    return [*(texts.number(result[word] or "") for word in words), readings, listing]


def _cases(target: Target, texts: Texts) -> list[list]:
    """Per case: id, verdict, requirements; of those that did not pass, the detail as well."""
    seen: Counter[tuple] = Counter()
    rows = []
    for result in target.data["results"]:
        kind = (result["blamed"], result["code"])
        seen[kind] += 1
        row = [texts.number(result["id"]), WORDS.index(result["verdict"]),
               [texts.number(name) for name in result["requirements"]]]
        if result["verdict"] != "PASS":
            row.append(_detail(result, texts, seen[kind] <= LISTINGS))
        if result["nodeid"] != nodeid(result["id"]):
            row += [0] * (4 - len(row)) + [texts.number(result["nodeid"])]
        rows.append(row)
    return rows


def nodeid(case: str) -> str:
    """What pytest calls a case of cases/."""
    stem, _, name = case.partition("/")
    return f"cases/test_{stem}.py::test_{name}"


def details(targets: list[Target], rows: Iterable[Row]) -> dict[str, Any]:
    """The data behind the cells, for report.js."""
    texts = Texts()
    requirements = {
        one.id: [texts.number(text) for text in (
            one.level, one.section, one.statement, one.check, one.notes, one.origin,
            "; ".join(one.depends))]
        for one in (row.requirement for row in rows)
    }  # fmt: skip
    data = [
        {
            "name": target.name, "repeat": target.data["repeat"],
            "words": target.data["requirements"], "cases": _cases(target, texts),
            "violations": [
                [texts.number(str(one[key])) for key in
                 ("requirement", "verdict", "count", "code", "text", "first")]
                for one in target.data["envelope"]
            ],
        }
        for target in targets
    ]  # fmt: skip
    return {"words": WORDS, "requirements": requirements, "targets": data,
            "texts": list(texts.numbers)}
