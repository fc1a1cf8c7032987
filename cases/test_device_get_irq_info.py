# SPDX-License-Identifier: BSD-3-Clause
"""VFIO_USER_DEVICE_GET_IRQ_INFO: the reply, and that its flags and counts hold."""

import pytest

from interrupts import (
    ASSIGN, FLAGS, MASK, UNMASK, each_index, each_index_of_several, irq_named, line_of,
)
from vuc import constants, covers, needs

REPLY_SIZE = 16
PCI_IRQS_LEAST = 3  # INTx, MSI, MSI-X; the text gives no number
KNOWN_FLAGS = FLAGS.EVENTFD | FLAGS.MASKABLE | FLAGS.AUTOMASKED | FLAGS.NORESIZE
# How many interrupts of a type a PCI device can have.
PLAUSIBLE = {
    "INTX": {0, 1},
    "MSI": {0, 1, 2, 4, 8, 16, 32},
    "MSIX": range(2049),
    "ERR": {0, 1},
    "REQ": {0, 1},
}


def _all_described(session, argsz):
    count = session.call("DEVICE_GET_INFO").num_irqs
    assert count >= PCI_IRQS_LEAST
    return [session.call("DEVICE_GET_IRQ_INFO", index=i, argsz=argsz) for i in range(count)]


@covers("IRQ-INFO-001")
@pytest.mark.parametrize("argsz", [16, 4096], ids=["exact-argsz", "large-argsz"])
def test_reply_is_the_16_byte_structure_and_the_same_each_time(session, argsz):
    first = _all_described(session, argsz)
    again = _all_described(session, argsz)
    for index, reply in enumerate(first):
        assert len(reply.payload) == reply.argsz == REPLY_SIZE
        assert reply.index == index
        assert not reply.fds
    assert [reply.payload for reply in again] == [reply.payload for reply in first]


@covers("IRQ-INFO-001")
@needs("irq1")
def test_description_does_not_change_with_what_is_assigned(session, device, fds):
    before = [reply.payload for reply in _all_described(session, REPLY_SIZE)]
    index, eventfd = device.irq_with().index, fds.eventfd()
    session.call("DEVICE_SET_IRQS", [eventfd], flags=ASSIGN, index=index, count=1)
    assert [reply.payload for reply in _all_described(session, REPLY_SIZE)] == before


@covers("IRQ-INFO-002")
@pytest.mark.parametrize("distance", ["next", "next-but-one", "largest"])
def test_index_that_is_not_there_is_refused(session, distance):
    count = session.call("DEVICE_GET_INFO").num_irqs
    index = {"next": count, "next-but-one": count + 1, "largest": 0xFFFFFFFF}[distance]
    before = session.call("DEVICE_GET_IRQ_INFO", index=0)
    session.refuse("DEVICE_GET_IRQ_INFO", index=index)
    assert session.call("DEVICE_GET_IRQ_INFO", index=0).payload == before.payload


@covers("IRQ-INFO-004")
@needs("irq1")
@each_index
def test_type_with_the_eventfd_flag_signals_eventfds(session, device, fds, name):
    line = line_of(session, device, name)
    line.still_works(line.assigned(fds))


@covers("IRQ-INFO-004")
@each_index
def test_type_without_the_eventfd_flag_takes_no_eventfd(session, device, fds, name):
    irq = irq_named(device, name)
    if not irq.count or irq.flags & FLAGS.EVENTFD:
        pytest.skip(f"needs: interrupts of index {name} without EVENTFD")
    probe = fds.probe()
    session.refuse("DEVICE_SET_IRQS", [probe], flags=ASSIGN, index=irq.index, count=1)
    assert probe.released()


@covers("IRQ-INFO-005")
@needs("maskable")
@each_index
def test_type_with_the_maskable_flag_can_be_masked_and_unmasked(session, device, fds, name):
    line = line_of(session, device, name, "MASKABLE")
    eventfds = line.assigned(fds)
    assert not line.set(MASK, count=line.together).payload
    line.expect(eventfds, [0] * line.together)
    assert not line.set(UNMASK, count=line.together).payload
    line.still_works(eventfds)


@covers("IRQ-INFO-005")
@needs("irq1")
@each_index
def test_mask_of_a_type_without_the_flag_is_refused_or_does_nothing(session, device, fds, name):
    line = line_of(session, device, name)
    if line.has("MASKABLE"):
        pytest.skip(f"needs: interrupt index {name} without MASKABLE")
    eventfds = line.assigned(fds)
    line.try_set(MASK, count=line.together)
    line.still_works(eventfds)
    line.try_set(UNMASK, count=line.together)
    line.still_works(eventfds)


@covers("IRQ-INFO-006")
@needs("automasked", "raise_irq")
@each_index
def test_automasked_interrupt_fires_once_until_it_is_unmasked(session, device, fds, name):
    line = line_of(session, device, name, "AUTOMASKED")
    eventfd = fds.eventfd()
    line.assign([eventfd])
    device.raise_irq(session, line.index, 0)
    line.expect([eventfd], [1])
    device.raise_irq(session, line.index, 0)
    line.expect([eventfd], [0])
    line.set(UNMASK)
    device.raise_irq(session, line.index, 0)
    line.expect([eventfd], [1])


@covers("IRQ-INFO-006")
@needs("automasked", "raise_irq")
@each_index
def test_automasked_interrupt_fires_once_for_each_unmask(session, device, fds, name):
    line = line_of(session, device, name, "AUTOMASKED")
    eventfd = fds.eventfd()
    line.assign([eventfd])
    for _ in range(4):
        device.raise_irq(session, line.index, 0)
        line.expect([eventfd], [1])
        line.set(UNMASK)
        line.expect([eventfd], [0])


@covers("IRQ-INFO-007")
@needs("irq2", "noresize")
@each_index_of_several
def test_vectors_of_a_noresize_type_are_enabled_as_one_set(session, device, fds, name):
    line = line_of(session, device, name, "NORESIZE", least=2)
    first, further = fds.eventfd(), fds.probe()
    line.assign([first])
    session.refuse(line.message(ASSIGN, start=1), [further])
    assert further.released()
    line.still_works([first])
    line.disable()
    line.still_works(line.assigned(fds))
    line.expect([first], [0])


@covers("IRQ-INFO-007")
@needs("irq2", "noresize")
@each_index_of_several
def test_larger_set_of_a_noresize_type_is_refused_as_a_whole(session, device, fds, name):
    line = line_of(session, device, name, "NORESIZE", least=2)
    first, larger = fds.eventfd(), fds.eventfds(2)
    line.assign([first])
    session.refuse(line.message(ASSIGN, count=2), larger)
    line.still_works([first])
    line.expect(larger, [0, 0])


@covers("IRQ-INFO-007")
@needs("irq2")
@each_index_of_several
def test_further_vectors_of_a_type_that_can_be_resized_can_be_enabled(session, device, fds, name):
    line = line_of(session, device, name, least=2)
    if line.has("NORESIZE"):
        pytest.skip(f"needs: interrupt index {name} without NORESIZE")
    eventfds = fds.eventfds(line.together)
    for vector, eventfd in enumerate(eventfds):
        line.assign([eventfd], start=vector)
        line.still_works(eventfds[: vector + 1])


@covers("IRQ-INFO-008")
@each_index
def test_undefined_flags_are_clear_and_the_count_is_plausible(session, name):
    index = getattr(constants.IRQ_INDEX, name)
    replies = _all_described(session, REPLY_SIZE)
    if index >= len(replies):
        pytest.skip(f"needs: interrupt index {name}")
    assert replies[index].index == index
    flags = replies[index].flags
    assert flags & ~KNOWN_FLAGS == 0
    assert not flags & FLAGS.AUTOMASKED or flags & FLAGS.MASKABLE, "nothing lets it fire again"
    assert replies[index].count in PLAUSIBLE[name]
