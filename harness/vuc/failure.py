# SPDX-License-Identifier: BSD-3-Clause
"""How a case says that the server is wrong (Failure) and that the harness is (Broken)."""

from __future__ import annotations

from collections.abc import Iterable

BEFORE_LINES = 12

# Failure codes: what known failures name, and what the report explains.
CODES: dict[str, str] = {
    "server.crash": "a signal ended the server",
    "server.exit": "the server ended by itself, or did not come up",
    "server.hang": "the server lives and does not answer, or does not end when it has to",
    "server.sanitizer": "a sanitizer of the server's build reported something",
    "server.unreachable": "the server lives, and no further client is served",
    "server.leak-fds": "the server keeps descriptors when all connections are closed",
    "server.leak-vmas": "the server keeps memory mappings when all connections are closed",
    "server.leak-threads": "the server keeps threads when all connections are closed",
    "server.leak-memory": "the memory of the server grows with each client",
    "channel.framing": "what came is no message: the stream is out of step",
    "channel.not-closed": "the connection stays open where it has to be closed",
    "reply.missing": "no reply came",
    "reply.closed": "the connection was closed instead of a reply",
    "reply.unexpected": "something came where nothing was due",
    "reply.unexpected-success": "a success came where an error is due",
    "reply.unexpected-error": "an error came where a success is due",
    "reply.errno": "an error came with another errno than the one that is fixed",
    "reply.field": "a field of the reply, or its size, is wrong",
    "effect": "what the command had to do was not done, or something else was",
    "envelope.*": "a message is wrong in itself: header, size, or descriptors (harness/envelope.h)",
    "harness": "the suite itself failed",
    "known.unexpected-pass": "a failure that the target file expects did not come",
}


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
