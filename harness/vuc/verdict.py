# SPDX-License-Identifier: BSD-3-Clause
"""Verdicts: what became of a case, at which level, and what that means for the run.

PASS, FAIL, KNOWN (failed as the profile says), DEVIATES (failed below the gate), SKIP (not run,
something is missing) and BROKEN (the harness failed) are six different words. Pure functions: no
pytest, no server.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from .known import entries_for, entry_for_code
from .profile import Known
from .register import LEVELS, Register

PASS, FAIL, KNOWN, DEVIATES, SKIP, BROKEN = WORDS = (
    "PASS",
    "FAIL",
    "KNOWN",
    "DEVIATES",
    "SKIP",
    "BROKEN",
)
GATES = {"must": ("MUST",), "should": ("MUST", "SHOULD"), "all": LEVELS}
ALWAYS = ("server.", "channel.framing")
UNEXPECTED_PASS = "known.unexpected-pass"
EXIT_CODES = {
    2: "interrupted, or a case could not be collected",
    3: "the suite failed",
    4: "wrong usage",
}
WORST_FIRST = (FAIL, BROKEN, DEVIATES, KNOWN, PASS, SKIP)


@dataclass(frozen=True)
class Trouble:
    """Something that went wrong in a case: failure code, blamed requirement, listing. `level` is
    that of the case where a reading decides over it, else the requirement's."""

    code: str
    requirement: str
    text: str
    level: str = ""


@dataclass(frozen=True)
class Verdict:
    """What became of a case. `requirement` is the blamed one; `reason` and `link` are those of
    the known failure; `level` is the blamed requirement's."""

    word: str
    code: str = ""
    requirement: str = ""
    level: str = ""
    text: str = ""
    reason: str = ""
    link: str = ""


class Judge:
    """Judges cases by a register, a gate ("must", "should", "all") and known failures."""

    def __init__(self, register: Register, gate: str, known: Sequence[Known] = ()):
        self.register = register
        self.gate = gate
        self.known = known

    def fails(self, code: str, requirement: str, level: str = "") -> bool:
        """Does such a failure fail the run? Its level is the requirement's unless given."""
        level = level or self.register[requirement].level
        return code.startswith(ALWAYS) or level in GATES[self.gate]

    def trouble(self, case_id: str, trouble: Trouble) -> Verdict:
        """Verdict over a case that failed."""
        level = trouble.level or self.register[trouble.requirement].level
        entry = entry_for_code(self.known, case_id, trouble.code)
        text = trouble.text
        if entry is not None:
            return Verdict(KNOWN, trouble.code, trouble.requirement, level, text, entry.reason,
                           entry.link)
        expected = entries_for(self.known, case_id)
        if expected:
            codes = ", ".join(entry.code for entry in expected)
            text += f"\nThe target file expects this case to fail with {codes}."
            return Verdict(FAIL, trouble.code, trouble.requirement, level, text)
        word = FAIL if self.fails(trouble.code, trouble.requirement, level) else DEVIATES
        return Verdict(word, trouble.code, trouble.requirement, level, text)

    def passed(self, case_id: str, requirement: str, level: str = "") -> Verdict:
        """Verdict over a case whose body and checks found nothing."""
        level = level or self.register[requirement].level
        expected = entries_for(self.known, case_id)
        if not expected:
            return Verdict(PASS, requirement=requirement, level=level)
        text = (
            f"{UNEXPECTED_PASS}: the target file expects this case to fail with "
            f"{expected[0].code} ({expected[0].reason}); take the entry out"
        )
        return Verdict(FAIL, UNEXPECTED_PASS, requirement, level, text)

    def violation(self, case_id: str, code: str, requirement: str) -> str:
        """Verdict word over one violation that the envelope checker or the model saw."""
        if entry_for_code(self.known, case_id, code):
            return KNOWN
        # A violation that blames no requirement of the register is judged as a MUST.
        known_id = requirement in self.register
        return FAIL if not known_id or self.fails(code, requirement) else DEVIATES


def requirement_verdicts(register: Register, results: list[dict]) -> dict[str, str]:
    """The worst verdict per requirement over the cases that cover it; "NONE" without one.

    A case that failed speaks of the requirement that it blames and of no other.
    """
    words: dict[str, set[str]] = {requirement: set() for requirement in register}
    for result in results:
        blames = result["verdict"] in (FAIL, KNOWN, DEVIATES)
        for requirement in [result["blamed"]] if blames else result["requirements"]:
            words[requirement].add(result["verdict"])
        for violation in result["envelope"]:
            words.get(violation["requirement"], set()).add(violation["verdict"])
    return {
        requirement: next((word for word in WORST_FIRST if word in seen), "NONE")
        for requirement, seen in words.items()
    }


def run_verdict(results: list[dict], outdated: int, exit_code: int) -> tuple[str, str]:
    """The word for the whole run and why: conformant, non-conformant, or no verdict.

    `outdated` counts entries of the target file that fit nothing; `exit_code` is pytest's.
    """
    counts = Counter(result["verdict"] for result in results)
    failed = [r for r in results if r["verdict"] == FAIL and r["code"] != UNEXPECTED_PASS]
    if failed:
        levels = Counter(result["blamed_level"] for result in failed)
        return "non-conformant", ", ".join(_failed(levels[x], x) for x in LEVELS if levels[x])
    if why := _no_verdict(results, outdated, exit_code):
        return "no verdict", why
    known = sum(result["verdict"] == KNOWN and result["gated"] for result in results)
    if known:
        return "non-conformant", f"{known} known failure{'s' * (known > 1)} and no other"
    return "conformant", f"{counts[PASS]} passed, {counts[SKIP]} skipped"


def _failed(count: int, level: str) -> str:
    return f"{count} {level} case{'s' * (count > 1)} failed"


def _no_verdict(results: list[dict], outdated: int, exit_code: int) -> str:
    """Why a run without a failure of the server says nothing about it; "" if it does."""
    broken = sum(result["verdict"] == BROKEN for result in results)
    unexpected = sum(result["code"] == UNEXPECTED_PASS for result in results)
    if broken:
        return f"{broken} broken by the suite itself"
    if exit_code in EXIT_CODES:
        return EXIT_CODES[exit_code]
    if unexpected or outdated:
        return f"target file out of date: {unexpected} unexpected passes, {outdated} unused entries"
    if not results:
        return "no case was selected"
    if all(result["verdict"] == SKIP for result in results):
        return "every case was skipped"
    return "pytest reported an error" if exit_code else ""
