# SPDX-License-Identifier: BSD-3-Clause
"""Header: the 16 bytes in front of every message, replies, and what follows a malformed one."""

import struct

import pytest
from exchanges import (
    ADDRESS, GETTERS, HEADER_SIZE, SIZE, TO_SERVER, answered_once, flat_memory,
    indexes_past_the_end, rows, send_together, well_formed,
)
from vuc import constants, covers, message, needs, reading, structure, unknown

FLAGS = constants.HEADER_FLAGS
INFO = message("DEVICE_GET_INFO")
ALL_COMMANDS = pytest.mark.parametrize("name", TO_SERVER)
UNKNOWN = [0, 14, 19, 100, 101, 102, 255, 0xFFFF]
MAX_ERRNO = 4095
NATIVE, SWAPPED = ("<", ">") if struct.pack("=H", 1) == b"\1\0" else (">", "<")


def in_step_or_closed(session):
    """The server answers the next command as ever, or has closed the connection."""
    session.outcome(INFO, allowed=("success", "close"))


# ---- format ----


@covers("HDR-FMT-001", "HDR-SIZE-001", "HDR-FLAG-001")
@ALL_COMMANDS
def test_reply_begins_with_the_header_and_ends_with_msg_size(session, device, name):
    one = well_formed(device, name).with_header(id=0x4321)
    header = session.reply(session.send(one)).header
    assert (header.id, header.command) == (0x4321, one.number)
    assert header.flags & constants.MASKS.HEADER_TYPE == FLAGS.REPLY
    assert header.msg_size >= HEADER_SIZE
    session.barrier()  # what msg_size does not count would be taken for the next header
    assert not session.arrives(0)


def swapped(number, order_of_size, payload):
    """A command with the numbers of its header in the wrong order, its msg_size as told."""
    size = struct.pack(f"{order_of_size}I", HEADER_SIZE + len(payload))
    return struct.pack(f"{SWAPPED}HH", 0x0101, number) + size + bytes(8) + payload


@covers("HDR-FMT-002")
def test_command_in_the_other_byte_order_is_not_understood(session):
    session.barrier()
    argsz = struct.pack(f"{SWAPPED}I", 16)
    session.outcome(swapped(INFO.number, NATIVE, argsz + bytes(12)), allowed=("error", "close"))


@covers("HDR-FMT-002")
def test_header_in_the_other_byte_order_is_not_understood(session):
    session.barrier()  # the header alone: its size seems to be far too large
    session.outcome(swapped(message("DEVICE_RESET").number, SWAPPED, b""),
                    allowed=("error", "close", "silence"))


# ---- ids and commands ----


@covers("HDR-ID-001")
@pytest.mark.parametrize("number", [0, 1, 0x7FFF, 0x8000, 0xFFFF], ids=hex)
def test_reply_carries_the_id_of_its_command(session, device, number):
    assert session.call(INFO.with_header(id=number)).header.id == number
    refused = indexes_past_the_end(device)[0]
    assert session.refuse(refused.with_header(id=number)).header.id == number


@covers("HDR-ID-002")
@needs("readable_region")
def test_commands_in_flight_may_have_the_same_id(session, device):
    names = ["DEVICE_GET_INFO", "REGION_READ", "DEVICE_GET_REGION_INFO", "DEVICE_GET_IRQ_INFO"]
    messages = [well_formed(device, name).with_header(id=0x1234) for name in names]
    messages.append(unknown(255).with_header(id=0x1234))
    *known, last = send_together(session, messages)
    for one in reversed(known):
        session.success(one)
    session.refusal(last)
    session.expect_silence()


@covers("HDR-ID-002")
@needs("readable_region")
def test_id_can_be_used_again_at_once(session, device):
    read = well_formed(device, "REGION_READ").with_header(id=7)
    data = session.call(read).data
    for one in send_together(session, [read] * 16):
        assert session.success(one).data == data
    session.expect_silence()


@covers("HDR-CMD-001")
@ALL_COMMANDS
def test_reply_repeats_the_command_in_success_and_in_error(session, device, name):
    one = well_formed(device, name)
    for _ in range(2):  # DMA_MAP succeeds once, DMA_UNMAP not at all
        assert session.reply(session.send(one)).header.command == one.number


@covers("HDR-CMD-001")
@pytest.mark.parametrize("number", UNKNOWN, ids=map(str, UNKNOWN))
def test_error_reply_repeats_the_number_of_an_unknown_command(session, number):
    assert session.refuse(unknown(number)).header.command == number


@covers("HDR-UNK-001")
@pytest.mark.parametrize("size", [0, 64], ids=["empty", "64-bytes"])
@pytest.mark.parametrize("number", UNKNOWN, ids=map(str, UNKNOWN))
def test_unknown_command_is_refused_and_the_connection_goes_on(session, number, size):
    refusal = session.refuse(unknown(number, bytes(range(size))))
    assert not refusal.payload
    session.expect_silence()


@covers("HDR-UNK-002")
@needs("dma_maps")
def test_dma_access_by_the_client_is_refused_and_touches_no_memory(session, fds):
    memory = fds.memory(SIZE)
    memory.fill(3)
    session.call("DMA_MAP", [memory], flags="READ|WRITE", address=ADDRESS, size=SIZE)
    session.refuse("DMA_READ", address=ADDRESS, count=8)
    session.refuse("DMA_WRITE", address=ADDRESS, data=b"\xa5" * 8)
    session.expect_silence()
    assert memory.differs(3) == 0
    session.call("DMA_UNMAP", address=ADDRESS, size=SIZE)


# ---- msg_size ----

SMALL = pytest.mark.parametrize("size", [0, 1, 15], ids=["0", "1", "15"])


@covers("HDR-SIZE-002")
@SMALL
@pytest.mark.parametrize("name", ["DEVICE_GET_INFO", "DEVICE_RESET"])
def test_msg_size_below_the_header_is_refused(session, name, size):
    one = message(name).cut(0).with_header(msg_size=size)
    outcome = session.outcome(one, allowed=("error", "close"))
    if outcome.kind == "error":
        in_step_or_closed(session)


@covers("HDR-SIZE-002")
@SMALL
def test_negotiation_with_a_msg_size_below_the_header_is_refused(connect, size):
    session = connect(version=False)
    one = session.version().cut(0).with_header(msg_size=size)
    session.outcome(one, allowed=("error", "close"))


HUGE = {
    "limit-and-a-page": lambda limits: limits.max_data_xfer_size + 4096,
    "1-GiB": lambda limits: 1 << 30,
    "2-GiB": lambda limits: 1 << 31,
    "largest": lambda limits: 0xFFFFFFFF,
}


@covers("HDR-SIZE-003")
@needs("reconnect")
@pytest.mark.parametrize("size", HUGE.values(), ids=HUGE)
@pytest.mark.parametrize("name", ["DEVICE_GET_INFO", "REGION_WRITE", "DEVICE_SET_IRQS", "VERSION"])
def test_huge_msg_size_takes_no_memory_and_no_endless_wait(session, connect, target, name, size):
    one = message(name).cut(0).extend(bytes(64)).with_header(msg_size=size(session.limits))
    with flat_memory(target):
        session.outcome(one, allowed=("error", "close"))
        session.close()
        connect().barrier()


@covers("HDR-SIZE-003")
@pytest.mark.parametrize("size", [1 << 30, 0xFFFFFFFF], ids=["1-GiB", "largest"])
def test_huge_negotiation_takes_no_memory_and_no_endless_wait(connect, target, size):
    session = connect(version=False)
    with flat_memory(target):
        session.outcome(session.version().with_header(msg_size=size), allowed=("error", "close"))


def cut_short(write, where):
    """The bytes of a write that ends before its msg_size does."""
    image, page = write.bytes(9), write.replace(data=write.data * (4096 // len(write.data)))
    return {
        "header": image[:HEADER_SIZE],
        "structure": image[: HEADER_SIZE + 7],
        "data": image[:-1],
        "100-bytes-of-a-page": page.bytes(9)[: HEADER_SIZE + 100],
    }[where]


@covers("HDR-SIZE-004")
@needs("store", "reconnect")
@pytest.mark.parametrize("ended", ["closed", "shut-down"])
@pytest.mark.parametrize("where", ["header", "structure", "data", "100-bytes-of-a-page"])
def test_message_that_the_client_does_not_finish_is_dropped(connect, device, where, ended):
    store, (old, new) = device.store, (0x3C, 0xC3)
    session = connect()
    store.write(session, old)
    one = message("REGION_WRITE", region=store.region, offset=store.offset, data=store.bytes(new))
    sent = session.send_bytes(cut_short(one, where))
    if ended == "shut-down":
        session.shutdown_write()
        session.expect_close(sent)
    session.close()
    assert store.read(connect()) != new


REJECTED = {
    "unknown-command": lambda device: unknown(99, b"\4\0" * 2048),
    "small-unknown-command": lambda device: unknown(99, bytes(16)),
    "short-structure": lambda device: message("DEVICE_GET_REGION_INFO").cut(20),
    "short-message": lambda device: message("DMA_MAP", flags="READ", size=4096).cut(8),
    "index": lambda device: indexes_past_the_end(device)[0],
    "index-of-a-write": lambda device: message(
        "REGION_WRITE", region=device.info.num_regions, data=bytes(4096)),
    "large-count": lambda device: message(
        "REGION_READ", region=constants.REGION_INDEX.CONFIG, count=1 << 21),
    "count-without-data": lambda device: message(
        "REGION_WRITE", region=device.info.num_regions, data=bytes(64), count=4096),
    "data-without-count": lambda device: message(
        "REGION_WRITE", region=device.info.num_regions, data=bytes(4096), count=4),
    "irq-index": lambda device: message(
        "DEVICE_SET_IRQS", index=device.info.num_irqs, flags="DATA_BOOL|ACTION_TRIGGER", count=256,
        data=bytes(256)),
    "feature": lambda device: message("DEVICE_FEATURE", flags="SET|0xfff", data=bytes(512)),
}


@covers("HDR-SIZE-005", "HDR-REPLY-001")
@pytest.mark.parametrize("make", REJECTED.values(), ids=REJECTED)
def test_refused_message_is_consumed_to_its_end(session, device, make):
    before = session.barrier().payload
    refused, info = send_together(session, [make(device), INFO])
    assert session.success(info).payload == before
    session.refusal(refused)
    session.expect_silence()


@covers("HDR-SIZE-005")
@ALL_COMMANDS
def test_message_with_surplus_bytes_is_consumed_to_its_end(session, device, name):
    sent, info = send_together(session, [well_formed(device, name).extend(bytes(64)), INFO])
    session.success(info)
    answered_once(session, sent)


@covers("HDR-SIZE-005")
@pytest.mark.parametrize("kind", [3, 15], ids=["3", "15"])
def test_message_of_an_undefined_type_is_consumed_to_its_end(session, kind):
    before = session.barrier().payload
    strange = INFO.with_header(flags=kind)
    _, info = send_together(session, [strange, INFO], maybe=True)
    assert session.success(info).payload == before
    session.barrier()


@covers("HDR-SIZE-006")
@needs("store")
def test_message_of_the_largest_size_is_executed(session, device):
    store, limit = device.store, session.limits.max_data_xfer_size
    if store.size < limit:
        pytest.skip(f"needs: {limit} bytes that store what is written to them")
    place = {"region": store.region, "offset": store.offset}
    data = rows(limit)
    session.call("REGION_WRITE", **place, data=data)
    assert session.call("REGION_READ", **place, count=limit).data == data
    session.expect_silence()


@covers("HDR-SIZE-006")
@needs("store")
def test_large_message_is_executed(session, device):
    store = device.store
    size = min(store.size, session.limits.max_data_xfer_size) // store.width * store.width
    place = {"region": store.region, "offset": store.offset}
    data = rows(size)
    session.call("REGION_WRITE", **place, data=data)
    assert session.call("REGION_READ", **place, count=size).data == data
    session.expect_silence()


@covers("HDR-SIZE-006")
def test_message_of_the_largest_size_is_read_to_its_end(session, device):
    limit = session.limits.max_data_xfer_size
    small = [region for region in device.regions if region.size < limit]
    if not small:
        pytest.skip(f"needs: a region of less than {limit} bytes")
    write = message("REGION_WRITE", region=small[0].index, data=bytes(limit))
    sent, info = send_together(session, [write, INFO])
    session.success(info)
    answered_once(session, sent)


# ---- flags ----


@covers("HDR-FLAG-002")
@needs("store")
@pytest.mark.parametrize("kind", [2, 3, 8, 15], ids=["2", "3", "8", "15"])
def test_message_of_an_undefined_type_is_not_executed(session, device, kind):
    store, (old, new) = device.store, (0x3C, 0xC3)
    store.write(session, old)
    write = message("REGION_WRITE", region=store.region, offset=store.offset,
                    data=store.bytes(new), header={"flags": kind})
    outcome = session.outcome(write, allowed=("error", "silence", "close"))
    if outcome.kind != "close":
        assert store.read(session) == old


def reply_without_command(store, value):
    """A reply to a REGION_WRITE, which no server sends, with all that the command would need."""
    return message("REGION_WRITE", region=store.region, offset=store.offset,
                   data=store.bytes(value), header={"flags": FLAGS.REPLY})


@covers("HDR-FLAG-003")
@needs("store")
def test_reply_to_nothing_is_not_executed(session, device):
    store, (old, new) = device.store, (0x3C, 0xC3)
    store.write(session, old)
    outcome = session.outcome(reply_without_command(store, new),
                              allowed=("error", "silence", "close"))
    if outcome.kind != "close":
        assert store.read(session) == old


@covers("HDR-FLAG-003")
@reading("T7")
@needs("store")
@pytest.mark.parametrize("error", [False, True], ids=["success", "error"])
def test_reply_to_nothing_is_not_answered(session, device, error):
    one = reply_without_command(device.store, 0)
    if error:
        one = one.with_header(flags=FLAGS.REPLY | FLAGS.ERROR, error=5)
    session.outcome(one, allowed=("silence", "close"))


STRANGE_FLAGS = {
    "all-undefined": {"flags": 0xFFFFFFC0},
    "bit-6": {"flags": 1 << 6},
    "bit-31": {"flags": 1 << 31},
    "error-bit": {"flags": FLAGS.ERROR, "error": 5},
}


@covers("HDR-FLAG-004")
@pytest.mark.parametrize("header", STRANGE_FLAGS.values(), ids=STRANGE_FLAGS)
def test_meaningless_flags_do_no_harm(session, header):
    before = session.barrier().payload
    outcome = session.outcome(INFO.with_header(**header), allowed=("success", "error"))
    if outcome.kind == "success":
        assert outcome.reply.payload == before
    session.expect_silence()


@covers("HDR-FLAG-005")
@ALL_COMMANDS
def test_replies_have_no_other_flags_than_type_and_error(session, device, name):
    for header in ({}, {"error": 5}):
        sent = session.send(well_formed(device, name).with_header(**header))
        assert session.reply(sent).header.flags & ~FLAGS.ERROR == FLAGS.REPLY


# ---- errors ----


@covers("HDR-ERR-001", "HDR-ERR-002")
def test_error_bit_tells_failure_from_success(session, device):
    assert not session.call(INFO).header.flags & FLAGS.ERROR
    for one in indexes_past_the_end(device):
        assert session.refuse(one).header.flags & FLAGS.ERROR
    assert not session.call(INFO).header.flags & FLAGS.ERROR


FAILURES = {
    "region-index": lambda device: message(
        "DEVICE_GET_REGION_INFO", index=device.info.num_regions),
    "irq-index": lambda device: message("DEVICE_GET_IRQ_INFO", index=device.info.num_irqs),
    "read-index": lambda device: message(
        "REGION_READ", region=device.info.num_regions, count=4),
    "write-index": lambda device: message(
        "REGION_WRITE", region=device.info.num_regions, data=bytes(4)),
    "irq-set-index": lambda device: message(
        "DEVICE_SET_IRQS", index=device.info.num_irqs, flags="DATA_NONE|ACTION_TRIGGER"),
    "io-fds-index": lambda device: message(
        "DEVICE_GET_REGION_IO_FDS", index=device.info.num_regions),
    "unknown-command": lambda device: unknown(99, bytes(24)),
    "unknown-feature": lambda device: message("DEVICE_FEATURE", flags="GET|0xfff"),
}
FAILING = pytest.mark.parametrize("make", FAILURES.values(), ids=FAILURES)


@covers("HDR-ERR-003", "HDR-ERR-002")
@FAILING
def test_errno_is_one_of_the_host(session, device, make):
    assert 0 <= session.refuse(make(device)).errno <= MAX_ERRNO


@covers("HDR-ERR-003")
@ALL_COMMANDS
def test_error_field_of_a_success_is_zero(session, device, name):
    reply = session.reply(session.send(well_formed(device, name)))
    if not reply.header.flags & FLAGS.ERROR:
        assert reply.header.error == 0


@covers("HDR-ERR-005", "HDR-ERR-001")
@FAILING
def test_error_reply_is_a_header_only(session, device, make):
    assert session.refuse(make(device)).header.msg_size == HEADER_SIZE
    session.expect_silence()


def assert_errors_are_headers(session, message):
    """If the message is refused, then by a header only."""
    outcome = session.outcome(message)
    assert outcome.kind == "success" or outcome.reply.header.msg_size == HEADER_SIZE


@covers("HDR-ERR-005", "HDR-ERR-003")
@needs("readable_region")
def test_error_reply_to_an_access_past_the_end_is_a_header_only(session, device):
    region = device.readable()
    place = {"region": region.index, "offset": region.size}
    assert_errors_are_headers(session, message("REGION_READ", count=4, **place))
    assert_errors_are_headers(session, message("REGION_WRITE", data=bytes(4), **place))
    session.expect_silence()


@covers("HDR-ERR-005")
@needs("pci_config")
def test_error_reply_to_a_write_that_the_device_refuses_is_a_header_only(session):
    for offset in range(0, 64, 4):  # what was there before; much of it can not be written
        place = {"region": constants.REGION_INDEX.CONFIG, "offset": offset}
        data = session.call("REGION_READ", count=4, **place).data
        assert_errors_are_headers(session, message("REGION_WRITE", data=data, **place))
    session.expect_silence()


@covers("HDR-ERR-005")
@needs("readable_region")
def test_error_reply_to_an_odd_read_that_the_device_refuses_is_a_header_only(session, device):
    for region in (region for region in device.regions if region.readable):
        if region.index != constants.REGION_INDEX.CONFIG:
            read = message("REGION_READ", region=region.index, offset=1, count=3)
            assert_errors_are_headers(session, read)
    session.expect_silence()


@covers("HDR-ERR-005")
@needs("migration")
def test_error_reply_to_an_invalid_state_is_a_header_only(session):
    refusal = session.refuse("DEVICE_FEATURE", flags="SET|MIG_DEVICE_STATE",
                             data=structure("DEVICE_STATE", device_state=77))
    assert refusal.header.msg_size == HEADER_SIZE


@covers("HDR-ERR-005")
@needs("dma_logging")
def test_error_reply_to_a_bad_page_size_is_a_header_only(session):
    pages = structure("LOGGING_RANGE", iova=ADDRESS, length=SIZE)
    control = structure("LOGGING_CONTROL", page_size=3, num_ranges=1, tail=pages)
    start = message("DEVICE_FEATURE", flags="SET|DMA_LOGGING_START", data=control)
    assert_errors_are_headers(session, start)


@covers("HDR-ERR-006")
@FAILING
def test_error_reply_carries_no_descriptors(session, device, make):
    assert not session.refuse(make(device)).fds


@covers("HDR-ERR-006")
def test_refused_negotiation_carries_no_descriptors(connect):
    session = connect(version=False)
    outcome = session.outcome(
        session.version(major=0xFFFF, capabilities={"twin_socket": {"supported": True}}),
        allowed=("success", "error", "close"),
    )
    assert outcome.kind != "error" or not outcome.reply.fds


@covers("HDR-ERR-007")
def test_error_field_of_a_command_has_no_influence(session):
    before = session.call(INFO).payload
    assert session.call(INFO.with_header(error=0xDEADBEEF)).payload == before


@covers("HDR-ERR-007")
@needs("store")
def test_error_field_of_a_write_has_no_influence(session, device):
    store = device.store
    write = message("REGION_WRITE", region=store.region, offset=store.offset)
    for value in (0x3C, 0xC3):
        session.call(write.replace(data=store.bytes(value)).with_header(error=5))
        assert store.read(session) == value


# ---- replies ----

SHAPES = {
    "well-formed": lambda one: one,
    "without-payload": lambda one: one.cut(0),
    "with-surplus": lambda one: one.extend(b"\xff" * 16),
}


@covers("HDR-REPLY-001")
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@ALL_COMMANDS
def test_command_gets_exactly_one_reply(session, device, name, shape):
    answered_once(session, session.send(shape(well_formed(device, name))))


@covers("HDR-REPLY-002")
@needs("store")
def test_write_without_reply_is_executed(session, device):
    store = device.store
    write = message("REGION_WRITE", region=store.region, offset=store.offset, no_reply=True)
    for value in (0x3C, 0xC3):
        session.send(write, data=store.bytes(value))
        assert store.read(session) == value
    session.expect_silence()


@covers("HDR-REPLY-002")
@needs("dma_maps")
def test_map_and_unmap_without_reply_are_executed(session):
    place = {"address": ADDRESS, "size": SIZE}
    session.send("DMA_MAP", flags="READ|WRITE", no_reply=True, **place)
    session.call("DMA_UNMAP", **place)
    session.call("DMA_MAP", flags="READ|WRITE", **place)
    session.send("DMA_UNMAP", no_reply=True, **place)
    session.call("DMA_MAP", flags="READ|WRITE", **place)
    session.call("DMA_UNMAP", **place)
    session.refuse("DMA_UNMAP", **place)
    session.expect_silence()


@covers("HDR-REPLY-002")
@needs("irq1", "raise_irq")
def test_interrupt_set_up_without_reply_is_executed(session, device, fds):
    irq, event = device.irq_with(), fds.eventfd()
    session.send("DEVICE_SET_IRQS", [event], flags="DATA_EVENTFD|ACTION_TRIGGER",
                 index=irq.index, count=1, no_reply=True)
    device.raise_irq(session, irq.index, 0)
    assert event.wait() == 1
    session.send("DEVICE_SET_IRQS", flags="DATA_NONE|ACTION_TRIGGER", index=irq.index,
                 no_reply=True)
    device.raise_irq(session, irq.index, 0)
    session.expect_silence()
    assert event.count() == 0


@covers("HDR-REPLY-002", "HDR-REPLY-003")
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("name", [name for name in TO_SERVER if name not in GETTERS])
def test_command_without_reply_is_not_answered(session, device, name, shape):
    session.send(shape(well_formed(device, name)).replace(no_reply=True))
    session.expect_silence()


FAILURES_OF_SILENT = {
    **FAILURES,
    "short-structure": lambda device: INFO.cut(8),
    "write-past-the-end": lambda device: message(
        "REGION_WRITE", region=0, offset=1 << 62, data=bytes(4)),
    "unmap-of-nothing": lambda device: message("DMA_UNMAP", address=ADDRESS, size=SIZE),
    "map-with-bad-flags": lambda device: message(
        "DMA_MAP", flags=0xFFFFFFFF, address=ADDRESS, size=SIZE),
    "bad-state": lambda device: message("DEVICE_FEATURE", flags="SET|MIG_DEVICE_STATE"),
}


@covers("HDR-REPLY-003")
@pytest.mark.parametrize("make", FAILURES_OF_SILENT.values(), ids=FAILURES_OF_SILENT)
def test_failing_command_without_reply_is_not_answered(session, device, make):
    before = session.barrier().payload
    silent = make(device).replace(no_reply=True)
    _, info = send_together(session, [silent, INFO])
    assert session.success(info).payload == before
    session.expect_silence()


@covers("HDR-REPLY-004")
@pytest.mark.parametrize("name", GETTERS)
def test_question_without_reply_is_not_answered(session, device, name):
    session.send(well_formed(device, name).replace(no_reply=True))
    session.expect_silence()


@covers("HDR-REPLY-004")
def test_negotiation_without_reply_does_no_harm(connect):
    session = connect(version=False)
    outcome = session.outcome(session.version().replace(no_reply=True),
                              allowed=("success", "error", "silence", "close"))
    if outcome.kind != "close":
        session.outcome(INFO, allowed=("success", "error", "close"))
