# SPDX-License-Identifier: BSD-3-Clause
"""Known failures: which entry of a profile a case falls under, and which entries are out of date.

An entry names cases by a glob over case ids and the failure code that they must fail with. For
`envelope.*` and `model.*` codes it excuses violations in the messages of the matching cases, which
are judged on by themselves; such an entry is in use when it excused one. In a glob `[` and `]` are
ordinary, as ids of parametrised cases contain them; `*` and `?` are the wild cards.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from .profile import Known

IN_MESSAGES = ("envelope.", "model.")  # codes of the envelope checker and of the model


@cache
def _pattern(glob: str) -> re.Pattern[str]:
    words = {"*": ".*", "?": "."}
    return re.compile("".join(words.get(letter) or re.escape(letter) for letter in glob))


def matches(entry: Known, case_id: str) -> bool:
    """Does the entry speak of this case?"""
    return _pattern(entry.case).fullmatch(case_id) is not None


def entries_for(known: Iterable[Known], case_id: str) -> list[Known]:
    """The entries that expect this case to fail as a whole, whatever the timing."""
    return [
        e for e in known
        if not e.flaky and not e.code.startswith(IN_MESSAGES) and matches(e, case_id)
    ]


def entry_for_code(known: Iterable[Known], case_id: str, code: str) -> Known | None:
    """The entry, if any, that expects this case (or a message in it) to fail with this code."""
    return next((e for e in known if e.code == code and matches(e, case_id)), None)


@dataclass(frozen=True)
class Outdated:
    """An entry that fits nothing any more, and why."""

    entry: Known
    why: str

    def text(self) -> str:
        return f"known failure {self.entry.case!r} ({self.entry.code}): {self.why}"


def outdated(known: Iterable[Known], results: list[dict]) -> list[Outdated]:
    """Entries that match no case of a complete run, or whose code in messages never came.

    `results` are those of report.py. An unexpected pass of one case is that case's own verdict
    and not repeated here.
    """
    found = []
    for entry in known:
        cases = [result for result in results if matches(entry, result["id"])]
        if not cases:
            found.append(Outdated(entry, "matches no case"))
        elif entry.code.startswith(IN_MESSAGES) and not (entry.flaky or _excused(entry, cases)):
            found.append(Outdated(entry, "no message shows it any more"))
    return found


def _excused(entry: Known, cases: list[dict]) -> bool:
    if all(case["verdict"] == "SKIP" for case in cases):
        return True
    return any(v["code"] == entry.code for case in cases for v in case["envelope"])
