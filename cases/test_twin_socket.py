# SPDX-License-Identifier: BSD-3-Clause
"""Twin-socket mode: how the second socket comes, what goes over it, and what its loss does."""

import os
import socket
import stat

import pytest
from dma import (
    DMA_READ, FAILED, TWIN_OFFER, each_direction, guest_of, lose, may_end, session_of,
)
from mapping import BASE, PAGE, SIZE, eventually, map_range

from vuc import covers, message, needs, reading
from vuc.duration import long
from vuc.session import MAIN, TWIN
from vuc.vdma import TERMINAL, Vdma

pytestmark = needs("twin")

SEED = 0x35
OTHER_SEED = 0x71
dma_by_messages = needs("dma_maps", "server_dma", "provoke_dma")


# ---- how it comes ----


def inode(number):
    """What tells one socket from another."""
    return os.fstat(number).st_ino


def offered(connect, **changes):
    """The reply to a VERSION that offers twin-socket mode, and its connection; the socket has not
    been taken over."""
    connection = connect(version=False)
    offer = {**TWIN_OFFER, **changes}
    connection.announce(offer)
    return connection, connection.call(connection.version(capabilities=offer))


@covers("TWIN-NEG-002")
@pytest.mark.parametrize("limit", [1, 8, 16])
def test_reply_passes_the_client_end_of_a_socket_pair(connect, limit):
    connection, reply = offered(connect, max_msg_fds=limit)
    assert len(reply.fds) == 1, "one descriptor is needed"
    connection.negotiated_by(reply)  # takes the socket over at its index
    assert connection.twin, "it is not supported"
    index = connection.negotiated["twin_socket"].get("fd_index")
    assert type(index) is int and index == 0, f"fd_index is {index!r}"
    number = connection.fileno(TWIN)
    assert stat.S_ISSOCK(os.fstat(number).st_mode), "it is no socket"
    assert inode(number) != inode(connection.fileno(MAIN)), "it is the main socket"
    with socket.socket(fileno=os.dup(number)) as ours:
        assert ours.family == socket.AF_UNIX
        assert not ours.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN), "it listens"
        ours.getpeername()
    connection.barrier()


@covers("TWIN-NEG-002")
def test_other_end_of_the_socket_is_open_as_long_as_the_session(connect):
    session = session_of(connect, TWIN_OFFER)
    with socket.socket(fileno=os.dup(session.fileno(TWIN))) as ours:
        session.barrier()
        with pytest.raises(BlockingIOError):
            ours.recv(1, socket.MSG_DONTWAIT)
        session.close()
        assert ended(ours), "the server keeps the twin socket of a session that is over"


def ended(ours):
    """Does the socket come to its end within the long duration?"""
    ours.settimeout(long())
    try:
        while ours.recv(PAGE):
            continue
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
    return True


# ---- what goes over it ----


@covers("TWIN-IO-001")
@dma_by_messages
@each_direction
def test_commands_of_the_server_come_by_the_twin_socket(connect, op):
    guest = guest_of(connect, twin=True)
    memory = guest.map()
    data = memory.fill(SEED)
    guest.vdma.store(0, data if op == "WRITE" else bytes(SIZE))
    guest.succeed(op, BASE, SIZE)
    assert guest.requests, "no command came"
    assert {request.channel for request in guest.requests} == {TWIN}
    guest.session.barrier()
    assert guest.session.receive(0, MAIN) is None, "something more came by the main socket"
    assert guest.session.receive(0, TWIN) is None
    assert memory.holds(data) and guest.vdma.load(0, SIZE) == data


@covers("TWIN-IO-001")
@dma_by_messages
@needs("concurrent")
def test_each_session_has_a_twin_socket_of_its_own(connect):
    guests = [guest_of(connect, twin=True) for _ in range(3)]
    inodes = {inode(guest.session.fileno(TWIN)) for guest in guests}
    assert len(inodes) == len(guests), "two sessions share a socket"
    for number, guest in enumerate(guests):
        data = guest.map(BASE + number * SIZE, PAGE).fill(number)
        guest.succeed("READ", BASE + number * SIZE, PAGE)
        assert guest.vdma.load(0, PAGE) == data
    for guest in guests:
        guest.asked_nothing()


@covers("CONN-STALL-001", "TWIN-IO-002")
@reading("T15")
@dma_by_messages
def test_what_the_server_waits_for_does_not_stall_the_main_socket(connect):
    guest = guest_of(connect, twin=True)
    data = guest.map().fill(SEED)
    guest.session.send(guest.prepare("READ", BASE, PAGE))
    request = guest.take()
    for _ in range(3):
        guest.session.barrier()
    guest.answer(request)
    assert guest.wait() == "DONE"
    assert guest.vdma.load(0, PAGE) == data[:PAGE]


# ---- what does not belong there ----


@covers("TWIN-IO-003")
@pytest.mark.parametrize(
    "name", ["DEVICE_GET_INFO", "DEVICE_RESET", "DEVICE_GET_REGION_INFO", "DEVICE_GET_IRQ_INFO"]
)
def test_command_on_the_twin_socket_is_not_executed(connect, name):
    session = session_of(connect, TWIN_OFFER)
    outcome = session.outcome(name, channel=TWIN, allowed=("silence", "error", "close"))
    if outcome.kind != "close":
        session.barrier()


@covers("TWIN-IO-003")
@needs("store")
def test_write_on_the_twin_socket_changes_nothing(connect, device):
    session, store = session_of(connect, TWIN_OFFER), device.store
    old = store.read(session)
    request = message("REGION_WRITE", region=store.region, offset=store.offset,
                      data=store.bytes(old ^ 0x55))
    outcome = session.outcome(request, channel=TWIN, allowed=("silence", "error", "close"))
    if outcome.kind != "close":
        assert store.read(session) == old, "it was executed"


@covers("TWIN-IO-003")
@needs("dma_maps")
def test_map_on_the_twin_socket_maps_nothing(connect):
    session = session_of(connect, TWIN_OFFER)
    request = message("DMA_MAP", flags="READ|WRITE", address=BASE, size=SIZE)
    outcome = session.outcome(request, channel=TWIN, allowed=("silence", "error", "close"))
    if outcome.kind != "close":
        session.refuse("DMA_UNMAP", address=BASE, size=SIZE)


@covers("TWIN-IO-003")
@needs("pipe")
def test_descriptor_on_the_twin_socket_is_closed_with_the_session(connect, fds):
    session, probe = session_of(connect, TWIN_OFFER), fds.probe()
    request = message("DMA_MAP", flags="READ|WRITE", address=BASE, size=SIZE)
    outcome = session.outcome(request, [probe], channel=TWIN,
                              allowed=("silence", "error", "close"))
    if outcome.kind != "close":
        session.barrier()
    session.close()  # a server that never reads there leaves it in the socket until now
    assert probe.released(), "the descriptor is kept"


GARBAGE = {
    "zeros": bytes(64),
    "ones": b"\xff" * 64,
    "part-of-a-header": message("DEVICE_GET_INFO").bytes(7)[:7],
    "reply-to-nothing": message("DEVICE_GET_INFO", header={"flags": 1}).bytes(7),
}


@covers("TWIN-IO-003")
@pytest.mark.parametrize("image", GARBAGE.values(), ids=GARBAGE)
def test_garbage_on_the_twin_socket_ends_at_most_the_session(connect, image):
    session = session_of(connect, TWIN_OFFER)
    session.send_bytes(image, channel=TWIN)
    with may_end(session):
        session.barrier()


# ---- the loss of one of the two ----


def waiting(connect, op="READ"):
    """A guest with an operation of a page that waits for the answer to a command."""
    guest = guest_of(connect, twin=True)
    guest.map().fill(SEED)
    guest.session.send(guest.prepare(op, BASE, PAGE), maybe=True)
    guest.take()
    return guest


def assert_fails(guest):
    """The operation in slot 0 fails; nothing is left to serve it by."""
    assert Vdma(guest.session).slot().wait(TERMINAL) in FAILED, "it is done without memory"


@covers("TWIN-IO-004", "VIO-DISC-001")
@dma_by_messages
@each_direction
def test_operation_without_twin_socket_fails_or_the_session_ends(connect, op):
    guest = guest_of(connect, twin=True)
    guest.map()
    start = guest.prepare(op, BASE, PAGE)
    lose(guest.session, TWIN)
    with may_end(guest.session):
        guest.session.call(start)
        assert_fails(guest)


@covers("TWIN-IO-004", "VIO-DISC-001")
@dma_by_messages
@each_direction
def test_operation_that_loses_its_twin_socket_fails_or_the_session_ends(connect, op):
    guest = waiting(connect, op)
    lose(guest.session, TWIN)
    with may_end(guest.session):
        assert_fails(guest)


@covers("TWIN-IO-004", "DISC-CLI-001")
@needs("dma_maps", "lease", "reconnect")
def test_session_without_main_socket_is_cleaned_up(connect, fds):
    memory = fds.memory(SIZE)
    session = session_of(connect, TWIN_OFFER)
    map_range(session, fds=[memory])
    memory.sent()
    with socket.socket(fileno=os.dup(session.fileno(TWIN))) as twin:
        lose(session, MAIN)
        assert ended(twin), "the twin socket stays open"
        second = connect()
        assert eventually(second, lambda: not memory.held()), "the memory is held"


@covers("TWIN-IO-004", "DISC-CLI-007")
@dma_by_messages
@needs("reconnect")
@each_direction
def test_session_without_main_socket_ends_while_a_command_waits(connect, op):
    guest = waiting(connect, op)
    with socket.socket(fileno=os.dup(guest.session.fileno(TWIN))) as twin:
        guest.session.close()
        assert ended(twin), "the twin socket stays open"
    connect().barrier()


# ---- the next session ----


@covers("TWIN-IO-005")
@dma_by_messages
@needs("reconnect")
@pytest.mark.parametrize("answered", [False, True], ids=["unanswered", "half-answered"])
def test_twin_socket_of_the_next_session_is_fresh(connect, answered):
    first = waiting(connect)
    if answered:
        first.session.send_bytes(bytes(7), channel=TWIN)
    first.session.close()
    guest = guest_of(connect, twin=True)
    guest.asked_nothing()
    other = guest.map(BASE + SIZE, SIZE)
    guest.asked_nothing()
    data = other.fill(OTHER_SEED)
    guest.succeed("READ", BASE + SIZE, PAGE, slot=1)
    assert {request.header.command for request in guest.requests} == {DMA_READ}
    assert guest.vdma.load(0, PAGE) == data[:PAGE]
