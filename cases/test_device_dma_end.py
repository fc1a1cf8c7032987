# SPDX-License-Identifier: BSD-3-Clause
"""The end of DMA: by unmap, reset, the end of the client, and SIGTERM, whatever is under way.

Operations are stopped at hold points, or by an answer that is withheld, or are long. Afterwards the
memory is filled anew and the operation let go: what it still does shows in the bytes, or as a
command for what is not mapped any more.
"""

from errno import EFAULT

import pytest
from dma import (
    FAILED, TWIN_OFFER, Guest, Range, each_direction, each_way, guest_of, memory_for,
    on_each_socket,
)
from exchanges import assert_sigterm_ends
from interrupts import line_of
from mapping import BASE, PAGE, RW, SIZE, assert_nothing_mapped, eventually
from migrating import destination_fixture, set_message  # noqa: F401 - one is a fixture

from vuc import Failure, covers, needs
from vuc.duration import long, short
from vuc.exchange import Refusal
from vuc.session import DEFAULT
from vuc.vdma import TERMINAL, pattern

pytestmark = needs("dma_maps", "provoke_dma")

SEED = 0x35
OTHER_SEED = 0x71
CANARY = 0xEE
LONG_RUN = 4096  # times a page: more than a device moves between two commands
ENDLESS = 0xFFFFFFFF  # times
NEVER = 600_000  # ms that a held operation may drain: it is released before
HOLDS = ("PRE", "POST", "MID", "END", "RETIRED")

each_hold = pytest.mark.parametrize("hold", HOLDS, ids=str.lower)
each_kind = pytest.mark.parametrize("op", ["READ", "FILL"], ids=["read", "write"])
each_policy = pytest.mark.parametrize("drain", [False, True], ids=["abort", "drain"])
by_messages = needs("server_dma")


def held(guest, op, hold, **how):
    """An operation of all of the first range that is held at that point, in slot 0."""
    guest.start(op, guest.ranges[0].address, SIZE, hold=hold, mid=PAGE, seed=SEED, **how)
    guest.held()


def asked(guest, op):
    """The command that an operation of a page of the first range waits for an answer to."""
    guest.session.send(guest.prepare(op, BASE, PAGE), maybe=True)
    return guest.take()


def assert_untouched(guest, one, slots=(0,)):
    """From now on nothing of the range is accessed, also when the operations are let go."""
    data = one.fill(CANARY)
    for number in slots:
        guest.slot(number).step("end")
        guest.wait(number)
    guest.asked_nothing()
    assert one.holds(data), "the device has written behind it"


# ---- unmap ----


@covers("DMA-UNMAP-005")
@needs("lease")
@each_kind
@pytest.mark.parametrize("path", ["auto", "direct", "messages"])
def test_memory_that_the_device_used_is_released_when_the_reply_comes(connect, fds, op, path):
    guest, memory = guest_of(connect), fds.memory(SIZE)
    one = guest.map(memory=memory)
    memory.sent()
    state = guest.run(op, BASE, SIZE, path=path)
    assert state == "DONE" or (path != "auto" and state in FAILED), f"{state}"
    guest.unmap(one)
    assert not memory.held(), "a descriptor or a mapping is left after the reply"


@covers("DMA-UNMAP-005")
@needs("seal")
def test_memory_that_the_device_used_has_no_shared_mapping_when_the_reply_comes(connect, fds):
    guest, memory = guest_of(connect), fds.memory(SIZE)
    one = guest.map(memory=memory)
    guest.works(one)
    guest.unmap(one)
    assert not memory.mapped(), "a shared mapping is left after the reply"


@covers("DMA-UNMAP-005", "DMA-UNMAP-006")
@needs("lease")
@each_kind
@each_hold
def test_memory_of_a_held_operation_is_released_when_the_reply_comes(connect, fds, op, hold):
    guest, memory = guest_of(connect), fds.memory(SIZE)
    one = guest.map(memory=memory)
    memory.sent()
    held(guest, op, hold)
    guest.unmap(one)
    assert not memory.held(), "a descriptor or a mapping is left after the reply"
    assert_untouched(guest, one)


@covers("DMA-UNMAP-006", "DMA-UNMAP-005")
@needs("lease")
@each_hold
def test_operation_that_drains_ends_before_the_reply(connect, fds, hold):
    guest, memory = guest_of(connect), fds.memory(SIZE)
    if not guest.vdma.can("DOOR"):
        pytest.skip("needs: the side door of the test device")
    one = guest.map(memory=memory)
    memory.sent()
    guest.vdma.write("DRAIN_MS", NEVER)
    guest.vdma.door()
    held(guest, "FILL", hold, drain=True)
    sent = guest.session.send("DMA_UNMAP", address=BASE, size=SIZE)
    early = guest.session.arrives(short())
    if not early:
        guest.slot().release("end")
    guest.unmapped(one, sent)
    assert not memory.held(), "a descriptor or a mapping is left after the reply"
    if guest.slot().state() == "DONE":
        assert one.holds(pattern(SEED, SIZE)), "it is done without all bytes"
    assert_untouched(guest, one)
    guest.vdma.close()


@covers("DMA-UNMAP-006")
@each_way
@each_kind
@each_hold
def test_held_operation_does_not_go_on_in_what_is_unmapped(connect, fds, shared, twin, op, hold):
    guest = guest_of(connect, twin)
    one = guest.map(memory=memory_for(fds, shared))
    held(guest, op, hold)
    guest.unmap(one)
    assert_untouched(guest, one)


@covers("DMA-UNMAP-006")
@each_way
@each_kind
@each_policy
def test_long_operation_ends_with_the_unmap(connect, fds, shared, twin, op, drain):
    guest = guest_of(connect, twin)
    one = guest.map(memory=memory_for(fds, shared))
    guest.start(op, BASE, PAGE, count=LONG_RUN, seed=SEED, drain=drain)
    guest.unmap(one)
    assert_untouched(guest, one)
    guest.works(guest.map(memory=memory_for(fds, shared)))


@covers("DMA-UNMAP-006")
@each_way
def test_operations_of_all_slots_end_with_the_unmap(connect, fds, shared, twin):
    guest = guest_of(connect, twin)
    one = guest.map(memory=memory_for(fds, shared))
    slots = range(8)
    for number in slots:
        guest.start(("READ", "FILL")[number % 2], BASE + number * PAGE, PAGE, number,
                    hold=HOLDS[number % len(HOLDS)], mid=PAGE // 2)
        guest.wait(number, TERMINAL | {"HELD"})
    guest.unmap(one)
    assert_untouched(guest, one, slots)
    guest.works(guest.map(memory=memory_for(fds, shared)))


@covers("DMA-UNMAP-006")
@each_way
@each_hold
def test_unmap_of_another_range_leaves_an_operation_alone(connect, fds, shared, twin, hold):
    guest = guest_of(connect, twin)
    one = guest.map(memory=memory_for(fds, shared))
    other = guest.map(BASE + SIZE, SIZE, memory_for(fds, shared))
    held(guest, "FILL", hold)
    guest.unmap(other)
    guest.slot().step("end")
    assert guest.wait() == "DONE"
    assert one.holds(pattern(SEED, SIZE))


@covers("DMA-UNMAP-006")
@each_way
@each_hold
def test_operation_over_two_ranges_leaves_the_one_that_is_unmapped(connect, fds, shared, twin,
                                                                  hold):
    guest = guest_of(connect, twin)
    low = guest.map(memory=memory_for(fds, shared))
    high = guest.map(BASE + SIZE, SIZE, memory_for(fds, shared))
    guest.start("FILL", BASE + SIZE - PAGE, 2 * PAGE, hold=hold, mid=PAGE // 2, seed=SEED)
    guest.held()
    guest.unmap(high)
    assert_untouched(guest, high)
    guest.works(low)


# ---- unmap while a command waits ----


@covers("DMA-UNMAP-007", "VIO-UNMAP-004")
@by_messages
@on_each_socket
@each_direction
@pytest.mark.parametrize("errno", [None, EFAULT], ids=["with-data", "with-an-error"])
def test_unmap_is_answered_when_the_command_is(connect, twin, op, errno):
    guest = guest_of(connect, twin)
    one = guest.map()
    request = asked(guest, op)
    sent = guest.session.send("DMA_UNMAP", address=BASE, size=SIZE)
    guest.session.answer(request, **({"data": guest.data_for(request)} if errno is None
                                     else {"errno": errno}))
    guest.unmapped(one, sent)
    assert_untouched(guest, one)
    assert_nothing_mapped(guest.session)
    guest.works(guest.map())


@covers("DMA-UNMAP-007", "VIO-UNMAP-004")
@by_messages
@on_each_socket
@each_direction
def test_unmap_is_answered_though_the_command_is_not(connect, twin, op):
    guest = guest_of(connect, twin)
    one = guest.map()
    request = asked(guest, op)
    sent = guest.session.send("DMA_UNMAP", address=BASE, size=SIZE)
    guest.unmapped(one, sent)
    guest.asked_nothing()
    guest.session.answer(request, data=bytes(PAGE) if op == "READ" else b"")
    assert_untouched(guest, one)
    guest.works(guest.map())


# ---- mapped again ----


@covers("DMA-UNMAP-011", "VIO-MAP-002")
@each_way
def test_device_reaches_only_what_is_mapped_now(connect, fds, shared, twin):
    guest = guest_of(connect, twin)
    first = guest.map(memory=memory_for(fds, shared))
    guest.works(first)
    data = first.fill(CANARY)
    guest.unmap(first)
    guest.fail("FILL", BASE, PAGE)
    for flags in ("WRITE", "READ", RW):
        second = guest.map(memory=memory_for(fds, shared, 2 * SIZE), flags=flags,
                           offset=SIZE if shared else 0)
        guest.works(second)
        guest.unmap(second)
    assert first.holds(data), "the memory that was mapped before is accessed"


@covers("DMA-UNMAP-011")
@by_messages
@on_each_socket
def test_range_changes_between_memory_and_messages(connect, fds, twin):
    guest = guest_of(connect, twin)
    for memory in (fds.memory(SIZE), None, fds.memory(SIZE), None):
        one = guest.map(memory=memory)
        seen = len(guest.requests)
        guest.works(one)
        assert memory is not None or len(guest.requests) > seen
        guest.unmap(one)
        assert_untouched(guest, one)


@covers("DMA-UNMAP-011")
@each_way
def test_operation_that_was_held_reaches_no_range_in_the_place_of_its_own(connect, fds, shared,
                                                                         twin):
    guest = guest_of(connect, twin)
    first = guest.map(memory=memory_for(fds, shared))
    held(guest, "FILL", "MID")
    guest.unmap(first)
    second = guest.map(memory=memory_for(fds, shared))
    old, new = first.fill(CANARY), second.fill(OTHER_SEED)
    guest.slot().step("end")
    guest.wait()
    assert first.holds(old) and second.holds(new), "it goes on in another mapping"


# ---- order ----


@covers("ORD-PIPE-003")
@needs("lease")
def test_map_use_and_unmap_happen_in_the_order_they_are_sent(connect, fds):
    guest, memory = guest_of(connect), fds.memory(SIZE)
    start = guest.prepare("FILL", BASE, SIZE, seed=SEED, drain=True)
    for _ in range(8):
        memory.write(0, bytes(SIZE))
        sent = [
            guest.session.send("DMA_MAP", [memory], flags=RW, address=BASE, size=SIZE),
            guest.session.send(start),
            guest.session.send("DMA_UNMAP", address=BASE, size=SIZE),
        ]
        for one in sent:
            guest.session.success(one)
        assert memory.read(0, SIZE) == pattern(SEED, SIZE), "the bytes are not there"
        memory.write(0, bytes(SIZE))
        assert guest.wait() == "DONE"
        assert memory.read(0, SIZE) == bytes(SIZE), "it is written behind the unmap"
    memory.sent()
    assert not memory.held(), "a descriptor or a mapping is left"


@covers("ORD-PIPE-003")
@by_messages
@on_each_socket
@each_kind
def test_no_command_comes_behind_a_pipelined_unmap(connect, twin, op):
    guest = guest_of(connect, twin)
    start = guest.prepare(op, BASE, PAGE, seed=SEED)
    mapped = guest.session.send("DMA_MAP", flags=RW, address=BASE, size=SIZE)
    one = guest.add(Range(BASE, SIZE))
    sent = guest.session.send(start), guest.session.send("DMA_UNMAP", address=BASE, size=SIZE)
    guest.success(mapped)
    guest.success(sent[0])
    guest.unmapped(one, sent[1])
    assert_untouched(guest, one)
    guest.fail(op, BASE, PAGE)


# ---- the end of the client ----


@covers("DISC-CLI-006", "DISC-CLI-001")
@needs("lease", "reconnect")
@each_kind
@each_hold
@each_policy
def test_held_operation_does_not_go_on_when_its_client_has_left(connect, fds, op, hold, drain):
    first, memory = guest_of(connect), fds.memory(SIZE)
    one = first.map(memory=memory)
    memory.sent()
    held(first, op, hold, drain=drain)
    first.session.close()
    guest = guest_of(connect)
    assert eventually(guest.session, lambda: not memory.held()), "the memory is held"
    assert_untouched(guest, one)
    guest.works(guest.map(memory=fds.memory(SIZE)))


@covers("DISC-CLI-006", "DISC-CLI-001")
@needs("lease", "reconnect")
@each_kind
def test_long_operation_ends_with_its_client(connect, fds, op):
    first, memory = guest_of(connect), fds.memory(SIZE)
    one = first.map(memory=memory)
    memory.sent()
    first.start(op, BASE, PAGE, count=LONG_RUN, seed=SEED)
    first.session.close()
    guest = guest_of(connect)
    assert eventually(guest.session, lambda: not memory.held()), "the memory is held"
    assert_untouched(guest, one)
    guest.works(guest.map(memory=fds.memory(SIZE)))


@covers("DISC-CLI-006", "DISC-CLI-007")
@by_messages
@needs("reconnect")
@on_each_socket
@each_direction
@pytest.mark.parametrize("moment", ["unread", "unanswered", "half-answered", "answered"])
def test_next_client_is_not_asked_for_what_the_one_before_was(connect, twin, op, moment):
    first = guest_of(connect, twin)
    first.map()
    if moment == "unread":
        first.start(op, BASE, SIZE)
    else:
        request = asked(first, op)
        data = first.data_for(request)
        if moment == "half-answered":
            first.session.send_bytes(bytes(7), channel=request.channel)
        elif moment == "answered":
            first.session.answer(request, data=data)
    first.session.close()
    guest = guest_of(connect, twin)
    guest.asked_nothing()
    one = guest.map()
    assert_untouched(guest, one)
    guest.works(one)


@covers("DISC-CLI-007", "DISC-CLI-001", "VIO-DISC-001")
@needs("lease", "reconnect")
def test_client_may_leave_while_its_unmap_waits(connect, fds):
    first, memory = guest_of(connect), fds.memory(SIZE)
    one = first.map(memory=memory)
    memory.sent()
    first.vdma.write("DRAIN_MS", NEVER)
    held(first, "FILL", "MID", drain=True)
    first.session.send("DMA_UNMAP", address=BASE, size=SIZE, maybe=True)
    first.session.close()
    guest = guest_of(connect)
    assert eventually(guest.session, lambda: not memory.held()), "the memory is held"
    assert_untouched(guest, one)


@covers("DISC-CLI-007", "VIO-DISC-001", "DISC-CLI-006")
@needs("lease", "reconnect")
def test_client_may_leave_while_its_unmap_waits_for_what_runs(connect, fds):
    for _ in range(4):
        first, memory = guest_of(connect), fds.memory(SIZE)
        one = first.map(memory=memory)
        memory.sent()
        first.start("FILL", BASE, SIZE, count=ENDLESS, seed=SEED, drain=True)
        first.session.send("DMA_UNMAP", address=BASE, size=SIZE, maybe=True)
        first.session.close()
        guest = guest_of(connect)
        assert_untouched(guest, one)
        assert eventually(guest.session, lambda: not memory.held()), "the memory is held"
        guest.session.refuse("DMA_UNMAP", address=BASE, size=SIZE)
        guest.works(guest.map(memory=fds.memory(SIZE)))
        guest.session.close()


# ---- reset ----


def assert_state_of_maps(guest, one):
    """After a reset a range is mapped or it is not, and either is all there is to it."""
    outcome = guest.session.outcome("DMA_MAP", flags=RW, address=one.address, size=one.size)
    if outcome.kind == "success":
        guest.ranges.remove(one)
        one = guest.add(Range(one.address, one.size))
    guest.works(one)
    guest.unmap(one)
    guest.fail("FILL", one.address, PAGE)


@covers("RST-DEV-002", "RST-DEV-003", "VIO-RESET-001")
@needs("reset")
@each_way
@each_kind
@each_hold
@each_policy
def test_reset_ends_an_operation_that_is_held(connect, fds, shared, twin, op, hold, drain):
    guest = guest_of(connect, twin)
    one = guest.map(memory=memory_for(fds, shared))
    held(guest, op, hold, drain=drain)
    guest.call("DEVICE_RESET")
    assert guest.slot().state().name in TERMINAL, "it is under way"
    assert_untouched(guest, one)
    assert_state_of_maps(guest, one)


@covers("RST-DEV-002")
@needs("reset", "irq1")
@each_way
@each_hold
def test_operation_that_a_reset_ends_raises_no_interrupt(connect, device, fds, shared, twin, hold):
    guest, eventfd = guest_of(connect, twin), fds.eventfd()
    line = line_of(guest.session, device, "MSIX")
    line.assign([eventfd])
    guest.map(memory=memory_for(fds, shared))
    held(guest, "FILL", hold, vector=0)
    guest.call("DEVICE_RESET")
    guest.barrier()
    assert eventfd.count() == 0, "the operation has signalled an end"


@covers("RST-DEV-002")
@needs("reset")
@each_way
@each_kind
def test_reset_ends_a_long_operation(connect, fds, shared, twin, op):
    guest = guest_of(connect, twin)
    one = guest.map(memory=memory_for(fds, shared))
    guest.start(op, BASE, PAGE, count=LONG_RUN, seed=SEED)
    guest.call("DEVICE_RESET")
    if twin:
        guest.serve()  # what was sent before the reply may be read behind it
    assert guest.slot().state().name in TERMINAL, "it is under way"
    assert_untouched(guest, one)
    assert_state_of_maps(guest, one)


@covers("RST-DEV-002", "RST-DEV-001")
@by_messages
@needs("reset")
@on_each_socket
@each_direction
def test_reset_while_a_command_waits_is_answered_and_the_answer_does_no_harm(connect, twin, op):
    guest = guest_of(connect, twin)
    one = guest.map()
    one.fill(SEED)
    request = asked(guest, op)
    sent = guest.session.send("DEVICE_RESET")
    guest.answer(request)
    assert not guest.success(sent).payload
    assert guest.slot().state().name in TERMINAL, "it is under way"
    assert_untouched(guest, one)
    assert_state_of_maps(guest, one)


# ---- a device that is stopped ----


@covers("DMA-UNMAP-005", "MIG-STATE-006")
@needs("migration", "process")
@pytest.mark.parametrize("slot", [0, 7], ids=["first-slot", "last-slot"])
def test_unmap_does_not_wait_for_what_a_stopped_device_can_not_end(destination, fds, slot):
    guest = Guest(destination.session)
    one = guest.map(memory=fds.memory(SIZE))
    guest.start("FILL", BASE, SIZE, slot, hold="MID", mid=PAGE, seed=SEED)
    guest.held(slot)
    guest.session.send(set_message("STOP"))
    if not guest.session.arrives(long() / 5) or destination.state() != "STOP":
        pytest.skip("needs: a device that stops while an operation is held")
    reply = guest.reply(guest.session.send("DMA_UNMAP", address=BASE, size=SIZE))
    if isinstance(reply, Refusal):
        pytest.skip("needs: a device that unmaps while it is stopped")
    data = one.fill(CANARY)
    destination.set("RUNNING")
    guest.slot(slot).step("end")
    guest.wait(slot)
    assert one.holds(data), "the device has written behind it"


# ---- SIGTERM ----


def terminated(target, session):
    """SIGTERM ends the program, and with it the session."""
    assert_sigterm_ends(target)
    with pytest.raises(Failure) as ended:
        while session.receive() is not None:
            continue
    assert ended.value.code == "reply.closed"


@covers("PROG-RUN-004")
@needs("process", "server_dma")
@on_each_socket
@each_direction
def test_sigterm_ends_the_program_while_a_command_waits(private_target, twin, op):
    with private_target() as target, target.negotiate(TWIN_OFFER if twin else DEFAULT) as session:
        guest = Guest(session)
        guest.map()
        asked(guest, op)
        terminated(target, session)


@covers("PROG-RUN-004")
@needs("process")
@each_policy
@pytest.mark.parametrize("unmap", [False, True], ids=["held", "unmap-waits"])
def test_sigterm_ends_the_program_while_an_operation_is_held(private_target, fds, drain, unmap):
    with private_target() as target, target.negotiate() as session:
        guest = Guest(session)
        guest.map(memory=fds.memory(SIZE))
        guest.vdma.write("DRAIN_MS", NEVER)
        held(guest, "FILL", "MID", drain=drain)
        if unmap:
            session.send("DMA_UNMAP", address=BASE, size=SIZE)
        terminated(target, session)


@covers("PROG-RUN-004")
@needs("process")
@each_kind
def test_sigterm_ends_the_program_while_an_operation_runs(private_target, fds, op):
    with private_target() as target, target.negotiate() as session:
        guest = Guest(session)
        guest.map(memory=fds.memory(SIZE))
        guest.start(op, BASE, SIZE, count=ENDLESS, seed=SEED)
        assert eventually(session, lambda: guest.slot().moved() > 0), "it does not begin"
        terminated(target, session)
