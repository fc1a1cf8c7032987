# SPDX-License-Identifier: BSD-3-Clause
"""Descriptors that come with messages: used where they are wanted, closed everywhere else."""

import fcntl
import os
import resource
from errno import EINVAL

import pytest
from exchanges import ADDRESS, CUTS, SIZE, TO_SERVER, cuts_of, send_together, well_formed
from vuc import COMMANDS, covers, message, needs, unknown
from vuc.evidence import KINDS, Fd
from vuc.session import DEFAULT, Reply

MAP = message("DMA_MAP", flags="READ|WRITE", address=ADDRESS, size=SIZE)
UNMAP = message("DMA_UNMAP", address=ADDRESS, size=SIZE)
INFO = message("DEVICE_GET_INFO")
WITHOUT = [name for name in TO_SERVER if not COMMANDS[name].request_fds]
SCM_MAX_FD = 253  # most descriptors of one message, by the kernel
TAKEN_OR_NOT = ("success", "error")
FILES = 48  # RLIMIT_NOFILE of a server that is to run out of descriptors


def set_eventfds(irq, count=1):
    """The message that assigns eventfds to the first vectors."""
    return message("DEVICE_SET_IRQS", flags="DATA_EVENTFD|ACTION_TRIGGER", index=irq.index,
                   count=count)


def take_down(irq):
    """The message that takes all eventfds of the index away."""
    return message("DEVICE_SET_IRQS", flags="DATA_NONE|ACTION_TRIGGER", index=irq.index)


def assert_released(session, probes):
    """The server has closed what it was passed, once it has answered."""
    session.barrier()
    assert all(probe.released() for probe in probes), "the server keeps a descriptor"


def assert_let_go(session, memory):
    """The server holds neither descriptor nor mapping of the memory."""
    session.barrier()
    memory.sent()
    assert not memory.held(), "the server keeps the memory"


# ---- descriptors of commands that take some ----


@covers("FD-PASS-001")
@needs("dma_maps", "lease")
def test_map_takes_the_descriptor_of_its_message_and_unmap_gives_it_back(session, fds):
    for _ in range(3):
        memory = fds.memory(SIZE)
        session.call(MAP, [memory])
        session.call(UNMAP)
        session.refuse(UNMAP)
        assert_let_go(session, memory)


@covers("FD-PASS-001")
@needs("irq1", "raise_irq")
def test_interrupt_goes_to_the_descriptor_of_its_message(session, device, fds):
    irq = device.irq_with()
    for event in fds.eventfds(3):
        session.call(set_eventfds(irq), [event])
        device.raise_irq(session, irq.index, 0)
        assert event.wait() == 1


@covers("FD-PASS-001")
@needs("irq2", "raise_irq")
def test_descriptors_of_one_message_are_taken_in_their_order(session, device, fds):
    irq = device.irq_with(count=2)
    count = min(irq.count, session.limits.max_msg_fds)
    events = fds.eventfds(count)
    session.call(set_eventfds(irq, count), events)
    for vector, event in enumerate(events):
        device.raise_irq(session, irq.index, vector)
        assert [one.count() for one in events] == [int(one is event) for one in events]


@covers("FD-PASS-001")
@needs("irq1", "raise_irq")
def test_messages_behind_each_other_keep_their_own_descriptors(session, device, fds):
    irq, events, sent = device.irq_with(), fds.eventfds(32), []
    for event in events:
        sent.append(session.send(INFO))
        sent.append(session.send(set_eventfds(irq), [event]))
        sent.append(session.send(device.irq_message(irq.index, 0)))
    for one in sent:
        session.success(one)
    assert [event.count() for event in events] == [1] * len(events)


@covers("FD-PASS-001", "FD-PASS-006")
@needs("mmap_region")
def test_descriptors_of_a_reply_come_with_that_reply(session, device):
    region = next(region for region in device.regions if region.mappable)
    question = message("DEVICE_GET_REGION_INFO", index=region.index)
    for one in send_together(session, [INFO, question, INFO, question, question, INFO]):
        assert len(session.success(one).fds) == (one.command == question.number)
    session.expect_silence()


@covers("CONN-SOCK-002", "FD-PASS-001")
@needs("dma_maps", "lease")
@pytest.mark.parametrize("where", CUTS)
def test_descriptor_on_the_first_piece_belongs_to_the_mapping(session, fds, where):
    for cut in cuts_of(MAP, where):
        memory = fds.memory(SIZE)
        session.success(session.send(MAP, [memory], parts=[(cut, 1), (len(MAP.bytes()), 0)],
                                     paced=True))
        session.call(UNMAP)
        assert_let_go(session, memory)


@covers("CONN-SOCK-002", "FD-PASS-001")
@needs("irq1", "raise_irq")
@pytest.mark.parametrize("where", CUTS)
def test_descriptor_on_the_first_piece_gets_the_interrupt(session, device, fds, where):
    irq, event = device.irq_with(), fds.eventfd()
    one = set_eventfds(irq)
    for cut in cuts_of(one, where):
        parts = [(cut, 1), (len(one.bytes()), 0)]
        session.success(session.send(one, [event], parts=parts, paced=True))
        device.raise_irq(session, irq.index, 0)
        assert event.wait() == 1, f"cut at {cut}"
        session.call(take_down(irq))


@covers("FD-PASS-002")
@needs("dma_maps", "lease")
@pytest.mark.parametrize("where", CUTS)
def test_descriptor_on_the_second_piece_of_a_mapping_is_not_lost(session, fds, where):
    for cut in cuts_of(MAP, where):
        memory = fds.memory(SIZE)
        sent = session.send(MAP, [memory], parts=[(cut, 0), (len(MAP.bytes()), 1)], paced=True)
        if isinstance(session.reply(sent), Reply):
            session.call(UNMAP)
        assert_let_go(session, memory)


@covers("FD-PASS-002")
@needs("irq1", "raise_irq")
@pytest.mark.parametrize("where", CUTS)
def test_descriptor_on_the_second_piece_gets_the_interrupt_or_an_error(
    session, device, fds, where
):
    irq, event = device.irq_with(), fds.eventfd()
    one = set_eventfds(irq)
    for cut in cuts_of(one, where):
        sent = session.send(one, [event], parts=[(cut, 0), (len(one.bytes()), 1)], paced=True)
        taken = isinstance(session.reply(sent), Reply)
        device.raise_irq(session, irq.index, 0)
        session.barrier()
        assert event.count() == int(taken), f"cut at {cut}"


@covers("FD-PASS-002")
@needs("irq2", "raise_irq")
@pytest.mark.parametrize("where", CUTS)
def test_descriptors_on_both_pieces_get_their_interrupts_or_an_error(session, device, fds, where):
    irq, events = device.irq_with(count=2), fds.eventfds(2)
    one = set_eventfds(irq, 2)
    for cut in cuts_of(one, where):
        sent = session.send(one, events, parts=[(cut, 1), (len(one.bytes()), 1)], paced=True)
        taken = int(isinstance(session.reply(sent), Reply))
        for vector in range(2):
            device.raise_irq(session, irq.index, vector)
        session.barrier()
        assert [event.count() for event in events] == [taken] * 2, f"cut at {cut}"


@covers("FD-PASS-002")
@pytest.mark.parametrize("where", CUTS)
def test_descriptors_on_both_pieces_of_a_question_are_closed(session, fds, where):
    for cut in cuts_of(INFO, where):
        probes = fds.probes(2)
        session.reply(session.send(INFO, probes, parts=[(cut, 1), (len(INFO.bytes()), 1)],
                                   paced=True))
        assert_released(session, probes)


# ---- descriptors that nobody wants ----


def allowed_number(session, count):
    """`count`, or as many as the server lets a message carry."""
    return max(1, min(count, session.limits.max_msg_fds))


@covers("FD-PASS-003")
@needs("pipe")
@pytest.mark.parametrize("no_reply", [False, True], ids=["with-reply", "without-reply"])
@pytest.mark.parametrize("name", WITHOUT)
def test_descriptors_on_a_command_without_any_are_closed(session, device, fds, name, no_reply):
    probes = fds.probes(allowed_number(session, 2))
    one = well_formed(device, name)
    if no_reply:
        session.send(one.replace(no_reply=True), probes)
    else:
        session.outcome(one, probes, allowed=TAKEN_OR_NOT)
    assert_released(session, probes)


@covers("FD-PASS-003")
@pytest.mark.parametrize("kind", KINDS)
def test_descriptor_of_any_kind_does_no_harm_where_none_is_taken(session, device, fds, kind):
    for name in WITHOUT:
        session.outcome(well_formed(device, name), [fds.kind(kind)], allowed=TAKEN_OR_NOT)
    session.expect_silence()


@covers("FD-PASS-003")
@needs("pipe")
def test_unwanted_descriptors_do_not_add_up(session, fds):
    probes = [fds.probe() for _ in range(64)]
    for probe in probes:
        session.outcome(INFO, [probe], allowed=TAKEN_OR_NOT)
    assert_released(session, probes)


@covers("FD-PASS-003")
@needs("pipe")
def test_descriptors_on_the_negotiation_are_closed(connect, fds):
    session, probe = connect(version=False), fds.probe()
    version = session.version()
    outcome = session.outcome(version, [probe], allowed=("success", "error", "close"))
    if outcome.kind == "success":
        session.negotiated_by(outcome.reply)
        session.barrier()
    assert probe.released()


@covers("FD-PASS-003")
@needs("pipe")
@pytest.mark.parametrize("cut", [7, 16, 20], ids=["in-the-header", "behind-it", "in-the-payload"])
def test_descriptors_of_a_message_that_is_not_finished_are_closed(connect, fds, cut):
    session, probe = connect(), fds.probe()
    session.send_bytes(INFO.bytes(1)[:cut], [probe])
    session.close()
    assert probe.released()


@covers("FD-PASS-004")
@needs("dma_maps", "pipe", "lease")
@pytest.mark.parametrize("count", [2, 8], ids=["2", "8"])
def test_surplus_descriptors_of_a_mapping_are_closed(session, fds, count):
    memory, probes = fds.memory(SIZE), fds.probes(count - 1)
    few = count <= session.limits.max_msg_fds
    outcome = session.outcome(MAP, [memory, *probes], allowed=(*TAKEN_OR_NOT, *["close"][few:]))
    if outcome.kind == "error":
        assert outcome.reply.errno in (0, EINVAL)
    if outcome.kind == "close":
        assert all(probe.released() for probe in probes)
        return
    assert_released(session, probes)
    if outcome.kind == "success":
        session.call(UNMAP)
    assert_let_go(session, memory)


@covers("FD-PASS-005")
@needs("irq1", "pipe")
def test_more_descriptors_than_max_msg_fds_are_closed(session, device, fds):
    count, irq, probe = session.limits.max_msg_fds + 1, device.irq_with(), fds.probe()
    if count > SCM_MAX_FD:
        pytest.skip("needs: a max_msg_fds that one message can exceed")
    outcome = session.outcome(set_eventfds(irq, count), [probe] * count,
                              allowed=("success", "error", "close"))
    if outcome.kind == "success":
        session.call(take_down(irq))
    assert probe.released()


@covers("FD-PASS-005")
@needs("pipe")
@pytest.mark.parametrize("count", [17, SCM_MAX_FD], ids=["17", "253"])
def test_many_descriptors_on_a_question_are_closed(session, fds, count):
    probe = fds.probe()
    session.outcome(INFO, [probe] * count, allowed=("success", "error", "close"))
    assert probe.released()


LIMITS = {
    "0": ({"max_msg_fds": 0}, 0),
    "1": ({"max_msg_fds": 1}, 1),
    "absent": ({}, 1),
}


@covers("FD-PASS-006")
@needs("mmap_region")
@pytest.mark.parametrize("offer, limit", LIMITS.values(), ids=LIMITS)
@pytest.mark.parametrize("name", ["DEVICE_GET_REGION_INFO", "DEVICE_GET_REGION_IO_FDS"])
def test_reply_carries_no_more_descriptors_than_the_client_takes(
    connect, device, name, offer, limit
):
    session = connect(capabilities=offer)
    for index in range(device.info.num_regions):
        outcome = session.outcome(name, index=index, allowed=TAKEN_OR_NOT)
        assert len(outcome.reply.fds) <= limit, f"region {index}"


@covers("FD-PASS-006")
@pytest.mark.parametrize("offer, limit", LIMITS.values(), ids=LIMITS)
def test_negotiation_carries_no_more_descriptors_than_the_client_takes(connect, offer, limit):
    session = connect(version=False)
    offer = {**offer, "twin_socket": {"supported": True}}
    session.announce(offer)
    outcome = session.outcome(session.version(capabilities=offer),
                              allowed=("success", "error", "close"))
    assert outcome.kind == "close" or len(outcome.reply.fds) <= limit


@covers("FD-PASS-006")
@needs("mmap_region")
def test_mappable_region_comes_with_one_descriptor(connect, device):
    session = connect(capabilities={**DEFAULT, "max_msg_fds": 1})
    for region in (region for region in device.regions if region.mappable):
        assert len(session.call("DEVICE_GET_REGION_INFO", index=region.index).fds) == 1


@covers("HDR-REPLY-004", "FD-PASS-006")
@needs("mmap_region")
@pytest.mark.parametrize("name", ["DEVICE_GET_REGION_INFO", "DEVICE_GET_REGION_IO_FDS"])
def test_descriptors_of_a_reply_that_is_not_wanted_are_not_kept(session, target, device, name):
    held = []
    for _ in range(2):
        for index in range(device.info.num_regions):
            session.outcome(message(name, index=index, no_reply=True),
                            allowed=("success", "error", "silence"))
        session.barrier()
        held.append(target.resources())
    assert held[0] is None or held[1].fds == held[0].fds, "the server keeps descriptors"


REFUSED = {
    "irq-index": lambda device: message(
        "DEVICE_SET_IRQS", flags="DATA_EVENTFD|ACTION_TRIGGER", index=device.info.num_irqs,
        count=1),
    "irq-flags": lambda device: message("DEVICE_SET_IRQS", flags=0, index=0, count=1),
    "irq-short": lambda device: message(
        "DEVICE_SET_IRQS", flags="DATA_EVENTFD|ACTION_TRIGGER", index=0, count=1).cut(12),
    "map-flags": lambda device: MAP.replace(flags=0xFFFFFFFF),
    "map-short": lambda device: MAP.cut(24),
    "unknown-command": lambda device: unknown(99, bytes(8)),
    "region-index": lambda device: message(
        "DEVICE_GET_REGION_INFO", index=device.info.num_regions),
}


@covers("FD-PASS-007")
@needs("pipe")
@pytest.mark.parametrize("no_reply", [False, True], ids=["with-reply", "without-reply"])
@pytest.mark.parametrize("make", REFUSED.values(), ids=REFUSED)
def test_descriptors_of_a_refused_command_are_closed(session, device, fds, make, no_reply):
    probe, one = fds.probe(), make(device)
    if no_reply:
        session.send(one.replace(no_reply=True), [probe])
        session.expect_silence()
    else:
        session.refuse(one, [probe])
    assert_released(session, [probe])


@covers("FD-PASS-007")
@needs("pipe")
@pytest.mark.parametrize("kind", [1, 3], ids=["reply", "undefined"])
def test_descriptors_of_a_message_that_is_no_command_are_closed(session, fds, kind):
    probe = fds.probe()
    outcome = session.outcome(message("DEVICE_RESET").with_header(flags=kind), [probe],
                              allowed=("error", "silence", "close"))
    if outcome.kind != "close":
        session.barrier()
    assert probe.released()


@covers("FD-PASS-007")
@needs("dma_maps", "lease")
@pytest.mark.parametrize("size", [SIZE, SIZE // 2], ids=["identical", "inside"])
def test_memory_of_a_refused_mapping_is_let_go(session, fds, size):
    first, second = fds.memory(SIZE), fds.memory(SIZE)
    session.call(MAP, [first])
    session.refuse(MAP, [second], size=size)
    assert_let_go(session, second)
    session.call(UNMAP)
    assert_let_go(session, first)


# ---- descriptors of the wrong kind ----


@covers("FD-PASS-008")
@needs("dma_maps")
@pytest.mark.parametrize("kind", KINDS)
def test_mapping_of_any_kind_of_descriptor_does_no_harm(session, fds, kind):
    outcome = session.outcome(MAP, [fds.kind(kind)], allowed=TAKEN_OR_NOT)
    if outcome.kind == "success":
        session.call(UNMAP)
    session.call(MAP)
    session.call(UNMAP)


def full_pipe(fds):
    """The write end of a pipe that takes no more, on which a write would wait."""
    reading, writing = (fds.keep(Fd(number, "full-pipe")) for number in os.pipe2(os.O_CLOEXEC))
    size = fcntl.fcntl(writing.fileno(), fcntl.F_GETPIPE_SZ)
    assert os.write(writing.fileno(), bytes(size)) == size and reading
    return writing


def full_eventfd(fds):
    """An eventfd that takes no more, on which a write would wait."""
    event = fds.keep(Fd(os.eventfd(0, os.EFD_CLOEXEC), "full-eventfd"))
    os.eventfd_write(event.fileno(), (1 << 64) - 2)
    return event


@covers("FD-PASS-008", "SEC-GEN-005")
@needs("irq1")
@pytest.mark.parametrize("kind", KINDS)
def test_interrupt_to_any_kind_of_descriptor_does_no_harm(session, device, fds, kind):
    assert_interrupts_do_no_harm(session, device, fds.kind(kind))


@covers("FD-PASS-008", "SEC-GEN-004")
@needs("irq1")
@pytest.mark.parametrize("make", [full_pipe, full_eventfd], ids=["pipe", "eventfd"])
def test_interrupt_to_a_full_descriptor_does_not_block(session, device, fds, make):
    assert_interrupts_do_no_harm(session, device, make(fds))


def assert_interrupts_do_no_harm(session, device, fd):
    """The server refuses the descriptor, or survives two interrupts to it."""
    irq = device.irq_with()
    outcome = session.outcome(set_eventfds(irq), [fd], allowed=TAKEN_OR_NOT)
    if outcome.kind == "success":
        for _ in range(2):
            raise_or_trigger(session, device, irq)
        session.call(take_down(irq))
    session.expect_silence()


def raise_or_trigger(session, device, irq):
    """The device raises the first vector, or the client does by loopback where nobody can tell
    the device to; whether that succeeds is of no interest."""
    if device.has("raise_irq"):
        session.reply(session.send(device.irq_message(irq.index, 0)))
    else:
        session.reply(session.send(take_down(irq), count=1))


# ---- a server that runs out of descriptors ----


@covers("FD-PASS-009")
@needs("process", "dma_maps")
def test_server_out_of_descriptors_refuses_mappings_until_some_are_gone(private_target, fds):
    target = private_target(limit_nofile=FILES)
    session = fds.keep(target.negotiate())
    mapped = 0
    for mapped in range(min(2 * FILES, session.limits.max_dma_maps)):
        outcome = session.outcome(MAP.replace(address=mapped * SIZE), [fds.memory(SIZE)],
                                  allowed=("success", "error", "close"))
        if outcome.kind == "close":
            session = fds.keep(target.negotiate())
        if outcome.kind != "success":
            break
    if outcome.kind == "error":
        for index in range(mapped):
            session.call(UNMAP.replace(address=index * SIZE))
        session.call(MAP, [fds.memory(SIZE)])
    session.barrier()


def leave_free(target, count):
    """Let the process open `count` more descriptors; returns its limits as they were."""
    pid = target.state.pid
    taken = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
    free = [number for number in range(len(taken) + count + 1) if number not in taken]
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (free[count], before[1]))
    return lambda: resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


@covers("FD-PASS-009")
@needs("process", "proc", "dma_maps", "lease")
def test_mapping_whose_descriptor_can_not_be_received_is_no_success(private_target, fds):
    target = private_target()
    session, memory = fds.keep(target.negotiate()), fds.memory(SIZE)
    restore = leave_free(target, 0)
    outcome = session.outcome(MAP, [memory], allowed=("error", "close"))
    restore()
    session = session if outcome.kind == "error" else fds.keep(target.negotiate())
    assert_let_go(session, memory)
    session.call(MAP, [fds.memory(SIZE)])
    session.call(UNMAP)


@covers("FD-PASS-009")
@needs("process", "proc", "irq2", "pipe")
@pytest.mark.parametrize("room", [0, 1], ids=["none", "one"])
def test_interrupts_whose_descriptors_can_not_all_be_received_are_no_success(
    private_target, device, fds, room
):
    target, irq = private_target(), device.irq_with(count=2)
    session, probe = fds.keep(target.negotiate()), fds.probe()
    restore = leave_free(target, room)
    outcome = session.outcome(set_eventfds(irq, 2), [fds.eventfd(), probe],
                              allowed=("error", "close"))
    restore()
    session = session if outcome.kind == "error" else fds.keep(target.negotiate())
    assert_released(session, [probe])
    session.call(set_eventfds(irq, 2), fds.eventfds(2))


@covers("FD-PASS-009")
@needs("process", "proc", "pipe")
@pytest.mark.parametrize("room", [0, 3], ids=["none", "three"])
def test_unwanted_descriptors_that_can_not_be_received_do_no_harm(private_target, fds, room):
    target = private_target()
    session, probe = fds.keep(target.negotiate()), fds.probe()
    restore = leave_free(target, room)
    outcome = session.outcome(INFO, [probe] * min(session.limits.max_msg_fds, SCM_MAX_FD),
                              allowed=("success", "error", "close"))
    restore()
    session = session if outcome.kind != "close" else fds.keep(target.negotiate())
    assert_released(session, [probe])


@covers("FD-PASS-009", "CONN-SOCK-004")
@needs("process", "proc", "reconnect")
@pytest.mark.parametrize("room", [0, 1, 3], ids=["none", "one", "three"])
def test_connection_that_can_not_be_received_does_no_harm(private_target, fds, room):
    target = private_target()
    session = fds.keep(target.negotiate())
    restore = leave_free(target, room)
    other = fds.keep(target.connect())
    other.send(other.version(), maybe=True)
    session.barrier()
    restore()
    other.close()
    session.close()
    fds.keep(target.negotiate()).barrier()
