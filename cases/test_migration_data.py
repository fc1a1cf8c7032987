# SPDX-License-Identifier: BSD-3-Clause
"""VFIO_USER_MIG_DATA_READ and VFIO_USER_MIG_DATA_WRITE: a stream, in pieces of any size.

A stream is compared by what it does: the device that loads it holds what it held when it was
saved. Only where the device is stopped all the time are bytes compared. test_migration_restore.py
loads into another process, and what is no stream.
"""

from itertools import repeat

import pytest

from exchanges import flat_memory
from migrating import CHUNK, GARBAGE, SAVING, each_size, each_state, pieces
from migrating import contents_fixture, migration_fixture  # noqa: F401
from vuc import covers, message, needs
from vuc.session import DEFAULT

pytestmark = needs("migration")

LARGEST = 0xFFFFFFFF


def stopped_stream(migration, sizes=()):
    """The stream of a device in STOP, where it is again afterwards."""
    migration.set("STOP_COPY")
    data = migration.save(sizes)
    migration.set("STOP")
    return data


# ---- reading ----


def assert_whole(reply, size):
    """The reply to a read of `size` has as many bytes as it says, and no others."""
    assert reply.size <= size
    assert len(reply.data) == reply.size
    assert reply.argsz == len(reply.payload)
    assert not reply.fds


@covers("MIG-READ-001")
@each_state(*SAVING)
@pytest.mark.parametrize("size", [1, 64, 4096, 65536])
def test_read_returns_data_and_tells_their_size(migration, state, size):
    migration.enter(state)
    assert_whole(migration.session.call("MIG_DATA_READ", size=size), size)


@covers("MIG-READ-001")
@each_state(*SAVING)
def test_read_with_room_to_spare_returns_what_was_asked_for(migration, state):
    migration.enter(state)
    assert_whole(migration.session.call("MIG_DATA_READ", argsz=2 * CHUNK, size=64), 64)


@covers("MIG-READ-001", "MIG-READ-003")
@pytest.mark.parametrize("size", [64, 4096])
def test_last_reads_end_with_their_data(migration, size):
    migration.enter("STOP_COPY")
    last = migration.session.call("MIG_DATA_READ", size=size)
    while last.size == size:
        last = migration.session.call("MIG_DATA_READ", size=size)
    assert_whole(last, size)
    assert_whole(migration.session.call("MIG_DATA_READ", size=size), size)


@covers("MIG-READ-002")
@each_state("RUNNING", "STOP", "RESUMING")
@pytest.mark.parametrize("size", [0, 1, 4096])
def test_read_outside_the_saving_states_is_refused(migration, state, size):
    migration.enter(state)
    migration.refuse_read(size)
    migration.expect(state)


@covers("MIG-READ-003")
@each_size
def test_stream_is_the_same_by_any_sizes(migration, sizes):
    migration.enter("STOP")
    data = stopped_stream(migration)
    assert stopped_stream(migration, sizes(migration.session)) == data


@covers("MIG-READ-003")
def test_behind_the_end_there_is_nothing_and_no_error(migration):
    migration.enter("STOP_COPY")
    migration.save()
    for size in (1, CHUNK, 1):
        assert migration.read(size) == b""
    migration.expect("STOP_COPY")


@covers("MIG-READ-003")
def test_reads_that_are_pipelined_continue_each_other(migration):
    migration.enter("STOP")
    data = stopped_stream(migration)
    migration.set("STOP_COPY")
    session = migration.session
    sent = [session.send("MIG_DATA_READ", size=size) for size in range(1, 33)]
    parts = [migration.data_of(session.success(one), one.shown.values["size"]) for one in sent]
    assert parts == [*pieces(data, range(1, 33)), *repeat(b"", 32)][:32]
    assert b"".join(parts) + migration.save() == data


@covers("MIG-READ-003")
@needs("store")
def test_stream_has_the_device_as_it_was_stopped(migration, contents):
    contents.put(migration.session, 3)
    first = migration.saved()
    contents.put(migration.session, 4)
    second = migration.saved()
    migration.restore(first)
    contents.expect(migration.session, 3)
    migration.restore(second)
    contents.expect(migration.session, 4)


@covers("MIG-READ-004")
@needs("pre_copy", "store")
@pytest.mark.parametrize("read", [0, 1, 64, None], ids=["nothing", "a-byte", "a-part", "all"])
def test_pre_copy_and_stop_copy_make_one_stream(migration, contents, read):
    session = migration.session
    contents.put(session, 5)
    migration.enter("PRE_COPY")
    data = migration.save() if read is None else migration.read(read) if read else b""
    contents.put(session, 6)
    migration.set("STOP_COPY")
    data += migration.save()
    migration.set("RUNNING")
    contents.put(session, 7)
    migration.restore(data)
    contents.expect(session, 6)


@covers("MIG-READ-004")
@needs("pre_copy", "store")
def test_changes_between_the_reads_of_pre_copy_are_in_the_stream(migration, contents):
    session = migration.session
    migration.enter("PRE_COPY")
    data = b""
    for seed in range(10, 15):
        contents.put(session, seed)
        data += migration.save()
    contents.clear(session)
    data += migration.save()
    contents.put(session, 20)
    migration.set("STOP_COPY")
    data += migration.save()
    migration.set("RUNNING")
    contents.clear(session)
    migration.restore(data)
    contents.expect(session, 20)


@covers("MIG-READ-004", "MIG-READ-003")
@needs("pre_copy", "store")
def test_end_in_pre_copy_is_one_for_now(migration, contents):
    migration.enter("PRE_COPY")
    data = migration.save()
    contents.put(migration.session, 8)
    data += migration.save()
    migration.set("STOP_COPY")
    data += migration.save()
    assert migration.read(CHUNK) == b""
    migration.set("RUNNING")
    contents.clear(migration.session)
    migration.restore(data)
    contents.expect(migration.session, 8)


@covers("MIG-READ-005")
@needs("store")
@each_state(*SAVING)
@pytest.mark.parametrize("end", ["STOP", "RUNNING", "RESUMING"])
def test_stream_begins_anew_when_it_was_left(migration, contents, state, end):
    contents.put(migration.session, 9)
    size = len(migration.saved())
    migration.enter(state)
    migration.read(max(size // 2, 1))
    migration.set(end)
    migration.refuse_read()
    if end == "RESUMING":
        migration.session.outcome("DEVICE_RESET")
        assert migration.recovers()
        contents.put(migration.session, 9)
    migration.set("STOP_COPY")
    data = migration.save()
    migration.set("RUNNING")
    contents.clear(migration.session)
    migration.restore(data)
    contents.expect(migration.session, 9)


REFUSED_READS = {
    "empty": message("MIG_DATA_READ", size=64).cut(0),
    "4-bytes": message("MIG_DATA_READ", size=64).cut(4),
    "7-bytes": message("MIG_DATA_READ", size=64).cut(7),
}
ODD_READS = {
    "argsz-0": message("MIG_DATA_READ", argsz=0, size=4096),
    "argsz-8": message("MIG_DATA_READ", argsz=8, size=4096),
    "size-0": message("MIG_DATA_READ", size=0),
}
LARGE_READS = {
    "above-the-limit": message("MIG_DATA_READ", argsz=LARGEST,
                               size=DEFAULT["max_data_xfer_size"] + 1),
    "sign": message("MIG_DATA_READ", argsz=LARGEST, size=0x7FFFFFFF),
    "largest": message("MIG_DATA_READ", argsz=LARGEST, size=LARGEST),
    "largest-with-its-own-argsz": message("MIG_DATA_READ", argsz=7, size=LARGEST),
}


def started(migration):
    """In STOP_COPY with 16 bytes read; the whole stream, and the bytes that were read."""
    migration.enter("STOP")
    data = stopped_stream(migration)
    migration.set("STOP_COPY")
    return data, migration.read(16)


@covers("MIG-READ-006")
@pytest.mark.parametrize("asked", REFUSED_READS.values(), ids=REFUSED_READS)
def test_short_read_request_is_refused_and_takes_no_data(migration, asked):
    data, first = started(migration)
    migration.session.refuse(asked)
    assert first + migration.save() == data


@covers("MIG-READ-007")
@pytest.mark.parametrize("asked", ODD_READS.values(), ids=ODD_READS)
def test_read_without_room_takes_no_data(migration, asked):
    data, first = started(migration)
    outcome = migration.session.outcome(asked)
    if outcome.kind == "success":
        assert not outcome.reply.data
    assert first + migration.save() == data


@covers("MIG-READ-008")
@pytest.mark.parametrize("asked", LARGE_READS.values(), ids=LARGE_READS)
def test_read_of_any_size_takes_no_memory_and_loses_no_data(migration, target, asked):
    data, first = started(migration)
    with flat_memory(target):
        outcome = migration.session.outcome(asked)
    if outcome.kind == "success":
        assert len(outcome.reply.data) == outcome.reply.size
        first += outcome.reply.data
    assert first + migration.save() == data


# ---- writing ----


@covers("MIG-WRITE-001")
@pytest.mark.parametrize("size", [1, 13, 4096])
def test_write_has_no_payload_in_its_reply(migration, size):
    data = migration.saved()
    migration.enter("RESUMING")
    reply = migration.write(data[:size])
    assert not reply.payload
    assert not reply.fds
    migration.expect("RESUMING")
    migration.load(data[size:])
    migration.set("RUNNING")


@covers("MIG-WRITE-002")
@each_state("RUNNING", "STOP", *SAVING)
def test_write_outside_of_resuming_is_refused(migration, state):
    migration.enter(state)
    for part in (b"\0", GARBAGE):
        migration.refuse_write(part)
    migration.expect(state)
    migration.run()
    migration.works()


@covers("MIG-WRITE-002", "MIG-READ-003")
def test_refused_write_does_not_disturb_the_stream_that_is_read(migration):
    data, first = started(migration)
    migration.refuse_write(data[:CHUNK] or b"\0")
    assert first + migration.save() == data


@covers("MIG-WRITE-003")
@needs("store")
@each_size
def test_stream_can_be_written_by_any_sizes(migration, contents, sizes):
    session = migration.session
    contents.put(session, 11)
    data = migration.saved()
    contents.put(session, 12)
    migration.restore(data, sizes(session))
    contents.expect(session, 11)


@covers("MIG-WRITE-003")
@needs("store")
def test_last_bytes_can_be_written_one_by_one(migration, contents):
    contents.put(migration.session, 13)
    data = migration.saved()
    contents.clear(migration.session)
    body = max(len(data) - 300, 0)
    migration.enter("RESUMING")
    migration.load(data[:body])
    migration.load(data[body:], repeat(1))
    migration.set("RUNNING")
    contents.expect(migration.session, 13)


@covers("MIG-WRITE-003")
@needs("store")
def test_writes_that_are_pipelined_continue_each_other(migration, contents):
    contents.put(migration.session, 14)
    data = migration.saved()
    contents.clear(migration.session)
    session, head = migration.session, data[:496]
    migration.enter("RESUMING")
    sent = [session.send("MIG_DATA_WRITE", data=part) for part in pieces(head, range(1, 32))]
    for one in sent:
        session.success(one)
    migration.load(data[len(head):])
    migration.set("RUNNING")
    contents.expect(session, 14)


WRONG_WRITES = {
    "empty": lambda part: message("MIG_DATA_WRITE", data=part).cut(0),
    "4-bytes": lambda part: message("MIG_DATA_WRITE", data=part).cut(4),
    "7-bytes": lambda part: message("MIG_DATA_WRITE", data=part).cut(7),
    "no-data": lambda part: message("MIG_DATA_WRITE", data=part).cut(8),
    "half-of-its-data": lambda part: message("MIG_DATA_WRITE", data=part).cut(8 + len(part) // 2),
    "one-byte-less": lambda part: message("MIG_DATA_WRITE", size=len(part) + 1, data=part),
    "largest": lambda part: message("MIG_DATA_WRITE", size=LARGEST, data=part),
    "wrapping": lambda part: message("MIG_DATA_WRITE", size=LARGEST - 7, argsz=0, data=part),
}


def half_restored(migration, contents):
    """In RESUMING with 16 bytes of a stream written: those that are left. It has seed 15."""
    contents.put(migration.session, 15)
    data = migration.saved()
    contents.clear(migration.session)
    migration.enter("RESUMING")
    migration.load(data[:16])
    return data[16:]


def finish(migration, contents, left):
    """Write what is left of the stream of half_restored() and let the device run."""
    migration.expect("RESUMING")
    migration.load(left)
    migration.set("STOP")
    migration.set("RUNNING")
    contents.expect(migration.session, 15)


@covers("MIG-WRITE-004")
@needs("store")
@pytest.mark.parametrize("make", WRONG_WRITES.values(), ids=WRONG_WRITES)
def test_write_with_less_data_than_it_says_is_refused_and_adds_none(migration, contents, make):
    left = half_restored(migration, contents)
    migration.session.refuse(make(left[:64]))
    finish(migration, contents, left)


@covers("MIG-WRITE-004")
@needs("store")
@pytest.mark.parametrize("size", [0, 8, 63])
def test_write_with_more_data_than_it_says_is_refused_or_takes_so_much(migration, contents, size):
    left = half_restored(migration, contents)
    outcome = migration.session.outcome("MIG_DATA_WRITE", size=size, data=left[:64])
    finish(migration, contents, left[size:] if outcome.kind == "success" else left)


@covers("MIG-WRITE-005")
@needs("store")
@pytest.mark.parametrize("argsz", [0, 7, 8, 71])
def test_write_with_a_smaller_argsz_is_taken_or_refused(migration, contents, argsz):
    left = half_restored(migration, contents)
    outcome = migration.session.outcome("MIG_DATA_WRITE", argsz=argsz, data=left[:64])
    finish(migration, contents, left[64:] if outcome.kind == "success" else left)


@covers("MIG-WRITE-005")
@needs("store")
@pytest.mark.parametrize("argsz", [0, 8, 71, 72, 4096, LARGEST])
def test_write_is_taken_whatever_its_argsz(migration, contents, argsz):
    left = half_restored(migration, contents)
    migration.session.call("MIG_DATA_WRITE", argsz=argsz, data=left[:64])
    finish(migration, contents, left[64:])
