# SPDX-License-Identifier: BSD-3-Clause
"""Command Concurrency: pipelined commands are executed in the order in which they were sent."""

import select

import pytest
from dma import FAILED, guest_of, on_each_socket
from exchanges import ADDRESS, SIZE, flat_memory, send_together
from mapping import BASE, PAGE
from vuc import Failure, covers, message, needs
from vuc.duration import milliseconds, short

READS = 4096
NEVER = 600_000  # ms
WHOLE = 4096  # bytes of the largest read among those that nobody takes the replies of


def store_messages(store):
    """A function that makes a write of a value to the store, and the read of it."""
    place = {"region": store.region, "offset": store.offset}

    def write(value, **how):
        return message("REGION_WRITE", data=store.bytes(value), **place, **how)

    return write, message("REGION_READ", count=store.width, **place)


def sent_one_by_one(session, messages):
    """The same as send_together, with a write for each."""
    return [session.send(one) for one in messages]


HOW = pytest.mark.parametrize("send", [send_together, sent_one_by_one],
                              ids=["in-one-piece", "one-by-one"])


@covers("ORD-PIPE-001")
@needs("store")
@HOW
def test_pipelined_reads_see_the_writes_before_them_and_none_behind(session, device, send):
    write, read = store_messages(device.store)
    values = [(7 * i) % 251 + 1 for i in range(64)]
    sent = send(session, [one for value in values for one in (write(value), read)])
    replies = [session.success(one) for one in sent]
    assert [reply.data for reply in replies[1::2]] == [device.store.bytes(v) for v in values]
    session.expect_silence()


@covers("ORD-PIPE-002")
@needs("store")
@HOW
def test_command_is_answered_after_all_older_ones_without_reply(session, device, send):
    write, read = store_messages(device.store)
    for last in (64, 128, 192):
        silent = [write(value, no_reply=True) for value in range(last - 63, last + 1)]
        *_, sent = send(session, [*silent, read])
        assert session.success(sent).data == device.store.bytes(last)
    session.expect_silence()


@covers("ORD-PIPE-002")
@needs("store")
def test_silent_writes_between_reads_are_executed_in_their_place(session, device):
    write, read = store_messages(device.store)
    values = range(1, 33)
    sent = send_together(session, [one for value in values
                                   for one in (write(value, no_reply=True), read)])
    replies = [session.success(one) for one in sent[1::2]]
    assert [reply.data for reply in replies] == [device.store.bytes(value) for value in values]
    session.expect_silence()


@covers("ORD-PIPE-002", "ORD-PIPE-003")
@needs("dma_maps")
def test_unmap_finds_what_an_older_silent_map_has_mapped(session):
    place = {"address": ADDRESS, "size": SIZE}
    mapping = message("DMA_MAP", flags="READ|WRITE", no_reply=True, **place)
    sent = send_together(session, [one for _ in range(16)
                                   for one in (mapping, message("DMA_UNMAP", **place))])
    for one in sent[1::2]:
        session.success(one)
    session.refuse("DMA_UNMAP", **place)


@covers("ORD-PIPE-003")
@needs("dma_maps")
@HOW
def test_pipelined_maps_and_unmaps_take_turns(session, send):
    whole = {"address": ADDRESS, "size": SIZE}
    part = {"address": ADDRESS, "size": SIZE // 2}
    messages = [
        message(name, **where, **({"flags": "READ|WRITE"} if name == "DMA_MAP" else {}))
        for _ in range(8) for where in (whole, part) for name in ("DMA_MAP", "DMA_UNMAP")
    ]
    for one in send(session, messages):
        session.success(one)
    session.refuse("DMA_UNMAP", **part)


@covers("ORD-PIPE-003")
@needs("irq1", "raise_irq")
def test_interrupts_are_set_up_raised_and_taken_down_in_order(session, device, fds):
    irq, events = device.irq_with(), fds.eventfds(3)
    place, raising = {"index": irq.index, "count": 1}, device.irq_message(irq.index, 0)
    sent = []
    for event in events:
        sent.append(session.send("DEVICE_SET_IRQS", [event], flags="DATA_EVENTFD|ACTION_TRIGGER",
                                 **place))
        sent.append(session.send(raising))
    sent.append(session.send("DEVICE_SET_IRQS", flags="DATA_NONE|ACTION_TRIGGER", index=irq.index))
    sent.append(session.send(raising))
    for one in sent:
        session.success(one)
    session.barrier()
    assert [event.count() for event in events] == [1, 1, 1]


def flood(session, device, count):
    """READS reads whose replies nobody takes, until the server reads no more or has read them
    all. Returns what was sent, and the data of each reply."""
    region = device.readable()
    read = message("REGION_READ", region=region.index, count=min(count, region.size))
    data = session.call(read).data
    sent = send_together(session, [read.with_header(id=i) for i in range(READS)])
    unread, hung_up = -1, select.poll()
    hung_up.register(session.fileno(), 0)
    while unread != session.unread():
        unread = session.unread()
        if hung_up.poll(milliseconds(short())):
            break
    return sent, data


SIZES = pytest.mark.parametrize("count", [4, WHOLE], ids=["4-bytes", "large"])


@covers("ORD-PIPE-004")
@needs("readable_region")
@SIZES
def test_replies_that_nobody_takes_are_not_lost(session, device, count):
    sent, data = flood(session, device, count)
    for taken, one in enumerate(sent):
        try:
            assert session.success(one).data == data, f"reply {taken}"
        except Failure as failure:
            if failure.code != "reply.closed":
                raise
            return
    session.expect_silence()


@covers("ORD-PIPE-004", "SEC-GEN-003")
@needs("readable_region")
def test_replies_that_nobody_takes_do_not_pile_up_in_memory(session, target, device):
    with flat_memory(target):
        flood(session, device, WHOLE)


@covers("ORD-PIPE-004", "CONN-SOCK-004")
@needs("readable_region", "concurrent")
def test_replies_that_nobody_takes_do_not_hold_up_another_connection(session, connect, device):
    flood(connect(), device, WHOLE)
    for _ in range(16):
        session.barrier()


@covers("ORD-PIPE-004")
@needs("readable_region", "reconnect")
@SIZES
def test_client_that_leaves_with_replies_untaken_does_no_harm(session, connect, device, count):
    flood(session, device, count)
    session.close()
    connect().barrier()


# ---- a client that lets the server wait ----


def assert_given_up(session, connect):
    """The server ends the connection, though nobody reads from it, and serves others."""
    connect().barrier()
    hung_up = select.poll()
    hung_up.register(session.fileno(), 0)
    if not hung_up.poll(milliseconds(None)):
        raise session.failure("channel.not-closed", allowed="a closed connection")
    connect().barrier()


@covers("SEC-GEN-008")
@needs("impatient", "concurrent")
@pytest.mark.parametrize("cut", [1, 16, 20], ids=["in-the-header", "behind-it", "in-the-payload"])
def test_client_that_does_not_end_its_message_is_given_up(session, connect, cut):
    session.send_bytes(message("DEVICE_GET_INFO").bytes(1)[:cut])
    assert_given_up(session, connect)


@covers("SEC-GEN-008", "ORD-PIPE-004")
@needs("impatient", "concurrent", "readable_region")
def test_client_that_takes_no_replies_is_given_up(session, connect, device):
    flood(session, device, WHOLE)
    assert_given_up(session, connect)


@covers("SEC-GEN-008", "DMA-RW-007")
@needs("impatient", "dma_maps", "provoke_dma", "server_dma")
@pytest.mark.parametrize("op", ["READ", "WRITE"], ids=["read", "write"])
@on_each_socket
def test_command_that_is_not_answered_fails(connect, op, twin):
    guest = guest_of(connect, twin)
    one = guest.map()
    guest.session.send(guest.prepare(op, BASE, PAGE), maybe=True)
    request = guest.take()
    state = guest.slot().wait(("DONE", *FAILED))
    assert state in FAILED
    guest.session.answer(request, data=bytes(PAGE) if op == "READ" else b"")
    guest.works(one)


@covers("SEC-GEN-008", "DMA-UNMAP-007")
@needs("impatient", "concurrent", "dma_maps", "provoke_dma")
def test_unmap_that_waits_for_ever_ends_the_connection(connect, fds):
    guest = guest_of(connect)
    guest.map(memory=fds.memory(SIZE))
    guest.vdma.write("DRAIN_MS", NEVER)
    guest.start("FILL", BASE, SIZE, hold="POST", drain=True)
    guest.held()
    guest.session.send("DMA_UNMAP", address=BASE, size=SIZE, maybe=True)
    assert_given_up(guest.session, connect)
