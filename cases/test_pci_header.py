# SPDX-License-Identifier: BSD-3-Clause
"""The header of the PCI configuration space, as VFIO and VMMs use it.

No case lets the device stay changed: what is written is written back. Faults that the cases have
to catch are about masks (a read-only byte that takes writes), widths and lanes.
"""

import pytest

from pci import (
    BAR, BARS, COMMAND, DWORD, INTERRUPT_LINE, INTERRUPT_PIN, INTX_DISABLE, IO, MASTER,
    MEMORY, STANDARD, STATUS, Window, by_width, image, kept, number, ones, put,
)
from regions import CONFIG, FLAGS, described, read, write
from vuc import constants, covers, needs

EDGE = 64
INTERRUPT_STATUS = 1 << 3  # of STATUS; changes by itself
# Name: offset of a dword, and which of its bits are read-only in every device.
READ_ONLY = {
    "ids": (0x00, 0xFFFFFFFF),
    "class": (0x08, 0xFFFFFFFF),
    "header-type": (0x0C, 0x00FF0000),
    "subsystem": (0x2C, 0xFFFFFFFF),
    "capability-pointer": (0x34, 0xFFFFFFFF),
    "reserved": (0x38, 0xFFFFFFFF),
    "interrupt-pin": (0x3C, 0xFFFFFF00),
}
STATUS_FIXED = 0x06B7
STATUS_ERRORS = 0xF900
RESERVED_COMMAND = 0xF800
HEADER = 64
SPANNING = {
    "2-at-5": (0x05, b"\xff\xff"),
    "4-at-2": (0x02, b"\xff\xff\x06\x00"),
    "4-at-3": (0x03, b"\xff\x06\x00\xff"),
    "8-at-0": (0x00, b"\xff\xff\xff\xff\x06\x00\x00\x00"),
    "4-at-3a": (0x3A, b"\xff\xff\xa5\xff"),
    "2-at-3b": (0x3B, b"\xff\xa5"),
    "8-at-38": (0x38, b"\xff\xff\xff\xff\xa5\xff\xff\xff"),
}


def _same(found, wanted, first):
    # Are the bytes those of the space from `first`, what changes by itself aside?
    wrong = [
        first + i for i, (one, other) in enumerate(zip(found, wanted, strict=True))
        if (one ^ other) & ~(INTERRUPT_STATUS if first + i == STATUS else 0)
    ]
    assert not wrong, f"differs at {wrong[0]:#x}"


@covers("PCI-HDR-001")
@needs("pci_config")
def test_configuration_space_is_reached_by_messages_alone(session):
    reply = described(session, CONFIG)
    assert reply.flags & FLAGS.READ
    assert reply.flags & FLAGS.WRITE
    assert not reply.flags & (FLAGS.MMAP | FLAGS.CAPS)
    assert not reply.fds


@covers("PCI-HDR-002")
@needs("pci_config")
@pytest.mark.parametrize("width", [1, 2])
def test_whole_space_is_the_same_by_every_width(session, device, width):
    size = device.regions[CONFIG].size
    parts = {(0, STANDARD), (STANDARD, min(STANDARD + EDGE, size)), (size - EDGE, size)}
    for first, end in parts:
        found = b"".join(read(session, CONFIG, at, width) for at in range(first, end, width))
        _same(found, image(session, first, end - first), first)


@covers("PCI-HDR-002")
@needs("pci_config")
@pytest.mark.parametrize("block", [8, 64, 256, "all"])
def test_block_of_the_space_reads_in_one_access(session, device, block):
    size = device.regions[CONFIG].size
    block = size if block == "all" else block
    for at in {0, size - block}:
        _same(read(session, CONFIG, at, block), image(session, at, block), at)


@covers("PCI-HDR-003")
@needs("pci_config")
@pytest.mark.parametrize("width", [2, 4, 8])
def test_read_that_is_not_aligned_shows_the_bytes_of_the_registers(session, width):
    header = image(session, 0, HEADER)
    for at in range(HEADER - width + 1):
        if at % width:
            _same(read(session, CONFIG, at, width), header[at : at + width], at)


@covers("PCI-HDR-004")
@needs("pci_config")
def test_header_is_that_of_a_function(session):
    assert number(session, 0x0E, 1) & 0x7F == 0
    assert number(session, 0x00, 2) not in (0, 0xFFFF)
    assert not any(image(session, 0x34, 8)[1:])


@covers("PCI-HDR-005")
@needs("pci_config")
@by_width
@pytest.mark.parametrize("field", READ_ONLY)
def test_read_only_field_ignores_writes(session, field, width):
    at, fixed = READ_ONLY[field]
    window = Window(at, DWORD, 0, fixed)
    # Built-in self test, which the inverse of the dword would start, is not asked for.
    window.check_writes(session, width, 0, ~window.content(session) & 0xBFFFFFFF)


def _command_bits(session, device):
    # Those that the device has use for.
    bars = [index for index in range(BARS) if device.regions[index].size]
    kinds = {number(session, BAR + 4 * index) & 1 for index in bars}
    return [MASTER] + ([MEMORY] if 0 in kinds else []) + ([IO] if 1 in kinds else [])


@covers("PCI-HDR-006")
@needs("pci_config", "bar")
@by_width
def test_command_bits_are_stored_each_for_itself(session, device, width):
    bits = _command_bits(session, device)
    with kept(session, (COMMAND, 2)) as (before,):
        for bit in bits:
            for value in (bit, sum(bits) & ~bit, 0, sum(bits)):
                put(session, COMMAND, before & ~7 & ones(width) | value, width)
                assert number(session, COMMAND, 2) & sum(bits) == value


@covers("PCI-HDR-007")
@needs("pci_config")
@pytest.mark.parametrize("at, width", [(COMMAND + 1, 1), (COMMAND, 2), (COMMAND, 4)],
                         ids=["byte", "word", "dword"])
def test_reserved_command_bits_stay_zero(session, at, width):
    with kept(session, (COMMAND, 2)):
        put(session, at, 0xFF if width == 1 else 0xFFFF, width)
        assert not number(session, COMMAND, 2) & RESERVED_COMMAND


@covers("PCI-HDR-008")
@needs("pci_config", "intx")
@pytest.mark.parametrize("at, width", [(COMMAND + 1, 1), (COMMAND, 2), (COMMAND, 4)],
                         ids=["byte", "word", "dword"])
def test_intx_disable_is_stored(session, at, width):
    with kept(session, (COMMAND, 2)) as (before,):
        for value in (before | INTX_DISABLE, before & ~INTX_DISABLE):
            put(session, at, value >> 8 * (at - COMMAND), width)
            assert number(session, COMMAND, 2) & INTX_DISABLE == value & INTX_DISABLE


@covers("PCI-HDR-009")
@needs("pci_config")
@pytest.mark.parametrize("at, width", [(STATUS, 1), (STATUS + 1, 1), (STATUS, 2), (COMMAND, 4)],
                         ids=["lower-byte", "upper-byte", "word", "dword"])
def test_no_write_sets_a_bit_of_status(session, at, width):
    before = number(session, STATUS, 2)
    for value in (ones(width), 0):
        command = number(session, COMMAND, 2)
        put(session, at, value & 0xFFFF0000 | command if width == DWORD else value, width)
        after = number(session, STATUS, 2)
        assert after & STATUS_FIXED == before & STATUS_FIXED
        assert not after & ~before & STATUS_ERRORS
        assert number(session, COMMAND, 2) == command


@covers("PCI-HDR-010")
@needs("pci_config", "bar", "intx")
@pytest.mark.parametrize("access", SPANNING)
def test_write_that_spans_registers_changes_each_by_its_own_bits(session, access):
    at, data = SPANNING[access]
    with kept(session, (COMMAND, 2), (INTERRUPT_LINE, 1)):
        put(session, COMMAND, 0, 2)
        put(session, INTERRUPT_LINE, 0x5A, 1)
        before = image(session, 0, HEADER)
        write(session, CONFIG, at, data)
        after = image(session, 0, HEADER)
    covered = range(at, at + len(data))
    # Bit 0 is not asked for, and reserved ones are PCI-HDR-007's.
    assert after[COMMAND] & 6 == (data[COMMAND - at] & 6 if COMMAND in covered else 0)
    assert after[INTERRUPT_LINE] == (
        data[INTERRUPT_LINE - at] if INTERRUPT_LINE in covered else 0x5A)
    for first, end in ((0, COMMAND), (0x08, 0x0C), (0x2C, INTERRUPT_LINE), (INTERRUPT_PIN, HEADER)):
        assert after[first:end] == before[first:end]


@covers("PCI-HDR-011")
@needs("pci_config")
def test_interrupt_pin_and_the_intx_index_agree(session, device):
    pin = number(session, INTERRUPT_PIN, 1)
    assert pin <= 4
    assert device.irqs[constants.IRQ_INDEX.INTX].count == (1 if pin else 0)


@covers("PCI-HDR-012")
@needs("pci_config", "intx")
@by_width
def test_interrupt_line_stores_all_values(session, width):
    window = Window(INTERRUPT_LINE, DWORD, 0xFF, 0xFFFFFFFF)
    for value in (0x00, 0xFF, 0xA5, 0x5A):
        window.check_write(session, 0, width, value)
