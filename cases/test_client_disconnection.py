# SPDX-License-Identifier: BSD-3-Clause
"""Client Disconnection: what the server lets go of, what it keeps, at whatever point it comes.

A server may end with its client (DISC-CLI-003). Where it does, its end is waited for; where it
lives on, a round trip of the next client lies between two looks at what it still holds.
"""

import pytest
from mapping import (
    BASE, PAGE, RW, SIZE, assert_mapped, assert_nothing_mapped, eventually, map_range,
)

from vuc import covers, message, needs, structure
from vuc.duration import short
from vuc.schema import HEADER_SIZE
from vuc.session import DEFAULT
from vuc.target import COUNTED

TINY_LIMITS = {
    "max_data_xfer_size": 16,
    "max_msg_fds": 8,
    "write_multiple": True,
    "twin_socket": {"supported": True},
}
READ_SIZE = 64
READS = 100
CYCLES = 200
WARM_UP = 20
FDS_OF_A_CYCLE = 8
KIB_PER_CYCLE = 64  # what a sanitizer keeps in quarantine stays below, a device does not
IDLE = 4  # short durations of looking at a server that has nothing to do
BUSY_SHARE = 0.15  # of a processor: more is a loop, also where several want the processor


def released(target, connect, condition):
    """Does it come true once the client has gone?"""
    if target.sessions == "one":
        target.wait_exit()
        return condition()
    return eventually(connect(), condition)


def assign(session, irq, fds):
    """Assign the descriptors to the first vectors of an interrupt index."""
    session.call("DEVICE_SET_IRQS", fds, flags="DATA_EVENTFD|ACTION_TRIGGER",
                 index=irq.index, start=0, count=len(fds))


def vectors(session, irq, fds):
    """Eventfds assigned to as many vectors as one message can carry."""
    made = fds.eventfds(min(irq.count, session.limits.max_msg_fds, DEFAULT["max_msg_fds"]))
    assign(session, irq, made)
    return made


# ---- what is released ----


@covers("DISC-CLI-001")
@needs("dma_maps", "lease")
@pytest.mark.parametrize("flags", ["READ", RW])
@pytest.mark.parametrize("count", [1, 5], ids=["one", "several"])
def test_memory_of_a_client_that_left_is_released(target, session, connect, fds, count, flags):
    memories = [fds.memory(SIZE) for _ in range(count)]
    for index, memory in enumerate(memories):
        map_range(session, BASE + index * SIZE, SIZE, [memory], flags=flags)
        memory.sent()
    session.close()
    assert released(target, connect, lambda: not any(memory.held() for memory in memories))


@covers("DISC-CLI-001")
@needs("dma_maps", "lease", "seal")
def test_memory_of_a_client_that_left_has_no_shared_mapping(target, session, connect, fds):
    memory = fds.memory(SIZE)
    map_range(session, fds=[memory])
    memory.sent()
    session.close()
    released(target, connect, lambda: not memory.held())
    assert not memory.mapped(), "a shared mapping is left"


@covers("DISC-CLI-001", "SEC-GEN-006")
@needs("dma_maps", "reconnect")
def test_memory_of_a_client_that_left_can_be_truncated(session, connect, fds):
    memory = fds.memory(SIZE)
    map_range(session, fds=[memory])
    session.close()
    memory.truncate(0)
    assert_nothing_mapped(connect())


@covers("DISC-CLI-002")
@needs("irq1", "proc", "reconnect")
def test_interrupt_descriptors_of_a_client_that_left_are_closed(target, device, connect, fds):
    irq = device.irq_with()
    with connect() as first:
        before = target.resources().fds
        count = len(vectors(first, irq, fds))
        held = target.resources().fds - before
    session = connect()
    assert eventually(session, lambda: target.resources().fds <= before), (
        f"{held} descriptors are held for {count} vectors, and not all are closed"
    )


@covers("DISC-CLI-002")
@needs("irq1", "pipe")
def test_pipe_that_a_client_left_as_interrupt_is_closed(session, device, fds):
    irq, probe = device.irq_with(), fds.probe()
    session.outcome("DEVICE_SET_IRQS", [probe], flags="DATA_EVENTFD|ACTION_TRIGGER",
                    index=irq.index, start=0, count=1)
    session.close()
    assert probe.released(), "the descriptor is kept"
    assert not probe.bytes()


@covers("DISC-CLI-002", "DISC-CLI-006")
@needs("irq1", "reconnect")
def test_eventfd_of_a_client_that_left_is_not_signalled(session, device, connect, fds):
    irq = device.irq_with()
    old = vectors(session, irq, fds)
    session.close()
    second = connect()
    for vector in range(len(old)):
        second.outcome("DEVICE_SET_IRQS", flags="DATA_NONE|ACTION_TRIGGER", index=irq.index,
                       start=vector, count=1)
    second.barrier()
    assert not any(one.count() for one in old), "a trigger of the next client came to the old one"


@covers("DISC-CLI-006", "DISC-CLI-004")
@needs("irq1", "raise_irq", "reconnect")
def test_device_raises_no_interrupt_for_a_client_that_left(session, device, connect, fds):
    irq = device.irq_with()
    old = vectors(session, irq, fds)
    device.raise_irq(session, irq.index, 0)
    assert old[0].wait() == 1
    session.close()
    second = connect()
    device.raise_irq(second, irq.index, 0)
    second.barrier()
    new = vectors(second, irq, fds)
    device.raise_irq(second, irq.index, 0)
    assert new[0].wait() >= 1
    assert not any(one.count() for one in old), "the eventfd of the old client was signalled"


# ---- the server afterwards ----


@covers("DISC-CLI-003")
@needs("process")
def test_server_ends_well_or_serves_the_next_client(target, session, connect):
    session.close()
    if target.sessions == "one":
        state = target.wait_exit()
        assert state is not None, "it neither ends nor serves another client"
        assert (state.phase, state.status) == ("exited", 0), state.text()
    else:
        connect().barrier()


@covers("DISC-CLI-004")
@needs("store", "reconnect")
def test_registers_survive_a_disconnect(session, device, connect):
    store = device.store
    old = store.read(session)
    store.write(session, old ^ 0x55)
    session.close()
    second = connect()
    assert store.read(second) == old ^ 0x55
    store.write(second, old)


@covers("DISC-CLI-004", "DISC-CLI-005")
@needs("dma_maps", "reconnect")
@pytest.mark.parametrize("shared", [False, True], ids=["without-fd", "with-fd"])
def test_ranges_of_a_client_that_left_can_be_mapped_again(session, connect, fds, shared):
    memories = [fds.memory(SIZE)] if shared else []
    map_range(session, fds=memories)
    session.close()
    second = connect()
    second.refuse("DMA_UNMAP", address=BASE, size=SIZE)
    map_range(second, BASE - PAGE, SIZE + 2 * PAGE)
    assert_mapped(second, BASE - PAGE, SIZE + 2 * PAGE)
    map_range(second, fds=memories)
    assert_mapped(second)


@covers("DISC-CLI-005")
@needs("readable_region", "reconnect")
def test_limits_of_the_client_before_do_not_hold(connect, device):
    connect(capabilities=TINY_LIMITS).close()
    session = connect(version=False)
    reply = session.negotiate(capabilities={})
    assert not reply.fds
    assert not session.negotiated.get("twin_socket")
    assert not session.limits.write_multiple
    region = device.readable()
    count = min(READ_SIZE, region.size)
    read = session.call("REGION_READ", region=region.index, offset=0, count=count)
    assert len(read.data) == count
    for index in range(device.info.num_regions):
        assert len(session.call("DEVICE_GET_REGION_INFO", index=index).fds) <= 1


@covers("DISC-CLI-005")
@needs("store", "write_multiple", "reconnect")
def test_write_multiple_of_the_client_before_does_not_hold(connect, device):
    store = device.store
    connect(capabilities=TINY_LIMITS).close()
    session = connect(capabilities={})
    old = store.read(session)
    entry = structure("WRITE_MULTI_ENTRY", region=store.region, offset=store.offset,
                      count=store.width, data=int.from_bytes(store.bytes(old ^ 0x55), "little"))
    session.refuse("REGION_WRITE_MULTI", wr_cnt=1, data=entry)
    assert store.read(session) == old


@covers("VER-NEG-002", "DISC-CLI-005")
@needs("reconnect")
def test_next_client_has_to_negotiate(session, connect):
    session.barrier()
    session.close()
    second = connect(version=False)
    second.outcome("DEVICE_GET_INFO", allowed=("error", "close"))


# ---- at any point ----


def map_message():
    """A DMA_MAP whose every byte counts."""
    return message("DMA_MAP", flags=RW, address=BASE, size=SIZE).bytes(7)


@covers("DISC-CLI-007", "DISC-CLI-001")
@needs("dma_maps", "pipe", "reconnect")
def test_client_may_leave_at_any_byte_of_a_message_with_a_descriptor(connect, fds):
    image = map_message()
    for size in range(1, len(image)):
        probe = fds.probe()
        with connect() as leaving:
            leaving.send_bytes(image[:size], [probe])
        assert probe.released(), f"the descriptor is kept after {size} bytes"
        probe.close()
    assert_nothing_mapped(connect())


@covers("DISC-CLI-007", "DISC-CLI-001")
@needs("dma_maps", "lease", "reconnect")
@pytest.mark.parametrize("read", [True, False], ids=["with-the-reply", "without-the-reply"])
def test_client_may_leave_right_behind_a_map(connect, fds, read):
    memory = fds.memory(SIZE)
    with connect() as leaving:
        sent = leaving.send("DMA_MAP", [memory], flags=RW, address=BASE, size=SIZE)
        if read:
            leaving.success(sent)
    memory.sent()
    session = connect()
    assert eventually(session, lambda: not memory.held()), "the memory is held"
    assert_nothing_mapped(session)


@covers("DISC-CLI-007")
@needs("store", "reconnect")
def test_write_that_is_not_whole_is_not_executed(connect, device):
    store = device.store
    with connect() as first:
        old = store.read(first)
    image = message("REGION_WRITE", region=store.region, offset=store.offset,
                    data=store.bytes(old ^ 0x55)).bytes(7)
    for size in range(1, len(image)):
        with connect() as leaving:
            leaving.send_bytes(image[:size])
        with connect() as session:
            assert store.read(session) == old, f"written after {size} of {len(image)} bytes"


@covers("DISC-CLI-007")
@needs("reconnect")
@pytest.mark.parametrize("size", [3, HEADER_SIZE, HEADER_SIZE + 5],
                         ids=["in-the-header", "behind-the-header", "in-the-payload"])
def test_client_may_leave_in_the_middle_of_a_version(connect, size):
    with connect(version=False) as leaving:
        leaving.send_bytes(leaving.version().bytes(1)[:size])
    connect().barrier()


@covers("DISC-CLI-007")
@needs("readable_region", "reconnect")
def test_client_may_leave_its_replies_unread(session, device, connect):
    region = device.readable()
    for _ in range(READS):
        session.send("REGION_READ", region=region.index, offset=0, count=min(4, region.size))
    session.close()
    connect().barrier()


@covers("DISC-CLI-007")
@needs("reconnect")
@pytest.mark.parametrize("part", [0, 3, HEADER_SIZE, HEADER_SIZE + 4],
                         ids=["nothing", "half-a-header", "a-header", "half-a-payload"])
def test_client_may_leave_with_replies_unread_and_a_message_begun(session, connect, part):
    for _ in range(READS):
        session.send("DEVICE_GET_INFO")
    if part:
        session.send_bytes(message("DEVICE_GET_INFO").bytes(READS)[:part])
    session.close()
    connect().barrier()


@covers("DISC-CLI-007")
@needs("reset", "reconnect")
def test_client_may_leave_during_a_reset(session, connect):
    session.send("DEVICE_RESET")
    session.close()
    second = connect()
    second.call("DEVICE_RESET")
    second.barrier()


@covers("DISC-CLI-007")
@pytest.mark.parametrize("part", [0, 3, HEADER_SIZE], ids=["nothing", "half-a-header", "a-header"])
def test_client_that_only_stops_sending_gets_its_replies_and_is_closed(session, part):
    sent = session.send("DEVICE_GET_INFO")
    if part:
        session.send_bytes(message("DEVICE_GET_INFO").bytes(9)[:part])
    session.shutdown_write()
    session.success(sent)
    session.expect_close()


@covers("DISC-CLI-007", "DISC-CLI-001")
@needs("dma_maps", "lease")
def test_memory_of_a_client_that_only_stops_sending_is_released(target, session, connect, fds):
    memory = fds.memory(SIZE)
    map_range(session, fds=[memory])
    memory.sent()
    session.shutdown_write()
    session.expect_close()
    assert released(target, connect, lambda: not memory.held()), "the memory is held"


@covers("DISC-CLI-007")
@needs("proc", "reconnect")
@pytest.mark.parametrize("size", [0, 3, HEADER_SIZE], ids=["between-messages", "in-the-header",
                                                           "behind-the-header"])
def test_server_is_idle_when_its_client_has_left(target, session, connect, size):
    if size:
        session.send_bytes(map_message()[:size])
    session.close()
    waiting = connect()
    waiting.barrier()
    before = target.resources().cpu_ms
    assert not waiting.arrives(IDLE * short())
    used = target.resources().cpu_ms - before
    assert used < BUSY_SHARE * IDLE * short() * 1000, f"{used} ms of processor time"


# ---- again and again ----


@covers("DISC-CLI-008")
@needs("dma_maps", "irq1", "proc", "reconnect")
def test_many_short_sessions_leave_nothing_behind(target, device, connect, fds):
    irq = device.irq_with()
    memories = [fds.memory(SIZE) for _ in range(FDS_OF_A_CYCLE)]
    eventfds = fds.eventfds(min(FDS_OF_A_CYCLE, irq.count))

    def cycle(times):
        for _ in range(times):
            with connect() as session:
                for index, memory in enumerate(memories):
                    map_range(session, BASE + index * SIZE, SIZE, [memory])
                assign(session, irq, eventfds[: session.limits.max_msg_fds])
        with connect() as last:
            last.barrier()
            return target.resources()

    before, now = cycle(WARM_UP), cycle(CYCLES)
    grown = {name: getattr(now, name) - getattr(before, name) for name in COUNTED}
    assert all(more < CYCLES // 4 for more in grown.values()), grown
    assert now.rss_anon_kib - before.rss_anon_kib < CYCLES * KIB_PER_CYCLE


@covers("DISC-CLI-008")
@needs("reconnect", "proc")
@pytest.mark.parametrize("size", [0, 3, HEADER_SIZE], ids=["nothing", "half-a-header", "a-header"])
def test_many_connections_without_a_session_leave_nothing_behind(target, connect, size):
    def cycle(times):
        for _ in range(times):
            with connect(version=False) as early:
                if size:
                    early.send_bytes(map_message()[:size])
        with connect() as last:
            last.barrier()
            return target.resources()

    before, now = cycle(WARM_UP), cycle(CYCLES)
    grown = {name: getattr(now, name) - getattr(before, name) for name in COUNTED}
    assert all(more < CYCLES // 4 for more in grown.values()), grown
