# SPDX-License-Identifier: BSD-3-Clause
"""What the cases about DMA logging share: start, stop, report, and pages that the device writes.

A Log is the dirty log of the device behind one session. What its methods send has to succeed, but
for those that say `try` or `refuse`. A server may log by larger pages than it was asked for, so
what has to be reported is a set of pages and what may be reported a larger one. Addresses and
sizes are bytes; pages are numbers of PAGE bytes and count from the start of a range.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from dma import Guest, Range, guest_of
from mapping import BASE, PAGE, SIZE

from vuc import Failure, Message, message, parse, structure
from vuc.exchange import Outcome
from vuc.session import Connection, Refusal, Reply

START = "SET|DMA_LOGGING_START"
STOP = "SET|DMA_LOGGING_STOP"
REPORT = "GET|DMA_LOGGING_REPORT"
FEATURE_SIZE = 8  # of DEVICE_FEATURE without its data
CONTROL_SIZE = 16
HEAD_SIZE = 24  # of a report before its bitmap
WORD = 8  # bytes of one word of a bitmap
STARTS_AT = 3  # the byte of a page that write() changes first
ANYWHERE = ()  # no ranges: all that the device writes is logged


def control(page_size: int = PAGE, ranges: Iterable[tuple[int, int]] = ANYWHERE,
            **changes: int) -> bytes:
    """The data of a start; num_ranges= and reserved= change what it says."""
    tail = [structure("LOGGING_RANGE", iova=iova, length=length) for iova, length in ranges]
    fields = {"page_size": page_size, "num_ranges": len(tail), **changes}
    return structure("LOGGING_CONTROL", tail=b"".join(tail), **fields)


def start_message(*arguments: Any, **changes: Any) -> Message:
    """The message that starts logging; arguments as for control()."""
    return message("DEVICE_FEATURE", flags=START, data=control(*arguments, **changes))


def bitmap_size(length: int, page_size: int) -> int:
    """The size of the bitmap for a range, in whole words."""
    pages = -(-length // page_size)
    return -(-pages // 64) * WORD


def report_message(iova: int = BASE, length: int = SIZE, page_size: int = PAGE,
                   **fields: int) -> Message:
    """The message that asks for a report, with room for all of it unless argsz= is given."""
    argsz = FEATURE_SIZE + HEAD_SIZE + bitmap_size(length, page_size or PAGE)
    data = structure("LOGGING_REPORT", iova=iova, length=length, page_size=page_size)
    return message("DEVICE_FEATURE", flags=REPORT, data=data,
                   **{"argsz": min(argsz, (1 << 32) - 1), **fields})


def bitmap_of(reply: Reply) -> bytes:
    """The bitmap of a report."""
    return reply.data[HEAD_SIZE:]


def bits_of(bitmap: bytes) -> set[int]:
    """The numbers of the bits that are set: bit n is bit n % 64 of word n / 64."""
    words = [int.from_bytes(bitmap[at : at + WORD], sys.byteorder)
             for at in range(0, len(bitmap), WORD)]
    return {64 * at + bit for at, word in enumerate(words) for bit in range(64)
            if word >> bit & 1}


def blocks(pages: Iterable[int], page_size: int, address: int = BASE) -> set[int]:
    """The pages of the larger pages that these lie in."""
    first, many = address // PAGE, max(page_size // PAGE, 1)
    return {page - first for one in pages
            for start in [(first + one) // many * many] for page in range(start, start + many)}


def scaled(pages: Iterable[int], page_size: int) -> set[int]:
    """The bits that stand for these pages where each is for page_size bytes."""
    if page_size >= PAGE:
        return {page * PAGE // page_size for page in pages}
    each = PAGE // page_size
    return {page * each + part for page in pages for part in range(each)}


def page_size_of(reply: Reply) -> int:
    """The page size in the reply to a start, which has to be one."""
    data = reply.data
    size = parse("LOGGING_CONTROL", data).page_size if len(data) >= CONTROL_SIZE else 0
    if not size or size & (size - 1):
        raise Failure("reply.field", allowed="a control structure with a power of two",
                      came=reply.text())
    return size


class Log:
    """The log, and the memory that the device writes to. `page_size` is what it logs by."""

    def __init__(self, guest: Guest):
        self.guest = guest
        self.session: Connection = guest.session
        self.page_size = PAGE

    # ---- on and off ----

    def start(self, page_size: int = PAGE, ranges: Iterable[tuple[int, int]] = ANYWHERE) -> Reply:
        """Start logging; it is off, whatever an earlier client has left."""
        self.try_stop()
        reply = self.session.call(start_message(page_size, ranges))
        self.page_size = page_size_of(reply)
        return reply

    def try_stop(self) -> Outcome:
        """Stop logging, without data or, where that is refused, with a control structure."""
        outcome = self.session.outcome("DEVICE_FEATURE", flags=STOP)
        if outcome.kind == "error":
            outcome = self.session.outcome("DEVICE_FEATURE", flags=STOP, data=control())
        return outcome

    def stop(self) -> Reply:
        """Stop logging in one of the two ways, which has to succeed."""
        outcome = self.try_stop()
        if outcome.kind == "error":
            raise self.session.failure("reply.unexpected-error", came=outcome.text(),
                                       allowed="success of one form of DMA_LOGGING_STOP")
        return outcome.reply

    # ---- what is reported ----

    def report(self, iova: int = BASE, length: int = SIZE, page_size: int = PAGE) -> set[int]:
        """The bits that are reported for a range."""
        return bits_of(bitmap_of(self.session.call(report_message(iova, length, page_size))))

    def try_report(self, iova: int = BASE, length: int = SIZE,
                   page_size: int = PAGE) -> set[int] | None:
        """The same; None where it is refused."""
        outcome = self.session.outcome(report_message(iova, length, page_size))
        return None if outcome.kind == "error" else bits_of(bitmap_of(outcome.reply))

    def refuse_report(self) -> Refusal:
        """Ask for a report, which has to be refused."""
        return self.session.refuse(report_message())

    def expect(self, pages: Iterable[int], iova: int = BASE, length: int = SIZE) -> None:
        """These pages of a range are reported, and no others but those that they are logged
        with."""
        pages = set(pages)
        inside = set(range(-(-length // PAGE)))
        self.judge(self.report(iova, length), pages, blocks(pages, self.page_size, iova) & inside)

    def judge(self, bits: set[int], least: set[int], most: set[int]) -> None:
        """Are at least the one set and at most the other reported?"""
        if not least <= bits <= most:
            raise self.session.failure(
                "effect", f"pages {sorted(bits)} are reported, written are {sorted(least)}")

    # ---- what the device does ----

    def map(self, fds: Any, address: int = BASE, size: int = SIZE) -> Range:
        """Map memory that the device can write to directly."""
        return self.guest.map(address, size, fds.memory(size))

    def write(self, *pages: int, address: int = BASE, size: int = 8) -> None:
        """The device writes some bytes of these pages of a range."""
        for page in pages:
            self.guest.succeed("FILL", address + page * PAGE + STARTS_AT, size, seed=page)


def log_of(guest: Guest) -> Iterator[Log]:
    """The log of a session that is there: off at first, and left so; the body of a fixture."""
    one = Log(guest)
    one.try_stop()
    yield one
    if not guest.session.closed:
        one.try_stop()


@pytest.fixture(name="log")
def log_fixture(connect: Callable[..., Connection]) -> Iterator[Log]:
    """The log of a session of its own."""
    yield from log_of(guest_of(connect))
