# SPDX-License-Identifier: BSD-3-Clause
"""Socket: one byte stream per client, in which only msg_size delimits messages."""

import pytest
from exchanges import ADDRESS, CUTS, SIZE, TO_SERVER, cuts_of, send_together, well_formed
from vuc import covers, message, needs
from vuc.duration import short
from vuc.session import DEFAULT, MAIN, TWIN, Connection, Reply

INFO = message("DEVICE_GET_INFO")
CROWD = 80  # connections: more than a server may have devices for


def pieces(size, length):
    """The parts of `size` bytes that are sent `length` bytes at a time."""
    return [(min(end, size), 0) for end in range(length, size + length, length)]


@covers("CONN-SOCK-001")
@pytest.mark.parametrize("name", TO_SERVER)
def test_command_is_answered_on_the_connection_it_came_by(session, device, name):
    assert session.reply(session.send(well_formed(device, name))).channel == MAIN


@covers("CONN-SOCK-001")
@needs("concurrent", "readable_region")
def test_connections_with_the_same_ids_get_their_own_replies(connect, device):
    sessions = [connect() for _ in range(4)]
    names = ["DEVICE_GET_INFO", "REGION_READ", "DEVICE_GET_REGION_INFO", "DEVICE_GET_IRQ_INFO"]
    for _ in range(16):
        sent = [
            session.send(well_formed(device, name).with_header(id=0x77))
            for session, name in zip(sessions, names)
        ]
        for session, one in zip(sessions, sent):
            session.success(one)
    for session in sessions:
        session.expect_silence()


@covers("CONN-SOCK-001")
@needs("twin")
def test_twin_socket_stays_silent_while_commands_are_served(connect, device):
    session = connect(capabilities={**DEFAULT, "twin_socket": {"supported": True}})
    for name in TO_SERVER:
        session.reply(session.send(well_formed(device, name)))
    session.barrier()
    assert session.receive(0, TWIN) is None


@covers("CONN-SOCK-002")
@pytest.mark.parametrize("where", CUTS)
def test_message_cut_in_two_is_answered_like_a_whole_one(session, where):
    whole = session.call(INFO)
    for cut in cuts_of(INFO, where):
        sent = session.send(INFO, parts=[(cut, 0), (len(INFO.bytes()), 0)], paced=True)
        assert session.success(sent).payload == whole.payload, f"cut at {cut}"
    session.expect_silence()


@covers("CONN-SOCK-002")
@needs("store")
@pytest.mark.parametrize("where", CUTS)
def test_write_cut_in_two_stores_all_of_its_bytes(session, device, where):
    store = device.store
    write = message("REGION_WRITE", region=store.region, offset=store.offset,
                    data=store.bytes(0))
    for cut in cuts_of(write, where):
        value = int.from_bytes(bytes([cut % 251 + 1]) * store.width)
        one = write.replace(data=store.bytes(value))
        sent = session.send(one, parts=[(cut, 0), (len(one.bytes()), 0)], paced=True)
        session.success(sent)
        assert store.read(session) == value, f"cut at {cut}"
    session.expect_silence()


@covers("CONN-SOCK-002")
@pytest.mark.parametrize("length", [1, 3, 7], ids=["1-byte", "3-bytes", "7-bytes"])
def test_message_that_comes_in_many_pieces_is_answered_once(session, length):
    whole = session.call(INFO)
    sent = session.send(INFO, parts=pieces(len(INFO.bytes()), length), paced=True)
    assert session.success(sent).payload == whole.payload
    session.expect_silence()


@covers("CONN-SOCK-002")
@pytest.mark.parametrize("length", [1, 16, 20], ids=["1-byte", "16-bytes", "20-bytes"])
def test_negotiation_that_comes_in_pieces_succeeds(connect, length):
    session = connect(version=False)
    version = session.version()
    sent = session.send(version, parts=pieces(len(version.bytes()), length), paced=True)
    session.negotiated_by(session.success(sent))
    session.barrier()


@covers("CONN-SOCK-002")
@needs("readable_region")
@pytest.mark.parametrize("length", [5, 24, 40], ids=["5-bytes", "24-bytes", "40-bytes"])
def test_pieces_that_end_inside_of_other_messages_are_put_together(session, device, length):
    messages = [INFO, well_formed(device, "DEVICE_GET_REGION_INFO"),
                well_formed(device, "REGION_READ"), INFO]
    whole = [session.call(one).payload for one in messages]
    size = sum(len(one.bytes()) for one in messages)
    sent = send_together(session, messages, parts=pieces(size, length), paced=True)
    assert [session.success(one).payload for one in sent] == whole
    session.expect_silence()


@covers("CONN-SOCK-003")
def test_messages_in_one_write_are_commands_of_their_own(session, device):
    names = ["DEVICE_GET_INFO", "DEVICE_GET_REGION_INFO", "DEVICE_GET_IRQ_INFO"]
    messages = [well_formed(device, name) for name in names]
    alone = [session.call(one).payload for one in messages]
    sent = send_together(session, messages)
    assert [session.success(one).payload for one in sent] == alone
    session.expect_silence()


@covers("CONN-SOCK-003")
def test_hundred_messages_in_one_write_are_all_answered(session):
    whole = session.call(INFO).payload
    sent = send_together(session, [INFO] * 100)
    assert [session.success(one).payload for one in sent] == [whole] * 100
    session.expect_silence()


@covers("CONN-SOCK-003")
@needs("store")
def test_writes_in_one_write_are_all_executed(session, device):
    store = device.store
    write = message("REGION_WRITE", region=store.region, offset=store.offset)
    read = message("REGION_READ", region=store.region, offset=store.offset, count=store.width)
    values = [store.bytes(value) for value in (0x11, 0x22, 0x33)]
    writes = [write.replace(data=data) for data in values]
    sent = send_together(session, [one for pair in zip(writes, [read] * 3) for one in pair])
    replies = [session.success(one) for one in sent]
    assert [reply.data for reply in replies[1::2]] == values


def disturb(target, fds):
    """A second connection asks for service; it may be served, refused, closed or left waiting."""
    second = fds.keep(Connection.connect(target.socket))
    return second, second.outcome(
        second.version(), allowed=("success", "error", "close", "silence")
    )


@covers("CONN-SOCK-004")
@needs("readable_region")
def test_second_connection_does_not_disturb_the_replies_of_the_first(session, target, device, fds):
    read = well_formed(device, "REGION_READ")
    before = session.call(read).payload
    second, outcome = disturb(target, fds)
    assert session.call(read).payload == before
    if outcome.kind == "silence":
        assert not second.arrives(short())
    second.close()
    assert session.call(read).payload == before
    session.expect_silence()


@covers("CONN-SOCK-004")
@needs("dma_maps")
def test_second_connection_does_not_disturb_the_mappings_of_the_first(session, target, fds):
    session.call("DMA_MAP", flags="READ|WRITE", address=ADDRESS, size=SIZE)
    disturb(target, fds)[0].close()
    session.call("DMA_UNMAP", address=ADDRESS, size=SIZE)


@covers("CONN-SOCK-004")
@needs("irq1", "raise_irq")
def test_second_connection_does_not_disturb_the_interrupts_of_the_first(
    session, target, device, fds
):
    irq, event = device.irq_with(), fds.eventfd()
    session.call("DEVICE_SET_IRQS", [event], flags="DATA_EVENTFD|ACTION_TRIGGER", index=irq.index,
                 count=1)
    second, _ = disturb(target, fds)
    device.raise_irq(session, irq.index, 0)
    assert event.wait() == 1
    second.close()
    device.raise_irq(session, irq.index, 0)
    assert event.wait() == 1


@covers("CONN-SOCK-004")
def test_many_connections_at_once_do_not_disturb_the_first(session, connect, target, fds):
    others = []
    for _ in range(CROWD):
        try:
            others.append(fds.keep(Connection.connect(target.socket, short())))
        except OSError:  # the queue of the listening socket is full
            break
    for one in others:
        one.send(one.version(), maybe=True)
        session.barrier()
    for one in others:
        one.close()
    session.barrier()
    if target.sessions != "many":
        session.close()
    connect().barrier()


@covers("CONN-SOCK-004")
@needs("concurrent")
@pytest.mark.parametrize("cut", [7, 16, 20], ids=["in-the-header", "behind-it", "in-the-payload"])
def test_unfinished_message_of_one_connection_does_not_hold_up_another(session, connect, cut):
    second = connect()
    second.send_bytes(INFO.bytes(1)[:cut], parts=pieces(cut, 1), paced=True)
    for _ in range(16):
        session.barrier()
    second.close()
    session.barrier()


NO_DESCRIPTORS = {
    "max_msg_fds-0": {"max_msg_fds": 0},
    "no-capabilities": {},
    "no-version-data": None,
}


@covers("CONN-SOCK-005")
@needs("dma_maps")
@pytest.mark.parametrize("capabilities", NO_DESCRIPTORS.values(), ids=NO_DESCRIPTORS)
def test_client_without_descriptors_can_map_memory(connect, capabilities):
    session = connect(capabilities=capabilities)
    for size in (SIZE, SIZE // 2):
        session.call("DMA_MAP", flags="READ|WRITE", address=ADDRESS, size=size)
        session.call("DMA_UNMAP", address=ADDRESS, size=size)
        session.refuse("DMA_UNMAP", address=ADDRESS, size=size)


@covers("CONN-SOCK-005")
@needs("readable_region")
@pytest.mark.parametrize("capabilities", NO_DESCRIPTORS.values(), ids=NO_DESCRIPTORS)
def test_client_without_descriptors_can_read_every_region(connect, device, capabilities):
    session = connect(capabilities=capabilities)
    for region in (region for region in device.regions if region.readable):
        widths = (1, 4, 8)  # a device may take accesses of one width only
        reads = [session.reply(session.send("REGION_READ", region=region.index, count=width))
                 for width in widths]
        read = [(len(one.data), width) for one, width in zip(reads, widths)
                if isinstance(one, Reply)]
        assert read and all(size == width for size, width in read), f"region {region.index}"


@covers("CONN-SOCK-005")
@needs("store")
@pytest.mark.parametrize("capabilities", NO_DESCRIPTORS.values(), ids=NO_DESCRIPTORS)
def test_client_without_descriptors_can_write(connect, device, capabilities):
    session, store = connect(capabilities=capabilities), device.store
    for value in (0x5A, 0xA5):
        store.write(session, value)
        assert store.read(session) == value
