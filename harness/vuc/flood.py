# SPDX-License-Identifier: BSD-3-Clause
"""One message very many times, and an honest client beside it (floods of vuc.h).

    flood = Flood(session)
    maps = message("DMA_MAP", flags="READ|WRITE", size=0x1000)
    took = flood.run(maps, 10_000, strides=[Stride("address", step=0x1000)])
    took.errors, took.first_refused

A Flood goes by the socket of a Connection, which nobody else may use while run() or read() is at
it, and which the model judges no more. Message number n is the template with the fields that the
strides name; numbers are the caller's, so that what one run has mapped another unmaps. A run ends
by counts. Times are seconds, None is the long duration; latencies are seconds.
"""

from __future__ import annotations

import ctypes
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from errno import ECANCELED, EPIPE, EPROTO, ETIMEDOUT, errorcode
from typing import Any, Self

from . import _abi
from .duration import milliseconds
from .message import Message
from .schema import HEADER_SIZE
from .session import Connection

UNREAD = _abi.ENUMS["vuc_flood_flags"]["VUC_FLOOD_UNREAD"]
STOP = _abi.ENUMS["vuc_flood_flags"]["VUC_FLOOD_STOP"]
TIMED = _abi.ENUMS["vuc_steady_flags"]["VUC_STEADY_TIMED"]
AGAIN = _abi.ENUMS["vuc_steady_flags"]["VUC_STEADY_AGAIN"]
NEVER = (1 << 64) - 1
WINDOW = 1024
PER_OCTAVE = 4  # buckets of the histogram for each power of two


@dataclass(frozen=True)
class Stride:
    """A field of the request: base + step * i, i the number of the message, or that scattered,
    modulo period (0: none; a power of two where it is scattered)."""

    field: str
    base: int = 0
    step: int = 1
    period: int = 0
    scatter: bool = False


class Latency:
    """A histogram of times; seconds."""

    def __init__(self, counts: Sequence[int] = ()):
        self.counts = list(counts) or [0] * _abi.DEFINES["VUC_FLOOD_BUCKETS"]

    @property
    def count(self) -> int:
        """How many times were counted."""
        return sum(self.counts)

    def note(self, seconds: float) -> None:
        """Count one."""
        ns = max(0, round(seconds * 1e9))
        octave = max(0, ns.bit_length() - 3)
        bucket = PER_OCTAVE * octave + (ns >> octave)
        self.counts[min(bucket, len(self.counts) - 1)] += 1

    def sparse(self) -> dict[str, int]:
        """What is not 0, by the number of its bucket: four for each power of two, in
        nanoseconds."""
        return {str(bucket): count for bucket, count in enumerate(self.counts) if count}

    @classmethod
    def of(cls, sparse: Mapping[str, int]) -> Self:
        """From what sparse() has made."""
        made = cls()
        for bucket, count in sparse.items():
            made.counts[int(bucket)] = count
        return made

    def add(self, other: Latency) -> None:
        """Count those of the other as well."""
        self.counts = [a + b for a, b in zip(self.counts, other.counts, strict=True)]

    def quantile(self, part: float) -> float:
        """The time that this part of them does not exceed, a fifth too long at most; 0 without
        any."""
        left = part * self.count
        for bucket, count in enumerate(self.counts):
            left -= count
            if count and left <= 0:
                return _end_of(bucket) / 1e9
        return 0.0


def _end_of(bucket: int) -> int:
    # The first nanosecond that is behind the bucket.
    bucket += 1
    if bucket <= PER_OCTAVE:
        return bucket
    octave, part = divmod(bucket, PER_OCTAVE)
    return (PER_OCTAVE + part) << (octave - 1)


@dataclass
class Took:
    """What a run came to: messages sent, replies, errors by errno, the number of the message that
    was refused first (None), commands of the server, bytes received; end: 0, or the errno that
    ended the run (EPIPE: the server has closed); waiting: replies that are due."""

    sent: int = 0
    succeeded: int = 0
    refused: int = 0
    first_refused: int | None = None
    commands: int = 0
    bytes: int = 0
    seconds: float = 0.0
    errors: Counter[int] = field(default_factory=Counter)
    latency: Latency = field(default_factory=Latency)
    waiting: int = 0
    end: int = 0

    @property
    def closed(self) -> bool:
        """Has the server closed the connection?"""
        return self.end == EPIPE

    @property
    def silent(self) -> bool:
        """Did the server neither read nor reply for the timeout?"""
        return self.end == ETIMEDOUT

    def add(self, later: Took) -> Took:
        """Count a later run of the same flood as well; returns this one."""
        for name in ("sent", "succeeded", "refused", "commands", "bytes", "seconds"):
            setattr(self, name, getattr(self, name) + getattr(later, name))
        if self.first_refused is None:
            self.first_refused = later.first_refused
        self.errors.update(later.errors)
        self.latency.add(later.latency)
        self.waiting, self.end = later.waiting, later.end
        return self

    def text(self) -> str:
        """The run in words."""
        errors = ", ".join(f"{count} {errorcode.get(number, number)}"
                           for number, count in sorted(self.errors.items()))
        ends = {0: "", EPIPE: ", closed", ETIMEDOUT: ", then silence", EPROTO: ", framing lost",
                ECANCELED: ""}
        end = ends.get(self.end, f", {errorcode.get(self.end, self.end)}")
        refused = f"{self.refused} refused ({errors})" if self.refused else "none refused"
        return f"{self.sent} sent, {self.succeeded} succeeded, {refused}{end}"


def _took(row: Any, result: int) -> Took:
    errors = Counter({one.error: one.count for one in row.errors if one.count})
    first = None if row.first_refused == NEVER else row.first_refused
    return Took(row.sent, row.succeeded, row.refused, first, row.commands, row.bytes,
                row.elapsed_ns / 1e9, errors, Latency(row.latency), row.waiting, max(0, -result))


class Flood:
    """A flood over the socket of a connection, which stays open; close() frees the flood."""

    def __init__(self, session: Connection):
        session.unjudged()
        self.session = session
        self._flood = _abi.create("flood_open", "vuc_flood", session.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Twice is fine."""
        if self._flood is not None:
            _abi.lib.vuc_flood_free(self._flood)
            self._flood = None

    def run(self, what: Message, count: int, *, first: int = 0, strides: Iterable[Stride] = (),
            fds: Iterable[Any] = (), each: int | None = None, memfd_size: int = 0,
            window: int = WINDOW, unread: bool = False, stop: bool = False,
            timeout: float | None = None) -> Took:
        """Send messages number `first` to `first + count` and take their replies.

        each: how many of the fds go with a message, in turns (default: all); memfd_size: a new
        memfd of so many bytes with each instead; window: most that wait for their reply; unread:
        replies are not taken, and the run ends when nothing more fits for the timeout; stop: it
        ends behind the first error.
        """
        image = what.bytes()
        numbers = [one if isinstance(one, int) else one.fileno() for one in fds]
        rows = [_stride(what, one) for one in strides]
        spec = _abi.types["vuc_flood_spec"]()
        spec.message = ctypes.cast(ctypes.c_char_p(image), ctypes.c_void_p)
        spec.size, spec.window = len(image), window
        spec.first, spec.count = first, count
        spec.strides = (_abi.types["vuc_flood_stride"] * len(rows))(*rows)
        spec.nstrides = len(rows)
        spec.flags = (UNREAD if unread else 0) | (STOP if stop else 0)
        spec.fds = (ctypes.c_int32 * len(numbers))(*numbers)
        spec.nfds, spec.each = len(numbers), len(numbers) if each is None else each
        spec.memfd_size, spec.timeout_ms = memfd_size, milliseconds(timeout)
        row = _abi.types["vuc_flood_result"]()
        result = _abi.lib.vuc_flood_run(self._flood, ctypes.byref(spec), ctypes.byref(row))
        return _took(row, result)

    def read(self, size: int, chunk: int = 1 << 16, timeout: float | None = None) -> Took:
        """Read at most `size` bytes of what is due, at most `chunk` by one read."""
        row = _abi.types["vuc_flood_result"]()
        result = _abi.lib.vuc_flood_read(self._flood, size, chunk, milliseconds(timeout),
                                         ctypes.byref(row))
        return _took(row, result)


def _stride(what: Message, one: Stride) -> Any:
    place = what.row.request[one.field]
    row = _abi.types["vuc_flood_stride"]()
    row.offset, row.width = HEADER_SIZE + place.offset, place.width
    row.base, row.step, row.period = one.base, one.step, one.period
    row.scatter = one.scatter
    return row


@dataclass(frozen=True)
class Step:
    """A message of the honest client. expected: what the reply has at `offset` of its payload;
    again: it is sent until that comes; timed: its latency counts; fd: goes with it."""

    message: Message
    expected: bytes = b""
    offset: int = 0
    again: bool = False
    timed: bool = False
    fd: Any = None


@dataclass
class Went:
    """How an honest client fared: rounds that went well, what ended them (0, or an errno) and at
    which message, latencies, the longest in seconds."""

    rounds: int
    error: int
    at: Message
    latency: Latency
    longest: float

    def text(self) -> str:
        """The end in words."""
        if not self.error:
            return f"{self.rounds} rounds"
        word = errorcode.get(abs(self.error), self.error)
        return f"{self.rounds} rounds, then {word} at {self.at.text()}"


class Steady:
    """An honest client that goes on beside a flood, from now until stop(). The connection is its
    until then."""

    def __init__(self, session: Connection, steps: Sequence[Step], timeout: float | None = None):
        session.unjudged()
        self.steps = list(steps)
        images = [step.message.bytes() for step in self.steps]
        rows = (_abi.types["vuc_steady_step"] * len(images))()
        for row, step, image in zip(rows, self.steps, images, strict=True):
            row.message = ctypes.cast(ctypes.c_char_p(image), ctypes.c_void_p)
            row.size = len(image)
            if step.expected:
                row.expected = ctypes.cast(ctypes.c_char_p(step.expected), ctypes.c_void_p)
            row.expected_size, row.offset = len(step.expected), step.offset
            row.flags = (TIMED if step.timed else 0) | (AGAIN if step.again else 0)
            row.fd = -1 if step.fd is None else os.dup(step.fd.fileno())
        self._fds = [row.fd for row in rows if row.fd >= 0]
        self._steady = _abi.create("steady_start", "vuc_steady", session.fileno(), rows,
                                   len(images), milliseconds(timeout))

    def stop(self, rounds: int = 0) -> Went:
        """Stop it, but not before so many rounds went well; how it fared."""
        row = _abi.types["vuc_steady_result"]()
        _abi.lib.vuc_steady_stop(self._steady, rounds, ctypes.byref(row))
        self._steady = None
        while self._fds:
            os.close(self._fds.pop())
        return Went(row.rounds, row.error, self.steps[row.step].message, Latency(row.latency),
                    row.longest_ns / 1e9)

    def close(self) -> None:
        """Stop it if nobody has."""
        if self._steady is not None:
            self.stop()


def calibration(rounds: int = 20_000) -> float:
    """Seconds of processor time of a small message over a socket and back, here and now."""
    return _abi.call("flood_calibrate", rounds) / 1e9
