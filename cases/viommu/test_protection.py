# SPDX-License-Identifier: BSD-3-Clause
"""What a range is mapped for, and how that changes under a running device: rows C01 to C04 of the
catalogue (README.md)."""

import pytest
from flight import SEED, ask_unmap, assert_ended, assert_stays, canary, hold, map_canary, moved
from mapping import BASE, PAGE, RW, SIZE

from vuc import covers, needs


pytestmark = needs("dma_maps", "provoke_dma")

ABORTED = "ABORTED ECANCELED"
DENIED = "FAULT EACCES"
MISSED = "FAULT ENOENT"
ROUNDS = 1000


def assert_denied(guest, op, one, **how):
    """The operation is refused for want of the right, and moves nothing."""
    guest.start(op, one.address, PAGE, seed=SEED, **how)
    guest.wait()
    assert_ended(guest, DENIED, 0)


@covers("DMA-MAP-008", "VIO-ACCESS-001")
@pytest.mark.parametrize("op", ["WRITE", "FILL"], ids=["write", "fill"])
def test_c01_range_for_reading_is_not_written(guest, fds, op):
    one = map_canary(guest, fds, flags="READ")
    assert_denied(guest, op, one)
    assert_stays(guest, one, canary())
    guest.works(one)


@covers("DMA-MAP-009", "VIO-ACCESS-001")
def test_c02_range_for_writing_is_not_read(guest, fds):
    one = map_canary(guest, fds, flags="WRITE")
    guest.vdma.store(0, bytes(PAGE))
    assert_denied(guest, "READ", one)
    assert guest.vdma.load(0, PAGE) == bytes(PAGE), "it is read"
    assert_denied(guest, "TOUCH", one)
    guest.works(one)


@covers("VIO-ACCESS-001", "DMA-MAP-008", "DMA-MAP-009")
def test_c02_copy_needs_one_right_on_each_side(guest, fds):
    source = map_canary(guest, fds, flags="READ")
    sink = map_canary(guest, fds, BASE + SIZE, flags="WRITE")
    data = source.fill(SEED)
    for src, dst, state, count in ((sink, sink, DENIED, 0), (source, source, DENIED, 0),
                                   (sink, source, DENIED, 0), (source, sink, "DONE", PAGE)):
        guest.call(guest.slot().prepare("COPY", src=src.address, dst=dst.address, length=PAGE))
        guest.wait()
        assert_ended(guest, state, count)
    assert source.holds(data)
    assert sink.holds(data[:PAGE] + canary(SIZE - PAGE))


@covers("VIO-ACCESS-002", "DMA-UNMAP-006", "DMA-MAP-008")
@pytest.mark.parametrize("point, count", [("POST", 0), ("MID", PAGE)], ids=["translated", "middle"])
def test_c03_write_does_not_outlive_the_right_to_write(guest, fds, point, count):
    one = map_canary(guest, fds)
    memory = one.memory
    hold(guest, point, one, mid=PAGE)
    guest.unmap(one)
    one = guest.map(memory=memory, flags="READ")
    assert_stays(guest, one, moved(count), 0)
    assert_ended(guest, ABORTED, count)
    assert_denied(guest, "FILL", one)
    assert_stays(guest, one, moved(count))
    guest.works(one)


@covers("VIO-ACCESS-002", "DMA-UNMAP-011")
def test_c04_reads_fail_only_while_nothing_is_mapped(guest, fds, scale):
    one = map_canary(guest, fds, flags="READ")
    memory = one.memory
    before, hole, after = (0, 1, 2), (3,), (4, 5, 6)
    starts = {number: guest.prepare("READ", BASE, PAGE, number, buf=number * PAGE)
              for number in (*before, *hole, *after)}
    for flags in (RW, "READ") * max(10, round(ROUNDS * scale / 2)):
        send = guest.session.send
        sent = [*(send(starts[number]) for number in before), ask_unmap(guest, one),
                *(send(starts[number]) for number in hole),
                send("DMA_MAP", [memory], flags=flags, address=BASE, size=SIZE),
                *(send(starts[number]) for number in after)]
        for reply in sent:
            guest.success(reply)
        states = {number: guest.wait(number) for number in starts}
        assert all(states[number] in ("DONE", ABORTED, MISSED) for number in before), states
        assert all(states[number] == MISSED for number in hole), states
        assert all(states[number] == "DONE" for number in after), states
    assert guest.vdma.load(after[0] * PAGE, PAGE) == canary(PAGE)
