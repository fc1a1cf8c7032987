# SPDX-License-Identifier: BSD-3-Clause
"""VFIO_USER_DEVICE_SET_IRQS: what has to be refused without effect, and what contradicts itself."""

import struct

import pytest

from interrupts import (
    ASSIGN, MASK, NAMES, SEVERAL, TRIGGER, TRIGGER_BOOL, UNMASK, each_index, empty_indexes,
    expect_released, inside, line_of, lines_of,
)
from vuc import constants, covers, message, needs, reading

SET = constants.IRQ_SET_FLAGS
STRUCTURE_SIZE = 20  # of a request without data
BOOLS_MOST = 4096  # data that is sent for the sake of a range
OUTSIDE = {  # start and count, by the number of vectors
    "behind-the-last": lambda n: (n, 1),
    "over-the-last": lambda n: (n - 1, 2),
    "one-too-many": lambda n: (0, n + 1),
    "largest-start": lambda n: (0xFFFFFFFF, 1),
    "largest-count": lambda n: (1, 0xFFFFFFFF),
    "halves": lambda n: (0x80000000, 0x80000000),
}


def _set_irqs_with(session, fds, index, start, count):
    # Each way to ask for a range, with the descriptors to pass. The actions are those of any type.
    words = {"index": index, "start": start, "count": count}
    yield message("DEVICE_SET_IRQS", flags=TRIGGER, **words), []
    yield message("DEVICE_SET_IRQS", flags=ASSIGN, **words), []
    if count <= session.limits.max_msg_fds:
        yield message("DEVICE_SET_IRQS", flags=ASSIGN, **words), fds.probes(count)
    if count <= BOOLS_MOST:
        yield message("DEVICE_SET_IRQS", flags=TRIGGER_BOOL, data=b"\1" * count, **words), []


@covers("IRQ-SET-010")
@needs("irq1")
@each_index
@pytest.mark.parametrize("where", OUTSIDE)
def test_range_outside_the_index_is_refused_without_effect(session, device, fds, name, where):
    line = line_of(session, device, name)
    eventfds = line.assigned(fds)
    for one, passed in _set_irqs_with(session, fds, line.index, *OUTSIDE[where](line.count)):
        session.refuse(one, passed)
        expect_released(passed)
    line.still_works(eventfds)


@covers("IRQ-SET-010")
@needs("maskable")
@each_index
@pytest.mark.parametrize("where", OUTSIDE)
def test_mask_outside_the_index_is_refused_without_effect(session, device, fds, name, where):
    line = line_of(session, device, name, "MASKABLE")
    start, count = OUTSIDE[where](line.count)
    eventfds = line.assigned(fds)
    for flags in (MASK, UNMASK):
        session.refuse(line.message(flags, start=start, count=count))
    line.expect(eventfds, [0] * line.together)
    line.set(TRIGGER, count=line.together)
    line.expect(eventfds, [1] * line.together)


@covers("IRQ-SET-011")
@needs("irq1")
@pytest.mark.parametrize("distance", ["next", "next-but-one", "byte-up", "largest"])
def test_index_that_is_not_there_is_refused_without_effect(session, device, fds, distance):
    number = device.info.num_irqs
    index = {"next": number, "next-but-one": number + 1, "byte-up": 256,
             "largest": 0xFFFFFFFF}[distance]
    lines = lines_of(session, device)
    assigned = [line.assigned(fds) for line in lines]
    for one, passed in _set_irqs_with(session, fds, index, 0, 1):
        session.refuse(one, passed)
        expect_released(passed)
    session.refuse("DEVICE_SET_IRQS", flags=TRIGGER, index=index)
    for line, eventfds in zip(lines, assigned):
        line.still_works(eventfds)


@covers("IRQ-SET-011")
def test_range_of_an_index_without_interrupts_is_refused(session, device, fds):
    for index in empty_indexes(device):
        for one, passed in _set_irqs_with(session, fds, index, 0, 1):
            session.refuse(one, passed)
            expect_released(passed)


WRONG_FLAGS = {
    "nothing": 0,
    "no-data": SET.ACTION_TRIGGER,
    "none-and-bool": SET.DATA_NONE | SET.DATA_BOOL | SET.ACTION_TRIGGER,
    "none-and-eventfd": SET.DATA_NONE | SET.DATA_EVENTFD | SET.ACTION_TRIGGER,
    "bool-and-eventfd": SET.DATA_BOOL | SET.DATA_EVENTFD | SET.ACTION_TRIGGER,
    "all-data": SET.DATA_NONE | SET.DATA_BOOL | SET.DATA_EVENTFD | SET.ACTION_TRIGGER,
    "no-action": SET.DATA_NONE,
    "mask-and-unmask": SET.DATA_NONE | SET.ACTION_MASK | SET.ACTION_UNMASK,
    "mask-and-trigger": SET.DATA_NONE | SET.ACTION_MASK | SET.ACTION_TRIGGER,
    "unmask-and-trigger": SET.DATA_NONE | SET.ACTION_UNMASK | SET.ACTION_TRIGGER,
    "all-actions": SET.DATA_NONE | SET.ACTION_MASK | SET.ACTION_UNMASK | SET.ACTION_TRIGGER,
    "eventfd-without-action": SET.DATA_EVENTFD,
    "bool-without-action": SET.DATA_BOOL,
}


@covers("IRQ-SET-012")
@needs("irq1")
@pytest.mark.parametrize("which", WRONG_FLAGS)
def test_flags_that_are_not_one_of_each_set_are_refused_without_effect(
    session, device, fds, which
):
    lines = lines_of(session, device)
    assigned = [line.assigned(fds) for line in lines]
    for line, eventfds in zip(lines, assigned):
        probe = fds.probe()
        session.refuse(line.message(WRONG_FLAGS[which]))
        session.refuse(line.message(WRONG_FLAGS[which], data=b"\1"))
        session.refuse(line.message(WRONG_FLAGS[which]), [probe])
        assert probe.released()
        line.expect(eventfds, [0] * line.together)
        line.set(TRIGGER, count=line.together)
        line.expect(eventfds, [1] * line.together)


@covers("IRQ-SET-013")
@needs("irq1")
@pytest.mark.parametrize("bits", [0x40, 0x100, 0x80000000, 0xFFFFFFC0],
                         ids=["lowest", "middle", "highest", "all"])
def test_undefined_flags_are_refused_or_ignored(session, device, fds, bits):
    for line in lines_of(session, device):
        eventfds = line.assigned(fds)
        outcome = line.try_set(bits | SET.DATA_NONE | SET.ACTION_TRIGGER)
        line.expect(eventfds[:1], [int(outcome.kind == "success")])
        line.still_works(eventfds)


@covers("IRQ-SET-014")
@needs("irq1")
@pytest.mark.parametrize("size", [0, STRUCTURE_SIZE - 1], ids=["nothing", "one-byte-less"])
def test_structure_that_is_cut_short_is_refused_without_effect(session, device, fds, size):
    line = lines_of(session, device)[0]
    eventfds, probe = line.assigned(fds), fds.probe()
    session.refuse(line.message(ASSIGN).cut(size), [probe])
    assert probe.released()
    session.refuse(line.message(TRIGGER).cut(size))
    line.still_works(eventfds)


@covers("IRQ-SET-014")
@needs("irq1")
@pytest.mark.parametrize("argsz", [0, STRUCTURE_SIZE - 1], ids=["zero", "one-less"])
def test_argsz_below_the_structure_is_refused_or_ignored(session, device, fds, argsz):
    line = lines_of(session, device)[0]
    old, new = fds.eventfds(2)
    line.assign([old])
    outcome = line.try_set(ASSIGN, [new], argsz=argsz)
    right = new if outcome.kind == "success" else old
    outcome = line.try_set(TRIGGER, argsz=argsz)
    line.expect([right], [int(outcome.kind == "success")])
    line.still_works([right])


@covers("IRQ-SET-015")
@needs("irq1")
@pytest.mark.parametrize("argsz", [STRUCTURE_SIZE + 1, 1000, 0xFFFFFFFF],
                         ids=["one-more", "thousand", "largest"])
def test_argsz_above_the_payload_is_refused_or_ignored(session, device, fds, argsz):
    line = lines_of(session, device)[0]
    eventfds = line.assigned(fds)
    outcome = line.try_set(TRIGGER, argsz=argsz)
    line.expect(eventfds[:1], [int(outcome.kind == "success")])
    line.still_works(eventfds)


@covers("IRQ-SET-015")
@needs("irq1")
@each_index
def test_argsz_without_the_data_is_refused_or_ignored(session, device, fds, name):
    line = line_of(session, device, name)
    eventfds = line.assigned(fds)
    bools = [1] * line.together
    outcome = line.try_set(TRIGGER_BOOL, count=line.together, data=bytes(bools),
                           argsz=STRUCTURE_SIZE)
    line.expect(eventfds, bools if outcome.kind == "success" else [0] * line.together)
    line.still_works(eventfds)


@covers("IRQ-SET-015")
@needs("irq1")
@each_index
def test_descriptor_numbers_in_the_payload_are_refused_or_ignored(session, device, fds, name):
    line = line_of(session, device, name)
    old, new = fds.eventfds(2)
    line.assign([old])
    outcome = line.try_set(ASSIGN, [new], data=struct.pack("=i", 0))
    line.trigger()
    line.expect([old, new], [1, 0] if outcome.kind == "error" else [0, 1])


@covers("IRQ-SET-016")
@needs("irq1")
@each_index
@pytest.mark.parametrize("argsz", ["argsz-of-the-payload", "argsz-of-the-count"])
def test_too_few_bools_are_refused_without_effect(session, device, fds, name, argsz):
    line = line_of(session, device, name)
    eventfds = line.assigned(fds)
    count = min(line.together, 3)
    for size in range(count):
        told = count if argsz == "argsz-of-the-count" else size
        session.refuse(line.message(TRIGGER_BOOL, count=count, data=b"\1" * size,
                                    argsz=STRUCTURE_SIZE + told))
    line.still_works(eventfds)


@covers("IRQ-SET-016")
@needs("irq1")
@each_index
def test_surplus_bool_is_refused_or_ignored(session, device, fds, name):
    line = line_of(session, device, name)
    eventfds = line.assigned(fds)
    count = max(line.together - 1, 1)
    outcome = line.try_set(TRIGGER_BOOL, count=count, data=b"\1" * (count + 1))
    signalled = count if outcome.kind == "success" else 0
    line.expect(eventfds, inside(line.together, 0, signalled))
    line.still_works(eventfds)


@covers("IRQ-SET-017")
@needs("irq1")
@each_index
def test_data_without_the_bool_flag_is_refused_or_ignored(session, device, fds, name):
    line = line_of(session, device, name)
    eventfds = line.assigned(fds)
    outcome = line.try_set(TRIGGER, count=line.together, data=bytes(line.together))
    line.expect(eventfds, [int(outcome.kind == "success")] * line.together)
    line.still_works(eventfds)


@covers("IRQ-SET-017")
@needs("irq1", "pipe")
@each_index
@pytest.mark.parametrize("data", ["none", "bool"])
def test_descriptor_without_the_eventfd_flag_is_released(session, device, fds, name, data):
    line, probe = line_of(session, device, name), fds.probe()
    eventfds = line.assigned(fds)
    flags = f"DATA_{data.upper()}|ACTION_TRIGGER"
    outcome = line.try_set(flags, [probe], data=b"\1" if data == "bool" else b"")
    assert probe.released()
    assert probe.bytes() == 0
    line.expect(eventfds[:1], [int(outcome.kind == "success")])
    line.still_works(eventfds)


MISMATCHES = {  # count and number of descriptors
    "one-for-two": (2, 1),
    "two-for-one": (1, 2),
    "two-for-three": (3, 2),
    "three-for-two": (2, 3),
    "two-for-none": (0, 2),
}


@covers("IRQ-SET-018")
@reading("I3")
@needs("irq1", "pipe")
@pytest.mark.parametrize(("name", "which"), [
    pytest.param(name, which, id=f"{which}-{name}")
    for which, (count, _) in MISMATCHES.items() for name in (NAMES if count < 2 else SEVERAL)
])
def test_wrong_number_of_descriptors_is_refused_as_a_whole(session, device, fds, name, which):
    count, number = MISMATCHES[which]
    line = line_of(session, device, name, least=count)
    if number > session.limits.max_msg_fds:
        pytest.skip(f"needs: a server that takes {number} descriptors with a message")
    eventfds, probes = line.assigned(fds), fds.probes(number)
    session.refuse(line.message(ASSIGN, count=count), probes)
    expect_released(probes)
    assert [probe.bytes() for probe in probes] == [0] * number
    line.still_works(eventfds)
