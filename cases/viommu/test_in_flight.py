# SPDX-License-Identifier: BSD-3-Clause
"""DMA in flight against DMA_UNMAP: rows B01 to B18 of the catalogue (README.md)."""

import pytest
from flight import (
    SEED, ask_unmap, assert_ended, assert_order, assert_stays, assert_waits, canary, hold,
    let_drain, map_canary, moved,
)
from mapping import BASE, PAGE, SIZE

from vuc import covers, needs
from vuc.vdma import pattern

pytestmark = needs("dma_maps", "provoke_dma")

ABORTED = "ABORTED ECANCELED"
MISSED = "FAULT ENOENT"
SLOTS = range(8)
HALF = 2 * PAGE

each_op = pytest.mark.parametrize("op", ["READ", "FILL"], ids=["read", "write"])


# ---- one operation, held at each point ----


@covers("DMA-UNMAP-006", "VIO-UNMAP-001")
@each_op
def test_b01_operation_behind_an_unmap_misses(guest, fds, op):
    one = map_canary(guest, fds)
    guest.unmap(one)
    guest.start(op, BASE, PAGE, seed=SEED)
    guest.wait()
    assert_ended(guest, MISSED, 0)
    assert_stays(guest, one, canary())


@covers("VIO-UNMAP-001", "DMA-UNMAP-006")
@each_op
def test_b02_operation_held_before_its_lookup_does_not_delay_the_reply_and_misses(guest, fds, op):
    one = map_canary(guest, fds)
    let_drain(guest)
    hold(guest, "PRE", one, op=op, drain=True)
    guest.unmap(one)
    assert guest.slot().state() == "HELD@PRE", "the unmap has touched it"
    assert_stays(guest, one, canary(), 0)
    assert_ended(guest, MISSED, 0)


@covers("VIO-UNMAP-001", "DMA-UNMAP-006")
def test_b03_held_after_translation_is_aborted_and_moves_nothing(guest, fds):
    one = map_canary(guest, fds)
    hold(guest, "POST", one)
    guest.unmap(one)
    assert_ended(guest, ABORTED, 0)
    assert_stays(guest, one, canary(), 0)
    assert_ended(guest, ABORTED, 0)


@covers("VIO-UNMAP-002", "VIO-UNMAP-001", "DMA-UNMAP-005", "DMA-UNMAP-006")
@each_op
def test_b04_held_after_translation_drains_before_the_reply(guest, fds, op):
    one = map_canary(guest, fds)
    let_drain(guest)
    hold(guest, "POST", one, op=op, drain=True)
    sent = ask_unmap(guest, one)
    assert_waits(guest)
    assert one.holds(canary()), "it does not stay held"
    guest.slot().release("end")
    guest.unmapped(one, sent)
    assert_stays(guest, one, moved(SIZE) if op == "FILL" else canary(), 0)
    assert_ended(guest, "DONE", SIZE)
    assert op == "FILL" or guest.vdma.load(0, SIZE) == canary(), "it has read other bytes"


@covers("VIO-OP-001", "VIO-UNMAP-001", "DMA-UNMAP-006")
@pytest.mark.parametrize("size", [PAGE, 1, PAGE + 1, SIZE - 1],
                         ids=["a-page", "a-byte", "a-page-and-a-byte", "all-but-a-byte"])
def test_b05_aborted_in_the_middle_has_moved_exactly_what_it_says(guest, fds, size):
    one = map_canary(guest, fds)
    hold(guest, "MID", one, mid=size)
    guest.unmap(one)
    assert_ended(guest, ABORTED, size)
    assert_stays(guest, one, moved(size), 0)


@covers("VIO-UNMAP-002", "VIO-UNMAP-001", "DMA-UNMAP-005", "DMA-UNMAP-006")
def test_b06_held_in_the_middle_drains_to_its_last_byte_before_the_reply(guest, fds):
    one = map_canary(guest, fds)
    let_drain(guest)
    hold(guest, "MID", one, mid=PAGE, drain=True)
    sent = ask_unmap(guest, one)
    assert_waits(guest)
    assert one.holds(moved(PAGE)), "it does not stay held"
    guest.slot().release("end")
    guest.unmapped(one, sent)
    assert_stays(guest, one, moved(SIZE), 0)
    assert_ended(guest, "DONE", SIZE)


@covers("VIO-UNMAP-002", "DMA-UNMAP-005")
def test_b07_held_at_its_end_keeps_the_reply_back_until_it_lets_go(guest, fds):
    one = map_canary(guest, fds)
    let_drain(guest)
    hold(guest, "END", one, drain=True)
    since = guest.vdma.read("EVHEAD")
    sent = ask_unmap(guest, one)
    assert_waits(guest)
    guest.slot().release("end")
    guest.unmapped(one, sent)
    assert_order(guest, since, "unmap-begin", "retire", "unmap-quiet")
    assert_stays(guest, one, moved(SIZE), 0)
    assert_ended(guest, "DONE", SIZE)


@covers("VIO-UNMAP-001")
@pytest.mark.parametrize("drain", [False, True], ids=["abort", "drain"])
def test_b08_held_behind_its_end_delays_nothing_and_completes(guest, fds, drain):
    one = map_canary(guest, fds)
    let_drain(guest)
    hold(guest, "RETIRED", one, drain=drain)
    guest.unmap(one)
    assert guest.slot().state() == "HELD@RETIRED", "the unmap has touched it"
    assert_stays(guest, one, moved(SIZE), 0)
    assert_ended(guest, "DONE", SIZE)


# ---- two ranges ----


def pair(guest, fds):
    """Two ranges that touch, and an operation over the end of the first and the second."""
    low = map_canary(guest, fds)
    return low, map_canary(guest, fds, BASE + SIZE)


@covers("VIO-OP-001", "DMA-UNMAP-006")
def test_b09_operation_in_the_first_range_ends_where_the_second_is_gone(guest, fds):
    low, high = pair(guest, fds)
    guest.start("FILL", BASE + SIZE - HALF, 2 * HALF, hold="MID", mid=PAGE, seed=SEED)
    guest.held()
    guest.unmap(high)
    assert guest.slot().state() == "HELD@MID", "the unmap has touched it"
    assert_stays(guest, high, canary(), 0)
    assert_ended(guest, MISSED, HALF)
    assert guest.slot().read("FADDR") == high.address
    assert low.holds(canary(SIZE - HALF) + pattern(SEED, HALF))


@covers("VIO-OP-001", "VIO-UNMAP-001", "DMA-UNMAP-006")
def test_b10_unmap_of_the_first_range_has_all_its_bytes_when_the_second_is_written(guest, fds):
    low, high = pair(guest, fds)
    guest.start("FILL", BASE + SIZE - HALF, 2 * HALF, hold="MID", mid=HALF + PAGE, seed=SEED)
    guest.held()
    guest.unmap(low)
    assert_stays(guest, low, canary(SIZE - HALF) + pattern(SEED, HALF), 0)
    count = guest.slot().moved() - HALF
    assert guest.slot().state() == "DONE" or guest.slot().state() == ABORTED
    assert PAGE <= count <= HALF
    assert high.holds(pattern(SEED, HALF + count)[HALF:] + canary(SIZE - count))


@covers("VIO-OP-001", "VIO-UNMAP-001", "VIO-UNMAP-004", "DMA-UNMAP-005")
@needs("server_dma")
def test_b10_operation_drains_to_the_end_of_the_first_range_and_goes_on_as_it_says(guest, fds):
    low, high = map_canary(guest, fds), guest.map(BASE + SIZE)
    high.write(high.address, canary())
    let_drain(guest)
    guest.start("FILL", BASE, 2 * SIZE, hold="MID", mid=PAGE, seed=SEED, drain=True)
    guest.held()
    sent = ask_unmap(guest, low)
    assert_waits(guest)
    guest.slot().release("end")
    guest.session.success(sent)  # it waits for no answer to a command
    guest.ranges.remove(low)
    state, count = guest.wait(), guest.slot().moved()
    assert (state, count) in ((ABORTED, SIZE), ("DONE", 2 * SIZE)), f"{state} with {count} bytes"
    assert_stays(guest, low, moved(SIZE), 0)
    assert high.holds(pattern(SEED, count)[SIZE:] + canary(2 * SIZE - count))


@covers("VIO-UNMAP-003")
@pytest.mark.parametrize("drain", [False, True], ids=["abort", "drain"])
@pytest.mark.parametrize("point", ["POST", "MID", "END"], ids=["translated", "middle", "end"])
def test_b11_operation_elsewhere_neither_delays_the_reply_nor_is_stopped(guest, fds, point, drain):
    low, high = pair(guest, fds)
    let_drain(guest)
    hold(guest, point, low, mid=PAGE, drain=drain)
    for _ in range(2):
        guest.unmap(high)
        assert guest.slot().state() == f"HELD@{point}", "the unmap has touched it"
        high = map_canary(guest, fds, BASE + SIZE)
    guest.slot().step("end")
    guest.wait()
    assert_ended(guest, "DONE", SIZE)
    assert low.holds(moved(SIZE))


# ---- several operations ----


@covers("VIO-UNMAP-002", "VIO-UNMAP-001", "DMA-UNMAP-005")
@pytest.mark.parametrize("first, second", [(0, 1), (1, 0), (7, 3)], ids=["0-1", "1-0", "7-3"])
def test_b12_reply_waits_for_both_holders_of_a_page(guest, fds, first, second):
    one = map_canary(guest, fds)
    let_drain(guest)
    for number in (first, second):
        hold(guest, "POST", one, number, size=PAGE, drain=True)
    sent = ask_unmap(guest, one)
    assert_waits(guest)
    guest.slot(first).release("end")
    assert_waits(guest)
    guest.slot(second).release("end")
    guest.unmapped(one, sent)
    assert_stays(guest, one, moved(PAGE), first, second)
    for number in (first, second):
        assert_ended(guest, "DONE", PAGE, number)


@covers("VIO-UNMAP-006", "DMA-UNMAP-006")
@each_op
def test_b13_operation_that_is_sent_behind_an_unmap_misses(guest, fds, op):
    one = map_canary(guest, fds)
    start = guest.prepare(op, BASE, PAGE, seed=SEED)
    sent = ask_unmap(guest, one), guest.session.send(start)
    guest.unmapped(one, sent[0])
    guest.success(sent[1])
    guest.wait()
    assert_ended(guest, MISSED, 0)
    assert_stays(guest, one, canary())


@covers("VIO-UNMAP-006", "VIO-OP-001", "DMA-UNMAP-006")
@pytest.mark.parametrize("drain", [False, True], ids=["abort", "drain"])
def test_b14_operation_that_is_sent_before_an_unmap_moves_nothing_behind_the_reply(guest, fds,
                                                                                   drain):
    for _ in range(8):
        one = map_canary(guest, fds)
        start = guest.prepare("FILL", BASE, SIZE, seed=SEED, drain=drain)
        sent = guest.session.send(start), ask_unmap(guest, one)
        guest.success(sent[0])
        guest.unmapped(one, sent[1])
        at_the_reply = one.read(BASE, SIZE)
        state, count = guest.wait(), guest.slot().moved()
        assert state == ("DONE" if count == SIZE else ABORTED) or not count and state == MISSED
        assert at_the_reply == moved(count), "the bytes at the reply are not those that it counts"
        assert_stays(guest, one, moved(count))


# ---- mapped again meanwhile ----


@covers("VIO-UNMAP-001", "VIO-MAP-002", "DMA-UNMAP-011")
def test_b15_operation_held_before_its_lookup_writes_to_the_new_memory_alone(guest, fds):
    old = map_canary(guest, fds)
    hold(guest, "PRE", old)
    guest.unmap(old)
    new = map_canary(guest, fds)
    guest.slot().step("end")
    guest.wait()
    assert_ended(guest, "DONE", SIZE)
    assert new.holds(moved(SIZE))
    assert_stays(guest, old, canary())


@covers("VIO-ATC-002", "VIO-UNMAP-001", "DMA-UNMAP-006", "DMA-UNMAP-011")
@pytest.mark.parametrize("point, count", [("POST", 0), ("MID", PAGE)], ids=["translated", "middle"])
def test_b16_old_operation_reaches_neither_the_old_memory_nor_the_new(guest, fds, point, count):
    old = map_canary(guest, fds)
    hold(guest, point, old, mid=PAGE)
    guest.unmap(old)
    new = map_canary(guest, fds)
    assert_stays(guest, old, moved(count), 0)
    assert_stays(guest, new, canary())
    assert_ended(guest, ABORTED, count)
    guest.works(new)


@covers("VIO-UNMAP-001", "DMA-UNMAP-006")
@pytest.mark.parametrize("point, count", [("POST", 0), ("MID", PAGE)], ids=["translated", "middle"])
def test_b17_read_has_nothing_of_what_was_written_behind_the_reply(guest, fds, point, count):
    one = map_canary(guest, fds)
    data = one.fill(SEED)
    guest.vdma.store(0, bytes(SIZE))
    hold(guest, point, one, op="READ", mid=PAGE)
    guest.unmap(one)
    one.write(one.address, canary())
    assert_stays(guest, one, canary(), 0)
    assert_ended(guest, ABORTED, count)
    assert guest.vdma.load(0, SIZE) == data[:count] + bytes(SIZE - count)


# ---- all slots ----


@covers("VIO-UNMAP-001", "DMA-UNMAP-005", "DMA-UNMAP-006")
def test_b18_unmap_under_eight_held_operations_aborts_them_all(guest, fds):
    one = map_canary(guest, fds)
    for number in SLOTS:
        hold(guest, "POST", one, number)
    guest.unmap(one)
    for number in SLOTS:
        assert_ended(guest, ABORTED, 0, number)
    assert_stays(guest, one, canary(), *SLOTS)


@covers("VIO-UNMAP-002", "DMA-UNMAP-005", "DMA-UNMAP-006")
def test_b18_unmap_under_eight_draining_operations_waits_for_the_last(guest, fds):
    one = map_canary(guest, fds)
    let_drain(guest)
    for number in SLOTS:
        hold(guest, "POST", one, number, drain=True)
    sent = ask_unmap(guest, one)
    for number in SLOTS:
        assert_waits(guest)
        guest.slot(number).release("end")
    guest.unmapped(one, sent)
    assert_stays(guest, one, moved(SIZE), *SLOTS)
    for number in SLOTS:
        assert_ended(guest, "DONE", SIZE, number)
