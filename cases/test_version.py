# SPDX-License-Identifier: BSD-3-Clause
"""VFIO_USER_VERSION: what a session begins with, and the version numbers.

The version data has files of its own: test_version_data.py and test_capabilities.py.
"""

import json

import pytest
from mapping import BASE, RW, SIZE, assert_nothing_mapped, eventually, map_range, unmap_range
from negotiation import ANY, REFUSED, TWIN, version

from vuc import COMMANDS, Failure, covers, message, needs
from vuc.message import unknown
from vuc.schema import HEADER_SIZE
from vuc.session import DEFAULT, Reply, capabilities_bytes, capabilities_of

UNKNOWN_COMMAND = 999
NEWEST = 0xFFFF  # no implementation has a minor version beyond
TRIED_MINORS = 64  # of each implementation, from 0 on


# ---- version numbers ----


@covers("VER-NEG-003", "VER-NEG-009")
@pytest.mark.parametrize("capabilities", [None, {}, DEFAULT], ids=["none", "empty", "usual"])
def test_reply_has_the_major_version_and_the_layout_of_the_request(connect, capabilities):
    connection = connect(version=False)
    reply = connection.negotiate(0, 0, capabilities)
    assert reply.major == 0
    assert len(reply.payload) >= COMMANDS["VERSION"].reply_size
    if reply.data:
        assert reply.data.endswith(b"\0")
        json.loads(reply.data[:-1])


@covers("VER-NEG-004")
@pytest.mark.parametrize("major", [1, 999, 0xFFFF])
def test_connection_with_an_unsupported_major_version_is_closed(connect, major):
    connection = connect(version=False)
    sent = connection.send(connection.version(major=major), maybe=True)
    assert len(connection.expect_close(sent)) <= 1


@covers("VER-NEG-005")
@pytest.mark.parametrize("minor", [0, 1, 2, 9, NEWEST])
def test_minor_version_in_the_reply_is_at_most_the_proposed_one(connect, minor):
    connection = connect(version=False)
    reply = connection.negotiate(minor=minor)
    assert reply.major == 0
    assert reply.minor <= minor
    connection.barrier()


@covers("VER-NEG-006")
def test_every_minor_version_below_the_newest_is_supported(connect):
    with connect(version=False) as first:
        newest = first.negotiate(minor=NEWEST).minor
    for minor in range(min(newest, TRIED_MINORS) + 1):
        with connect(version=False) as connection:
            assert connection.negotiate(minor=minor).minor <= minor
            connection.barrier()


# ---- what a session begins with ----


@covers("VER-NEG-002")
@pytest.mark.parametrize(
    "first",
    [
        message("DEVICE_GET_INFO"),
        message("DEVICE_GET_REGION_INFO"),
        message("DEVICE_RESET"),
        message("DMA_MAP", flags=RW, address=BASE, size=SIZE),
        unknown(UNKNOWN_COMMAND),
    ],
    ids=["device_get_info", "device_get_region_info", "device_reset", "dma_map", "unknown"],
)
def test_command_before_the_negotiation_is_refused(connect, first):
    connection = connect(version=False)
    connection.outcome(first, allowed=REFUSED)
    connection.close()
    connect().barrier()


@covers("VER-NEG-002")
@needs("dma_maps", "lease")
def test_map_before_the_negotiation_holds_no_memory(connect, fds):
    early, memory = connect(version=False), fds.memory(SIZE)
    early.outcome("DMA_MAP", [memory], flags=RW, address=BASE, size=SIZE, allowed=REFUSED)
    early.close()
    memory.sent()
    session = connect()
    assert eventually(session, lambda: not memory.held()), "the memory is held"
    assert_nothing_mapped(session)


@covers("VER-NEG-002")
@needs("store", "reconnect")
def test_write_before_the_negotiation_is_not_executed(connect, device):
    store = device.store
    with connect() as before:
        old = store.read(before)
    with connect(version=False) as early:
        early.outcome("REGION_WRITE", region=store.region, offset=store.offset,
                      data=store.bytes(old ^ 0x55), allowed=REFUSED)
    assert store.read(connect()) == old


@covers("VER-NEG-008")
@needs("required_capability")
def test_connection_without_a_required_capability_is_closed(connect):
    connection = connect(version=False)
    connection.unjudged()  # nothing tells the model what a server requires
    sent = connection.send(connection.version(capabilities={}), maybe=True)
    assert len(connection.expect_close(sent)) <= 1


@covers("VER-NEG-010")
@pytest.mark.parametrize("size", [0, 1, 3])
def test_request_shorter_than_the_version_numbers_is_refused(connect, size):
    connect(version=False).outcome(version().cut(size), allowed=REFUSED)


@covers("VER-NEG-011")
@needs("dma_maps")
@pytest.mark.parametrize(
    "again",
    [version(capabilities_bytes(DEFAULT)), version(major=1), version(capabilities_bytes({}))],
    ids=["the-same", "another-major", "other-capabilities"],
)
def test_second_version_changes_nothing(connect, again):
    session = connect(version=False)
    first = session.negotiate()
    map_range(session)
    outcome = session.outcome(again, allowed=ANY)
    if outcome.kind == "success":
        assert outcome.reply.payload == first.payload
    if outcome.kind != "close":
        unmap_range(session)


@covers("VER-NEG-011")
@needs("raise_irq", "irq1")
def test_second_version_takes_no_interrupt_away(session, device, fds):
    irq, signalled = device.irq_with(), fds.eventfd()
    session.call("DEVICE_SET_IRQS", [signalled], flags="DATA_EVENTFD|ACTION_TRIGGER",
                 index=irq.index, start=0, count=1)
    if session.outcome(session.version(), allowed=ANY).kind != "close":
        device.raise_irq(session, irq.index, 0)
        assert signalled.wait() == 1


@covers("VER-NEG-013")
@pytest.mark.parametrize("size", [0, 3, HEADER_SIZE, HEADER_SIZE + 2],
                         ids=["nothing", "half-a-header", "a-header", "half-a-payload"])
@needs("reconnect")
def test_client_that_leaves_before_its_version_is_whole_harms_no_other(connect, size):
    with connect(version=False) as early:
        if size:
            early.send_bytes(version(bytes(4092)).bytes(1)[:size])
    connect().barrier()


@covers("VER-NEG-013")
@needs("concurrent")
@pytest.mark.parametrize("size", [0, 3, HEADER_SIZE], ids=["nothing", "half-a-header", "a-header"])
def test_client_that_never_ends_its_version_holds_up_no_other(connect, size):
    slow = connect(version=False)
    if size:
        slow.send_bytes(version(bytes(4092)).bytes(1)[:size])
    connect().barrier()
    slow.close()
    connect().barrier()


@covers("VER-NEG-014")
def test_command_right_behind_the_version_is_answered_after_it(connect):
    connection = connect(version=False)
    behind = message("DEVICE_GET_INFO")
    connection.send_bytes(connection.version().bytes(1) + behind.bytes(2))
    try:
        came = [connection.receive() for _ in range(2)]
    except Failure as failure:
        if failure.code != "reply.closed":
            raise
        return
    assert all(isinstance(one, Reply) for one in came), "not both were answered"
    assert [one.header.id for one in came] == [1, 2]


# ---- the twin socket, as far as the negotiation decides it ----


@covers("TWIN-NEG-001")
@pytest.mark.parametrize(
    "offered", [{}, {"twin_socket": {}}, {"twin_socket": {"supported": False}}],
    ids=["absent", "empty", "false"],
)
def test_twin_socket_is_not_set_up_unless_the_client_supports_it(connect, offered):
    connection = connect(version=False)
    reply = connection.negotiate(capabilities={**DEFAULT, **offered})
    assert connection.negotiated.get("twin_socket", {}).get("supported") is not True
    assert not reply.fds


@covers("TWIN-NEG-003")
def test_twin_socket_without_room_for_its_descriptor_is_not_set_up(connect):
    connection = connect(version=False)
    offered = {**DEFAULT, **TWIN, "max_msg_fds": 0}
    connection.announce(offered)
    outcome = connection.outcome(connection.version(capabilities=offered), allowed=ANY)
    if outcome.kind == "success":
        assert not outcome.reply.fds
        answer = capabilities_of(outcome.reply.data).get("twin_socket", {})
        assert answer.get("supported") is not True
        connection.barrier()


@covers("TWIN-NEG-003")
def test_fd_index_in_a_request_is_ignored(connect):
    answers = []
    for extra in ({}, {"fd_index": 3}):
        with connect(version=False) as connection:
            offered = {**DEFAULT, "twin_socket": {"supported": True, **extra}}
            reply = connection.negotiate(capabilities=offered)
            answers.append((connection.negotiated.get("twin_socket"), len(reply.fds)))
    assert answers[0] == answers[1]
