# SPDX-License-Identifier: BSD-3-Clause
"""VFIO_USER_DEVICE_SET_IRQS: assigning, giving up, and triggering.

What has to be refused and masks are in test_device_set_irqs_refusals.py and
test_device_set_irqs_masks.py.
"""

from itertools import product

import pytest

from interrupts import (
    ASSIGN, TRIGGER, TRIGGER_BOOL, each_index, each_index_of_several, each_pair, empty_indexes,
    expect_released, inside, line_of, lines_of, one_hot,
)
from vuc import covers, needs


def _ranges(count):
    return [(start, n) for start in range(count) for n in range(1, count - start + 1)]


# ---- assigning ----


@covers("IRQ-SET-001")
@needs("irq1")
@each_index
def test_one_message_assigns_a_range_and_its_reply_is_empty(session, device, fds, name):
    line = line_of(session, device, name)
    eventfds = fds.eventfds(min(line.together, session.limits.max_msg_fds))
    reply = line.set(ASSIGN, eventfds, count=len(eventfds))
    assert not reply.payload
    assert not reply.fds
    line.still_works(eventfds)


@covers("IRQ-SET-001")
@needs("irq1")
@each_index
def test_last_vector_can_be_assigned_alone(session, device, fds, name):
    line, eventfd = line_of(session, device, name), fds.eventfd()
    last = line.count - 1
    line.assign([eventfd], start=last)
    line.expect([eventfd], [0])
    line.trigger(start=last)
    line.expect([eventfd], [1])


@covers("IRQ-SET-001")
@needs("irq2")
@each_index_of_several
def test_descriptors_go_to_the_vectors_from_start_in_their_order(session, device, fds, name):
    line = line_of(session, device, name, least=2)
    several = min(line.together, session.limits.max_msg_fds + 1)
    eventfds = line.assigned(fds)
    moved = fds.eventfds(several - 1)
    line.assign(moved, start=1)
    now = [eventfds[0], *moved, *eventfds[several:]]
    for vector in range(line.together):
        line.trigger(start=vector)
        line.expect(now, one_hot(line.together, vector))
    line.expect(eventfds[1:several], [0] * (several - 1))


@covers("IRQ-SET-009")
@needs("irq1")
@each_index
def test_assigning_again_replaces_the_earlier_eventfd(session, device, fds, name):
    line = line_of(session, device, name)
    old = line.assigned(fds)
    line.still_works(old)
    new = line.assigned(fds)
    line.still_works(new)
    line.expect(old, [0] * line.together)


@covers("IRQ-SET-009")
@needs("irq1", "pipe")
@each_index
def test_replaced_descriptor_is_released(session, device, fds, name):
    line = line_of(session, device, name)
    line.assigned(fds)
    probe = line.assigned_probe(fds)
    eventfds = line.assigned(fds)
    assert probe.released()
    line.still_works(eventfds)


@covers("IRQ-SET-009")
@needs("irq2")
@each_index_of_several
def test_replacing_one_vector_leaves_the_others(session, device, fds, name):
    line = line_of(session, device, name, least=2)
    for vector in range(line.together):
        line.disable()
        eventfds, other = line.assigned(fds), fds.eventfd()
        line.assign([other], start=vector)
        replaced, eventfds[vector] = eventfds[vector], other
        line.still_works(eventfds)
        line.expect([replaced], [0])


# ---- giving up ----


@covers("IRQ-SET-006")
@needs("irq1")
@each_index
def test_deassigned_vector_is_silent_and_the_others_are_not(session, device, fds, name):
    line = line_of(session, device, name)
    for vector in range(line.together):
        line.disable()
        eventfds = line.assigned(fds)
        line.still_works(eventfds)
        assert not line.set(ASSIGN, start=vector).payload
        for other in range(line.together):
            if other != vector:
                line.trigger(start=other)
        line.rearm(vector)
        line.try_set(TRIGGER, start=vector)
        line.expect(eventfds, [int(other != vector) for other in range(line.together)])


@covers("IRQ-SET-006")
@needs("irq2")
@each_index_of_several
def test_range_is_deassigned_as_a_whole(session, device, fds, name):
    line = line_of(session, device, name, least=2)
    for start, count in _ranges(min(line.together, 4)):
        line.disable()
        eventfds = line.assigned(fds)
        line.set(ASSIGN, start=start, count=count)
        for vector in range(line.together):
            line.try_set(TRIGGER, start=vector)
        silent = inside(line.together, start, count)
        line.expect(eventfds, [1 - number for number in silent])


@covers("IRQ-SET-006")
@needs("irq1", "pipe")
@each_index
def test_deassigned_descriptor_is_released(session, device, fds, name):
    line = line_of(session, device, name)
    probe = line.assigned_probe(fds)
    line.set(ASSIGN)
    assert probe.released()


@covers("IRQ-SET-006")
@needs("irq1")
@each_index
def test_deassigned_vector_can_be_assigned_again(session, device, fds, name):
    line = line_of(session, device, name)
    old = line.assigned(fds)
    line.set(ASSIGN, count=line.together)
    line.still_works(line.assigned(fds))
    line.expect(old, [0] * line.together)


@covers("IRQ-SET-006")
@needs("irq1", "raise_irq")
@each_index
def test_deassigned_vector_is_not_signalled_by_the_device(session, device, fds, name):
    line = line_of(session, device, name)
    eventfds = line.assigned(fds)
    line.set(ASSIGN, start=line.together - 1)
    for vector in range(line.together):
        device.raise_irq(session, line.index, vector)
    line.expect(eventfds, [1] * (line.together - 1) + [0])


@covers("IRQ-SET-007")
@needs("irq1")
@each_index
def test_disabled_index_is_silent(session, device, fds, name):
    line = line_of(session, device, name)
    eventfds = line.assigned(fds)
    line.still_works(eventfds)
    reply = line.set(TRIGGER, count=0)
    assert not reply.payload
    line.try_set(TRIGGER, count=line.together)
    for vector in range(line.together):
        line.try_set(TRIGGER, start=vector)
    line.expect(eventfds, [0] * line.together)


@covers("IRQ-SET-007")
@needs("irq1", "pipe")
@each_index
def test_disabled_index_releases_all_descriptors(session, device, fds, name):
    line = line_of(session, device, name)
    line.assigned(fds)
    probes = [line.assigned_probe(fds, start=vector) for vector in range(line.together)]
    line.disable()
    expect_released(probes)


@covers("IRQ-SET-007")
@needs("irq1")
@each_index
def test_disabled_index_can_be_assigned_again(session, device, fds, name):
    line = line_of(session, device, name)
    old = line.assigned(fds)
    for _ in range(2):
        line.disable()
        line.still_works(line.assigned(fds))
    line.expect(old, [0] * line.together)


@covers("IRQ-SET-007")
@needs("irq1", "raise_irq")
@each_index
def test_disabled_index_is_not_signalled_by_the_device(session, device, fds, name):
    line = line_of(session, device, name)
    eventfds = line.assigned(fds)
    device.raise_irq(session, line.index, 0)
    line.expect(eventfds, one_hot(line.together, 0))
    line.disable()
    for vector in range(line.together):
        device.raise_irq(session, line.index, vector)
    line.expect(eventfds, [0] * line.together)


@covers("IRQ-SET-007")
@needs("irq1")
@each_index
def test_disabling_what_is_disabled_is_refused_or_harmless(session, device, fds, name):
    line = line_of(session, device, name)
    line.try_set(TRIGGER, count=0)
    line.assigned(fds)
    line.disable()
    line.try_set(TRIGGER, count=0)
    line.still_works(line.assigned(fds))


@covers("IRQ-SET-007")
@needs("irq1")
def test_disabling_an_index_without_interrupts_is_refused_or_harmless(session, device, fds):
    lines = lines_of(session, device)
    assigned = [line.assigned(fds) for line in lines]
    for index in empty_indexes(device):
        session.outcome("DEVICE_SET_IRQS", flags=TRIGGER, index=index)
    for line, eventfds in zip(lines, assigned):
        line.still_works(eventfds)


def _starts_of_empty_ranges(line, data, action):
    # Start 0 without data disables the index, which has cases of its own.
    starts = [0, 1, line.count, 0xFFFFFFFF]
    return starts[1:] if (data, action) == ("NONE", "TRIGGER") else starts


@covers("IRQ-SET-008")
@needs("irq1")
@each_index
@each_pair
def test_empty_range_is_refused_or_changes_nothing(session, device, fds, name, data, action):
    line = line_of(session, device, name)
    for start in _starts_of_empty_ranges(line, data, action):
        eventfds = line.assigned(fds)
        outcome = line.try_set(f"DATA_{data}|ACTION_{action}", start=start, count=0)
        line.expect(eventfds, [0] * line.together)
        if outcome.kind == "success" and action == "TRIGGER":
            line.try_set(TRIGGER, count=line.together)
            session.barrier()
            seen = [eventfd.count() for eventfd in eventfds]
            assert seen in ([1] * line.together, [0] * line.together)
        else:
            line.still_works(eventfds)
        line.disable()


# ---- triggering ----


@covers("IRQ-SET-003")
@needs("irq1")
@each_index
def test_trigger_signals_the_eventfds_of_exactly_its_range(session, device, fds, name):
    line = line_of(session, device, name)
    eventfds = line.assigned(fds)
    for start, count in _ranges(line.together):
        line.trigger(start, count)
        line.expect(eventfds, inside(line.together, start, count))


@covers("IRQ-SET-003")
@needs("irq1")
@each_index
def test_each_trigger_adds_one(session, device, fds, name):
    line = line_of(session, device, name)
    eventfds = line.assigned(fds)
    for _ in range(5):
        line.trigger(count=line.together)
    line.expect(eventfds, [5] * line.together)


@covers("IRQ-SET-004")
@needs("irq1")
@each_index
def test_bools_signal_only_the_vectors_whose_byte_is_true(session, device, fds, name):
    line = line_of(session, device, name)
    eventfds = line.assigned(fds)
    for bools in product((0, 1), repeat=min(line.together, 4)):
        line.trigger_bools(bools)
        line.expect(eventfds, [*bools, *[0] * (line.together - len(bools))])


@covers("IRQ-SET-004")
@needs("irq2")
@each_index_of_several
def test_first_bool_stands_for_the_vector_at_start(session, device, fds, name):
    line = line_of(session, device, name, least=2)
    eventfds = line.assigned(fds)
    for start in range(1, line.together):
        bools = [(1 + vector) % 2 for vector in range(line.together - start)]
        line.trigger_bools(bools, start)
        line.expect(eventfds, [0] * start + bools)


@covers("IRQ-SET-005")
@needs("irq1")
@each_index
@pytest.mark.parametrize("byte", [0x02, 0x80, 0xFF], ids=["two", "high-bit", "all-bits"])
def test_other_true_byte_is_refused_or_signals_at_most_once(session, device, fds, name, byte):
    line = line_of(session, device, name)
    eventfds = line.assigned(fds)
    outcome = line.try_set(TRIGGER_BOOL, data=bytes([byte]))
    session.barrier()
    seen = [eventfd.count() for eventfd in eventfds]
    assert seen[0] in ((0, 1) if outcome.kind == "success" else (0,))
    assert seen[1:] == [0] * (line.together - 1)
    line.still_works(eventfds)


@covers("IRQ-SET-024")
@needs("irq1")
@each_index
def test_trigger_without_an_eventfd_is_not_remembered(session, device, fds, name):
    line = line_of(session, device, name)
    line.try_set(TRIGGER, count=line.together)
    line.try_set(TRIGGER_BOOL, count=line.together, data=b"\1" * line.together)
    line.still_works(line.assigned(fds))


@covers("IRQ-SET-024")
@needs("irq1")
@each_index
def test_trigger_of_a_disabled_index_is_not_remembered(session, device, fds, name):
    line = line_of(session, device, name)
    line.still_works(line.assigned(fds))
    line.disable()
    line.try_set(TRIGGER, count=line.together)
    line.still_works(line.assigned(fds))


@covers("IRQ-SET-024")
@needs("irq1", "raise_irq")
@each_index
def test_interrupt_without_an_eventfd_is_not_remembered(session, device, fds, name):
    line = line_of(session, device, name)
    for vector in range(line.together):
        device.raise_irq(session, line.index, vector)
    eventfds = line.assigned(fds)
    line.expect(eventfds, [0] * line.together)
    line.rearm(0, line.together)
    line.expect(eventfds, [0] * line.together)
    device.raise_irq(session, line.index, 0)
    line.expect(eventfds, one_hot(line.together, 0))


@covers("IRQ-SET-002")
@needs("irq1", "raise_irq")
@each_index
def test_raised_interrupt_signals_its_own_eventfd_alone(session, device, fds, name):
    line = line_of(session, device, name)
    eventfds = line.assigned(fds)
    others = [other for other in lines_of(session, device) if other.index != line.index]
    silent = [eventfd for other in others for eventfd in other.assigned(fds)]
    for vector in range(line.together):
        device.raise_irq(session, line.index, vector)
        line.expect(eventfds, one_hot(line.together, vector))
    line.expect(silent, [0] * len(silent))


@covers("IRQ-SET-002")
@needs("irq1", "raise_irq")
@each_index
def test_each_raised_interrupt_adds_one(session, device, fds, name):
    line = line_of(session, device, name)
    eventfds = line.assigned(fds)
    for _ in range(3):
        line.rearm(line.together - 1)
        device.raise_irq(session, line.index, line.together - 1)
    line.expect(eventfds, [0] * (line.together - 1) + [3])


# ---- independence of the indexes ----


@covers("IRQ-SET-023")
@needs("two_irqs")
@each_index
def test_trigger_of_an_index_signals_no_other_index(session, device, fds, name):
    line = line_of(session, device, name)
    assigned = {one.index: one.assigned(fds) for one in lines_of(session, device)}
    line.trigger(count=line.together)
    for other, eventfds in assigned.items():
        line.expect(eventfds, [int(other == line.index)] * len(eventfds))


@covers("IRQ-SET-023")
@needs("two_irqs")
@each_index
@pytest.mark.parametrize("how", ["disabled", "deassigned", "replaced"])
def test_index_that_is_given_up_leaves_the_others(session, device, fds, name, how):
    line = line_of(session, device, name)
    others = [one for one in lines_of(session, device) if one.index != line.index]
    own, assigned = line.assigned(fds), [one.assigned(fds) for one in others]
    if how == "disabled":
        line.disable()
    elif how == "deassigned":
        line.set(ASSIGN, count=line.together)
    else:
        line.assigned(fds)
    for one, eventfds in zip(others, assigned):
        one.still_works(eventfds)
    line.expect(own, [0] * line.together)
