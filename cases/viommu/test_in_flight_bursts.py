# SPDX-License-Identifier: BSD-3-Clause
"""DMA in flight against DMA_UNMAP where it is not one copy into one range: messages, copies,
bursts, a descriptor that the client has closed, and nothing at all. Rows B20, B22 to B24 and B29 of
the catalogue (README.md).
"""

import pytest
from dma import guest_of, on_each_socket
from flight import (
    SEED, ask_unmap, assert_ended, assert_stays, canary, hold, let_drain, map_canary, moved,
)
from mapping import BASE, PAGE, SIZE

from vuc import covers, needs

pytestmark = needs("dma_maps", "provoke_dma")

ABORTED = "ABORTED ECANCELED"
MISSED = "FAULT ENOENT"
MESSAGES = 1000  # of a burst
PIECE = 64  # bytes of one iteration, or of one message

each_policy = pytest.mark.parametrize("drain", [False, True], ids=["abort", "drain"])


# ---- messages, copies, bursts ----


@covers("VIO-UNMAP-005", "DMA-UNMAP-006")
@needs("server_dma")
@on_each_socket
@each_policy
@pytest.mark.parametrize("burst", [True, False], ids=["burst", "one-operation"])
@pytest.mark.parametrize("op", ["READ", "FILL"], ids=["read", "write"])
def test_b20_no_message_for_the_range_comes_behind_the_reply(connect, scale, twin, op, drain,
                                                             burst):
    guest = guest_of(connect, twin, max_data_xfer_size=PIECE)
    one, count = guest.map(), max(50, round(MESSAGES * scale))
    size, times = (PIECE, count) if burst else (count * PIECE, 1)
    started = guest.session.send(
        guest.prepare(op, BASE, size, count=times, stride=PIECE, seed=SEED, drain=drain))
    for _ in range(count // 2):
        guest.answer(guest.take())
    last = guest.take()
    guest.success(started)
    sent = ask_unmap(guest, one)
    guest.session.success(sent)
    guest.answer(last)
    guest.ranges.remove(one)
    guest.asked_nothing()
    state = guest.wait()
    assert state in (ABORTED, MISSED), f"{state}"
    assert guest.slot().moved() <= PIECE * len(guest.requests)
    guest.asked_nothing()


@covers("VIO-OP-001", "DMA-UNMAP-006")
@pytest.mark.parametrize("gone", ["source", "sink"])
def test_b22_copy_whose_one_side_is_unmapped_has_moved_what_it_says(guest, fds, gone):
    source, sink = map_canary(guest, fds), map_canary(guest, fds, BASE + SIZE)
    data = source.fill(SEED)
    guest.call(guest.slot().prepare("COPY", src=source.address, dst=sink.address, length=SIZE,
                                    mid=PAGE + 8, hold="MID"))
    guest.held()
    guest.unmap(source if gone == "source" else sink)
    assert_ended(guest, ABORTED, PAGE + 8)
    assert_stays(guest, sink, data[: PAGE + 8] + canary(SIZE - PAGE - 8), 0)
    assert source.holds(data)


@covers("VIO-OP-001", "DMA-UNMAP-006")
@pytest.mark.parametrize("mid", [500 * PIECE, 500 * PIECE + 7], ids=["between", "inside"])
def test_b23_burst_that_is_held_has_moved_a_prefix(guest, fds, mid):
    one = map_canary(guest, fds)
    hold(guest, "MID", one, size=PIECE, count=MESSAGES, stride=PIECE, mid=mid)
    guest.unmap(one)
    assert_ended(guest, ABORTED, mid)
    assert_stays(guest, one, moved(mid), 0)


@covers("VIO-OP-001", "DMA-UNMAP-006")
@each_policy
def test_b23_burst_that_runs_has_moved_a_prefix(guest, fds, drain):
    size = 64 * SIZE
    one = map_canary(guest, fds, size=size)
    start = guest.prepare("FILL", BASE, PIECE, count=size // PIECE, stride=PIECE, seed=SEED,
                          drain=drain)
    sent = guest.session.send(start), ask_unmap(guest, one)
    guest.success(sent[0])
    guest.unmapped(one, sent[1])
    at_the_reply = one.read(BASE, size)
    state, count = guest.wait(), guest.slot().moved()
    assert state in ("DONE", ABORTED, MISSED), f"{state}"
    assert state != "DONE" or count == size // PIECE * PIECE
    assert at_the_reply == moved(count, size), "the bytes at the reply are not those that it counts"
    assert_stays(guest, one, moved(count, size))


@covers("VIO-OP-001", "DMA-MAP-018")
def test_b23_burst_ends_where_nothing_is_mapped(guest, fds):
    low, high = map_canary(guest, fds, size=PAGE), map_canary(guest, fds, BASE + 2 * PAGE)
    guest.start("FILL", BASE, PAGE, count=4, stride=PAGE, seed=SEED)
    guest.wait()
    assert_ended(guest, MISSED, PAGE)
    assert guest.slot().read("FADDR") == low.end
    assert low.holds(moved(PAGE, PAGE))
    assert_stays(guest, high, canary())


# ---- the descriptor ----


@covers("DMA-MAP-002", "DMA-UNMAP-005")
@needs("lease")
def test_b24_memory_whose_descriptor_the_client_has_closed_works_and_is_given_back(guest, fds):
    memory = fds.memory(SIZE)
    one = guest.map(memory=memory)
    memory.sent()
    guest.works(one)
    assert memory.held(), "it works, and nothing of it is held"
    guest.unmap(one)
    assert not memory.held(), "a descriptor or a mapping is left after the reply"


# ---- nothing ----


@covers("VIO-OP-002")
@pytest.mark.parametrize("op", ["READ", "WRITE", "FILL", "COPY", "TOUCH", "CHECK"], ids=str.lower)
def test_b29_operation_without_bytes_needs_no_mapping(guest, op):
    guest.start(op, BASE, 0)
    guest.wait()
    assert_ended(guest, "DONE", 0)


@covers("VIO-OP-002")
@pytest.mark.parametrize("op", ["READ", "FILL"], ids=["read", "write"])
def test_b29_operation_without_bytes_delays_no_unmap(guest, fds, op):
    one = map_canary(guest, fds)
    let_drain(guest)
    guest.start(op, BASE, 0, hold="POST|END", drain=True)
    guest.wait(until=("HELD", "DONE"))
    guest.unmap(one)
    assert_stays(guest, one, canary(), 0)
    assert_ended(guest, "DONE", 0)
