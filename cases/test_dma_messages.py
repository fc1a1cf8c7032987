# SPDX-License-Identifier: BSD-3-Clause
"""VFIO_USER_DMA_READ and _WRITE: the server asks for memory, and lives with whatever it is told."""

from errno import EFAULT, EIO

import pytest
from dma import (
    ACCESS_SIZE, DMA_READ, DMA_WRITE, FAILED, TWIN_OFFER, Guest, each_direction, guest_of,
    may_end, memory_for, on_each_socket,
)
from mapping import BASE, PAGE, SIZE

from vuc import Failure, covers, message, needs, reading
from vuc.duration import short
from vuc.exchange import ERROR, REPLY, Reply, Sent
from vuc.message import encode, reply_payload
from vuc.schema import HEADER, HEADER_SIZE
from vuc.session import MAIN
from vuc.vdma import SLOTS, pattern

pytestmark = needs("dma_maps", "server_dma", "provoke_dma")

SEED = 0x35
CANARY = 0xEE
MIB = 1 << 20
DATA = pattern(SEED, PAGE)  # what an operation that waits for an answer is to move
INFO = message("DEVICE_GET_INFO")
MIXED_ID = 0x7001


def prepared(guest, op, data, at=0):
    """Fill the first range at `at`, or the device buffer, with the bytes that the operation is to
    move, and what it overwrites with others."""
    canary, memory = bytes([CANARY]) * len(data), guest.ranges[0]
    memory.write(memory.address + at, data if op == "READ" else canary)
    guest.vdma.store(0, data if op == "WRITE" else canary)


def arrived(guest, op, size):
    """The bytes at the place that the operation has written to."""
    memory = guest.ranges[0]
    return guest.vdma.load(0, size) if op == "READ" else memory.read(memory.address, size)


# ---- the commands ----


@covers("DMA-RW-001")
@on_each_socket
@pytest.mark.parametrize("size", [1, 3, 8, PAGE, SIZE])
@pytest.mark.parametrize("at", [0, 1, PAGE - 1], ids=["aligned", "odd", "across-pages"])
def test_dma_read_asks_for_the_bytes_that_the_device_reads(connect, twin, size, at):
    guest = guest_of(connect, twin)
    guest.map(BASE, 2 * SIZE)
    data = pattern(SEED, size)
    prepared(guest, "READ", data, at)
    guest.succeed("READ", BASE + at, size)
    assert {request.header.command for request in guest.requests} == {DMA_READ}
    assert covered(guest.requests) == [(BASE + at, size)]
    assert arrived(guest, "READ", size) == data


@covers("DMA-RW-002")
@on_each_socket
@pytest.mark.parametrize("size", [1, 3, 8, PAGE, SIZE])
@pytest.mark.parametrize("at", [0, 1, PAGE - 1], ids=["aligned", "odd", "across-pages"])
def test_dma_write_brings_the_bytes_that_the_device_writes(connect, twin, size, at):
    guest = guest_of(connect, twin)
    memory = guest.map(BASE, 2 * SIZE)
    before = memory.fill(CANARY)
    data = pattern(SEED, size)
    guest.vdma.store(0, data)
    guest.succeed("WRITE", BASE + at, size)
    assert {request.header.command for request in guest.requests} == {DMA_WRITE}
    assert covered(guest.requests) == [(BASE + at, size)]
    assert memory.holds(before[:at] + data + before[at + size :])


def covered(requests):
    """What the commands ask for, as (address, size) of each piece without a hole; Failure where
    something is asked for twice."""
    pieces = []
    for address, count in sorted((request.address, request.count) for request in requests):
        if pieces and address < sum(pieces[-1]):
            raise Failure("effect", f"{address:#x} is accessed twice")
        if pieces and address == sum(pieces[-1]):
            pieces[-1] = (pieces[-1][0], pieces[-1][1] + count)
        else:
            pieces.append((address, count))
    return pieces


# ---- only what is mapped ----


@covers("DMA-RW-003")
@on_each_socket
@each_direction
@pytest.mark.parametrize(
    "address, size",
    [(BASE + SIZE - PAGE, 2 * PAGE), (BASE - PAGE, 2 * PAGE), (BASE + SIZE - 1, 2),
     (BASE + SIZE, PAGE), (BASE - 1, 1), (BASE + 2 * SIZE - 1, 2)],
    ids=["over-the-end", "into-the-start", "by-a-byte", "behind", "before", "over-the-hole"],
)  # fmt: skip
def test_operation_beyond_what_is_mapped_fails_without_a_command_for_it(connect, twin, op, address,
                                                                       size):
    guest = guest_of(connect, twin)
    guest.map(BASE, SIZE)
    guest.map(BASE + 2 * SIZE + PAGE, SIZE)
    guest.fail(op, address, size)


@covers("DMA-RW-003")
@on_each_socket
@each_direction
def test_operation_over_a_hole_between_two_ranges_fails(connect, twin, op):
    guest = guest_of(connect, twin)
    guest.map(BASE, PAGE)
    guest.map(BASE + 2 * PAGE, PAGE)
    guest.fail(op, BASE, 3 * PAGE)


@covers("DMA-RW-003")
@on_each_socket
@each_direction
def test_operation_over_two_ranges_that_touch_reaches_both(connect, twin, op):
    guest = guest_of(connect, twin)
    low, high = guest.map(BASE, PAGE), guest.map(BASE + PAGE, PAGE)
    data = pattern(SEED, 2 * PAGE)
    for one, part in ((low, data[:PAGE]), (high, data[PAGE:])):
        one.write(one.address, part if op == "READ" else bytes(PAGE))
    guest.vdma.store(0, data if op == "WRITE" else bytes(2 * PAGE))
    guest.succeed(op, BASE + 1, 2 * PAGE - 2, buf=1)
    assert covered(guest.requests) == [(BASE + 1, 2 * PAGE - 2)]
    came = guest.vdma.load(0, 2 * PAGE) if op == "READ" else (
        low.read(BASE, PAGE) + high.read(BASE + PAGE, PAGE))
    assert came == b"\0" + data[1:-1] + b"\0"


# ---- limits of the client ----


@covers("VER-CAP-002", "DMA-RW-004")
@on_each_socket
@each_direction
@pytest.mark.parametrize("limit, size", [(16, PAGE), (1000, SIZE), (PAGE, SIZE), (SIZE, SIZE)],
                         ids=["16", "1000", "a-page", "64-kib"])
def test_access_is_split_so_that_no_command_exceeds_the_limit(connect, twin, op, limit, size):
    guest = guest_of(connect, twin, max_data_xfer_size=limit)
    guest.map()
    data = pattern(SEED, size)
    prepared(guest, op, data)
    guest.succeed(op, BASE, size)
    assert covered(guest.requests) == [(BASE, size)]
    assert len(guest.requests) >= size // limit
    assert arrived(guest, op, size) == data


@covers("DMA-RW-004", "VER-CAP-002")
@on_each_socket
def test_limit_is_1_mib_where_the_client_announces_none(connect, twin):
    guest = guest_of(connect, twin, max_data_xfer_size=None)
    memory = guest.map(BASE, 2 * MIB)
    guest.succeed("FILL", BASE, 2 * MIB, seed=SEED)
    assert covered(guest.requests) == [(BASE, 2 * MIB)]
    assert memory.holds(pattern(SEED, 2 * MIB))


@covers("VER-CAP-003")
@on_each_socket
@each_direction
def test_client_that_takes_no_data_is_asked_for_none(connect, twin, op):
    connection = connect(version=False)
    offer = {**(TWIN_OFFER if twin else {"max_msg_fds": 16}), "max_data_xfer_size": 0}
    connection.announce(offer)
    outcome = connection.outcome(connection.version(capabilities=offer),
                                 allowed=("success", "error", "close"))
    if outcome.kind != "success":
        return
    connection.negotiated_by(outcome.reply)
    guest = Guest(connection, limit=0)
    guest.map()
    guest.fail(op, BASE, PAGE)
    assert not guest.requests, "it is asked for something"


# ---- what it may be told ----


def asked(connect, twin, op):
    """A guest with an operation that waits for the answer to its first command, and that command.
    The operation moves DATA."""
    guest = guest_of(connect, twin)
    guest.map()
    prepared(guest, op, DATA)
    guest.session.send(guest.prepare(op, BASE, PAGE), maybe=True)
    return guest, guest.take()


def assert_goes_on(guest):
    """The session is as good as before: the next operation of each kind works."""
    guest.barrier()
    guest.works(guest.ranges[0])


@covers("DMA-RW-006")
@reading("W1")
@on_each_socket
def test_reply_to_a_write_with_a_count_of_64_bits_is_accepted(connect, twin):
    guest, request = asked(connect, twin, "WRITE")
    guest.data_for(request)
    guest.session.answer(request)
    assert guest.wait() == "DONE"
    assert arrived(guest, "WRITE", PAGE) == DATA
    assert_goes_on(guest)


@covers("DMA-RW-006")
@on_each_socket
def test_reply_to_a_write_with_a_count_of_32_bits_does_no_harm(connect, twin):
    guest, request = asked(connect, twin, "WRITE")
    guest.data_for(request)
    payload = reply_payload(DMA_WRITE, request.values)[:ACCESS_SIZE - 4]
    guest.session.send_bytes(reply_bytes(request, payload), channel=request.channel)
    with may_end(guest.session):
        guest.wait()
        assert_goes_on(guest)


def reply_bytes(request, payload, **header):
    """A reply to the command with this payload, and changes to its header."""
    own = request.header
    values = {"id": own.id, "command": own.command, "msg_size": HEADER_SIZE + len(payload),
              "flags": REPLY, "error": 0, **header}
    return encode(HEADER, HEADER_SIZE, values) + payload


@covers("DMA-RW-007")
@on_each_socket
@each_direction
@pytest.mark.parametrize("errno", [EFAULT, EIO, 0, 4095, 0xFFFFFFFF],
                         ids=["efault", "eio", "no-reason", "4095", "all-ones"])
def test_error_reply_fails_the_operation_and_the_session_goes_on(connect, twin, op, errno):
    guest, request = asked(connect, twin, op)
    guest.session.answer(request, errno=errno)
    assert guest.wait() in FAILED, "the operation is done in spite of the error"
    if op == "READ":
        assert guest.vdma.load(0, PAGE) == bytes([CANARY]) * PAGE, "bytes came from nowhere"
    assert_goes_on(guest)


@covers("DMA-RW-007")
@on_each_socket
@each_direction
def test_error_in_the_middle_of_an_operation_fails_it(connect, twin, op):
    guest = guest_of(connect, twin, max_data_xfer_size=PAGE // 4)
    guest.map()
    prepared(guest, op, DATA)
    guest.session.send(guest.prepare(op, BASE, PAGE), maybe=True)
    guest.answer(guest.take())
    second = guest.take()
    guest.session.answer(second, errno=EFAULT)
    assert guest.wait() in FAILED
    missing = slice(second.address - BASE, second.address - BASE + second.count)
    assert arrived(guest, op, PAGE)[missing] != DATA[missing], "bytes came from nowhere"
    assert_goes_on(guest)


# What is wrong with an answer: what is put into its header, what is added to its address and
# count, and how many bytes longer it is.
MISFITS = {
    "wrong-id": (lambda own: {"id": own.id ^ 0x4000}, {}, 0),
    "other-command": (lambda own: {"command": DMA_READ + DMA_WRITE - own.command}, {}, 0),
    "command-of-the-client": (lambda own: {"command": INFO.number}, {}, 0),
    "type-command": (lambda own: {"flags": 0}, {}, 0),
    "type-undefined": (lambda own: {"flags": 2}, {}, 0),
    "count-smaller": (None, {"count": -1}, 0),
    "count-larger": (None, {"count": 1}, 0),
    "count-zero": (None, {"count": -PAGE}, 0),
    "count-huge": (None, {"count": 1 << 63}, 0),
    "other-address": (None, {"address": PAGE}, 0),
    "less-data": (None, {}, -1),
    "no-data": (None, {}, -PAGE),
    "more-data": (None, {}, 1),
    "much-more-data": (None, {}, SIZE),
    "less-data-and-count": (None, {"count": -8}, -8),
    "more-data-and-count": (None, {"count": 8}, 8),
    "header-only": (None, {}, -PAGE - ACCESS_SIZE),
    "half-a-payload": (None, {}, -PAGE - ACCESS_SIZE // 2),
    "msg-size-huge": (lambda own: {"msg_size": 0xFFFFFFFF}, {}, 0),
    "msg-size-too-small": (lambda own: {"msg_size": HEADER_SIZE - 1}, {}, 0),
    "error-with-payload": (lambda own: {"flags": REPLY | ERROR, "error": EFAULT}, {}, 0),
}


def misfit(request, data, name):
    """An answer to the command with that wrong and all else right."""
    header, changes, surplus = MISFITS[name]
    values = {key: value + changes.get(key, 0) for key, value in request.values.items()}
    payload = reply_payload(request.header.command, values, data) + bytes(max(surplus, 0))
    payload = payload[: max(len(payload) + min(surplus, 0), 0)]
    return reply_bytes(request, payload, **(header(request.header) if header else {}))


def good_reply(request, data):
    """The answer to the command as it should be, in bytes."""
    return reply_bytes(request, reply_payload(request.header.command, request.values, data))


@covers("DMA-RW-008")
@needs("reconnect")
@on_each_socket
@each_direction
@pytest.mark.parametrize("name", MISFITS)
def test_reply_that_does_not_fit_the_command_does_no_harm(connect, twin, op, name):
    guest, request = asked(connect, twin, op)
    data = guest.data_for(request)
    guest.session.send_bytes(misfit(request, data, name), channel=request.channel)
    with may_end(guest.session):
        # Where the wrong one was not taken for the answer, this is.
        guest.session.send_bytes(good_reply(request, data), channel=request.channel)
        if guest.wait() == "DONE":
            assert arrived(guest, op, PAGE) == DATA, "it is done with other bytes"
        assert_goes_on(guest)


@covers("DMA-RW-008")
@needs("twin", "reconnect")
@each_direction
def test_reply_by_the_wrong_socket_does_no_harm(connect, op):
    guest, request = asked(connect, True, op)
    image = good_reply(request, guest.data_for(request))
    guest.session.send_bytes(image, channel=MAIN)
    with may_end(guest.session):
        guest.session.send_bytes(image, channel=request.channel)
        guest.wait()
        assert_goes_on(guest)


@covers("DMA-RW-008")
@needs("reconnect")
@on_each_socket
@each_direction
def test_second_reply_to_a_command_does_no_harm(connect, twin, op):
    guest, request = asked(connect, twin, op)
    data = guest.data_for(request)
    image = good_reply(request, data) + good_reply(request, bytes(len(data)))
    guest.session.send_bytes(image, channel=request.channel)
    with may_end(guest.session):
        guest.wait()
        assert arrived(guest, op, PAGE) == DATA, "the second one counts"
        assert_goes_on(guest)


# ---- which memory by which way ----


@covers("DMA-RW-011")
@on_each_socket
@each_direction
@pytest.mark.parametrize("path", ["auto", "messages"], ids=["as-it-likes", "by-messages"])
@pytest.mark.parametrize("shared", [False, True], ids=["without-fd", "with-fd"])
def test_bytes_are_right_by_whatever_way_they_go(connect, twin, fds, op, path, shared):
    guest = guest_of(connect, twin)
    guest.map(memory=memory_for(fds, shared))
    data = pattern(SEED, SIZE)
    prepared(guest, op, data)
    guest.succeed(op, BASE, SIZE, path=path)
    assert arrived(guest, op, SIZE) == data
    if not shared or path == "messages":
        assert covered(guest.requests) == [(BASE, SIZE)]
    else:
        assert covered(guest.requests) in ([], [(BASE, SIZE)])


# ---- two directions at a time ----


@covers("HDR-ID-003")
@on_each_socket
@each_direction
def test_command_of_the_server_may_have_the_id_of_one_that_the_client_sends(connect, twin, op):
    guest, request = asked(connect, twin, op)
    same = request.header.id
    sent = guest.session.send(INFO.with_header(id=same))
    guest.answer(request)
    assert guest.reply(sent).header.id == same
    assert guest.wait() == "DONE"
    assert arrived(guest, op, PAGE) == DATA
    guest.asked_nothing()


@covers("HDR-ID-003")
@on_each_socket
@each_direction
def test_command_of_the_client_may_have_the_id_that_the_server_takes_next(connect, twin, op):
    guest = guest_of(connect, twin)
    guest.map()
    prepared(guest, op, DATA)
    for number in range(1, SLOTS + 1):
        start = guest.prepare(op, BASE, PAGE)
        last = guest.requests[-1].header.id if guest.requests else 0
        sent = guest.session.send(start.with_header(id=(last + 1) % 0x10000))
        info = guest.session.send(INFO.with_header(id=number))
        guest.answer(guest.take())
        for one in (sent, info):
            assert isinstance(guest.reply(one), Reply)
        assert guest.wait() == "DONE"
        assert arrived(guest, op, PAGE) == DATA


@covers("HDR-ID-003", "DMA-RW-001")
@on_each_socket
@each_direction
def test_answers_in_another_order_belong_to_their_commands(connect, twin, op):
    guest = guest_of(connect, twin)
    guest.map()
    data = pattern(SEED, SLOTS * PAGE)
    prepared(guest, op, data)
    starts = [guest.prepare(op, BASE + slot * PAGE, PAGE, slot, buf=slot * PAGE)
              for slot in range(SLOTS)]
    sent = [guest.session.send(start) for start in starts]
    while waiting := collected(guest):
        for request in reversed(waiting):
            guest.answer(request)
    for slot, one in enumerate(sent):
        guest.reply(one)
        assert guest.wait(slot) == "DONE"
    assert arrived(guest, op, SLOTS * PAGE) == data


def collected(guest):
    """All commands that come until the short duration passes without one."""
    came = []
    while True:
        try:
            came.append(guest.take(short()))
        except Failure as failure:
            if failure.code != "reply.missing":
                raise
            return came


@covers("CONN-STALL-001")
@needs("twin")
@each_direction
def test_main_socket_is_served_when_the_command_on_the_twin_is_answered(connect, op):
    guest, request = asked(connect, True, op)
    sent = [guest.session.send("DEVICE_GET_INFO") for _ in range(3)]
    guest.answer(request)
    for one in sent:
        guest.session.success(one)
    assert guest.wait() == "DONE"
    assert arrived(guest, op, PAGE) == DATA


@covers("CONN-STALL-001")
@needs("twin")
@each_direction
def test_main_socket_is_served_when_the_command_on_the_twin_is_refused(connect, op):
    guest, request = asked(connect, True, op)
    sent = guest.session.send("DEVICE_GET_INFO")
    guest.session.answer(request, errno=EFAULT)
    guest.session.success(sent)
    assert guest.wait() in FAILED


BETWEEN = {
    "info": INFO,
    "region": message("DEVICE_GET_REGION_INFO", index=0),
    "refused": message("DEVICE_GET_REGION_INFO", index=0xFFFF),
    "map": message("DMA_MAP", flags="READ|WRITE", address=BASE + SIZE, size=SIZE),
    "unmap": message("DMA_UNMAP", address=BASE + SIZE, size=SIZE),
    "no-reply": INFO.replace(no_reply=True),
}


@covers("CONN-MIX-001")
@each_direction
@pytest.mark.parametrize("name", BETWEEN)
def test_command_of_the_client_may_come_before_its_answer(connect, op, name):
    guest, request = asked(connect, False, op)
    sent = guest.session.send(BETWEEN[name])
    guest.answer(request)
    if name != "no-reply":
        assert guest.reply(sent).header.id == sent.id
    assert guest.wait() == "DONE"
    assert arrived(guest, op, PAGE) == DATA
    guest.asked_nothing()


@covers("CONN-MIX-001")
@each_direction
@pytest.mark.parametrize("first", ["answer", "command"])
def test_answer_and_command_may_come_in_one_piece(connect, op, first):
    guest, request = asked(connect, False, op)
    parts = [good_reply(request, guest.data_for(request)), INFO.bytes(MIXED_ID)]
    guest.session.send_bytes(b"".join(parts if first == "answer" else reversed(parts)),
                             maybe=False)
    guest.session.success(Sent(INFO, MIXED_ID, INFO.number, True))
    assert guest.wait() == "DONE"
    assert arrived(guest, op, PAGE) == DATA


@covers("CONN-MIX-001")
@on_each_socket
@each_direction
@pytest.mark.parametrize("cut", [1, HEADER_SIZE, HEADER_SIZE + 5, HEADER_SIZE + ACCESS_SIZE - 1])
def test_answer_may_come_in_pieces(connect, twin, op, cut):
    guest, request = asked(connect, twin, op)
    image = good_reply(request, guest.data_for(request))
    for part in (image[:cut], image[cut:]):
        guest.session.send_bytes(part, channel=request.channel, maybe=False)
    assert guest.wait() == "DONE"
    assert arrived(guest, op, PAGE) == DATA
    guest.asked_nothing()


# ---- the advice ----


@covers("TWIN-IO-002")
def test_server_that_sends_commands_offers_a_twin_socket(connect):
    assert connect(capabilities=TWIN_OFFER).twin, "it answers to none"
