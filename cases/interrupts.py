# SPDX-License-Identifier: BSD-3-Clause
"""What the cases about interrupts share: the vectors of one index, and who was signalled.

A Line is one interrupt index on one connection. Its vectors count from 0; `together` is how many
of them, from the first on, a case may have assigned at the same time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import pytest

from vuc import Failure, Message, constants, message
from vuc.device import Device, Irq
from vuc.evidence import EventFd, Fds, Probe
from vuc.exchange import Outcome
from vuc.session import Connection, Reply

FLAGS = constants.IRQ_INFO_FLAGS
NAMES = ("INTX", "MSI", "MSIX", "ERR", "REQ")
SEVERAL = ("MSI", "MSIX")  # may have more vectors than one
MOST = 8  # vectors of an index that a case uses
each_index = pytest.mark.parametrize("name", NAMES)
each_index_of_several = pytest.mark.parametrize("name", SEVERAL)

TRIGGER = "DATA_NONE|ACTION_TRIGGER"
TRIGGER_BOOL = "DATA_BOOL|ACTION_TRIGGER"
ASSIGN = "DATA_EVENTFD|ACTION_TRIGGER"
MASK = "DATA_NONE|ACTION_MASK"
UNMASK = "DATA_NONE|ACTION_UNMASK"
DATA = ("NONE", "BOOL", "EVENTFD")
ACTIONS = ("TRIGGER", "MASK", "UNMASK")
each_pair = pytest.mark.parametrize(
    ("data", "action"), list(product(DATA, ACTIONS)), ids=str.lower
)


class Line:
    """One interrupt index. What its methods send has to succeed, but for those that say `try`."""

    def __init__(self, session: Connection, irq: Irq):
        self.session = session
        self.index = irq.index
        self.count = irq.count
        self.flags = irq.flags
        limit = session.limits.max_msg_fds if irq.flags & FLAGS.NORESIZE else MOST
        self.together = min(irq.count, limit, MOST)

    def has(self, flag: str) -> bool:
        """Does it have that flag of IRQ_INFO_FLAGS?"""
        return bool(self.flags & getattr(FLAGS, flag))

    def message(self, flags: str | int, **fields: Any) -> Message:
        """A DEVICE_SET_IRQS for vector 0 unless start= and count= say otherwise."""
        return message("DEVICE_SET_IRQS", **{"index": self.index, "count": 1, **fields},
                       flags=flags)

    def set(self, flags: str | int, fds: Sequence[Any] = (), **fields: Any) -> Reply:
        """Send such a message."""
        return self.session.call(self.message(flags, **fields), fds)

    def try_set(self, flags: str | int, fds: Sequence[Any] = (), **fields: Any) -> Outcome:
        """The same where an error reply is as good."""
        return self.session.outcome(self.message(flags, **fields), fds)

    def assign(self, fds: Sequence[Any], start: int = 0) -> None:
        """Assign a descriptor each to the vectors from `start`, by as few messages as the limit
        for descriptors allows."""
        most = self.session.limits.max_msg_fds
        for at in range(0, len(fds), most):
            part = fds[at : at + most]
            self.set(ASSIGN, part, start=start + at, count=len(part))

    def assigned(self, fds: Fds) -> list[EventFd]:
        """New eventfds, assigned to the vectors that can be assigned together."""
        eventfds = fds.eventfds(self.together)
        self.assign(eventfds)
        return eventfds

    def assigned_probe(self, fds: Fds, start: int = 0) -> Probe:
        """A pipe that is assigned to one vector, to tell when it is given up; skips the case
        where the server takes eventfds and no pipes."""
        probe = fds.probe()
        if self.try_set(ASSIGN, [probe], start=start).kind == "error":
            self.assign([fds.eventfd()], start)
            pytest.skip("needs: a server that takes a pipe in place of an eventfd")
        probe.sent()
        return probe

    def rearm(self, start: int = 0, count: int = 1) -> None:
        """Lets vectors of a type that masks itself fire again."""
        if self.has("AUTOMASKED") and self.has("MASKABLE"):
            self.set(UNMASK, start=start, count=count)

    def trigger(self, start: int = 0, count: int = 1) -> None:
        """Signal the eventfds of a range."""
        self.rearm(start, count)
        self.set(TRIGGER, start=start, count=count)

    def trigger_bools(self, data: Sequence[int], start: int = 0) -> None:
        """Signal those whose number is 1; the first stands for vector `start`."""
        self.rearm(start, len(data))
        self.set(TRIGGER_BOOL, start=start, count=len(data), data=bytes(data))

    def disable(self) -> None:
        """Disable the whole index."""
        self.set(TRIGGER, count=0)

    def expect(self, eventfds: Sequence[EventFd], times: Sequence[int]) -> None:
        """Each eventfd was signalled as often as that since it was read last, which is now."""
        expect_signals(self.session, eventfds, times)

    def still_works(self, eventfds: Sequence[EventFd]) -> None:
        """The vectors from 0 on have these eventfds, which nothing has signalled yet."""
        self.expect(eventfds, [0] * len(eventfds))
        self.trigger(count=len(eventfds))
        self.expect(eventfds, [1] * len(eventfds))


def inside(count: int, start: int, number: int) -> list[int]:
    """1 for the vectors of the range, 0 for the others of `count`."""
    return [int(start <= vector < start + number) for vector in range(count)]


def one_hot(count: int, vector: int) -> list[int]:
    """1 for the vector, 0 for the others of `count`."""
    return inside(count, vector, 1)


def expect_signals(session: Connection, eventfds: Sequence[EventFd], times: Sequence[int]) -> None:
    """Each eventfd was signalled as often as `times` says. Waits for what has to come; that no
    more comes is shown by a barrier."""
    seen = [_awaited(eventfd, number) for eventfd, number in zip(eventfds, times, strict=True)]
    session.barrier()
    seen = [number + eventfd.count() for number, eventfd in zip(seen, eventfds)]
    if seen != list(times):
        raise session.failure("effect", f"the eventfds were signalled {seen} times, "
                              f"{list(times)} is right")


def _awaited(eventfd: EventFd, number: int) -> int:
    # How often it was signalled, once that is as often as it has to be.
    seen = 0
    while seen < number:
        came = eventfd.wait()
        if not came:
            break
        seen += came
    return seen


def irq_named(device: Device, name: str) -> Irq:
    """The interrupt index of that name; skips the case where the device does not have it."""
    index = getattr(constants.IRQ_INDEX, name)
    if index >= device.info.num_irqs:
        pytest.skip(f"needs: interrupt index {name}")
    return device.irqs[index]


def line_of(session: Connection, device: Device, name: str, *flags: str, least: int = 1) -> Line:
    """The index of that name, which can be signalled; skips the case where it does not have the
    flags, or `least` vectors that can be assigned together."""
    line = Line(session, irq_named(device, name))
    if line.count == 0:
        pytest.skip(f"needs: interrupts of index {name}")
    for flag in ("EVENTFD", *flags):
        if not line.has(flag):
            pytest.skip(f"needs: interrupt index {name} with {flag}")
    if line.together < least:
        pytest.skip(f"needs: {least} vectors of index {name} that can be assigned together")
    return line


def lines_of(session: Connection, device: Device) -> list[Line]:
    """All indexes that can be signalled."""
    found = [irq for irq in device.irqs if irq.count and irq.flags & FLAGS.EVENTFD]
    return [Line(session, irq) for irq in found]


def empty_indexes(device: Device) -> list[int]:
    """The indexes without interrupts; skips the case where there is none."""
    found = [irq.index for irq in device.irqs if not irq.count]
    if not found:
        pytest.skip("needs: an interrupt index without interrupts")
    return found


def expect_released(probes: Sequence[Probe]) -> None:
    """The server has closed what it was passed."""
    for number, probe in enumerate(probes):
        if not probe.released():
            raise Failure("effect", f"the server holds descriptor {number} of those it was passed")


def assert_told_by_eventfds(
    session: Connection, device: Device, fds: Fds, reset: Callable[[Connection], Any]
) -> None:
    """An eventfd from before a reset works or is silent, and one from after it works (M2)."""
    index = device.irq_with().index
    old, new = fds.eventfds(2)
    session.call("DEVICE_SET_IRQS", [old], flags=ASSIGN, index=index, count=1)
    reset(session)
    session.outcome("DEVICE_SET_IRQS", flags=TRIGGER, index=index, count=1)
    session.barrier()
    assert old.count() in (0, 1)
    session.call("DEVICE_SET_IRQS", [new], flags=ASSIGN, index=index, count=1)
    session.call("DEVICE_SET_IRQS", flags=TRIGGER, index=index, count=1)
    assert new.wait() == 1
    assert old.count() == 0
