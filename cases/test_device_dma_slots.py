# SPDX-License-Identifier: BSD-3-Clause
"""DMA by several operations of the device, and what it tells of them: order, bytes, addresses.

So the test device is what other cases take it for: an operation begins when it is told to, its sums
and counts are those of the bytes that moved, and its interrupt comes behind its data.
"""

from zlib import crc32

import pytest
from dma import FAILED, each_direction, each_way, guest_of, memory_for, on_each_socket
from interrupts import ASSIGN
from mapping import BASE, PAGE, RW, SIZE

from vuc import covers, message, needs
from vuc.device import VDMA_MAGIC
from vuc.vdma import (
    BUFFER, BUFFER_SIZE, OPS, PATHS, REGISTERS, SLOT_REGISTERS, SLOTS, VIEW, Vdma, pattern,
)

pytestmark = needs("dma_maps", "provoke_dma")

SEED = 0x35
CANARY = 0xEE
VECTOR = 3
SOON = 20  # ms
RESERVED = 1 << 11  # of CMD
UNKNOWN = 0xF  # an operation that no device has


def each_page(op="FILL"):
    """The words of an operation per slot: each has a page of its own."""
    return {slot: {"op": op, "address": BASE + slot * PAGE, "size": PAGE, "slot": slot,
                   "seed": SEED + slot} for slot in range(SLOTS)}


def assert_all_done(guest, one):
    """The operations of each_page() have done their work, and no other."""
    states = [str(guest.wait(slot)) for slot in range(SLOTS)]
    assert states == ["DONE"] * SLOTS
    expected = b"".join(pattern(SEED + slot, PAGE) for slot in range(SLOTS))
    assert one.read(BASE, len(expected)) == expected
    assert one.read(BASE + len(expected), PAGE) == bytes(PAGE)


# ---- when it begins ----


@covers("DMA-MAP-019", "DMA-MAP-018")
@each_way
def test_armed_operations_reach_what_is_mapped_before_they_go(connect, fds, shared, twin):
    guest = guest_of(connect, twin)
    for how in each_page().values():
        guest.start(armed=True, **how)
    guest.asked_nothing()
    assert {guest.slot(slot).state().name for slot in range(SLOTS)} == {"QUEUED"}
    one = guest.map(memory=memory_for(fds, shared))
    guest.vdma.go(*range(SLOTS))
    assert_all_done(guest, one)


@covers("DMA-MAP-019", "DMA-MAP-018")
@each_way
def test_operations_of_a_frozen_device_reach_what_is_mapped_when_it_thaws(connect, fds, shared,
                                                                         twin):
    guest = guest_of(connect, twin)
    guest.vdma.freeze()
    for how in each_page().values():
        guest.start(**how)
    guest.asked_nothing()
    one = guest.map(memory=memory_for(fds, shared))
    guest.vdma.freeze(False)
    assert_all_done(guest, one)


@covers("DMA-RW-007", "DMA-MAP-018")
@each_way
def test_operation_that_was_armed_and_aborted_does_not_go(connect, fds, shared, twin):
    guest = guest_of(connect, twin)
    one = guest.map(memory=memory_for(fds, shared))
    data = one.fill(CANARY)
    guest.start("FILL", BASE, SIZE, armed=True)
    guest.slot().step("abort")
    guest.vdma.go(0)
    assert guest.wait() == "ABORTED"
    guest.asked_nothing()
    assert one.holds(data)


@covers("SEC-GEN-001")
@each_way
@pytest.mark.parametrize("bits", [RESERVED, UNKNOWN, 3 << 4, 1 << 12, 1 << 31],
                         ids=["reserved", "operation", "path", "low-bit", "high-bit"])
def test_operation_that_no_device_has_touches_nothing(connect, fds, shared, twin, bits):
    guest = guest_of(connect, twin)
    one = guest.map(memory=memory_for(fds, shared))
    data = one.fill(CANARY)
    guest.fail("FILL", BASE, SIZE, bits=bits)
    assert one.holds(data)
    guest.works(one)


# ---- the bytes ----


@covers("DMA-RW-001", "DMA-MAP-002")
@each_way
def test_sums_are_those_of_the_bytes_that_were_read(connect, fds, shared, twin):
    guest = guest_of(connect, twin)
    data = guest.map(memory=memory_for(fds, shared)).fill(SEED)
    guest.succeed("READ", BASE, SIZE)
    assert guest.slot().moved() == SIZE
    assert guest.slot().read("CSUM") == crc32(data)
    guest.vdma.write("CKOFF", PAGE)
    guest.vdma.write("CKLEN", PAGE + 1)
    assert guest.vdma.read("CKSUM") == crc32(data[PAGE : 2 * PAGE + 1])


@covers("DMA-RW-003", "DMA-RW-002", "DMA-MAP-002")
@each_way
def test_repeated_operation_reaches_each_place_and_nothing_between(connect, fds, shared, twin):
    guest = guest_of(connect, twin)
    one = guest.map(memory=memory_for(fds, shared))
    expected = bytearray(one.fill(CANARY))
    size, count = 0x123, 5
    for number in range(count):
        at = PAGE + 2 * PAGE * number
        expected[at : at + size] = pattern(SEED, size, number * size)
    guest.succeed("FILL", BASE + PAGE, size, count=count, stride=2 * PAGE, seed=SEED)
    assert one.holds(bytes(expected))
    assert guest.slot().moved() == count * size


@covers("DMA-RW-001", "DMA-MAP-002")
@each_way
def test_buffer_of_the_device_is_used_in_the_round(connect, fds, shared, twin):
    guest = guest_of(connect, twin)
    data = guest.map(memory=memory_for(fds, shared)).fill(SEED)
    guest.succeed("READ", BASE, PAGE, buf=BUFFER_SIZE - 0x100)
    assert guest.vdma.load(BUFFER_SIZE - 0x100, 0x100) == data[:0x100]
    assert guest.vdma.load(0, PAGE - 0x100) == data[0x100:PAGE]


@covers("DMA-RW-001", "DMA-MAP-002")
@each_way
@pytest.mark.parametrize("at", [0, PAGE + 7, SIZE - 1], ids=["first", "middle", "last"])
def test_one_byte_that_is_not_as_expected_is_found(connect, fds, shared, twin, at):
    guest = guest_of(connect, twin)
    one = guest.map(memory=memory_for(fds, shared))
    guest.succeed("FILL", BASE, SIZE, seed=SEED)
    guest.succeed("CHECK", BASE, SIZE, seed=SEED)
    one.write(BASE + at, bytes([one.read(BASE + at, 1)[0] ^ 0x10]))
    guest.fail("CHECK", BASE, SIZE, seed=SEED)


@covers("DMA-RW-003")
@each_way
@pytest.mark.parametrize("op", ["NOP", "TOUCH"], ids=str.lower)
def test_operation_without_data_moves_none(connect, fds, shared, twin, op):
    guest = guest_of(connect, twin)
    one = guest.map(memory=memory_for(fds, shared))
    data = one.fill(CANARY)
    guest.succeed(op, BASE, SIZE)
    assert not guest.requests and one.holds(data)
    assert guest.slot().read("CSUM") == crc32(b"")


@covers("DMA-RW-011")
@needs("server_dma")
@each_direction
def test_memory_with_a_descriptor_is_reached_by_messages_as_well(connect, fds, op):
    guest = guest_of(connect)
    one = guest.map(memory=fds.memory(SIZE))
    data = one.fill(SEED)
    guest.vdma.store(0, data[::-1])
    guest.succeed(op, BASE, SIZE, path="messages")
    assert guest.requests
    if op == "READ":
        assert guest.vdma.load(0, SIZE) == data
    else:
        assert one.holds(data[::-1])


@covers("DMA-MAP-001", "DMA-RW-003")
@each_direction
def test_memory_without_a_descriptor_is_reached_by_no_other_way(connect, op):
    guest = guest_of(connect)
    guest.map()
    assert guest.run(op, BASE, PAGE, path="direct") in FAILED
    assert not guest.requests


# ---- where it ends ----


@covers("DMA-RW-003", "DMA-MAP-018")
@each_way
@pytest.mark.parametrize("op", ["READ", "FILL"], ids=["read", "write"])
def test_operation_over_the_end_of_a_range_tells_how_far_it_came(connect, fds, shared, twin, op):
    guest = guest_of(connect, twin)
    one = guest.map(memory=memory_for(fds, shared))
    guest.fail(op, BASE + SIZE - PAGE // 2, PAGE, seed=SEED)
    slot = guest.slot()
    assert slot.read("FADDR") == BASE + SIZE
    assert slot.moved() == PAGE // 2
    assert 0 < slot.read("LASTSEQ") <= guest.vdma.read("EVHEAD")
    if op == "FILL":
        assert one.read(BASE + SIZE - PAGE // 2, PAGE // 2) == pattern(SEED, PAGE // 2)


@covers("DMA-MAP-018")
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("op", ["READ", "FILL", "COPY", "TOUCH", "CHECK"], ids=str.lower)
def test_address_behind_the_last_one_is_reached_by_no_operation(connect, fds, op, path):
    guest = guest_of(connect)
    one = guest.map((1 << 64) - SIZE, SIZE, fds.memory(SIZE))
    guest.fail(op, one.end - PAGE, 2 * PAGE, path=path)
    guest.session.barrier()


@covers("DMA-UNMAP-005", "DMA-UNMAP-006")
@each_way
def test_device_lets_go_before_the_unmap_is_over(connect, fds, shared, twin):
    guest = guest_of(connect, twin)
    one = guest.map(memory=memory_for(fds, shared))
    guest.start("FILL", BASE, SIZE, hold="POST")
    guest.held()
    before = guest.vdma.read("EVHEAD")
    guest.unmap(one)
    events = [event.name for event in guest.vdma.events(before)]
    assert "retire" in events and "unmap-quiet" in events, events
    assert events.index("unmap-begin") < events.index("retire") < events.index("unmap-quiet")
    assert not {"first", "last", "retire"} & set(events[events.index("unmap-quiet") :]), events
    assert guest.slot().state() in FAILED


@covers("DMA-UNMAP-006", "DMA-UNMAP-005")
def test_operation_that_drains_goes_on_by_itself_and_ends_before_the_reply(connect, fds):
    guest, memory = guest_of(connect), fds.memory(SIZE)
    one = guest.map(memory=memory)
    before = guest.vdma.read("DRAIN_MS")
    guest.vdma.write("DRAIN_MS", SOON)
    guest.start("FILL", BASE, SIZE, hold="POST|MID|END", mid=PAGE, seed=SEED, drain=True)
    guest.held()
    guest.unmap(one)
    assert one.holds(pattern(SEED, SIZE))
    assert guest.slot().state() == "DONE"
    guest.vdma.write("DRAIN_MS", before)


@covers("SEC-GEN-001")
@each_way
def test_slot_that_is_busy_takes_no_other_operation(connect, fds, shared, twin):
    guest = guest_of(connect, twin)
    one = guest.map(memory=memory_for(fds, shared))
    data = one.fill(CANARY)
    guest.start("FILL", BASE, PAGE, hold="POST", seed=SEED)
    guest.held()
    guest.slot().write("DST", BASE + PAGE)
    guest.slot().write("CMD", OPS["FILL"])
    assert guest.slot().state() == "HELD@POST"
    guest.slot().step("end")
    assert guest.wait() == "DONE"
    assert one.holds(pattern(SEED, PAGE) + data[PAGE:])


@covers("DMA-UNMAP-005")
@needs("mmap_region")
@each_way
@pytest.mark.parametrize("way", ["step", "release"], ids=["register", "side-door"])
def test_operation_that_is_aborted_holds_nothing(connect, fds, shared, twin, way):
    guest = guest_of(connect, twin)
    one = guest.map(memory=memory_for(fds, shared))
    data = one.fill(CANARY)
    guest.start("FILL", BASE, SIZE, hold="POST")
    guest.held()
    with guest.vdma:
        getattr(guest.slot(), way)("abort")
        assert guest.wait() == "ABORTED"
        assert one.holds(data)
    guest.unmap(one)
    guest.works(guest.map(memory=memory_for(fds, shared)))


def start_in_all(vdma, op, seed):
    """Start an operation in each slot, which moves a page of the pattern of that seed."""
    for slot in range(SLOTS):
        at = BASE + slot * PAGE
        vdma.slot(slot).start(op, src=at, dst=at, length=PAGE, buf=slot * PAGE, seed=seed)


@covers("DMA-RW-008", "SEC-GEN-008")
@needs("server_dma")
@on_each_socket
@pytest.mark.parametrize("op", ["READ", "FILL"], ids=["read", "write"])
def test_late_answers_make_room_for_commands_and_give_no_data(connect, twin, op):
    guest = guest_of(connect, twin)
    one, silent, late = guest.map(), Vdma(guest.session), []  # which answers nothing
    guest.vdma.store(0, bytes(SLOTS * PAGE))
    for _ in range(2):
        start_in_all(silent, op, CANARY)
        for slot in range(SLOTS):
            assert silent.slot(slot).wait() == "WAIT_MSG"
        while (request := guest.session.pending_request()) is not None:
            late.append(request)
        for slot in range(SLOTS):
            silent.slot(slot).step("abort")
            assert silent.slot(slot).wait() == "ABORTED"
    one.fill(SEED if op == "READ" else CANARY)
    start_in_all(silent, op, SEED)
    for request in late:
        guest.session.answer(request, data=bytes([CANARY]) * PAGE if op == "READ" else b"")
    for slot in range(SLOTS):
        assert guest.wait(slot) == "DONE"
        assert guest.slot(slot).moved() == PAGE
    size = SLOTS * PAGE
    found = guest.vdma.load(0, size) if op == "READ" else one.read(BASE, size)
    assert found == pattern(SEED, PAGE) * SLOTS, "a late answer has taken the place of another"
    guest.asked_nothing()


# ---- what it tells ----


@covers("IRQ-INFO-004", "DMA-MAP-002")
@needs("raise_irq", "irq2")
@each_way
def test_interrupt_of_an_operation_comes_behind_its_data(connect, fds, shared, twin):
    guest, eventfd = guest_of(connect, twin), fds.eventfd()
    guest.call("DEVICE_SET_IRQS", [eventfd], flags=ASSIGN, index="MSIX", start=VECTOR, count=1)
    one = guest.map(memory=memory_for(fds, shared))
    guest.start("FILL", BASE, SIZE, seed=SEED, vector=VECTOR)
    guest.wait()
    assert eventfd.wait() == 1
    assert one.holds(pattern(SEED, SIZE))
    guest.fail("FILL", BASE + SIZE, PAGE, vector=VECTOR)
    assert eventfd.wait() == 1
    guest.succeed("FILL", BASE, SIZE)
    guest.barrier()
    assert eventfd.count() == 0


@covers("DMA-RW-003")
@each_way
def test_counters_count_what_has_ended(connect, fds, shared, twin):
    guest = guest_of(connect, twin)
    one = guest.map(memory=memory_for(fds, shared), flags=RW)
    before = guest.vdma.counters()
    guest.succeed("FILL", BASE, SIZE)
    guest.fail("FILL", BASE + SIZE, PAGE)
    guest.start("FILL", BASE, PAGE, hold="PRE")
    guest.held()
    guest.slot().step("abort")
    guest.unmap(one)
    after = guest.vdma.counters()
    grown = {name: after[name] - before[name] for name in after if after[name] != before[name]}
    assert grown == {"STARTED": 3, "DONE": 1, "FAULTED": 1, "ABORTED": 1, "UNMAPS": 1}


# ---- its registers ----


@covers("SEC-GEN-002")
def test_registers_of_a_device_at_rest_read_the_same_twice(connect):
    vdma = guest_of(connect).vdma

    def all_registers():
        slots = [{name: vdma.slot(number).read(name) for name in (*SLOT_REGISTERS, *VIEW)}
                 for number in range(SLOTS)]
        return {name: vdma.read(name) for name in REGISTERS}, slots

    assert all_registers() == all_registers()
    assert vdma.read("MAGIC") == VDMA_MAGIC


@covers("SEC-GEN-001")
@pytest.mark.parametrize("offset, count", [
    (0, 1), (0, 2), (2, 4), (4, 8), (0, 64), (0x58, 4), (0x50, 8), (0x58, 8), (0xFFC, 8),
    (0x1000, 4), (BUFFER - 4, 8),
])
def test_access_that_is_of_no_register_does_no_harm(connect, fds, offset, count):
    guest = guest_of(connect)
    where = {"region": 0, "offset": offset}
    guest.session.outcome("REGION_READ", **where, count=count)
    guest.session.outcome("REGION_WRITE", **where, data=bytes(count))
    assert guest.vdma.read("MAGIC") == VDMA_MAGIC
    guest.works(guest.map(memory=fds.memory(SIZE)))


@covers("SEC-GEN-001")
@pytest.mark.parametrize("start, size", [(BUFFER_SIZE, 1), (0, BUFFER_SIZE + 1), (1, BUFFER_SIZE),
                                         (0xFFFFFFFF, 0xFFFFFFFF)],
                         ids=["behind", "longer", "over-the-end", "largest"])
def test_sum_over_more_than_the_buffer_is_refused_or_ends_with_it(connect, start, size):
    guest = guest_of(connect)
    guest.vdma.write("CKOFF", start)
    guest.vdma.write("CKLEN", size)
    sums = message("REGION_READ", region=0, offset=REGISTERS["CKSUM"], count=4)
    guest.session.outcome(sums)
    guest.vdma.write("CKOFF", 0)
    guest.vdma.write("CKLEN", BUFFER_SIZE)
    assert guest.vdma.read("CKSUM") == crc32(guest.vdma.load(0, BUFFER_SIZE))


@covers("SEC-GEN-001")
@needs("raise_irq", "irq1")
@pytest.mark.parametrize("value", [8, 0xFFFF, 5 << 16 | 1, 6 << 16, 0xFFFFFFFF])
def test_interrupt_that_the_device_has_not_is_refused_or_ignored(connect, fds, value):
    guest, eventfd = guest_of(connect), fds.eventfd()
    guest.call("DEVICE_SET_IRQS", [eventfd], flags=ASSIGN, index="MSIX", count=1)
    guest.session.outcome(guest.vdma.write_message_at(REGISTERS["IRQ"], value))
    guest.session.barrier()
    assert eventfd.count() == 0
    guest.vdma.write("IRQ", 0)
    assert eventfd.wait() == 1
