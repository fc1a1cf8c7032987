# SPDX-License-Identifier: BSD-3-Clause
"""A DMA_UNMAP that waits: what comes behind it, what ends the waiting, and what if nothing does.
Rows B25 to B28 of the catalogue (README.md).
"""

from errno import ENOENT

import pytest
from dma import Guest, Range
from flight import (
    NEVER, ask_unmap, assert_order, assert_stays, assert_waits, canary, hold, let_drain,
    map_canary, moved,
)
from mapping import BASE, PAGE, RW, SIZE, eventually

from vuc import constants, covers, needs

pytestmark = needs("dma_maps", "provoke_dma")

DRAIN_LIMIT = 300  # ms


def waiting(guest, fds):
    """A range, the canary in it, whose DMA_UNMAP waits for the operation in slot 0."""
    one = map_canary(guest, fds)
    let_drain(guest)
    hold(guest, "POST", one, drain=True)
    return one, ask_unmap(guest, one)


@covers("VIO-UNMAP-007", "DMA-UNMAP-004")
def test_b25_second_unmap_waits_behind_the_first_and_finds_nothing(guest, fds):
    one, first = waiting(guest, fds)
    second = guest.session.send("DMA_UNMAP", address=BASE, size=SIZE)
    assert_waits(guest)
    guest.slot().release("end")
    came = [guest.session.receive().header for _ in range(2)]
    assert [header.id for header in came] == [first.id, second.id], "the replies change places"
    refused = [bool(header.flags & constants.HEADER_FLAGS.ERROR) for header in came]
    assert refused == [False, True]
    assert came[1].error in (0, ENOENT), "an error without a reason, or the one that is fixed"
    assert_stays(guest, one, moved(SIZE), 0)


@covers("VIO-UNMAP-007", "DMA-UNMAP-011")
def test_b26_map_waits_behind_the_unmap_of_its_range_and_succeeds(guest, fds):
    old, first = waiting(guest, fds)
    memory = fds.memory(SIZE)
    memory.write(0, canary())
    second = guest.session.send("DMA_MAP", [memory], flags=RW, address=BASE, size=SIZE)
    assert_waits(guest)
    guest.slot().release("end")
    came = [guest.session.receive().header for _ in range(2)]
    assert [header.id for header in came] == [first.id, second.id], "the replies change places"
    assert [header.error for header in came] == [0, 0]
    guest.ranges.remove(old)
    new = guest.add(Range(BASE, SIZE, RW, memory))
    assert_stays(guest, old, moved(SIZE), 0)
    assert new.holds(canary()), "the old operation has written to the new memory"
    guest.works(new)


@covers("VIO-UNMAP-002", "VIO-UNMAP-001", "DMA-UNMAP-005")
def test_b27_reply_comes_when_the_side_door_releases_the_operation(guest, fds):
    since = guest.vdma.read("EVHEAD")
    one, sent = waiting(guest, fds)
    assert_waits(guest)
    assert guest.slot().door_state() == "HELD@POST"
    guest.slot().release("next")
    guest.unmapped(one, sent)
    assert_order(guest, since, "xlat", "unmap-begin", "first", "last", "retire", "unmap-quiet")
    assert_stays(guest, one, moved(SIZE), 0)


@covers("VIO-UNMAP-008", "DMA-UNMAP-006")
@needs("process", "drain_option")
@pytest.mark.parametrize("point, count, others", [("POST", 0, 0), ("MID", PAGE, 0),
                                                  ("END", SIZE, 0), ("MID", PAGE, 2)],
                         ids=["translated", "middle", "end", "beside-files-that-went"])
def test_b28_operation_that_is_never_released_costs_the_connection(private_target, fds, point,
                                                                   count, others):
    with private_target(options=[f"--t-drain={DRAIN_LIMIT}"]) as target:
        with target.negotiate() as session:
            guest = Guest(session)
            gone = [map_canary(guest, fds, BASE + (2 + at) * SIZE) for at in range(others)]
            one = map_canary(guest, fds)
            for other in gone:
                guest.unmap(other)
            guest.vdma.write("DRAIN_MS", NEVER)
            hold(guest, point, one, mid=PAGE, drain=True)
            session.expect_close(ask_unmap(guest, one))
        with target.negotiate() as session:
            assert_stays(Guest(session), one, moved(count))
            memory = one.memory
            memory.sent()
            assert eventually(session, lambda: not memory.held()), "the memory is held"
