# SPDX-License-Identifier: BSD-3-Clause
"""VFIO_USER_DEVICE_GET_INFO.

What the device is and how much there is of it; the numbers are held against the commands that they
count for.
"""

import pytest

from vuc import constants, covers, message, needs

FLAGS = constants.DEVICE_FLAGS
PCI_REGIONS = constants.REGION_INDEX.NUM
PCI_IRQS_LEAST = 3  # INTx, MSI, MSI-X; the text gives no number
REPLY_SIZE = 16


@covers("INFO-DEV-001")
@pytest.mark.parametrize("argsz", [16, 4096], ids=["exact-argsz", "large-argsz"])
def test_reply_is_the_16_byte_structure_and_the_same_each_time(session, argsz):
    first = session.call("DEVICE_GET_INFO", argsz=argsz)
    second = session.call("DEVICE_GET_INFO", argsz=argsz)
    assert len(first.payload) == REPLY_SIZE
    assert first.argsz == REPLY_SIZE
    assert not first.fds
    assert second.payload == first.payload


@covers("INFO-DEV-002")
def test_device_is_a_pci_device(session):
    assert session.call("DEVICE_GET_INFO").flags & FLAGS.PCI


@covers("INFO-DEV-003")
@needs("reset")
def test_device_with_the_reset_flag_can_be_reset(session):
    session.call("DEVICE_RESET")
    assert session.call("DEVICE_GET_INFO").flags & FLAGS.RESET


@covers("INFO-DEV-003")
@needs("no_reset")
def test_device_without_the_reset_flag_refuses_reset(session):
    session.refuse("DEVICE_RESET")
    assert not session.call("DEVICE_GET_INFO").flags & FLAGS.RESET


@covers("INFO-DEV-004")
def test_every_region_below_num_regions_can_be_queried_and_none_beyond(session):
    count = session.call("DEVICE_GET_INFO").num_regions
    assert count >= PCI_REGIONS
    for index in range(count):
        assert session.call("DEVICE_GET_REGION_INFO", index=index).index == index
    session.refuse("DEVICE_GET_REGION_INFO", index=count)


@covers("INFO-DEV-005")
def test_every_irq_index_below_num_irqs_can_be_queried_and_none_beyond(session):
    count = session.call("DEVICE_GET_INFO").num_irqs
    assert count >= PCI_IRQS_LEAST
    for index in range(count):
        assert session.call("DEVICE_GET_IRQ_INFO", index=index).index == index
    session.refuse("DEVICE_GET_IRQ_INFO", index=count)


@covers("INFO-DEV-007")
@pytest.mark.parametrize("field", ["flags", "num_regions", "num_irqs"])
def test_fields_that_must_be_zero_are_refused_or_ignored(session, field):
    normal = session.call("DEVICE_GET_INFO")
    outcome = session.outcome("DEVICE_GET_INFO", **{field: 0xFF})
    assert outcome.kind == "error" or outcome.reply.payload == normal.payload
    assert session.barrier().payload == normal.payload


@covers("INFO-DEV-007")
def test_longer_structure_of_a_newer_client_is_refused_or_answered(session):
    normal = session.call("DEVICE_GET_INFO")
    longer = message("DEVICE_GET_INFO", argsz=24).extend(bytes(8))
    outcome = session.outcome(longer)
    assert outcome.kind == "error" or outcome.reply.payload[4:16] == normal.payload[4:16]
    assert session.barrier().payload == normal.payload


@covers("INFO-DEV-008")
def test_undefined_flags_are_clear(session):
    flags = session.call("DEVICE_GET_INFO").flags
    assert flags & ~(FLAGS.RESET | FLAGS.PCI) == 0
