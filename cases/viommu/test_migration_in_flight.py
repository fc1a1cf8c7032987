# SPDX-License-Identifier: BSD-3-Clause
"""A device that is stopped for migration while it does DMA: rows I01, I05 and I15 to I17 of the
catalogue (README.md).

What an operation is held with when STOP comes decides what becomes of it: with memory it ends, as
its policy says; without, it rests until the device runs again. Where the policy is to drain, the
reply waits for that and for nothing else.
"""

from errno import EFAULT

import pytest
from dma import Guest
from exchanges import ADDRESS
from flight import (
    AFTER, SEED, assert_ended, assert_order, assert_waits, canary, hold, let_drain, map_canary,
    moved,
)
from interrupts import line_of
from mapping import (
    BASE, PAGE, SIZE, assert_mapped, assert_nothing_mapped, eventually, map_range, unmap_range,
)
from migrating import (
    GARBAGE, SIZES, STOPPED, each_state, set_message,
    destination_fixture, migration_fixture,  # noqa: F401 - fixtures
)

from vuc import covers, needs
from vuc.vdma import TERMINAL, pattern

pytestmark = needs("dma_maps", "migration")

dma = needs("provoke_dma")
ABORTED = "ABORTED ECANCELED"
PIECES = 4096  # pages of a long operation, more than a device moves between two commands
LONG = PIECES * PAGE

# Where an operation is held with memory, and what it has moved by then.
PINNED = {"translated": ("POST", 0), "middle": ("MID", PAGE), "inside": ("MID", PAGE + 8),
          "end": ("END", SIZE)}
each_pinned = pytest.mark.parametrize(("point", "count"), PINNED.values(), ids=PINNED)
each_direction = pytest.mark.parametrize("op", ["READ", "FILL"], ids=["read", "write"])


@pytest.fixture
def guest(migration):
    """The Guest of the device that migrates."""
    one = Guest(migration.session)
    yield one
    one.vdma.close()


def long_pages(count):
    """What a long operation has left when it has moved that many bytes: page by page."""
    return (pattern(SEED, PAGE) * PIECES)[:count] + canary(LONG - count)


def start_long(guest, **how):
    """Start an operation that writes the pattern to each page of a long range."""
    guest.start("FILL", BASE, PAGE, count=PIECES, stride=PAGE, seed=SEED, **how)


def assert_rests(guest, one, data, slot=0):
    """The range holds exactly this, also after further commands, one of which lets the operation
    of the slot go."""
    assert one.holds(data), "the bytes at the reply are wrong"
    guest.slot(slot).step("end")
    for _ in range(AFTER):
        guest.session.outcome("DEVICE_GET_INFO")  # which may be refused while it is stopped
        assert one.holds(data), "bytes move while the device is stopped"


def assert_asks_nothing(guest):
    """The server sends no command."""
    guest.session.outcome("DEVICE_GET_INFO")
    assert guest.session.pending_request() is None, "it sends a command while it is stopped"


# ---- operations that hold memory ----


@dma
@covers("VIO-STOP-001", "MIG-STATE-006")
@each_pinned
def test_i01_stop_waits_for_an_operation_that_drains(migration, guest, fds, point, count):
    one = map_canary(guest, fds)
    let_drain(guest)
    hold(guest, point, one, mid=count, drain=True)
    since = guest.vdma.read("EVHEAD")
    sent = guest.session.send(set_message("STOP"))
    assert_waits(guest)
    assert one.holds(moved(count)), "it does not stay held"
    guest.slot().release("end")
    guest.success(sent)
    migration.expect("STOP")
    assert_ended(guest, "DONE", SIZE)
    assert_order(guest, since, "retire", "report")
    assert_rests(guest, one, moved(SIZE))
    migration.set("RUNNING")
    assert_ended(guest, "DONE", SIZE)
    guest.works(one)


@dma
@covers("VIO-STOP-001", "MIG-STATE-006")
@each_pinned
def test_i01_operation_that_need_not_drain_ends_or_rests(migration, guest, fds, point, count):
    one = map_canary(guest, fds)
    hold(guest, point, one, mid=count)
    migration.set("STOP")
    assert guest.slot().state() in (ABORTED, f"HELD@{point}")
    assert guest.slot().moved() == count, "it has moved another number of bytes than it says"
    assert_rests(guest, one, moved(count))
    migration.set("RUNNING")
    if guest.wait() == "DONE":
        count = SIZE
    else:
        assert_ended(guest, ABORTED, count)
    assert_rests(guest, one, moved(count))
    guest.works(one)


@dma
@covers("VIO-STOP-001", "MIG-STATE-006")
def test_i01_stop_waits_for_all_that_drain_and_for_no_other(migration, guest, fds):
    ranges = [map_canary(guest, fds, BASE + slot * SIZE) for slot in range(4)]
    let_drain(guest)
    for slot, one in enumerate(ranges):
        hold(guest, "MID", one, slot, mid=PAGE, drain=slot % 2 == 0)
    sent = guest.session.send(set_message("STOP"))
    assert_waits(guest)
    guest.slot(2).release("end")
    assert_waits(guest)
    guest.slot(0).release("end")
    guest.success(sent)
    for slot, one in enumerate(ranges):
        drains = slot % 2 == 0
        assert guest.slot(slot).state() in (("DONE",) if drains else (ABORTED, "HELD@MID"))
        assert guest.slot(slot).moved() == (SIZE if drains else PAGE)
        assert_rests(guest, one, moved(SIZE if drains else PAGE), slot)


# ---- operations that hold none ----


@dma
@covers("VIO-STOP-001", "MIG-STATE-006")
@pytest.mark.parametrize("drain", [False, True], ids=["abort", "drain"])
@pytest.mark.parametrize(("point", "count"), [("PRE", 0), ("RETIRED", SIZE)],
                         ids=["before", "behind"])
def test_i01_operation_without_memory_rests_and_goes_on(migration, guest, fds, point, count,
                                                        drain):
    one = map_canary(guest, fds)
    let_drain(guest)
    hold(guest, point, one, drain=drain)
    migration.set("STOP")
    assert guest.slot().state() == f"HELD@{point}", "the stop has touched it"
    assert_rests(guest, one, moved(count))
    migration.set("RUNNING")
    assert guest.wait() == "DONE"
    assert_ended(guest, "DONE", SIZE)
    assert one.holds(moved(SIZE)), "it is done, and its bytes are not there"


@dma
@covers("VIO-STOP-001", "MIG-STATE-006")
def test_i01_interrupt_of_an_operation_waits_until_the_device_runs(migration, guest, device, fds):
    one, eventfd = map_canary(guest, fds), fds.eventfd()
    line_of(guest.session, device, "MSIX").assign([eventfd])
    hold(guest, "RETIRED", one, vector=0)
    migration.set("STOP")
    assert_rests(guest, one, moved(SIZE))
    assert eventfd.count() == 0, "it raised an interrupt"
    migration.set("RUNNING")
    assert guest.wait() == "DONE"
    assert eventfd.wait() == 1


@dma
@covers("VIO-STOP-001", "MIG-STATE-006")
def test_i01_operation_that_runs_without_end_rests_and_goes_on(migration, guest, fds):
    one = map_canary(guest, fds)
    guest.start("FILL", BASE, SIZE, count=0xFFFFFFFF, seed=SEED)
    for _ in range(8):
        migration.set("STOP")
        count = guest.slot().moved()
        one.fill(0x71)
        assert_rests(guest, one, pattern(0x71, SIZE))
        assert guest.slot().moved() == count, "it counts bytes while the device is stopped"
        migration.set("RUNNING")
    assert guest.slot().state().name not in TERMINAL, "it has ended"
    far = 2 * SIZE
    went_on = eventually(guest.session, lambda: (guest.slot().moved() - count) % (1 << 32) > far)
    assert went_on, "it does not go on where the device runs"
    guest.unmap(one)
    assert guest.wait() in ("ABORTED", "FAULT")
    assert one.holds(pattern(SEED, SIZE)), "it has left bytes out"


@dma
@covers("VIO-STOP-001", "MIG-STATE-006")
@needs("server_dma")
@each_direction
def test_i01_stop_does_not_wait_for_the_client_and_sends_it_nothing(migration, guest, op):
    one = guest.map()
    one.fill(SEED)
    guest.session.send(guest.prepare(op, BASE, PAGE, seed=0x71))
    late = guest.take()
    guest.success(guest.session.send(set_message("STOP")))
    assert_asks_nothing(guest)
    guest.session.answer(late, errno=EFAULT)
    assert_asks_nothing(guest)
    assert guest.slot().moved() == 0, "what it was given up with counts"
    migration.set("RUNNING")
    assert guest.wait() == "DONE"
    assert_ended(guest, "DONE", PAGE)
    expected = pattern(0x71 if op == "FILL" else SEED, PAGE)
    assert one.read(BASE, PAGE) == expected
    assert op == "FILL" or guest.vdma.load(0, PAGE) == expected, "other bytes were read"


@dma
@covers("VIO-STOP-001", "MIG-FSM-006")
@needs("server_dma", "pre_copy")
@each_direction
def test_i01_operation_that_waits_for_its_answer_goes_on_where_saving_begins(migration, guest, op):
    one = guest.map()
    one.fill(SEED)
    guest.session.send(guest.prepare(op, BASE, 2 * PAGE, seed=0x71))
    late = guest.take()
    guest.session.success(guest.session.send(set_message("PRE_COPY")))
    assert guest.slot().moved() == 0, "it counts what was not answered"
    guest.answer(late)
    assert guest.wait() == "DONE"
    assert_ended(guest, "DONE", 2 * PAGE)
    expected = pattern(0x71 if op == "FILL" else SEED, 2 * PAGE)
    assert one.read(BASE, 2 * PAGE) == expected
    assert op == "FILL" or guest.vdma.load(0, 2 * PAGE) == expected, "other bytes were read"
    migration.expect("PRE_COPY")


# ---- maps while stopped ----


@covers("VIO-STOP-002", "MIG-STATE-007")
@each_state(*STOPPED)
def test_i05_ranges_come_and_go_while_the_device_is_stopped(migration, fds, state):
    session, other = migration.session, ADDRESS + 2 * SIZE
    map_range(session, fds=[fds.memory(SIZE)])
    migration.arrive(state)
    map_range(session, other, fds=[fds.memory(SIZE)])
    unmap_range(session)
    migration.expect(state)
    migration.set("RUNNING")
    assert_mapped(session, other)
    assert_nothing_mapped(session)


@dma
@covers("VIO-STOP-002", "MIG-STATE-007")
@each_state(*STOPPED)
def test_i05_device_uses_what_is_mapped_when_it_runs_again(migration, guest, fds, state):
    old = map_canary(guest, fds)
    guest.works(old)
    migration.arrive(state)
    new = map_canary(guest, fds, BASE + SIZE)
    guest.unmap(old)
    migration.set("RUNNING")
    guest.works(new)
    guest.fail("FILL", BASE, PAGE)


# ---- what is saved ----


@dma
@covers("VIO-STOP-003", "MIG-READ-003")
@pytest.mark.parametrize("sizes", [SIZES["thirteens"], SIZES["growing"]],
                         ids=["thirteens", "growing"])
def test_i15_stopped_device_is_the_same_whenever_it_is_read(migration, guest, fds, sizes):
    one, idle = map_canary(guest, fds, size=LONG), map_canary(guest, fds, BASE + LONG)
    start_long(guest)
    hold(guest, "PRE", idle, 1)
    migration.set("STOP")
    count = guest.slot().moved()
    streams = []
    for parts in ((), sizes(guest.session), ()):
        migration.set("STOP_COPY")
        streams.append(migration.save(parts))
        migration.set("STOP")
    assert streams[1:] == streams[:2], "what is read is not the same"
    assert one.holds(long_pages(count)), "reading has changed memory"
    assert idle.holds(canary()), "reading has changed memory"
    assert guest.slot().moved() == count, "reading has changed the device"
    migration.set("RUNNING")
    assert guest.wait() == "DONE"
    assert one.holds(long_pages(LONG)), "it does not go on where it was"


@dma
@covers("VIO-STOP-001", "MIG-WRITE-006", "RST-DEV-004")
@needs("migration_error", "reset")
def test_i16_bad_data_move_nothing_of_an_operation_that_rests(migration, guest, fds):
    one = map_canary(guest, fds)
    hold(guest, "PRE", one)
    migration.spoil(GARBAGE)
    migration.refuse("STOP")
    migration.expect("ERROR")
    assert_rests(guest, one, canary())
    guest.call("DEVICE_RESET")
    migration.expect("RUNNING")
    assert guest.slot().state().name in TERMINAL, "it is under way"
    assert_rests(guest, one, canary())
    guest.works(map_canary(guest, fds, BASE + SIZE))


@dma
@covers("VIO-STOP-001", "MIG-WRITE-007")
@needs("process")
@each_pinned
def test_i17_saved_count_is_that_of_the_bytes_in_memory(migration, guest, destination, fds, point,
                                                        count):
    one = map_canary(guest, fds)
    hold(guest, point, one, mid=count)
    started = guest.vdma.read("STARTED")
    migration.enter("STOP_COPY")
    destination.restore(migration.save())
    slot = Guest(destination.session).slot()
    assert slot.vdma.read("STARTED") == started, "it has started another number of operations"
    assert slot.state() in (ABORTED, f"HELD@{point}")
    assert slot.moved() == count, "it has moved another number of bytes than was saved"
    assert_rests(guest, one, moved(count))


@dma
@covers("VIO-STOP-001", "MIG-WRITE-007")
@needs("process")
def test_i17_operation_without_bytes_rests_and_goes_on_where_it_is_loaded(migration, guest,
                                                                         destination):
    guest.start("NOP", BASE, SIZE, hold="PRE|RETIRED")
    guest.held()
    started, done = guest.vdma.read("STARTED"), guest.vdma.read("DONE")
    migration.enter("STOP_COPY")
    destination.restore(migration.save())
    other = Guest(destination.session)
    assert other.slot().state() == "HELD@PRE", "it does not rest where it was"
    for state in ("HELD@RETIRED", "DONE"):
        other.slot().step("next")
        assert other.wait(until=TERMINAL | {"HELD"}) == state
    assert_ended(other, "DONE", 0)
    assert other.vdma.read("STARTED") == started, "it has begun anew"
    assert other.vdma.read("DONE") == done + 1
    migration.set("RUNNING")
    assert guest.slot().state() == "HELD@PRE", "it has gone on where it was saved"


@dma
@covers("VIO-STOP-001", "MIG-STATE-006")
def test_i17_count_of_an_operation_that_runs_is_exact_at_each_stop(migration, guest, fds):
    one = map_canary(guest, fds, size=LONG)
    start_long(guest)
    stops = 0
    while guest.slot().state().name not in TERMINAL and stops < 8:
        migration.set("STOP")
        assert one.holds(long_pages(guest.slot().moved())), "it has moved another number of bytes"
        migration.set("RUNNING")
        stops += 1
    assert guest.wait() == "DONE"
    assert_ended(guest, "DONE", LONG)
    assert one.holds(long_pages(LONG)), "it is done, and its bytes are not there"


@dma
@covers("VIO-STOP-001", "MIG-WRITE-007")
@needs("process")
@pytest.mark.parametrize("held", ["", "PRE"], ids=["running", "held"])
def test_i17_operation_that_rests_goes_on_where_it_is_loaded(migration, guest, destination, fds,
                                                             held):
    one = map_canary(guest, fds, size=LONG)
    start_long(guest, hold=held)
    migration.set("STOP")
    count = guest.slot().moved()
    migration.set("STOP_COPY")
    data = migration.save()
    assert one.holds(long_pages(count)), "it has moved another number of bytes"
    one.write(BASE, canary(LONG))
    other = Guest(destination.session)
    other.map(size=LONG, memory=one.memory)
    destination.restore(data)
    other.slot().step("end")
    assert other.wait() == "DONE"
    assert_ended(other, "DONE", LONG)
    assert one.holds(canary(count) + long_pages(LONG)[count:]), "not each byte is moved once"
