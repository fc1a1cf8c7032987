# SPDX-License-Identifier: BSD-3-Clause
"""The PCI Express capability, Function Level Reset, and what a reset does to the space."""

import pytest

from interrupts import assert_told_by_eventfds
from pci import (
    BAR, BARS, COMMAND, DEVICE_CONTROL, DWORD, EXPRESS, FLR, MASTER, MEMORY, MSI, MSIX, Window,
    by_width, capabilities, capability, extended, image, kept, number, ones, put,
)
from regions import CONFIG, all_described
from vuc import covers, needs

FLAGS, DEVICE_CAPABILITIES, DEVICE_STATUS, LINK_CAPABILITIES = 2, 4, 10, 12
LINK_CONTROL = 16
COMMON_CLOCK, EXTENDED_SYNCH = 1 << 6, 1 << 7
ENDPOINTS = (0, 1, 9)
INTEGRATED = 9
REPORTING = 0x000F  # of Device Control: error reports
READ_REQUEST = 0x7000
TAGS, TAGS_SUPPORT = 1 << 8, 1 << 5
PHANTOM, PHANTOM_SUPPORT = 1 << 9, 3 << 3
CACHE_LINE = 0x0C
ADDRESS, SIZE = 0x100000, 0x10000
USED = MEMORY | MASTER


@covers("PCI-EXP-001")
@needs("pci_config", "pcie")
def test_capability_is_that_of_an_endpoint(session):
    flags = number(session, capability(session, EXPRESS) + FLAGS, 2)
    assert flags & 0xF in (1, 2)
    assert flags >> 4 & 0xF in ENDPOINTS


@covers("PCI-EXP-002")
@needs("pci_config", "pcie")
@by_width
def test_writes_to_device_control_and_status_change_the_bits_they_cover(session, width):
    at = capability(session, EXPRESS)
    integrated = number(session, at + FLAGS, 2) >> 4 & 0xF == INTEGRATED
    stored = READ_REQUEST | (0 if integrated else REPORTING)
    # Transactions Pending (bit 5 of the status) changes by itself.
    window = Window(at + DEVICE_CONTROL, DWORD, stored, 0xFFDF0000 | stored)
    status = window.content(session) & 0xFFFF0000
    # The reset bit is written as 0, and a status bit that is set keeps its value.
    for pattern in (0x500A, 0x2005, 0x700F, 0):
        window.check_writes(session, width, ~status & 0xFFFF0000 | pattern, pattern)


@covers("PCI-EXP-003")
@needs("pci_config", "pcie")
@by_width
def test_device_control_does_not_store_what_the_device_can_not_do(session, width):
    at = capability(session, EXPRESS)
    has = number(session, at + DEVICE_CAPABILITIES)
    zero = (0 if has & TAGS_SUPPORT else TAGS) | (0 if has & PHANTOM_SUPPORT else PHANTOM)
    window = Window(at + DEVICE_CONTROL, DWORD, 0, zero)
    assert not window.content(session) & zero
    window.check_writes(session, width, window.content(session) & 0xFFFF & ~FLR | TAGS | PHANTOM)


@covers("PCI-EXP-005")
@needs("pci_config", "pcie")
@by_width
def test_link_control_stores_what_every_endpoint_with_a_link_has(session, width):
    at = capability(session, EXPRESS)
    if number(session, at + FLAGS, 2) >> 4 & 0xF == INTEGRATED:
        pytest.skip("needs: an endpoint with a link")
    stored = COMMON_CLOCK | EXTENDED_SYNCH
    window = Window(at + LINK_CONTROL, DWORD, stored, stored)
    for pattern in (stored, COMMON_CLOCK, EXTENDED_SYNCH, 0):
        window.check_writes(session, width, pattern)


@covers("PCI-EXP-004")
@needs("pci_config", "pcie")
@by_width
@pytest.mark.parametrize("offset", [0, DEVICE_CAPABILITIES, LINK_CAPABILITIES],
                         ids=["flags", "device", "link"])
def test_capability_registers_are_read_only(session, offset, width):
    at = capability(session, EXPRESS) + offset
    if offset == LINK_CAPABILITIES and not number(session, at):
        pytest.skip("needs: a PCI Express device with a link")
    Window(at, DWORD, 0, 0xFFFFFFFF).check_writes(session, width)


# ---- Function Level Reset ----


def _control(session):
    return capability(session, EXPRESS) + DEVICE_CONTROL


def _reset(session, width=2):
    # Initiate it by an access of that width; other bits as they are.
    at, first = _control(session), 1 if width == 1 else 0
    value = (number(session, at, 2) | FLR) >> 8 * first
    put(session, at + first, value, width)


@covers("PCI-FLR-001")
@needs("pci_config", "flr")
@by_width
def test_function_level_reset_disables_the_function_and_reads_zero(session, width):
    with kept(session, (COMMAND, 2)):
        put(session, COMMAND, USED, 2)
        assert number(session, COMMAND, 2) & USED
        _reset(session, width)
        assert number(session, COMMAND, 2) == 0
        assert not number(session, _control(session), 2) & FLR


@covers("PCI-FLR-002")
@needs("pci_config", "flr")
@pytest.mark.parametrize(
    "offset, value, width", [(0, 0xFF, 1), (1, 0x7F, 1), (0, 0x7FFF, 2), (2, 0xFF, 1), (0, 0, 2)],
    ids=["lower-byte", "upper-byte", "word", "status", "zero"],
)
def test_other_writes_to_device_control_do_not_reset(session, offset, value, width):
    at = _control(session)
    with kept(session, (COMMAND, 2), (at, 2)):
        put(session, COMMAND, MASTER, 2)
        assert number(session, COMMAND, 2) & MASTER
        put(session, at + offset, value, width)
        assert number(session, COMMAND, 2) & MASTER


def _registers(session):
    # What a reset sets back, and a value other than that: (offset, width, value).
    found = [(BAR + 4 * i, DWORD, 0x5A5AA5A0) for i in range(BARS)]
    found += [(COMMAND, 2, USED), (_control(session), 2, 0x5007)]
    controls = {MSI: 0x0001, MSIX: 0xC000}
    found += [(at + 2, 2, controls[name]) for name, at in capabilities(session) if name in controls]
    return found


@covers("PCI-FLR-003")
@needs("pci_config", "flr")
def test_function_level_reset_brings_back_the_first_values(session):
    registers = _registers(session)
    _reset(session)
    first = [number(session, at, width) for at, width, _ in registers]
    for at, width, value in registers:
        put(session, at, value, width)
    written = [number(session, at, width) for at, width, _ in registers]
    _reset(session)
    again = [number(session, at, width) for at, width, _ in registers]
    assert written != first
    assert again == first
    for (at, _, value), value_now in zip(registers, again, strict=True):
        assert at < 0x40 or not value_now & value & 0xC001, f"{at:#x} is still enabled"


def _descriptions(session, device):
    irqs = [session.call("DEVICE_GET_IRQ_INFO", index=i).payload for i in range(len(device.irqs))]
    regions = [reply.payload for reply in all_described(session)]
    large = device.regions[CONFIG].size > 256
    lists = [capabilities(session), extended(session) if large else []]
    ids = image(session, 0, 4) + image(session, 8, 4) + image(session, 0x2C, 4)
    return session.call("DEVICE_GET_INFO").payload, irqs, regions, lists, ids


@covers("PCI-FLR-004")
@needs("pci_config", "flr")
def test_function_level_reset_changes_no_description(session, device):
    before = _descriptions(session, device)
    for width in (1, 2, 4):
        _reset(session, width)
    assert _descriptions(session, device) == before


@covers("PCI-FLR-005")
@needs("pci_config", "flr", "dma_maps", "lease")
def test_mapping_is_kept_or_gone_after_function_level_reset(session, fds):
    memory = fds.memory(SIZE)
    session.call("DMA_MAP", [memory], flags="READ|WRITE", address=ADDRESS, size=SIZE)
    memory.sent()
    _reset(session)
    session.outcome("DMA_UNMAP", address=ADDRESS, size=SIZE)
    assert not memory.held()
    session.call("DMA_MAP", flags="READ|WRITE", address=ADDRESS, size=SIZE)
    session.call("DMA_UNMAP", address=ADDRESS, size=SIZE)


@covers("PCI-FLR-005")
@needs("pci_config", "flr", "irq1")
def test_eventfd_works_or_is_silent_after_function_level_reset(session, device, fds):
    assert_told_by_eventfds(session, device, fds, _reset)


@covers("PCI-FLR-006")
@needs("pci_config", "reset")
def test_command_is_as_at_first_or_as_written_after_a_reset(session):
    session.call("DEVICE_RESET")
    with kept(session, (COMMAND, 2)) as (first,):
        ids = image(session, 0, 4)
        put(session, COMMAND, first ^ MASTER, 2)
        written = number(session, COMMAND, 2)
        session.call("DEVICE_RESET")
        assert number(session, COMMAND, 2) in (first, written)
        assert image(session, 0, 4) == ids
        for value in (MASTER, 0):
            put(session, COMMAND, first & ~MASTER | value, 2)
            assert number(session, COMMAND, 2) & MASTER == value
