# SPDX-License-Identifier: BSD-3-Clause
"""The extended capabilities ATS, PRI and PASID of a device behind a vIOMMU."""

import pytest
from spaces import (
    ATS, ATS_CAPABILITY, ATS_CONTROL, ATS_ENABLE, PASID, PASID_CAPABILITY, PASID_CONTROL, PRI,
    PRI_ALLOCATION, PRI_CAPACITY, PRI_CONTROL, PRI_ENABLE, PRI_RESET, PRI_STATUS, RESPONSE_FAILURE,
    STOPPED, UNEXPECTED, space_guest,
)

from vuc import covers, needs

pytestmark = needs("viommu", "pci_config", "extended_config")

PAGE_ALIGNED = 1 << 5
UNIT = 0x1F  # Smallest Translation Unit
PASID_REQUIRED = 1 << 15
WIDTH = 0x1F00
VERSION = 1 << 16


def settings(guest):
    """What the three say that can be set."""
    ats, pasid = guest.capability(ATS), guest.capability(PASID)
    return (guest.read_config(ats + ATS_CONTROL) if ats else 0,
            guest.read_config(guest.pri + PRI_CONTROL) if guest.pri else 0,
            guest.read_config(pasid + PASID_CONTROL) if pasid else 0)


@covers("VE-PCI-001")
@pytest.mark.parametrize("wanted, size", [
    pytest.param(ATS, 8, marks=needs("page_requests")),
    pytest.param(PRI, 16, marks=needs("page_requests")),
    pytest.param(PASID, 8, marks=needs("pasid"))], ids=["ats", "pri", "pasid"])
def test_device_has_the_capability_once(connect, wanted, size):
    guest = space_guest(connect)
    at = guest.capability(wanted)
    assert at >= 0x100
    assert at % 4 == 0
    assert at + size <= 0x1000
    assert guest.read_config(at, 4) & 0xFFFFF == VERSION | wanted
    others = [guest.capability(one) for one in (ATS, PRI, PASID)]
    assert len(set(others)) == len(others)


@covers("VE-PCI-003", "VE-PCI-015", "VE-PCI-007")
@needs("page_requests", "pasid")
def test_capabilities_say_what_the_extension_fixes(connect):
    guest = space_guest(connect)
    ats, pri, pasid = (guest.capability(one) for one in (ATS, PRI, PASID))
    assert guest.read_config(ats + ATS_CAPABILITY) & 0x7F == PAGE_ALIGNED
    assert guest.read_config(pri + PRI_STATUS) & PASID_REQUIRED
    width = guest.read_config(pasid + PASID_CAPABILITY)
    assert (width & WIDTH) >> 8 == guest.session.viommu["pasid_bits"]
    assert width & 6 == 0, "no execute and no privileged right"


@covers("VE-PCI-002")
@needs("page_requests", "pasid")
@pytest.mark.parametrize("value", [0, 0xFFFF], ids=["zeros", "ones"])
def test_what_is_read_only_stays(connect, value):
    guest = space_guest(connect)
    ats, pri, pasid = (guest.capability(one) for one in (ATS, PRI, PASID))
    places = [*(at + half for at in (ats, pri, pasid) for half in (0, 2)), ats + ATS_CAPABILITY,
              pri + PRI_CAPACITY, pri + PRI_CAPACITY + 2, pasid + PASID_CAPABILITY]
    before = [guest.read_config(at) for at in places]
    for at in places:
        guest.write_config(at, value)
    assert [guest.read_config(at) for at in places] == before
    for at, bits in ((ats + ATS_CONTROL, ATS_ENABLE | UNIT), (pasid + PASID_CONTROL, 1)):
        guest.write_config(at, value)
        assert guest.read_config(at) == value & bits
        guest.write_config(at, 0)


@covers("VE-PCI-004", "VE-PCI-006", "VE-PCI-016")
@needs("page_requests", "pasid", "reset")
def test_reset_clears_what_was_enabled(connect):
    guest = space_guest(connect)
    guest.enable(pages=5)
    assert settings(guest) == (ATS_ENABLE, PRI_ENABLE, 1)
    guest.call("DEVICE_RESET")
    assert settings(guest) == (0, 0, 0)
    assert guest.status() & (STOPPED | UNEXPECTED | RESPONSE_FAILURE) == STOPPED
    assert guest.read_config(guest.pri + PRI_ALLOCATION, 4) == 0


@covers("VE-PCI-004")
@needs("page_requests")
def test_smallest_translation_unit_is_taken_while_ats_is_off(connect):
    guest = space_guest(connect)
    at = guest.capability(ATS) + ATS_CONTROL
    for before, written, after in ((0, 3, 3), (3, 7, 7), (7, ATS_ENABLE | 5, ATS_ENABLE | 5)):
        assert before in (0, guest.read_config(at) & UNIT)
        guest.write_config(at, written)
        assert guest.read_config(at) == after
    for written in (ATS_ENABLE | 9, ATS_ENABLE):
        guest.write_config(at, written)
        assert guest.read_config(at) == ATS_ENABLE | 5
    guest.write_config(at, 0)
    guest.write_config(at, 0)
    assert guest.read_config(at) == 0


@covers("VE-PCI-008")
@needs("page_requests")
@pytest.mark.parametrize("negotiated", [2, 512])
def test_allocation_is_cut_to_what_there_is(connect, negotiated):
    guest = space_guest(connect, page_requests=negotiated)
    capacity = guest.read_config(guest.pri + PRI_CAPACITY, 4)
    most = min(capacity, guest.session.viommu["page_requests"])
    assert most
    for written in (0, 1, most - 1, most, most + 1, 1 << 16, (1 << 32) - 1):
        guest.allocate(written)
        assert guest.read_config(guest.pri + PRI_ALLOCATION, 4) == min(written, most)


@covers("VE-PCI-010", "VE-PCI-012", "VE-PCI-011")
@needs("page_requests")
def test_control_of_page_requests_reads_as_it_is(connect):
    guest = space_guest(connect)
    for written, control in ((PRI_ENABLE, PRI_ENABLE), (PRI_ENABLE | PRI_RESET, PRI_ENABLE),
                             (0, 0), (PRI_RESET, 0), (PRI_ENABLE, PRI_ENABLE), (PRI_RESET, 0)):
        guest.write_config(guest.pri + PRI_CONTROL, written)
        assert guest.read_config(guest.pri + PRI_CONTROL) == control
        assert bool(guest.status() & STOPPED) != bool(control)


@covers("VE-PCI-013", "VE-RESP-010")
@needs("page_requests")
def test_unexpected_response_is_told_until_one_is_written(connect):
    guest = space_guest(connect)
    guest.enable(pages=1)
    guest.refuse("PAGE_RESPONSE", cookie=0xFFFF)
    assert guest.status() & UNEXPECTED
    for written, left in ((0, UNEXPECTED), (RESPONSE_FAILURE, UNEXPECTED), (UNEXPECTED, 0)):
        guest.write_config(guest.pri + PRI_STATUS, written)
        assert guest.status() & (UNEXPECTED | RESPONSE_FAILURE) == left
    guest.write_config(guest.pri + PRI_CONTROL, 0)
    guest.refuse("PAGE_RESPONSE", cookie=0xFFFF)
    assert not guest.status() & UNEXPECTED
