# SPDX-License-Identifier: BSD-3-Clause
"""What the cases about operations in flight share: hold one, let an unmap wait for it, and prove
that a reply was a barrier.

Order is shown by what comes while an operation is held, and by the numbers of the device's events;
nothing is measured in time. A range holds a canary before an operation begins, so that every byte
that has moved can be told from one that has not. Sizes are bytes.
"""

from __future__ import annotations

from typing import Any

import pytest
from dma import Guest, Range
from mapping import PAGE, SIZE

from vuc.duration import short
from vuc.exchange import Sent
from vuc.vdma import pattern

SEED = 0x35  # of what operations write
CANARY = 0xEE
NEVER = 600_000  # ms that a held operation may drain: the case releases it before
BARRIER = "DMA-UNMAP-006"
AFTER = 3  # further commands, after which memory is compared again


def canary(size: int = SIZE) -> bytes:
    """What a range holds before an operation writes to it."""
    return bytes([CANARY]) * size


def moved(count: int, size: int = SIZE) -> bytes:
    """A range in which FILL has written that many bytes from its beginning on."""
    return pattern(SEED, count) + canary(size - count)


def map_canary(guest: Guest, fds: Any, *place: int, size: int = SIZE, **how: Any) -> Range:
    """Map new memory, all canary; at BASE, or where `place` says."""
    memory = fds.memory(size)
    memory.write(0, canary(size))
    return guest.map(*place, size=size, memory=memory, **how)


def hold(guest: Guest, point: str, one: Range, slot: int = 0, *, op: str = "FILL",
         size: int = SIZE, **how: Any) -> None:
    """Start an operation at the beginning of the range, and see it held at that point."""
    guest.start(op, one.address, size, slot, hold=point, seed=SEED, **how)
    guest.held(slot)


def let_drain(guest: Guest) -> None:
    """Held operations with the policy to drain stay held until the side door releases them."""
    if not guest.vdma.can("DOOR"):
        pytest.skip("needs: the side door of the test device")
    guest.vdma.write("DRAIN_MS", NEVER)
    guest.vdma.door()


def ask_unmap(guest: Guest, one: Range) -> Sent:
    """Send the DMA_UNMAP of a range."""
    return guest.session.send("DMA_UNMAP", address=one.address, size=one.size)


def assert_waits(guest: Guest) -> None:
    """Nothing comes, though something was asked for."""
    assert not guest.session.arrives(short()), "the reply does not wait for the operation"


def assert_stays(guest: Guest, one: Range, data: bytes, *slots: int) -> None:
    """The range holds exactly this at the reply to its unmap, and after further commands (which is
    the specification's own demand); the operations of these slots are let go meanwhile, as far as
    they are still there."""
    assert one.holds(data), "the bytes at the reply are wrong"
    for number in slots:
        guest.slot(number).step("end")
        guest.wait(number)
    for _ in range(AFTER):
        guest.session.barrier()
        if not one.holds(data):
            failure = guest.failure("effect", "bytes move behind the reply to DMA_UNMAP")
            failure.requirement = BARRIER
            raise failure


def assert_order(guest: Guest, since: int, *names: str) -> None:
    """The events of these names are among those from number `since` on, in this order."""
    came = [event.name for event in guest.vdma.events(since)]
    rest = iter(came)
    assert all(name in rest for name in names), f"{' '.join(names)} is not in {' '.join(came)}"


def assert_ended(guest: Guest, state: str, count: int, slot: int = 0) -> None:
    """The operation has come to that state, and says that it has moved so many bytes."""
    came = guest.slot(slot).state()
    assert came == state, f"{came}, and not {state}"
    assert guest.slot(slot).moved() == count, "it has moved another number of bytes than it says"


def part(one: Range, pages: int) -> int:
    """The address that many pages into the range."""
    return one.address + pages * PAGE
