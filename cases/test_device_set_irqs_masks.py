# SPDX-License-Identifier: BSD-3-Clause
"""VFIO_USER_DEVICE_SET_IRQS: masking, and every pair of a data and an action flag."""

import pytest

from interrupts import (
    DATA, MASK, TRIGGER, UNMASK, each_index, each_index_of_several, each_pair, expect_released,
    line_of, lines_of, one_hot,
)
from vuc import covers, needs, reading


# ---- masking ----


@covers("IRQ-SET-019")
@needs("maskable", "raise_irq")
@each_index
def test_masked_interrupt_is_not_signalled_and_the_others_are(session, device, fds, name):
    line = line_of(session, device, name, "MASKABLE")
    for masked in range(line.together):
        line.disable()
        eventfds = line.assigned(fds)
        assert not line.set(MASK, start=masked).payload
        for vector in range(line.together):
            device.raise_irq(session, line.index, vector)
        line.expect(eventfds, [int(vector != masked) for vector in range(line.together)])
        line.set(UNMASK, start=masked)


@covers("IRQ-SET-019")
@needs("maskable", "raise_irq")
@each_index
def test_range_is_masked_as_a_whole(session, device, fds, name):
    line = line_of(session, device, name, "MASKABLE")
    eventfds = line.assigned(fds)
    line.set(MASK, count=line.together)
    for vector in range(line.together):
        device.raise_irq(session, line.index, vector)
    line.expect(eventfds, [0] * line.together)


@covers("IRQ-SET-019")
@needs("maskable", "raise_irq")
@each_index
def test_interrupt_that_is_masked_twice_is_unmasked_once(session, device, fds, name):
    line, eventfd = line_of(session, device, name, "MASKABLE"), fds.eventfd()
    line.assign([eventfd])
    line.set(MASK)
    line.set(MASK)
    line.set(UNMASK)
    line.expect([eventfd], [0])
    device.raise_irq(session, line.index, 0)
    line.expect([eventfd], [1])


@covers("IRQ-SET-019")
@needs("maskable", "raise_irq")
@each_index
def test_unmasked_interrupt_is_signalled_from_then_on(session, device, fds, name):
    line = line_of(session, device, name, "MASKABLE")
    eventfds = line.assigned(fds)
    line.set(MASK, count=line.together)
    line.expect(eventfds, [0] * line.together)
    line.set(UNMASK, count=line.together)
    line.expect(eventfds, [0] * line.together)
    for vector in range(line.together):
        device.raise_irq(session, line.index, vector)
    line.expect(eventfds, [1] * line.together)


@covers("IRQ-SET-019")
@needs("maskable", "raise_irq")
@each_index
def test_interrupt_that_was_raised_while_masked_is_pending_or_lost(session, device, fds, name):
    line, eventfd = line_of(session, device, name, "MASKABLE"), fds.eventfd()
    line.assign([eventfd])
    line.set(MASK)
    for _ in range(3):
        device.raise_irq(session, line.index, 0)
    line.expect([eventfd], [0])
    line.set(UNMASK)
    device.raise_irq(session, line.index, 0)
    seen = eventfd.wait()
    session.barrier()
    assert seen + eventfd.count() in (1, 2)


@covers("IRQ-SET-019")
@needs("maskable", "raise_irq")
@each_index_of_several
def test_unmask_of_a_vector_leaves_the_others_masked(session, device, fds, name):
    line = line_of(session, device, name, "MASKABLE", least=2)
    eventfds = line.assigned(fds)
    line.set(MASK, count=line.together)
    line.set(UNMASK, start=line.together - 1)
    for vector in range(line.together):
        device.raise_irq(session, line.index, vector)
    line.expect(eventfds, [0] * (line.together - 1) + [1])


BOOLS = {"neither": (0, 0), "first": (1, 0), "second": (0, 1), "both": (1, 1)}


@covers("IRQ-SET-020")
@needs("maskable", "irq2", "raise_irq")
@each_index_of_several
@pytest.mark.parametrize("which", BOOLS)
def test_bools_mask_only_the_vectors_whose_byte_is_true(session, device, fds, name, which):
    line = line_of(session, device, name, "MASKABLE", least=2)
    eventfds, bools = line.assigned(fds), BOOLS[which]
    line.set("DATA_BOOL|ACTION_MASK", count=2, data=bytes(bools))
    for vector in range(line.together):
        device.raise_irq(session, line.index, vector)
    line.expect(eventfds, [*(1 - masked for masked in bools), *[1] * (line.together - 2)])


@covers("IRQ-SET-020")
@needs("maskable", "irq2", "raise_irq")
@each_index_of_several
@pytest.mark.parametrize("which", BOOLS)
def test_bools_unmask_only_the_vectors_whose_byte_is_true(session, device, fds, name, which):
    line = line_of(session, device, name, "MASKABLE", least=2)
    eventfds, bools = line.assigned(fds), BOOLS[which]
    line.set(MASK, count=line.together)
    line.set("DATA_BOOL|ACTION_UNMASK", count=2, data=bytes(bools))
    for vector in range(line.together):
        device.raise_irq(session, line.index, vector)
    line.expect(eventfds, [*bools, *[0] * (line.together - 2)])


@covers("IRQ-SET-021")
@needs("maskable")
@each_index
@pytest.mark.parametrize("action", ["mask", "unmask"])
def test_notification_eventfd_is_refused_or_told_once(session, device, fds, name, action):
    line = line_of(session, device, name, "MASKABLE")
    eventfds, told = line.assigned(fds), fds.eventfd()
    before, change = (UNMASK, MASK) if action == "mask" else (MASK, UNMASK)
    line.set(before)
    outcome = line.try_set(f"DATA_EVENTFD|ACTION_{action.upper()}", [told])
    works = int(outcome.kind == "success")
    line.expect([*eventfds, told], [0] * (line.together + 1))
    line.set(change)
    line.expect([*eventfds, told], [0] * line.together + [works])


@covers("IRQ-SET-021")
@reading("I4")
@needs("maskable")
@each_index
@pytest.mark.parametrize("action", ["mask", "unmask"])
def test_notification_eventfd_is_taken(session, device, fds, name, action):
    line = line_of(session, device, name, "MASKABLE")
    line.assigned(fds)
    line.set(f"DATA_EVENTFD|ACTION_{action.upper()}", [fds.eventfd()])


@covers("IRQ-SET-021")
@needs("maskable")
@each_index
@pytest.mark.parametrize("action", ["mask", "unmask"])
def test_notification_eventfd_itself_masks_nothing(session, device, fds, name, action):
    line = line_of(session, device, name, "MASKABLE")
    eventfds, told = line.assigned(fds), fds.eventfd()
    line.try_set(f"DATA_EVENTFD|ACTION_{action.upper()}", [told])
    line.expect([*eventfds, told], [0] * (line.together + 1))
    line.set(TRIGGER, count=line.together)
    line.expect(eventfds, [1] * line.together)


@covers("IRQ-SET-021")
@needs("maskable", "raise_irq")
@each_index
def test_interrupt_with_a_mask_notification_is_still_delivered(session, device, fds, name):
    line = line_of(session, device, name, "MASKABLE")
    eventfds, told = line.assigned(fds), fds.eventfd()
    line.try_set("DATA_EVENTFD|ACTION_MASK", [told])
    device.raise_irq(session, line.index, 0)
    line.expect(eventfds, one_hot(line.together, 0))


@covers("IRQ-SET-023")
@needs("two_irqs", "maskable", "raise_irq")
@each_index
def test_mask_of_an_index_masks_no_other_index(session, device, fds, name):
    line = line_of(session, device, name, "MASKABLE")
    others = [one for one in lines_of(session, device) if one.index != line.index]
    own, assigned = line.assigned(fds), [one.assigned(fds) for one in others]
    line.set(MASK, count=line.together)
    for one in (line, *others):
        device.raise_irq(session, one.index, 0)
    for one, eventfds in zip(others, assigned):
        one.expect(eventfds, one_hot(one.together, 0))
    line.expect(own, [0] * line.together)


# ---- combinations ----


@covers("IRQ-SET-022")
@needs("irq1")
@each_index
@each_pair
def test_every_pair_of_data_and_action_works_or_is_refused(
    session, device, fds, name, data, action
):
    line = line_of(session, device, name)
    old, new = fds.eventfds(2)
    line.assign([old])
    outcome = line.try_set(f"DATA_{data}|ACTION_{action}", [new] if data == "EVENTFD" else [],
                           data=b"\1" if data == "BOOL" else b"")
    works = outcome.kind == "success"
    assert works or action != "TRIGGER"
    line.expect([old], [int(works and action == "TRIGGER" and data != "EVENTFD")])
    replaced = works and (data, action) == ("EVENTFD", "TRIGGER")
    line.try_set(UNMASK)
    line.still_works([new] if replaced else [old])
    assert old.count() == 0


@covers("IRQ-SET-022")
@reading("I8")
@needs("irq1")
@each_index
@pytest.mark.parametrize("data", DATA, ids=str.lower)
@pytest.mark.parametrize("action", ["mask", "unmask"])
def test_action_that_the_type_does_not_support_is_refused(
    session, device, fds, name, action, data
):
    line, probe = line_of(session, device, name), fds.probe()
    if line.has("MASKABLE"):
        pytest.skip(f"needs: interrupt index {name} without MASKABLE")
    eventfds = line.assigned(fds)
    passed = [probe] if data == "EVENTFD" else []
    flags = f"DATA_{data}|ACTION_{action.upper()}"
    session.refuse(line.message(flags, data=b"\1" if data == "BOOL" else b""), passed)
    expect_released(passed)
    line.still_works(eventfds)
