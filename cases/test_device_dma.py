# SPDX-License-Identifier: BSD-3-Clause
"""DMA by the device: the bytes that it moves, the memory that it may not touch, and when no more.

What an operation has done is told by the bytes at both ends, and that it does nothing more by bytes
that stay as they are until the operation is over. Where a range is reached by messages the guest
refuses to answer a command for what is not mapped.
"""

import fcntl
import os

import pytest
from dma import (
    FAILED, Range, each_direction, each_way, guest_of, memory_for, on_each_socket,
)
from mapping import BASE, PAGE, RW, SIZE, map_range

from vuc import covers, hostile, needs
from vuc.evidence import Fd
from vuc.vdma import pattern

pytestmark = needs("dma_maps", "provoke_dma")

SEED = 0x35
OTHER_SEED = 0x71
CANARY = 0xEE
MIB = 1 << 20
TOP = 1 << 64

each_kind = pytest.mark.parametrize("op", ["READ", "FILL"], ids=["read", "write"])


# ---- the bytes behind a range ----


PLACES = pytest.mark.parametrize(
    "at, size",
    [(0, 0x8000), (0, 1), (0x7FFF, 1), (0xFF1, 0x123), (PAGE, PAGE)],
    ids=["all", "first-byte", "last-byte", "across-pages", "second-page"],
)


@covers("DMA-MAP-002")
@pytest.mark.parametrize("offset", [0, 0x4000], ids=["from-the-start", "from-an-offset"])
@PLACES
def test_device_writes_into_the_file_at_its_offset(connect, fds, offset, at, size):
    guest, memory = guest_of(connect), fds.memory(MIB)
    memory.fill(SEED)
    expected = bytearray(memory.read(0, MIB))
    guest.map(BASE, 0x8000, memory, offset=offset)
    data = pattern(OTHER_SEED, size)
    guest.vdma.store(0, data)
    guest.succeed("WRITE", BASE + at, size)
    expected[offset + at : offset + at + size] = data
    assert memory.read(0, MIB) == expected


@covers("DMA-MAP-002")
@pytest.mark.parametrize("offset", [0, 0x4000], ids=["from-the-start", "from-an-offset"])
@pytest.mark.parametrize("flags", ["READ", RW])
@PLACES
def test_device_reads_from_the_file_at_its_offset(connect, fds, offset, flags, at, size):
    guest, memory = guest_of(connect), fds.memory(MIB)
    memory.fill(SEED)
    guest.map(BASE, 0x8000, memory, offset=offset, flags=flags)
    guest.succeed("READ", BASE + at, size)
    assert guest.vdma.load(0, size) == memory.read(offset + at, size)
    assert not memory.differs(SEED), "reading has changed the memory"


@covers("DMA-MAP-002")
def test_device_reads_a_file_that_can_only_be_read(connect, fds):
    guest, memory = guest_of(connect), fds.memory(SIZE)
    memory.fill(SEED)
    number = os.open(f"/proc/self/fd/{memory.fileno()}", os.O_RDONLY | os.O_CLOEXEC)
    map_range(guest.session, fds=[fds.keep(Fd(number, "read-only-memfd"))], flags="READ")
    guest.add(Range(BASE, SIZE, "READ", memory))
    guest.succeed("READ", BASE, SIZE)
    assert guest.vdma.load(0, SIZE) == memory.read(0, SIZE)


@covers("DMA-MAP-017")
def test_memory_that_is_sealed_against_writing_is_read_or_refused(connect, fds):
    sealed = fds.keep(Fd(os.memfd_create("sealed", os.MFD_ALLOW_SEALING), "sealed"))
    data = pattern(SEED, SIZE)
    os.pwrite(sealed.fileno(), data, 0)
    fcntl.fcntl(sealed.fileno(), fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)
    guest = guest_of(connect)
    outcome = guest.session.outcome("DMA_MAP", [sealed], flags="READ", address=BASE, size=SIZE)
    if outcome.kind == "success":
        guest.add(Range(BASE, SIZE, "READ")).write(BASE, data)
        guest.succeed("READ", BASE, SIZE)
        assert guest.vdma.load(0, SIZE) == data


@covers("DMA-MAP-002", "DMA-MAP-007")
def test_ranges_of_one_file_lead_to_their_parts_of_it(connect, fds):
    guest, memory = guest_of(connect), fds.memory(4 * PAGE)
    memory.fill(SEED)
    for index in range(4):
        guest.map(BASE + index * PAGE, PAGE, memory, offset=(3 - index) * PAGE)
    guest.succeed("FILL", BASE, 4 * PAGE, seed=1)
    expected = pattern(1, 4 * PAGE)
    for index in range(4):
        part = expected[index * PAGE : (index + 1) * PAGE]
        assert memory.read((3 - index) * PAGE, PAGE) == part, f"range {index}"


@covers("VIO-MAP-002", "DMA-MAP-002", "DMA-UNMAP-005")
@needs("lease")
def test_two_files_that_are_mapped_by_turns_are_told_apart(connect, fds):
    guest, memories = guest_of(connect), [fds.memory(4 * SIZE) for _ in range(2)]
    ranges = [guest.map(BASE + at * SIZE, SIZE, memories[at % 2], offset=at * SIZE)
              for at in range(4)]
    while ranges:
        for memory in memories:
            memory.write(0, bytes(4 * SIZE))
        for number, one in enumerate(ranges, SEED):
            guest.succeed("FILL", one.address, SIZE, seed=number)
        parts = {(one.memory, one.offset): pattern(number, SIZE)
                 for number, one in enumerate(ranges, SEED)}
        for memory in memories:
            expected = b"".join(parts.get((memory, at * SIZE), bytes(SIZE)) for at in range(4))
            assert memory.read(0, 4 * SIZE) == expected, "the other file, or part, is written"
        gone = ranges.pop(0)
        guest.unmap(gone)
        guest.fail("FILL", gone.address, PAGE)
    for memory in memories:
        memory.sent()
        assert not memory.held(), "a file is held when its last range is unmapped"


@covers("DMA-MAP-019")
@each_way
def test_device_reaches_a_range_that_was_added_in_the_middle(connect, device, fds, shared, twin):
    guest = guest_of(connect, twin)
    first = guest.map(memory=memory_for(fds, shared))
    guest.works(first)
    for index in range(device.info.num_regions):
        guest.call("DEVICE_GET_REGION_INFO", index=index)
    for index in range(device.info.num_irqs):
        guest.call("DEVICE_GET_IRQ_INFO", index=index)
    guest.works(guest.map(BASE + SIZE, SIZE, memory_for(fds, shared)))
    guest.works(first, OTHER_SEED)


@covers("DMA-MAP-018")
@on_each_socket
@each_direction
@pytest.mark.parametrize("address", [0, BASE, 1 << 47, TOP - PAGE],
                         ids=["zero", "1-mib", "128-tib", "last-page"])
def test_device_does_nothing_where_nothing_is_mapped(connect, twin, op, address):
    guest = guest_of(connect, twin)
    guest.fail(op, address, PAGE)
    one = guest.map(BASE + SIZE, SIZE)
    data = one.fill(SEED)
    guest.fail(op, address, PAGE)
    assert one.holds(data), "another range was written"
    assert not guest.requests
    # Whoever looks first where it found the last one must not be misled by an end that wraps.
    guest.run("READ", one.address, PAGE)
    guest.requests.clear()
    guest.fail(op, address, PAGE)
    assert one.holds(data), "another range was written"
    assert not guest.requests


# ---- a refused map ----


@covers("DMA-MAP-006")
@each_way
@pytest.mark.parametrize(
    "address, size",
    [(BASE, SIZE), (BASE + PAGE, PAGE), (BASE - PAGE, SIZE + 2 * PAGE), (BASE - PAGE, 2 * PAGE),
     (BASE + SIZE - PAGE, 2 * PAGE)],
    ids=["identical", "inside", "around", "head", "tail"],
)  # fmt: skip
def test_device_reaches_the_old_range_after_a_refused_map(connect, fds, shared, twin, address,
                                                         size):
    guest, other = guest_of(connect, twin), memory_for(fds, shared, size)
    one = guest.map(memory=memory_for(fds, shared))
    refused = Range(address, size, RW, other)
    data = refused.fill(CANARY)
    guest.session.refuse("DMA_MAP", [other] if shared else [], flags=RW, address=address,
                         size=size)
    guest.works(one)
    assert refused.holds(data), "the memory of the refused map was written"
    for outside in (BASE - PAGE, BASE + SIZE):
        guest.fail("FILL", outside, PAGE)


# ---- what a range is mapped for ----


@covers("DMA-MAP-008")
@each_way
@pytest.mark.parametrize("op", ["WRITE", "FILL"], ids=["write", "fill"])
@pytest.mark.parametrize("before", [0, PAGE], ids=["at-its-start", "from-the-range-before"])
def test_device_does_not_write_what_is_mapped_for_reading(connect, fds, shared, twin, op, before):
    guest = guest_of(connect, twin)
    guest.map(BASE - SIZE, SIZE, memory_for(fds, shared))
    one = guest.map(memory=memory_for(fds, shared), flags="READ")
    data = one.fill(SEED)
    guest.vdma.store(0, bytes(2 * PAGE))
    guest.run(op, BASE - before, PAGE + before)
    guest.asked_nothing()
    assert one.holds(data), "it is written"
    guest.works(one)


@covers("DMA-MAP-008")
@needs("seal")
def test_memory_that_can_only_be_read_is_not_mapped_for_writing(connect, fds):
    guest, memory = guest_of(connect), fds.memory(SIZE)
    number = os.open(f"/proc/self/fd/{memory.fileno()}", os.O_RDONLY | os.O_CLOEXEC)
    map_range(guest.session, fds=[fds.keep(Fd(number, "read-only-memfd"))], flags="READ")
    guest.add(Range(BASE, SIZE, "READ", memory))
    guest.run("FILL", BASE, PAGE)
    assert memory.read(0, SIZE) == bytes(SIZE), "it is written"
    guest.succeed("READ", BASE, PAGE)


@covers("DMA-MAP-009")
@each_way
def test_device_does_not_read_what_is_mapped_for_writing(connect, fds, shared, twin):
    guest = guest_of(connect, twin)
    one = guest.map(memory=memory_for(fds, shared), flags="WRITE")
    one.fill(SEED)
    canary = bytes([CANARY]) * PAGE
    guest.vdma.store(0, canary)
    guest.run("READ", BASE, PAGE)
    guest.asked_nothing()
    assert guest.vdma.load(0, PAGE) == canary, "it is read"
    guest.works(one)


@covers("DMA-MAP-009", "DMA-MAP-008")
@each_way
def test_device_does_not_copy_against_the_rights(connect, fds, shared, twin):
    guest = guest_of(connect, twin)
    source = guest.map(memory=memory_for(fds, shared), flags="WRITE")
    sink = guest.map(BASE + SIZE, SIZE, memory_for(fds, shared), flags="READ")
    source.fill(SEED)
    data = sink.fill(OTHER_SEED)
    for src, dst in ((source, source), (sink, sink), (source, sink)):
        guest.call(guest.slot().prepare("COPY", src=src.address, dst=dst.address + PAGE,
                                        length=PAGE))
        assert guest.wait() in FAILED
        guest.asked_nothing()
    assert source.holds(pattern(SEED, SIZE)) and sink.holds(data)


@covers("DMA-MAP-010")
@each_way
@each_kind
def test_device_does_not_access_what_is_mapped_for_nothing(connect, fds, shared, twin, op):
    guest, memory = guest_of(connect, twin), memory_for(fds, shared)
    one = Range(BASE, SIZE, "", memory)
    data = one.fill(SEED)
    outcome = guest.session.outcome("DMA_MAP", [memory] if shared else [], flags=0, address=BASE,
                                    size=SIZE)
    if outcome.kind == "success":
        guest.add(one)
    guest.fail(op, BASE, PAGE)
    assert one.holds(data), "it is written"


@covers("DMA-MAP-011")
@each_way
@pytest.mark.parametrize("bit", [2, 3, 4, 16, 31])
def test_device_reaches_a_range_with_undefined_flags_if_it_is_mapped(connect, fds, shared, twin,
                                                                    bit):
    guest, memory = guest_of(connect, twin), memory_for(fds, shared)
    outcome = guest.session.outcome("DMA_MAP", [memory] if shared else [], flags=3 | 1 << bit,
                                    address=BASE, size=SIZE)
    if outcome.kind == "success":
        guest.works(guest.add(Range(BASE, SIZE, RW, memory)))
    else:
        guest.fail("FILL", BASE, PAGE)


# ---- files that are not as they should be ----


@covers("DMA-MAP-016")
@hostile
@each_kind
@pytest.mark.parametrize(
    "offset, size, at",
    [(0, SIZE, PAGE), (0, SIZE, PAGE - 8), (PAGE, PAGE, 0), (1 << 63, PAGE, 0),
     (TOP - PAGE, PAGE, 0)],
    ids=["past-the-end", "over-the-end", "offset-past-the-end", "beyond-int64", "up-to-2-64"],
)  # fmt: skip
def test_device_survives_an_access_beyond_the_file(connect, fds, op, offset, size, at):
    guest, memory = guest_of(connect), fds.memory(PAGE)
    outcome = guest.session.outcome("DMA_MAP", [memory], flags=RW, offset=offset, address=BASE,
                                    size=size)
    if outcome.kind == "success":
        guest.add(Range(BASE, size))
    guest.run(op, BASE + at, 16)
    guest.barrier()
    assert len(memory.read(0, PAGE)) == PAGE, "the file has another size"


@covers("SEC-GEN-006", "DMA-MAP-016")
@needs("process")
@hostile
@each_kind
@pytest.mark.parametrize("size", [0, PAGE], ids=["to-nothing", "to-a-part"])
def test_device_survives_a_file_that_is_truncated(connect, fds, op, size):
    guest, memory = guest_of(connect), fds.memory(SIZE)
    guest.map(memory=memory).content = bytearray(SIZE)
    guest.succeed(op, BASE, SIZE)
    guest.ranges[0].memory = None  # a command is answered from elsewhere
    memory.truncate(size)
    guest.run(op, BASE, SIZE)
    guest.run(op, BASE + PAGE, 16)
    guest.barrier()
    assert os.fstat(memory.fileno()).st_size == size, "the file grew again"
    guest.unmap(guest.ranges[0])
    guest.works(guest.map(memory=fds.memory(SIZE)))


@covers("SEC-GEN-006", "DMA-MAP-016")
@needs("process")
@hostile
@each_kind
def test_device_survives_a_file_that_is_truncated_under_it(connect, fds, op):
    guest, memory = guest_of(connect), fds.memory(SIZE)
    guest.map(memory=memory).content = bytearray(SIZE)
    guest.start(op, BASE, SIZE, hold="MID", mid=PAGE)
    guest.held()
    guest.ranges[0].memory = None
    memory.truncate(0)
    guest.slot().step("end")
    guest.wait()
    guest.barrier()
    guest.unmap(guest.ranges[0])


KINDS = ("eventfd", "pipe", "broken-pipe", "socket", "directory", "epoll", "null", "o_path",
         "write-only-file", "read-only-file", "read-only-memfd")


@covers("FD-PASS-008")
@hostile
@each_kind
@pytest.mark.parametrize("kind", KINDS)
def test_device_survives_memory_that_is_none(connect, fds, op, kind):
    guest = guest_of(connect)
    outcome = guest.session.outcome("DMA_MAP", [fds.kind(kind)], flags=RW, address=BASE, size=SIZE)
    if outcome.kind == "success":
        guest.add(Range(BASE, SIZE))
    guest.run(op, BASE, PAGE)
    guest.barrier()
    guest.works(guest.map(BASE + SIZE, SIZE, fds.memory(SIZE)))
