# SPDX-License-Identifier: BSD-3-Clause
"""Capabilities and extended capabilities of the PCI configuration space, and power management."""

import pytest

from pci import (
    BAR, BARS, COMMAND, DWORD, EXPRESS, EXTENDED, EXTENDED_LIST, MASTER, MSI, MSIX, PCIX, PM,
    STANDARD, VENDOR_EXTENDED, Window, by_width, capabilities, capability, check_disjoint,
    check_header_of, check_places, extended, extended_length, extended_pointers, image, kept,
    length, number, ones, pointers, put,
)
from regions import CONFIG, read
from vuc import covers, needs

SINGLE = (PM, MSI, EXPRESS, MSIX)
# In the capability of power management.
PMC, PMCSR = 2, 4
D1_SUPPORT, D2_SUPPORT = 1 << 9, 1 << 10
D0, D1, D2, D3HOT = range(4)
STATE = 3
NO_SOFT_RESET = 1 << 3
FIXED_CONTROL = 0x00FC  # of PMCSR: bits 2 and 7:4 reserved, No_Soft_Reset


@covers("PCI-CAP-001")
@needs("pci_config", "capability_list")
def test_capability_list_is_in_bounds_and_ends(session):
    found = pointers(session)
    assert found
    check_places(found, 0x40, STANDARD)


@covers("PCI-CAP-002")
@needs("pci_config", "capability_list")
def test_capabilities_do_not_overlap(session):
    found = [(name, at, length(session, name, at)) for name, at in capabilities(session)]
    assert all(size >= 2 for _, _, size in found)
    check_disjoint(found, STANDARD)


@covers("PCI-CAP-003")
@needs("pci_config", "capability_list")
def test_capabilities_occur_once(session):
    names = [name for name, _ in capabilities(session)]
    assert 0xFF not in names
    assert all(names.count(name) <= 1 for name in SINGLE)


@covers("PCI-CAP-004")
@needs("pci_config", "capability_list")
@by_width
def test_header_of_a_capability_is_read_only(session, width):
    before = capabilities(session)
    for _, at in before:
        check_header_of(session, at, width)
    assert capabilities(session) == before


@covers("PCI-EXT-001")
@needs("pci_config")
def test_size_of_the_space_is_that_of_the_bus(session, device):
    names = {name for name, _ in capabilities(session)}
    large = device.regions[CONFIG].size == EXTENDED
    assert not large or names & {EXPRESS, PCIX}
    assert large or EXPRESS not in names


@covers("PCI-EXT-002")
@needs("pci_config", "extended_config")
def test_extended_capability_list_is_in_bounds_and_ends(session):
    check_places(extended_pointers(session), EXTENDED_LIST, EXTENDED)
    for header, at in extended(session):
        assert header & 0xFFFF != 0xFFFF, f"{at:#x}"
        assert header >> 16 & 0xF or not header & 0xFFFF, f"version of {at:#x}"
        assert not header >> 20 or number(session, header >> 20), f"nothing behind {at:#x}"


@covers("PCI-EXT-003")
@needs("pci_config", "extended_config")
def test_extended_capabilities_do_not_overlap(session):
    found = [
        (header & 0xFFFF, at, extended_length(session, header & 0xFFFF, at))
        for header, at in extended(session)
    ]
    assert all(size >= DWORD for _, _, size in found)
    check_disjoint(found, EXTENDED)


@covers("PCI-EXT-006")
@needs("pci_config", "extended_config")
def test_vendor_specific_extended_capability_is_of_the_first_version(session):
    found = [(header, at) for header, at in extended(session) if header & 0xFFFF == VENDOR_EXTENDED]
    if not found:
        pytest.skip("needs: a vendor-specific extended capability")
    for header, at in found:
        assert header >> 16 & 0xF == 1, f"the one at {at:#x} is of version {header >> 16 & 0xF}"


@covers("PCI-EXT-004")
@needs("pci_config", "extended_config")
@by_width
def test_header_of_an_extended_capability_is_read_only(session, width):
    before = extended(session)
    for at in {EXTENDED_LIST, *(at for _, at in before)}:
        check_header_of(session, at, width, DWORD)
    assert extended(session) == before


@covers("PCI-EXT-005")
@needs("pci_config", "extended_config")
@pytest.mark.parametrize("at, width", [(0xFF, 2), (0xFE, 4), (0xFC, 8), (0xF9, 8)],
                         ids=["2-at-ff", "4-at-fe", "8-at-fc", "8-at-f9"])
def test_read_crosses_into_the_extended_space(session, at, width):
    around = image(session, STANDARD - 8, 16)
    first = at - (STANDARD - 8)
    assert read(session, CONFIG, at, width) == around[first : first + width]


@covers("PCI-EXT-005")
@needs("pci_config", "extended_config")
@by_width
def test_last_bytes_of_the_extended_space_can_be_read(session, width):
    last = image(session, EXTENDED - DWORD, DWORD)
    assert read(session, CONFIG, EXTENDED - width, width) == last[-width:]


# ---- power management ----


@covers("PCI-PM-001")
@needs("pci_config", "pm")
@by_width
def test_power_states_that_all_devices_have_are_stored(session, width):
    at = capability(session, PM)
    first = number(session, at)
    with kept(session, (at + PMCSR, DWORD)) as (before,):
        for state in (D3HOT, D0):
            put(session, at + PMCSR, before & ones(width) & ~STATE | state, width)
            assert number(session, at + PMCSR, 2) & STATE == state
            assert number(session, at) == first


@covers("PCI-PM-002")
@needs("pci_config", "pm")
@by_width
def test_what_power_management_can_do_is_read_only(session, width):
    window = Window(capability(session, PM), DWORD, 0, 0xFFFF0000)
    for offset in range(0, DWORD, width):
        window.check_write(session, offset, width, ~window.content(session) & 0xFFFFFFFF)


@covers("PCI-PM-002")
@needs("pci_config", "pm")
@by_width
def test_reserved_bits_of_power_control_are_read_only(session, width):
    at = capability(session, PM) + PMCSR
    with kept(session, (at, DWORD)) as (before,):
        put(session, at, ones(width) & ~STATE, width)
        after = number(session, at)
    assert after & FIXED_CONTROL == before & NO_SOFT_RESET
    assert after & STATE == D0
    assert not after & 0x8000 & ~before


@covers("PCI-PM-003")
@needs("pci_config", "pm")
@by_width
@pytest.mark.parametrize("state", [D1, D2], ids=["D1", "D2"])
def test_power_state_that_is_not_announced_is_discarded(session, state, width):
    at = capability(session, PM)
    support = D1_SUPPORT if state == D1 else D2_SUPPORT
    if number(session, at + PMC, 2) & support:
        pytest.skip("needs: a device without that power state")
    with kept(session, (at + PMCSR, DWORD)) as (before,):
        put(session, at + PMCSR, before & ones(width) & ~STATE | state, width)
        assert number(session, at + PMCSR, 2) & STATE == D0


@covers("PCI-PM-004")
@needs("pci_config", "pm")
def test_device_comes_back_from_d3hot(session):
    at = capability(session, PM) + PMCSR
    with kept(session, (COMMAND, 2), *((BAR + 4 * i, DWORD) for i in range(BARS)), (at, DWORD)):
        put(session, COMMAND, MASTER, 2)
        before, control = image(session, 0, 64), number(session, at, 2)
        put(session, at, control & ~STATE | D3HOT, 2)
        assert image(session, 0, 64)[:4] == before[:4]
        assert number(session, at, 2) & STATE == D3HOT
        put(session, at, control & ~STATE, 2)
        assert number(session, at, 2) & STATE == D0
        if control & NO_SOFT_RESET:
            after = image(session, 0, 64)
            assert after[COMMAND : COMMAND + 2] == before[COMMAND : COMMAND + 2]
            assert after[BAR : BAR + 4 * BARS] == before[BAR : BAR + 4 * BARS]
