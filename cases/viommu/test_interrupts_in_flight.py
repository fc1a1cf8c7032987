# SPDX-License-Identifier: BSD-3-Clause
"""Interrupts of DMA in flight: rows H01 to H07 of the catalogue (README.md).

An operation signals vector VECTOR of MSI-X at its end. That nothing was signalled is shown by
further commands, and by the operation being over.
"""

import os

import pytest
from dma import FAILED
from flight import (
    AFTER, SEED, ask_unmap, assert_ended, assert_order, assert_stays, assert_waits, canary, hold,
    let_drain, map_canary, moved,
)
from interrupts import ASSIGN, Line, line_of
from mapping import BASE, PAGE, SIZE

from vuc import covers, needs
from vuc.evidence import Fd
from vuc.vdma import BUFFER_SIZE, pattern

pytestmark = needs("dma_maps", "provoke_dma", "irq2")

ABORTED = "ABORTED ECANCELED"
VECTOR, OTHER = 2, 5
LARGE = 16 * BUFFER_SIZE
ROUNDS = 16

each_policy = pytest.mark.parametrize("drain", [False, True], ids=["abort", "drain"])


@pytest.fixture
def line(guest, device) -> Line:
    """MSI-X on the guest's session, nothing assigned."""
    return line_of(guest.session, device, "MSIX", least=OTHER + 1)


@pytest.fixture
def event(line, fds):
    """The eventfd that is assigned to VECTOR."""
    one = fds.eventfd()
    line.assign([one], VECTOR)
    return one


def over(guest, state="DONE", slot=0):
    """Let a held operation go; it ends like this, and some commands later."""
    guest.slot(slot).step("end")
    came = guest.wait(slot)
    assert came == state, f"{came}, and not {state}"
    for _ in range(AFTER):
        guest.session.barrier()


# ---- H01 ----


@covers("VIO-IRQ-001")
@pytest.mark.parametrize("size", [1, SIZE, LARGE], ids=["a-byte", "64-kib", "1-mib"])
@pytest.mark.parametrize("op", ["WRITE", "FILL", "COPY"], ids=str.lower)
def test_h01_bytes_are_in_memory_when_the_eventfd_tells(guest, fds, event, op, size):
    one = map_canary(guest, fds, size=LARGE)
    source = map_canary(guest, fds, BASE + LARGE, size=LARGE)
    for seed in range(ROUNDS):
        data = pattern(seed, min(size, BUFFER_SIZE)) * max(1, size // BUFFER_SIZE)
        guest.vdma.store(0, data[:BUFFER_SIZE])
        source.write(source.address, data)
        start = guest.slot().prepare(op, src=source.address, dst=BASE, length=size, seed=seed,
                                     vector=VECTOR)
        sent = guest.session.send(start)
        assert event.wait() == 1
        assert one.read(BASE, size) == data, "bytes are missing"
        guest.success(sent)
        assert guest.wait() == "DONE"


# ---- other eventfds ----


@covers("IRQ-SET-009", "VIO-IRQ-002")
def test_h02_interrupt_goes_to_the_eventfd_that_was_exchanged_while_it_was_held(guest, fds, line,
                                                                               event):
    map_canary(guest, fds)
    for _ in range(2):
        new = fds.eventfd()
        guest.start("FILL", BASE, SIZE, hold="RETIRED", vector=VECTOR)
        guest.held()
        line.assign([new], VECTOR)
        over(guest)
        assert new.wait() == 1
        assert event.count() == 0, "the old one is signalled"
        event = new


WAYS = {
    "index": lambda line: line.disable(),
    "vector": lambda line: line.set(ASSIGN, start=VECTOR),
}


@covers("IRQ-SET-007", "IRQ-SET-006", "VIO-IRQ-002")
@pytest.mark.parametrize("disable", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("reused", [False, True], ids=["number-is-free", "number-is-reused"])
def test_h03_nothing_is_signalled_that_was_disabled_while_it_was_held(guest, fds, line, event,
                                                                     disable, reused):
    map_canary(guest, fds)
    guest.start("FILL", BASE, SIZE, hold="RETIRED", vector=VECTOR)
    guest.held()
    disable(line)
    others = fds.eventfds(1 + reused)
    if reused:
        line.assign(others, OTHER - 1)
    over(guest)
    assert event.count() == 0
    assert not any(other.count() for other in others), "another eventfd is signalled"
    line.assign([event], VECTOR)
    for _ in range(AFTER):
        guest.session.barrier()
    assert event.count() == 0, "it comes late"
    guest.succeed("FILL", BASE, SIZE, vector=VECTOR)
    assert event.wait() == 1


# ---- unmap and reset ----


@covers("VIO-IRQ-003", "VIO-UNMAP-001")
@each_policy
@pytest.mark.parametrize("first", ["unmap", "step"])
def test_h04_unmap_and_interrupt_do_not_wait_for_each_other(guest, fds, event, first, drain):
    one = map_canary(guest, fds)
    let_drain(guest)
    hold(guest, "RETIRED", one, vector=VECTOR, drain=drain)
    step = guest.slot().write_message("STEP", 2)
    if first == "step":
        sent = guest.session.send(step), ask_unmap(guest, one)
    else:
        sent = ask_unmap(guest, one), guest.session.send(step)
    unmap, stepped = sent[::-1] if first == "step" else sent
    guest.unmapped(one, unmap)
    guest.success(stepped)
    assert event.wait() == 1
    assert guest.wait() == "DONE"
    assert_stays(guest, one, moved(SIZE))
    assert event.count() == 0, "it is signalled twice"


@covers("VIO-IRQ-002", "VIO-UNMAP-001")
@pytest.mark.parametrize("point, count", [("POST", 0), ("MID", PAGE), ("END", SIZE)],
                         ids=["translated", "middle", "end"])
def test_h05_aborted_operation_signals_once_and_is_aborted_by_then(guest, fds, event, point,
                                                                   count):
    one = map_canary(guest, fds)
    hold(guest, point, one, mid=PAGE, vector=VECTOR)
    since = guest.vdma.read("EVHEAD")
    sent = ask_unmap(guest, one)
    assert event.wait() == 1
    guest.unmapped(one, sent)
    assert_ended(guest, ABORTED, count)
    assert_order(guest, since, "retire", "report", "irq")
    over(guest, ABORTED)
    assert event.count() == 0, "it is signalled twice"


@covers("VIO-IRQ-002", "VIO-UNMAP-002")
@pytest.mark.parametrize("point", ["POST", "MID", "END"], ids=["translated", "middle", "end"])
def test_h05_draining_operation_signals_once_and_at_its_end(guest, fds, event, point):
    one = map_canary(guest, fds)
    let_drain(guest)
    hold(guest, point, one, mid=PAGE, vector=VECTOR, drain=True)
    sent = ask_unmap(guest, one)
    assert_waits(guest)
    assert event.count() == 0, "it is signalled while the operation is held"
    guest.slot().release("end")
    guest.unmapped(one, sent)
    assert event.wait() == 1
    assert_stays(guest, one, moved(SIZE), 0)
    assert event.count() == 0, "it is signalled twice"


@covers("VIO-IRQ-002", "VIO-RESET-001")
@needs("reset")
@each_policy
@pytest.mark.parametrize("point", ["POST", "MID", "END", "RETIRED"],
                         ids=["translated", "middle", "end", "retired"])
def test_h06_operation_that_a_reset_meets_signals_nothing(guest, fds, event, point, drain):
    one = map_canary(guest, fds)
    hold(guest, point, one, mid=PAGE, vector=VECTOR, drain=drain)
    guest.call("DEVICE_RESET")
    over(guest, "IDLE")
    assert event.count() == 0


# ---- eventfds that are full ----


FULL = (1 << 64) - 2  # of an eventfd that takes no more
MODES = {"blocking": 0, "nonblocking": os.EFD_NONBLOCK}


def full_eventfd(fds, mode):
    """An eventfd on which a write would wait, or fail."""
    one = fds.keep(Fd(os.eventfd(0, os.EFD_CLOEXEC | mode), "full-eventfd"))
    os.eventfd_write(one.fileno(), FULL)
    return one


@covers("VIO-IRQ-003", "SEC-GEN-004")
@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_h07_full_eventfd_holds_up_neither_the_device_nor_an_unmap(guest, fds, line, mode):
    full, other = full_eventfd(fds, mode), fds.eventfd()
    line.assign([full], VECTOR)
    line.assign([other], OTHER)
    one = map_canary(guest, fds)
    for number in range(10):
        guest.succeed("FILL", BASE, SIZE, number % 8, seed=SEED + number, vector=VECTOR)
    guest.succeed("FILL", BASE, SIZE, seed=SEED, vector=OTHER)
    assert other.wait() == 1
    hold(guest, "MID", one, 1, mid=PAGE, vector=VECTOR)
    guest.unmap(one)
    assert guest.slot(1).state() == ABORTED
    assert_stays(guest, one, moved(SIZE), 1)
    assert os.eventfd_read(full.fileno()) == FULL
    one = map_canary(guest, fds)
    guest.succeed("FILL", BASE, SIZE, vector=VECTOR)
    assert os.eventfd_read(full.fileno()) == 1, "it is not signalled when it has room again"
    assert guest.run("FILL", BASE + SIZE, PAGE, vector=VECTOR) in FAILED
    assert os.eventfd_read(full.fileno()) == 1
    assert one.holds(pattern(0, SIZE)) and not one.holds(canary())
