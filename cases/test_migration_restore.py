# SPDX-License-Identifier: BSD-3-Clause
"""What a loaded stream makes of a device: the one that was saved, in whichever process; or, where
the stream is not a good one, nothing but an error (VFIO_USER_MIG_DATA_WRITE).

That bad data are noticed is asserted of a device whose target file says that they bring it into
ERROR; of all others, that they are noticed or not, and that the state tells which.
"""

import pytest

from dma import Guest
from exchanges import flat_memory
from interrupts import expect_signals
from mapping import BASE, SIZE
from migrating import (
    GARBAGE, REGISTERS, STOPPED, config_header, each_size, each_state, put_register, register,
)
from migrating import contents_fixture, destination_fixture, migration_fixture  # noqa: F401
from vuc import covers, message, needs
from vuc.duration import short

pytestmark = needs("migration")

ENDS = 64 * 8  # bits at either end of a stream, where its own structures are
FLOOD = 64 << 20  # bytes of garbage, in messages of the largest size
FLOOD_ROOM_KIB = 32 << 10  # more than any honest device keeps of them


# ---- data that are not what they should be ----


def waited(eventfd):
    """How often it is signalled at once or within the short duration."""
    return eventfd.count() or eventfd.wait(short())


def _flipped(data, at):
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


# What becomes of a stream, and whether every device that detects anything detects that.
BAD = {
    "garbage": (lambda data: GARBAGE, True),
    "half": (lambda data: data[: len(data) // 2], True),
    "without-its-last-byte": (lambda data: data[:-1], True),
    "first-byte-flipped": (lambda data: _flipped(data, 0), True),
    "without-its-first-byte": (lambda data: data[1:], True),
    "surplus": (lambda data: data + b"\0", True),
    "twice": (lambda data: data + data, True),
    "middle-byte-flipped": (lambda data: _flipped(data, len(data) // 2), False),
    "last-byte-flipped": (lambda data: _flipped(data, len(data) - 1), False),
    "nothing": (lambda data: b"", False),
}
each_bad = pytest.mark.parametrize("spoilt", [make for make, _ in BAD.values()], ids=BAD)


@covers("MIG-WRITE-006")
@pytest.mark.parametrize("end", ["STOP", "RUNNING"])
@each_bad
def test_bad_data_are_refused_in_the_end_or_not_noticed(migration, spoilt, end):
    data = migration.saved() or b"\0"
    migration.spoil(spoilt(data))
    outcome = migration.try_set(end)
    found = migration.state()
    if outcome.kind == "success":
        assert found == end
    else:
        assert found in ("RESUMING", "ERROR"), f"the state is {found}"


@covers("MIG-WRITE-006")
@needs("migration_error")
@pytest.mark.parametrize("end", ["STOP", "RUNNING", "STOP_COPY"])
@pytest.mark.parametrize("spoilt", [
    pytest.param(make, id=name, marks=() if always else needs("raise_irq"))
    for name, (make, always) in BAD.items()
])
def test_bad_data_are_refused_in_the_end(migration, spoilt, end):
    migration.spoil(spoilt(migration.saved()))
    migration.refuse(end)
    assert migration.state() in ("RESUMING", "ERROR")


@covers("MIG-WRITE-006", "RST-DEV-004")
@needs("migration_error", "reset", "store")
@each_bad
def test_good_data_are_taken_after_bad_ones(migration, contents, spoilt):
    contents.put(migration.session, 16)
    data = migration.saved()
    contents.clear(migration.session)
    migration.spoil(spoilt(data))
    migration.try_set("STOP")
    migration.session.call("DEVICE_RESET")
    assert migration.recovers()
    migration.restore(data)
    contents.expect(migration.session, 16)


@covers("MIG-WRITE-006")
@needs("raise_irq")
def test_no_bit_of_a_stream_can_be_flipped(migration):
    data = migration.saved()
    end = 8 * len(data)
    most = range(0, end, max(end // 200, 1))
    for bit in sorted({*most, *range(0, min(ENDS, end), 8), *range(max(end - ENDS, 0), end, 8)}):
        migration.spoil(
            data[: bit // 8] + bytes([data[bit // 8] ^ 1 << bit % 8]) + data[bit // 8 + 1 :])
        migration.refuse("STOP")
        migration.session.call("DEVICE_RESET")


# ---- from one process into another ----


@covers("MIG-WRITE-007")
@needs("process", "store")
@each_size
def test_other_process_holds_what_the_device_held(migration, destination, contents, sizes):
    contents.put(migration.session, 17)
    migration.enter("STOP_COPY")
    data = migration.save(sizes(migration.session))
    assert contents.found(destination.session) != contents.expected(17)
    destination.restore(data, sizes(destination.session))
    contents.expect(destination.session, 17)
    destination.works()


@covers("MIG-WRITE-007")
@needs("process", "store")
def test_other_process_holds_nothing_else(migration, destination, contents):
    contents.clear(migration.session)
    contents.put(destination.session, 18)
    destination.restore(migration.saved())
    assert not any(contents.found(destination.session))


@covers("MIG-WRITE-007", "MIG-READ-004")
@needs("process", "store", "pre_copy")
def test_device_migrates_while_it_is_used(migration, destination, contents):
    migration.enter("PRE_COPY")
    destination.enter("RESUMING")
    for seed in range(30, 36):
        contents.put(migration.session, seed)
        destination.load(migration.save())
    contents.put(migration.session, 40)
    migration.set("STOP_COPY")
    destination.load(migration.save())
    destination.set("RUNNING")
    contents.expect(destination.session, 40)
    destination.works()


@covers("MIG-WRITE-007")
@needs("process", "pci_config", "raise_irq")
def test_other_process_has_the_same_configuration_space(migration, destination):
    put_register(migration.session, "interrupt-line")
    header = config_header(migration.session)
    destination.restore(migration.saved())
    assert config_header(destination.session) == header


@covers("MIG-WRITE-007")
@needs("process", "raise_irq")
@pytest.mark.parametrize("name", REGISTERS)
def test_other_process_has_the_same_register(migration, destination, device, name):
    if REGISTERS[name][1] >= device.regions[REGISTERS[name][0]].size:
        pytest.skip(f"needs: a test device with {name}")
    put_register(migration.session, name)
    value = register(migration.session, name)
    assert register(destination.session, name) != value
    destination.restore(migration.saved())
    assert register(destination.session, name) == value


@covers("VIO-STOP-001", "MIG-WRITE-007")
@needs("process", "dma_maps", "provoke_dma")
def test_operation_that_has_moved_its_bytes_ends_in_the_other_process(migration, destination, fds):
    guest, other = Guest(migration.session), Guest(destination.session)
    guest.map(memory=fds.memory(SIZE))
    guest.start("FILL", BASE, SIZE, hold="RETIRED")
    guest.held()
    migration.enter("STOP_COPY")
    destination.restore(migration.save())
    assert other.slot().moved() == SIZE, "it has moved another number of bytes than was saved"
    other.slot().step("end")
    assert other.wait() == "DONE"


@covers("MIG-WRITE-007")
@needs("process", "irq1")
def test_interrupts_work_in_the_other_process(migration, destination, device, fds):
    index, old, new = device.irq_with().index, *fds.eventfds(2)
    assign = message("DEVICE_SET_IRQS", flags="DATA_EVENTFD|ACTION_TRIGGER", index=index, count=1)
    trigger = message("DEVICE_SET_IRQS", flags="DATA_NONE|ACTION_TRIGGER", index=index, count=1)
    migration.session.call(assign, [old])
    destination.session.call(assign, [new])
    destination.restore(migration.saved())
    destination.session.call(trigger)
    assert new.wait() == 1
    assert old.count() == 0


@covers("MIG-WRITE-007")
@needs("process", "irq2", "raise_irq")
def test_interrupt_that_waits_for_the_device_to_run_comes_in_the_other_process(
        migration, destination, device, fds):
    irq = device.irq_with(count=2)
    old, new = fds.eventfds(irq.count), fds.eventfds(irq.count)
    assign = message("DEVICE_SET_IRQS", flags="DATA_EVENTFD|ACTION_TRIGGER", index=irq.index,
                     count=irq.count)
    migration.session.call(assign, old)
    destination.session.call(assign, new)
    migration.set("STOP")
    migration.session.outcome(device.irq_message(irq.index, irq.count - 1))
    migration.set("STOP_COPY")
    destination.restore(migration.save())
    migration.run()
    # Where it comes when the device runs again, it comes wherever the device runs again.
    expect_signals(destination.session, new, [waited(one) for one in old])


@covers("MIG-WRITE-007", "MIG-FSM-016")
@needs("process", "store")
def test_device_that_was_restored_can_be_saved_again(migration, destination, contents):
    contents.put(migration.session, 19)
    data = migration.saved()
    destination.enter("RESUMING")
    destination.load(data)
    destination.set("STOP_COPY")
    again = destination.save()
    contents.clear(migration.session)
    migration.restore(again)
    contents.expect(migration.session, 19)


@covers("MIG-WRITE-007")
@needs("store")
def test_stream_can_be_loaded_more_than_once(migration, contents):
    contents.put(migration.session, 21)
    data = migration.saved()
    for _ in range(3):
        contents.clear(migration.session)
        migration.restore(data)
        contents.expect(migration.session, 21)


# ---- sizes ----


@covers("MIG-WRITE-008")
def test_write_above_the_limit_is_answered(migration, target):
    data = bytes(migration.session.limits.max_data_xfer_size + 1)
    migration.enter("RESUMING")
    with flat_memory(target):
        migration.session.outcome("MIG_DATA_WRITE", data=data)
    migration.expect("RESUMING")


@covers("MIG-WRITE-008")
@needs("proc")
def test_stream_without_end_takes_no_memory_without_bound(migration, target):
    size = min(migration.session.limits.max_data_xfer_size, 1 << 20)
    before = target.resources()
    migration.enter("RESUMING")
    for _ in range(FLOOD // size):
        outcome = migration.session.outcome("MIG_DATA_WRITE", data=bytes(size))
        if outcome.kind == "error":
            break
    after = target.resources()
    migration.try_set("STOP")
    assert migration.state() in ("STOP", "RESUMING", "ERROR")
    assert after.rss_anon_kib - before.rss_anon_kib < FLOOD_ROOM_KIB
    assert after.rss_shmem_kib - before.rss_shmem_kib < FLOOD_ROOM_KIB


@covers("MIG-WRITE-006", "MIG-WRITE-008")
@each_state(*STOPPED)
def test_states_can_be_walked_again_and_again(migration, target, state):
    with flat_memory(target):
        for _ in range(50):
            migration.arrive(state)
            migration.set("RUNNING")
    migration.works()
