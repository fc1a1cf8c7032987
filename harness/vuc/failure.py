# SPDX-License-Identifier: BSD-3-Clause
"""How a case says that the server is wrong (Failure) and that the harness is (Broken)."""

from __future__ import annotations

from collections.abc import Iterable

BEFORE_LINES = 12


class Failure(AssertionError):
    """The server did what the specification does not allow.

    code: a word of the list of failure codes ("reply.errno"), which known failures name.
    requirement: the id that is blamed; None = the first one that the case covers.
    The str is the listing: what was sent, what was allowed, what came, and what went before.
    """

    def __init__(
        self,
        code: str,
        text: str = "",
        *,
        requirement: str | None = None,
        sent: str = "",
        allowed: str = "",
        came: str = "",
        before: Iterable[str] = (),
    ):
        self.code = code
        self.text = text
        self.requirement = requirement
        self.sent = sent
        self.allowed = allowed
        self.came = came
        self.before = list(before)[-BEFORE_LINES:]
        super().__init__(self.listing())

    def listing(self) -> str:
        """The failure in a few lines of program text."""
        rows = [("sent", self.sent), ("allowed", self.allowed), ("came", self.came)]
        lines = [f"{self.code}: {self.text}" if self.text else self.code]
        lines += [f"    {name:<9} {text}" for name, text in rows if text]
        for index, text in enumerate(self.before):
            lines.append(f"    {'' if index else 'before':<9} {text}")
        return "\n".join(lines)


class Broken(Exception):
    """The harness could not do its own part: says nothing about the server."""
