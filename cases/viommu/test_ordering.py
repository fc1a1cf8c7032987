# SPDX-License-Identifier: BSD-3-Clause
"""Commands around a DMA_UNMAP that waits, and streams that are cut or glued in odd places: rows
J01, J02 and J12 to J15 of the catalogue (README.md)."""

import socket
from array import array
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from dma import Range, guest_of
from exchanges import TO_SERVER, well_formed
from flight import (
    SEED, assert_ended, assert_stays, assert_waits, canary, hold, let_drain, map_canary, moved,
)
from mapping import (
    BASE, PAGE, RW, SIZE, assert_nothing_mapped, batches, exchange_all, map_range, unmap_range,
)
from plain import Plain

from vuc import COMMANDS, covers, message, needs
from vuc.duration import short
from vuc.message import decode
from vuc.vdma import pattern

pytestmark = needs("dma_maps")

dma = needs("provoke_dma")
ABORTED = "ABORTED ECANCELED"
INFO = message("DEVICE_GET_INFO")
READS = 100  # commands behind an unmap
GLUE = 1 << 16  # bytes of one write
BACKLOG = 1 << 12  # the same, where nobody reads
STORM = 100_000  # mappings that go at once
FEWEST = 1000  # whatever the scale
HELD = 500  # the unmap that waits, counted from 1
ENTRY = COMMANDS["DMA_UNMAP"].reply  # which repeats the address


def waiting(guest, fds, **how):
    """A range, the canary in it, whose DMA_UNMAP waits for the operation in slot 0."""
    one = map_canary(guest, fds)
    let_drain(guest)
    hold(guest, "POST", one, drain=True)
    sent = guest.session.send("DMA_UNMAP", address=BASE, size=SIZE, **how)
    return one, sent


# ---- commands behind an unmap ----


@covers("VIO-UNMAP-007", "ORD-PIPE-001")
@needs("readable_region")
def test_j01_replies_behind_an_unmap_come_in_order(session, device):
    read = well_formed(device, "REGION_READ")
    map_range(session)
    sent = [session.send("DMA_UNMAP", address=BASE, size=SIZE),
            *(session.send(read) for _ in range(READS))]
    came = [session.receive().header for _ in sent]
    assert [header.id for header in came] == [one.id for one in sent], "replies change places"
    assert not any(header.error for header in came)
    assert_nothing_mapped(session)


@dma
@covers("VIO-UNMAP-007", "ORD-PIPE-001")
def test_j01_replies_wait_behind_an_unmap_that_waits_and_come_in_order(guest, device, fds):
    one, unmap = waiting(guest, fds)
    read = well_formed(device, "REGION_READ")
    sent = [unmap, *(guest.session.send(read) for _ in range(READS))]
    assert_waits(guest)
    guest.slot().release("end")
    came = [guest.session.receive().header for _ in sent]
    assert [header.id for header in came] == [one.id for one in sent], "replies change places"
    assert not any(header.error for header in came)
    assert_stays(guest, one, moved(SIZE), 0)


@dma
@covers("VIO-UNMAP-007", "ORD-PIPE-002", "HDR-REPLY-002")
def test_j02_read_waits_for_a_silent_unmap_before_it(guest, device, fds):
    one, _ = waiting(guest, fds, no_reply=True)
    read = guest.session.send(well_formed(device, "REGION_READ"))
    assert_waits(guest)
    guest.slot().release("end")
    guest.success(read)
    assert_stays(guest, one, moved(SIZE), 0)
    assert_nothing_mapped(guest.session)


@dma
@covers("VIO-UNMAP-001", "ORD-PIPE-002", "HDR-REPLY-002")
@pytest.mark.parametrize(("point", "count"), [("POST", 0), ("MID", PAGE), ("END", SIZE)],
                         ids=["translated", "middle", "end"])
def test_j02_nothing_moves_when_a_read_behind_a_silent_unmap_is_answered(guest, device, fds, point,
                                                                       count):
    one = map_canary(guest, fds)
    hold(guest, point, one, mid=PAGE)
    guest.session.send("DMA_UNMAP", address=BASE, size=SIZE, no_reply=True)
    guest.call(well_formed(device, "REGION_READ"))
    assert_ended(guest, ABORTED, count)
    assert_stays(guest, one, moved(count), 0)
    assert_nothing_mapped(guest.session)


# ---- a stream in pieces ----


def bytewise(one, fds=0):
    """How to send a message byte by byte, with its descriptors on the first."""
    ends = range(1, len(one.bytes()) + 1)
    return {"parts": [(end, fds if end == 1 else 0) for end in ends], "paced": True}


def results(session, device, how):
    """What the session answers to each command, sent in that way."""
    commands = [well_formed(device, name) for name in TO_SERVER]
    replies = [session.reply(session.send(one, **how(one))) for one in commands]
    return [(reply.header.command, reply.header.error, reply.payload) for reply in replies]


@covers("CONN-SOCK-002")
@needs("reconnect")
def test_j12_commands_byte_by_byte_have_the_same_results(connect, device):
    session = connect()
    expected = results(session, device, lambda one: {})
    session.close()
    session = connect()
    assert results(session, device, bytewise) == expected
    session.expect_silence()


@dma
@covers("CONN-SOCK-002", "FD-PASS-001")
def test_j12_memory_that_is_mapped_and_used_byte_by_byte_works(guest, fds):
    memory = fds.memory(SIZE)
    mapping = message("DMA_MAP", flags=RW, address=BASE, size=SIZE)
    guest.success(guest.session.send(mapping, [memory], **bytewise(mapping, 1)))
    one = guest.add(Range(BASE, SIZE, RW, memory))
    start = guest.prepare("FILL", BASE, SIZE, seed=SEED)
    guest.success(guest.session.send(start, **bytewise(start)))
    assert guest.wait() == "DONE"
    assert one.holds(pattern(SEED, SIZE))
    unmap = message("DMA_UNMAP", address=BASE, size=SIZE)
    guest.unmapped(one, guest.session.send(unmap, **bytewise(unmap)))
    guest.fail("FILL", BASE, PAGE)


def push(plain, image, fds=()):
    """Send all of it, with the descriptors on its first byte."""
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", fds))] if fds else []
    plain.ours.sendall(image[plain.ours.sendmsg([image], rights):])


def push_maps(plain, memories, others):
    """Map a range for each memory, with other commands before and behind, and no gap."""
    push(plain, others)
    for number, memory in enumerate(memories):
        address = BASE + number * SIZE
        mapping = message("DMA_MAP", flags=RW, address=address, size=SIZE)
        push(plain, mapping.bytes() + others, [memory.fileno()])


@covers("CONN-SOCK-003", "FD-PASS-001")
@needs("lease")
def test_j13_descriptors_stay_with_their_message_in_a_stream_without_gaps(session, fds):
    memories, count = [fds.memory(SIZE) for _ in range(4)], GLUE // len(INFO.bytes())
    with closing(Plain(session)) as plain, ThreadPoolExecutor(1) as pool:
        sending = pool.submit(push_maps, plain, memories, INFO.bytes() * count)
        came = [len(plain.replies(1)[0]) for _ in range(count + len(memories) * (count + 1))]
        sending.result()
    full = [came[0]] * count
    assert came == full + [0, *full] * len(memories), "replies change places"
    for memory in memories:
        memory.sent()
    for number, memory in enumerate(memories):
        assert all(one.held() for one in memories[number:]), "a range is without its memory"
        unmap_range(session, BASE + number * SIZE)
        assert not memory.held(), "the range has another memory than was sent with it"


@dma
@covers("CONN-SOCK-003", "FD-PASS-001")
def test_j13_descriptors_stay_with_their_message_where_the_server_reads_late(guest, fds):
    memories, count = [fds.memory(SIZE) for _ in range(4)], BACKLOG // len(INFO.bytes())
    first = map_canary(guest, fds)
    let_drain(guest)
    hold(guest, "POST", first, drain=True)
    with closing(Plain(guest.session)) as plain:
        push(plain, message("DMA_UNMAP", address=BASE, size=SIZE).bytes())
        push_maps(plain, memories, INFO.bytes() * count)
        guest.slot().release("end")
        sizes = [len(one) for one in plain.replies(1 + count + len(memories) * (count + 1))]
    full = [sizes[1]] * count
    assert sizes[1:] == full + [0, *full] * len(memories), "replies change places"
    guest.ranges.remove(first)
    for number, memory in enumerate(memories):
        guest.works(guest.add(Range(BASE + number * SIZE, SIZE, RW, memory)), number)


# ---- others beside an unmap that waits ----


@dma
@covers("VIO-UNMAP-007", "CONN-SOCK-004")
@needs("concurrent")
def test_j14_unmap_that_waits_holds_up_no_other_connection(guest, connect, fds):
    other = guest_of(connect)
    one, sent = waiting(guest, fds)
    assert_waits(guest)
    two = map_canary(other, fds)
    other.works(two)
    other.unmap(two)
    assert guest.slot().door_state() == "HELD@POST"
    assert not guest.session.arrives(0), "it was not held up"
    guest.slot().release("end")
    guest.unmapped(one, sent)
    assert_stays(guest, one, moved(SIZE), 0)


@dma
@covers("VIO-UNMAP-007", "VIO-UNMAP-002", "CONN-SOCK-004")
@needs("concurrent")
def test_j14_unmaps_that_wait_on_two_connections_know_nothing_of_each_other(guest, connect, fds):
    other = guest_of(connect)
    with other.vdma:
        one, first = waiting(guest, fds)
        two, second = waiting(other, fds)
        assert_waits(guest)
        assert_waits(other)
        other.slot().release("end")
        other.unmapped(two, second)
        assert_stays(other, two, moved(SIZE), 0)
        assert_waits(guest)
        assert one.holds(canary()), "the other's release lets it go"
        guest.slot().release("end")
        guest.unmapped(one, first)
        assert_stays(guest, one, moved(SIZE), 0)


# ---- many unmaps ----


def push_unmaps(plain, addresses):
    """Unmap a page at each of the addresses, without a look at the replies."""
    for image, _ in batches("DMA_UNMAP", addresses, size=PAGE):
        push(plain, image)


@dma
@covers("VIO-UNMAP-007", "VIO-UNMAP-002", "DMA-UNMAP-004")
def test_j15_unmaps_of_a_storm_come_in_order_around_one_that_waits(connect, fds, scale):
    guest = guest_of(connect, max_dma_maps=STORM)
    session = guest.session
    count = min(max(FEWEST, round(STORM * scale)), session.limits.max_dma_maps)
    addresses = [BASE + number * PAGE for number in range(count)]
    held = addresses[HELD - 1]
    exchange_all(session, "DMA_MAP", (at for at in addresses if at != held), flags=RW, size=PAGE)
    one = map_canary(guest, fds, held, size=PAGE)
    let_drain(guest)
    hold(guest, "POST", one, size=PAGE, drain=True)
    with guest.vdma, closing(Plain(session)) as plain, ThreadPoolExecutor(1) as pool:
        sending = pool.submit(push_unmaps, plain, addresses)
        came = plain.replies(HELD - 1)
        assert not plain.came and not session.arrives(short()), "the reply does not wait"
        assert one.holds(canary(PAGE)), "it does not stay held"
        guest.slot().release("end")
        came += plain.replies(1)
        assert one.holds(pattern(SEED, PAGE))
        came += plain.replies(count - len(came))
        sending.result()
    told = [decode(ENTRY, payload)["address"] for payload in came]
    assert told == addresses, "replies change places"
    guest.ranges.remove(one)
    assert_nothing_mapped(session, BASE, count * PAGE)
