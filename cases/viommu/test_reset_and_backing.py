# SPDX-License-Identifier: BSD-3-Clause
"""Reset, the end of the client, and files that change under a mapping: rows G01 to G21 of the
catalogue without those about page requests (README.md says where G07, G08 and G10 are).
"""

import ctypes
import fcntl
import os
import socket
from errno import EACCES, EINVAL, EPERM

import pytest
from dma import Range, each_way, guest_of, memory_for
from flight import AFTER, SEED, assert_ended, canary, hold, map_canary, moved
from interrupts import line_of
from mapping import BASE, PAGE, RW, SIZE, assert_nothing_mapped, eventually, map_range
from pci import COMMAND, DEVICE_CONTROL, EXPRESS, FLR, MASTER, capability, number, put

from vuc import covers, hostile, needs, reading, structure
from vuc.device import CONFIG, INTERRUPT_LINE
from vuc.evidence import Fd
from vuc.vdma import REGISTERS, TERMINAL, pattern

MISSED = "FAULT ENOENT"
CUT = "FAULT EFAULT"
NO_ACCESS = {EACCES, EPERM}
SLOTS = range(8)
ENDLESS = 0xFFFFFFFF  # times

needs_dma = needs("dma_maps", "provoke_dma")
each_policy = pytest.mark.parametrize("drain", [False, True], ids=["abort", "drain"])
each_op = pytest.mark.parametrize("op", ["READ", "FILL"], ids=["read", "write"])
each_point = pytest.mark.parametrize("point, count", [("POST", 0), ("MID", PAGE), ("END", SIZE)],
                                     ids=["translated", "middle", "end"])


def assert_over(guest, one, data, *slots):
    """The range holds exactly this, also when the operations of these slots are let go, as far as
    they are still there, and after further commands."""
    assert one.holds(data), "the bytes at the reply are wrong"
    for number in slots:
        guest.slot(number).step("end")
        guest.wait(number)
    for _ in range(AFTER):
        guest.session.barrier()
        assert one.holds(data), "bytes move behind the reply"


# ---- reset ----


@covers("VIO-RESET-001", "RST-DEV-002")
@needs_dma
@needs("reset")
@each_policy
@each_point
def test_g01_held_operation_is_aborted_by_a_reset_and_moves_nothing(guest, fds, point, count,
                                                                    drain):
    one = map_canary(guest, fds)
    hold(guest, point, one, mid=PAGE, drain=drain)
    guest.call("DEVICE_RESET")
    assert guest.slot().state() == "IDLE"
    assert_over(guest, one, moved(count), 0)
    assert guest.slot().state() == "IDLE", "it comes back to life"


@covers("VIO-RESET-001", "RST-DEV-002")
@needs_dma
@needs("reset")
def test_g01_operations_that_run_are_over_at_the_reply_to_a_reset(guest, fds):
    one = map_canary(guest, fds)
    for number in SLOTS:
        guest.start("FILL", BASE + number * PAGE, PAGE, number, count=ENDLESS, seed=SEED)
    guest.call("DEVICE_RESET")
    one.write(BASE, canary())
    assert_over(guest, one, canary(), *SLOTS)


@covers("VIO-RESET-001", "PCI-FLR-001", "RW-MULTI-002")
@needs_dma
@needs("flr", "pci_config", "write_multiple", "irq1", "raise_irq")
def test_g01_function_level_reset_between_other_writes_is_in_its_place(guest, device, fds):
    one, line = map_canary(guest, fds), line_of(guest.session, device, "MSIX")
    control = capability(guest.session, EXPRESS) + DEVICE_CONTROL
    writes = ((0, REGISTERS["IRQ"], 4, 0), (CONFIG, COMMAND, 2, MASTER),
              (CONFIG, control + 1, 1, FLR >> 8), (CONFIG, INTERRUPT_LINE, 1, SEED))
    data = b"".join(structure("WRITE_MULTI_ENTRY", region=region, offset=offset, count=width,
                              data=value) for region, offset, width, value in writes)
    for _ in range(4):
        eventfd, *_ = line.assigned(fds)
        for slot in SLOTS:
            guest.start("FILL", BASE, SIZE, slot, count=ENDLESS, seed=SEED)
        reply = guest.call("REGION_WRITE_MULTI", wr_cnt=len(writes), data=data)
        one.write(BASE, canary())
        assert reply.wr_cnt == len(writes), "not all are written"
        assert {guest.slot(slot).state().name for slot in SLOTS} <= TERMINAL, "it runs on"
        assert_over(guest, one, canary(), *SLOTS)
        assert number(guest.session, INTERRUPT_LINE, 1) == SEED, "what is behind was lost"
        assert number(guest.session, COMMAND, 2) == 0, "what is before came behind it"
        assert eventfd.count() == 1, "the write before it is not executed exactly once"
        put(guest.session, INTERRUPT_LINE, 0, 1)


@covers("VIO-RESET-001")
@reading("M2")
@needs_dma
@needs("reset")
@each_way
def test_g04_mapping_is_used_after_a_reset(connect, fds, shared, twin):
    guest = guest_of(connect, twin)
    one = guest.map(memory=memory_for(fds, shared))
    for seed in range(3):
        guest.call("DEVICE_RESET")
        guest.works(one, seed)
    guest.unmap(one)
    guest.fail("READ", BASE, PAGE)


# ---- the end of the client ----


def assert_given_back(guest, one):
    """The next client has its VERSION reply: nobody holds the memory of the one before."""
    if one.memory.held():
        failure = guest.failure("effect", "the memory of the client before is held")
        failure.requirement = "VIO-DISC-001"
        raise failure


@covers("DISC-CLI-006", "VIO-DISC-001")
@needs_dma
@needs("reconnect", "lease")
@each_policy
@each_point
def test_g05_held_operation_moves_nothing_for_the_next_client(connect, fds, point, count, drain):
    first = guest_of(connect)
    one = map_canary(first, fds)
    one.memory.sent()
    hold(first, point, one, mid=PAGE, drain=drain)
    first.session.close()
    second = guest_of(connect)
    assert_given_back(second, one)
    assert_over(second, one, moved(count), 0)


@covers("DISC-CLI-006", "VIO-DISC-001")
@needs_dma
@needs("reconnect", "lease")
def test_g05_operations_that_run_are_over_for_the_next_client(connect, fds):
    for _ in range(8):
        first = guest_of(connect)
        one = map_canary(first, fds)
        one.memory.sent()
        for number in SLOTS:
            first.start("FILL", BASE + number * PAGE, PAGE, number, count=ENDLESS, seed=SEED)
        first.session.close()
        second = guest_of(connect)
        one.write(BASE, canary())
        assert_given_back(second, one)
        assert_over(second, one, canary(), *SLOTS)
        second.session.close()


@covers("VIO-DISC-001", "DISC-CLI-004")
@needs_dma
@needs("reconnect")
@each_way
@each_op
def test_g09_operation_of_the_next_client_misses_and_its_map_succeeds(connect, fds, shared, twin,
                                                                      op):
    first, memory = guest_of(connect, twin), memory_for(fds, shared)
    first.works(first.map(memory=memory))
    first.session.close()
    guest = guest_of(connect, twin)
    assert guest.run(op, BASE, PAGE) == MISSED
    guest.asked_nothing()
    guest.works(guest.map(memory=memory))


@covers("VIO-DISC-002", "DISC-CLI-001")
@needs_dma
@needs("reconnect", "concurrent")
@pytest.mark.parametrize("disconnect", [False, True], ids=["unmaps", "leaves"])
def test_g21_other_client_of_the_same_memory_goes_on(connect, fds, disconnect):
    memory = fds.memory(SIZE)
    memory.write(0, canary())
    leaving, guest = guest_of(connect), guest_of(connect)
    theirs, one = leaving.map(memory=memory), guest.map(memory=memory)
    leaving.works(theirs)
    one.write(BASE, canary())
    hold(guest, "MID", one, mid=PAGE)
    if disconnect:
        leaving.session.close()
    else:
        leaving.unmap(theirs)
        leaving.fail("FILL", BASE, PAGE)
    assert guest.slot().state() == "HELD@MID", "the other client has touched it"
    guest.slot().step("end")
    guest.wait()
    assert_ended(guest, "DONE", SIZE)
    assert one.holds(moved(SIZE))
    guest.works(one)


# ---- files that are cut short, or get holes ----


TIMES = 1000
AT_LEAST = 10


@covers("VIO-FILE-001", "SEC-GEN-006", "DMA-MAP-016")
@needs_dma
@hostile
def test_g11_missing_page_costs_the_operations_that_meet_it_alone(guest, fds, scale):
    other = map_canary(guest, fds, BASE + SIZE)
    starts = [guest.prepare(("READ", "FILL")[slot % 2], BASE + slot % 4 // 2 * PAGE, PAGE, slot,
                            seed=SEED, armed=True) for slot in range(6)]
    starts += [guest.prepare("FILL", BASE, 2 * PAGE, 6, seed=SEED, armed=True),
               guest.prepare("FILL", other.address, SIZE, 7, seed=SEED, armed=True)]
    ends = [("DONE", PAGE), ("DONE", PAGE), (CUT, 0), (CUT, 0), ("DONE", PAGE), ("DONE", PAGE),
            (CUT, PAGE), ("DONE", SIZE)]
    for _ in range(max(AT_LEAST, round(TIMES * scale))):
        one = map_canary(guest, fds, size=2 * PAGE)
        one.memory.truncate(PAGE)
        other.write(other.address, canary())
        for start in starts:
            guest.call(start)
        guest.vdma.go(*SLOTS)
        for slot, (state, count) in enumerate(ends):
            guest.wait(slot)
            assert_ended(guest, state, count, slot)
        assert one.memory.read(0, PAGE) == moved(PAGE, PAGE)
        assert other.holds(moved(SIZE))
        guest.unmap(one)
        one.memory.close()


@covers("VIO-FILE-001", "SEC-GEN-006", "DMA-MAP-016")
@needs_dma
@hostile
@each_op
@pytest.mark.parametrize("mid, left", [(PAGE, PAGE), (PAGE + 8, PAGE), (PAGE, 0), (PAGE, 2 * PAGE)],
                         ids=["to-where-it-is", "to-a-page-begun", "to-nothing", "further-on"])
def test_g12_operation_whose_file_is_cut_in_the_middle_has_moved_what_it_says(guest, fds, op, mid,
                                                                             left):
    one = map_canary(guest, fds)
    guest.vdma.store(0, bytes(SIZE))
    hold(guest, "MID", one, op=op, mid=mid)
    one.memory.truncate(left)
    guest.slot().step("end")
    guest.wait()
    count = max(mid, left)
    assert_ended(guest, CUT, count)
    if op == "FILL":
        assert one.memory.read(0, left) == pattern(SEED, left)
    else:
        assert guest.vdma.load(0, SIZE) == canary(count) + bytes(SIZE - count)
    guest.unmap(one)
    guest.works(guest.map(memory=fds.memory(SIZE)))


@covers("VIO-FILE-001", "SEC-GEN-006", "DMA-MAP-016")
@needs_dma
@hostile
@each_op
@pytest.mark.parametrize("at", [8, 1, PAGE - 1], ids=["word", "byte", "last-byte"])
def test_g12_operation_from_within_a_page_moves_all_that_is_there(guest, fds, op, at):
    one, count = map_canary(guest, fds), PAGE - at
    guest.vdma.store(0, bytes(SIZE))
    one.memory.truncate(PAGE)
    guest.run(op, BASE + at, SIZE - at, seed=SEED)
    assert_ended(guest, CUT, count)
    if op == "FILL":
        assert one.memory.read(at, count) == pattern(SEED, count)
    else:
        assert guest.vdma.load(0, SIZE) == canary(count) + bytes(SIZE - count)
    guest.unmap(one)


@covers("VIO-FILE-001", "SEC-GEN-006", "DMA-MAP-016")
@needs_dma
@hostile
@each_op
@pytest.mark.parametrize("met", [False, True], ids=["unseen", "seen-while-missing"])
def test_g13_file_that_grew_again_reads_as_zeros_or_fails_until_it_is_mapped_anew(guest, fds, op,
                                                                                 met):
    one = map_canary(guest, fds)
    one.memory.truncate(PAGE)
    if met:
        assert guest.run(op, BASE + PAGE, PAGE, seed=SEED) == CUT
    one.memory.truncate(SIZE)
    guest.vdma.store(0, canary(PAGE))
    state = guest.run(op, BASE + PAGE, PAGE, seed=SEED)
    assert state in ("DONE", CUT), f"{state}"
    if state == "DONE" and op == "READ":
        assert guest.vdma.load(0, PAGE) == bytes(PAGE)
    elif state == "DONE":
        assert one.memory.read(PAGE, PAGE) == pattern(SEED, PAGE)
    guest.succeed(op, BASE, PAGE, seed=SEED)
    guest.unmap(one)
    guest.works(guest.map(memory=one.memory))


KEEP_SIZE, PUNCH_HOLE = 1, 2


def punch(memory, at, size):
    """Give the bytes of a file back; it keeps its length."""
    libc = ctypes.CDLL(None, use_errno=True)
    place = ctypes.c_long(at), ctypes.c_long(size)
    if libc.fallocate(memory.fileno(), KEEP_SIZE | PUNCH_HOLE, *place):
        raise OSError(ctypes.get_errno(), "fallocate")


@covers("VIO-FILE-001", "DMA-MAP-002")
@needs_dma
@pytest.mark.parametrize("held", [False, True], ids=["before", "in-the-middle"])
def test_g14_hole_reads_as_zeros_and_takes_what_is_written(guest, fds, held):
    one = map_canary(guest, fds)
    if held:
        hold(guest, "MID", one, op="READ", mid=PAGE)
    punch(one.memory, PAGE, PAGE)
    if held:
        guest.slot().step("end")
        guest.wait()
        assert_ended(guest, "DONE", SIZE)
    else:
        guest.succeed("READ", BASE, SIZE)
    holed = canary(PAGE) + bytes(PAGE) + canary(SIZE - 2 * PAGE)
    assert guest.vdma.load(0, SIZE) == holed
    punch(one.memory, 0, SIZE)
    guest.works(one)


# ---- descriptors that forbid what is asked ----


SEALS = {"write": fcntl.F_SEAL_WRITE, "future-write": 0x10}
SIZES = {"size": (0, 2 * SIZE), "offset": (SIZE, PAGE), "both": (PAGE, SIZE),
         "far": (1 << 62, PAGE)}


def memfd(fds):
    """A file that can be sealed, full of canaries."""
    one = fds.keep(Fd(os.memfd_create("sealed", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), "memfd"))
    assert os.pwrite(one.fileno(), canary(), 0) == SIZE
    return one


def reopened(fds, memory, flags):
    """Another open file description of the same file."""
    path = f"/proc/self/fd/{memory.fileno()}"
    return fds.keep(Fd(os.open(path, flags | os.O_CLOEXEC), "reopened"))


def unmappable():
    """A regular file of a page that can be read, and not be mapped."""
    for path in UNMAPPABLE:
        try:
            one = Fd(os.open(path, os.O_RDONLY | os.O_CLOEXEC), "sysfs")
        except OSError:
            continue
        if os.fstat(one.fileno()).st_size == PAGE:
            return one
        one.close()
    pytest.skip("needs: a file that can be read, and not be mapped")


def refused(session, fd, address=BASE, *, flags=RW, errno=None, size=SIZE, **fields):
    """It is not mapped, and something else can be."""
    session.refuse("DMA_MAP", [fd], flags=flags, address=address, size=size, errno=errno, **fields)
    assert_nothing_mapped(session, address, size)


@covers("VIO-MAP-004")
@needs("dma_maps")
@pytest.mark.parametrize("seal", SEALS.values(), ids=SEALS)
@pytest.mark.parametrize("flags", ["WRITE", RW], ids=["write", "read-write"])
def test_g15_sealed_file_is_not_mapped_for_writing(session, fds, seal, flags):
    sealed = memfd(fds)
    fcntl.fcntl(sealed.fileno(), fcntl.F_ADD_SEALS, seal)
    refused(session, sealed, flags=flags, errno=NO_ACCESS)


@covers("VIO-MAP-004", "DMA-MAP-008")
@needs_dma
@pytest.mark.parametrize("seal", SEALS.values(), ids=SEALS)
def test_g15_sealed_file_is_mapped_for_reading_alone_or_not_at_all(guest, fds, seal):
    sealed = memfd(fds)
    fcntl.fcntl(sealed.fileno(), fcntl.F_ADD_SEALS, seal)
    outcome = guest.session.outcome("DMA_MAP", [sealed], flags="READ", address=BASE, size=SIZE)
    if outcome.kind == "success":
        guest.add(Range(BASE, SIZE, "READ"))
        guest.succeed("READ", BASE, SIZE)
        assert guest.vdma.load(0, SIZE) == canary()
    guest.fail("FILL", BASE, PAGE)
    assert os.pread(sealed.fileno(), SIZE, 0) == canary()


@covers("VIO-FILE-002")
@needs("dma_maps")
@pytest.mark.parametrize("seal", SEALS.values(), ids=SEALS)
def test_g15_sealed_file_can_be_mapped_for_reading(session, fds, seal):
    sealed = memfd(fds)
    fcntl.fcntl(sealed.fileno(), fcntl.F_ADD_SEALS, seal)
    map_range(session, fds=[sealed], flags="READ")


@covers("VIO-MAP-004")
@needs_dma
def test_g15_seal_holds_beside_a_mapping_from_before_it(guest, fds):
    memory = memfd(fds)
    map_range(guest.session, fds=[memory])
    fcntl.fcntl(memory.fileno(), fcntl.F_ADD_SEALS, SEALS["future-write"])
    refused(guest.session, memory, BASE + SIZE, errno=NO_ACCESS)
    guest.add(Range(BASE, SIZE, RW))
    guest.succeed("FILL", BASE, SIZE, seed=SEED)
    assert os.pread(memory.fileno(), SIZE, 0) == pattern(SEED, SIZE)


@covers("VIO-MAP-004", "DMA-MAP-016")
@needs("dma_maps")
@pytest.mark.parametrize("mapped", [False, True], ids=["new-file", "mapped-file"])
@pytest.mark.parametrize("offset, size", SIZES.values(), ids=SIZES)
def test_g16_range_beyond_the_end_of_the_file_is_refused(session, fds, offset, size, mapped):
    memory = fds.memory(SIZE)
    if mapped:
        map_range(session, BASE - SIZE, SIZE, [memory])
    refused(session, memory, offset=offset, size=size, errno=EINVAL)


@covers("VIO-MAP-004")
@needs("dma_maps")
@pytest.mark.parametrize("flags, mode", [("WRITE", os.O_RDONLY), (RW, os.O_RDONLY),
                                         ("READ", os.O_WRONLY), (RW, os.O_WRONLY)],
                         ids=["write-of-read-only", "both-of-read-only", "read-of-write-only",
                              "both-of-write-only"])
@pytest.mark.parametrize("mapped", [False, True], ids=["new-file", "mapped-file"])
def test_g17_mode_of_the_descriptor_is_not_exceeded(session, fds, flags, mode, mapped):
    memory = fds.memory(SIZE)
    if mapped:
        map_range(session, BASE - SIZE, SIZE, [memory])
    refused(session, reopened(fds, memory, mode), flags=flags, errno=NO_ACCESS)


ODD = ("eventfd", "pipe", "broken-pipe", "socket", "directory", "epoll", "null", "o_path")
UNMAPPABLE = ("/sys/kernel/uevent_seqnum", "/sys/kernel/profiling",
              "/sys/kernel/mm/transparent_hugepage/enabled")


@covers("VIO-MAP-004", "FD-PASS-008", "FD-PASS-007")
@needs("dma_maps", "proc")
@pytest.mark.parametrize("kind", [*ODD, "listening-socket", "own-connection", "sysfs"])
def test_g18_what_is_no_memory_is_refused_and_closed(session, target, fds, kind):
    before = target.resources().fds
    if kind == "own-connection":
        refused(session, session)
    elif kind == "sysfs":
        refused(session, fds.keep(unmappable()), flags="READ", size=PAGE)
    elif kind == "listening-socket":
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(b"")
            one.listen()
            refused(session, one)
    else:
        refused(session, fds.kind(kind))
    assert eventually(session, lambda: target.resources().fds <= before), "it is kept"


# ---- what a file is told by ----


@covers("DMA-MAP-002", "VIO-MAP-002")
@needs_dma
@pytest.mark.parametrize("unmapped", [False, True], ids=["still-mapped", "unmapped"])
def test_g19_descriptor_number_that_comes_again_is_another_file(guest, fds, unmapped):
    old, new = fds.memory(SIZE), fds.memory(SIZE)
    old.write(0, canary())
    passed = fds.keep(Fd(os.dup(old.fileno()), "first"))
    map_range(guest.session, fds=[passed])
    one = guest.add(Range(BASE, SIZE, RW, old))
    guest.succeed("FILL", BASE, PAGE, seed=SEED)
    if unmapped:
        guest.unmap(one)
    os.dup2(new.fileno(), passed.fileno(), inheritable=False)
    map_range(guest.session, BASE + SIZE, SIZE, [passed])
    guest.works(guest.add(Range(BASE + SIZE, SIZE, RW, new)))
    assert old.read(0, SIZE) == moved(PAGE), "the old file is written"


class File(Fd):
    """A file of a file system that is read and written like a Memory."""

    def __init__(self, path):
        super().__init__(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        self.size = SIZE
        self.write(0, canary())

    def read(self, offset, size):
        """`size` bytes at `offset`."""
        return os.pread(self.fileno(), size, offset)

    def write(self, offset, data):
        """Store the bytes at `offset`."""
        os.pwrite(self.fileno(), data, offset)


FILES = 64  # to be made until an inode comes again


@covers("DMA-MAP-002", "VIO-MAP-002", "DMA-UNMAP-005")
@needs_dma
def test_g20_inode_that_comes_again_is_another_file(guest, fds, tmp_path):
    path = tmp_path / "memory"
    old = fds.keep(File(path))
    inode = os.fstat(old.fileno()).st_ino
    one = guest.map(memory=old)
    guest.works(one)
    guest.unmap(one)
    path.unlink()
    old.close()
    for number in range(FILES):
        new = fds.keep(File(tmp_path / f"memory-{number}"))
        if os.fstat(new.fileno()).st_ino == inode:
            break
    else:
        pytest.skip("needs: a file system that gives inode numbers of deleted files out again")
    guest.works(guest.map(memory=new))
