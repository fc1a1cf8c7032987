# SPDX-License-Identifier: BSD-3-Clause
"""What to fix first: failures that look like one cause, the most urgent cause first.

Works on results as the JSON report holds them, without a server. Two failures have one cause when
the target file gives them one reason; else when they have the same code and speak of the same
thing: the end of the process, the command that was answered wrongly, or the same sentence. Numbers
do not count. What harms a virtual machine most comes first: the server that dies, hangs, loses the
framing or leaks, at any level; then MUST, SHOULD, and the levels that do not bind. Within these,
failures that are not known yet come before known ones, and what breaks many requirements before
what breaks few.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .known import IN_MESSAGES
from .register import LEVELS
from .verdict import ALWAYS, DEVIATES, FAIL, KNOWN, UNEXPECTED_PASS

URGENT = ("server.crash", "server.sanitizer", "server.exit", "server.hang", "server.unreachable",
          "channel.framing", "server.leak")  # fmt: skip
WIDTH = 140  # of a cause's text
NUMBER = re.compile(r"0x[0-9a-fA-F]+|\d+")
ROW = re.compile(r"^    (sent|allowed|came) +(.*)$", re.MULTILINE)
COMMAND = re.compile(r"\w+(?=\()")
PLACES = tuple(re.compile(words) for words in (  # what names a crash best comes first
    r"SUMMARY: \w+: .*", r"runtime error: .*", r"panicked at [^\s,']+", r"Assertion `.*' failed",
    r"killed by \w+", r"exited with \d+",
))


@dataclass(frozen=True)
class Cause:
    """Failures that one repair should end. `word` is the worst verdict among them, `level` the
    strongest level, `cases` the ids, `first` the result that shows it best: the first one."""

    code: str
    text: str
    word: str
    level: str
    requirements: tuple[str, ...]
    cases: tuple[str, ...]
    first: Mapping
    link: str = ""

    @property
    def urgent(self) -> bool:
        """Does it fail at every level?"""
        return self.code.startswith(ALWAYS)

    def counts(self) -> str:
        """How much it breaks, in words."""
        requirements = _plural(len(self.requirements), "requirement")
        return f"{requirements} in {_plural(len(self.cases), 'case')}"


def _plural(count: int, name: str) -> str:
    return f"{count} {name}{'s' * (count != 1)}"


def _cut(text: str) -> str:
    return text if len(text) <= WIDTH else text[: WIDTH - 3] + "..."


def headline(result: Mapping) -> str:
    """What went wrong, without its code: the first line of the listing."""
    first = result["listing"].partition("\n")[0]
    text = first.removeprefix(result["code"]).removeprefix(":").strip()
    return text.removeprefix("the process: ")


def claim(result: Mapping) -> str:
    """What the case says that holds: its name in words."""
    return result["id"].partition("/")[2].partition("[")[0].replace("_", " ")


def rows(result: Mapping) -> dict[str, str]:
    """What the listing says was sent, allowed and came; of each the first."""
    return dict(reversed(ROW.findall(result["listing"])))


def place(result: Mapping) -> str:
    """The line of the server's last words that says best how it ended, or ""."""
    found = (one.search(result["listing"]) for one in PLACES)
    return next((match[0].strip() for match in found if match), "")


def _is_assertion(text: str) -> bool:
    return not text or text.startswith("assert ")


def subject(result: Mapping) -> str:
    """What a failure speaks of; two with one subject and one code have one cause."""
    code, text = result["code"], headline(result)
    if code.startswith(ALWAYS):
        return NUMBER.sub("#", place(result) or text)
    command = COMMAND.match(rows(result).get("sent", ""))
    if command and code.startswith("reply."):
        return command[0]
    return result["blamed"] if _is_assertion(text) else NUMBER.sub("#", text)


def explained(result: Mapping) -> str:
    """The failure in one line."""
    text, row = headline(result), rows(result)
    if result["code"].startswith("server."):
        last = place(result)
        if last.startswith("SUMMARY"):
            return _cut(last.removeprefix("SUMMARY: "))
        return _cut(text if last in text else f"{text}: {last}")
    if result["code"] == "effect":
        wrong = f"not so: {claim(result)}"
        return _cut(wrong if _is_assertion(text) else f"{text} ({wrong})")
    parts = [text] if not _is_assertion(text) else []
    if row.get("sent") and (command := COMMAND.match(row["sent"])):
        parts.append(command[0])
    parts += [f"{name} {row[name]}" for name in ("allowed", "came") if row.get(name)]
    return _cut(", ".join(parts) or text or result["code"])


def _with_violations(results: Iterable[Mapping], levels: Mapping[str, str]) -> list[Mapping]:
    """The failed results, and one more for each message in them that broke the envelope."""
    found: list[Mapping] = []
    for result in results:
        if result["verdict"] in (FAIL, KNOWN, DEVIATES) and result["code"] != UNEXPECTED_PASS:
            found.append(result)
        for violation in result["envelope"]:
            if violation["code"] == result["code"]:
                continue
            requirement = violation["requirement"]
            found.append({
                **result, **violation, "blamed": requirement, "reason": "", "link": "",
                "blamed_level": levels.get(requirement, LEVELS[0]),
                "listing": f"{violation['code']}: {violation['text']}",
            })  # fmt: skip
    return found


def _key(result: Mapping) -> tuple[str, ...]:
    if result["verdict"] == KNOWN and result["reason"]:
        return (KNOWN, result["reason"])
    if result["code"].startswith(IN_MESSAGES):
        return (result["verdict"], result["code"], result["blamed"])
    return (result["verdict"], result["code"], subject(result))


def _severity(result: Mapping) -> int:
    code = result["code"]
    place = next((i for i, one in enumerate(URGENT) if code.startswith(one)), len(URGENT))
    if code.startswith(ALWAYS):
        return place
    level = result["blamed_level"]
    return len(URGENT) + 1 + (LEVELS.index(level) if level in LEVELS else len(LEVELS))


def _cause(group: list[Mapping]) -> Cause:
    worst = min(group, key=_severity)
    levels = [level for level in LEVELS if any(r["blamed_level"] == level for r in group)]
    known = worst["verdict"] == KNOWN
    return Cause(
        code=worst["code"],
        text=worst["reason"] if known and worst["reason"] else explained(worst),
        word=worst["verdict"],
        level=levels[0] if levels else "",
        requirements=tuple(dict.fromkeys(r["blamed"] for r in group if r["blamed"])),
        cases=tuple(dict.fromkeys(r["id"] for r in group)),
        first=worst,
        link=worst["link"] if known else "",
    )


def _rank(cause: Cause) -> tuple:
    return (_severity(cause.first), cause.word == KNOWN, -len(cause.requirements),
            -len(cause.cases), cause.code, cause.text)


def causes(results: Iterable[Mapping], levels: Mapping[str, str]) -> list[Cause]:
    """All causes of failures, ranked. `levels` has the level of each requirement."""
    groups: dict[tuple, list[Mapping]] = {}
    for result in _with_violations(results, levels):
        groups.setdefault(_key(result), []).append(result)
    return sorted((_cause(group) for group in groups.values()), key=_rank)


def to_fix(found: Iterable[Cause]) -> list[Cause]:
    """Those of the causes that are worth a repair: what failed or is known to fail, and
    deviations from a SHOULD; not what the specification leaves open."""
    return [c for c in found if c.word != DEVIATES or c.level in LEVELS[:2]]


def same_cause(result: Mapping) -> tuple[str, ...]:
    """Equal for results with one cause."""
    return _key(result)
