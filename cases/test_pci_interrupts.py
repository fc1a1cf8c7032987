# SPDX-License-Identifier: BSD-3-Clause
"""MSI and MSI-X in the PCI configuration space: counts, placement, and writes of every width at
every end of the capability."""

import pytest

from pci import (
    BARS, DWORD, MSI, MSI_64, MSI_MASKS, MSIX, Window, by_width, capability, length, kept, number,
    ones,
)
from regions import try_read, write
from vuc import constants, covers, needs

IRQ = constants.IRQ_INDEX
CONTROL = 2
MSI_ENABLE, MSI_CAPABLE, MSI_ENABLED = 1 << 0, 7 << 1, 7 << 4
MSI_RESERVED = 0xF800
MSI_EXTENDED_DATA = 1 << 10
MSIX_ENABLE, MSIX_MASK = 1 << 15, 1 << 14
MSIX_SIZE = 12
ENTRY = 16
PLACES = ["whole", "2-at-1", "2-at-3", "4-at-1", "4-at-2", "last-2", "last-4"]
across = pytest.mark.parametrize("place", PLACES)


def _place(place, size):
    # Offset and width of an access that spans registers of a capability of that size.
    if place == "whole":
        return CONTROL, size - CONTROL
    width, _, offset = place.partition("-at-")
    if offset:
        return int(offset), int(width)
    width = int(place.removeprefix("last-"))
    return size - width - 1, width


def _msi_registers(control):
    # (offset, width, writable bits) of what follows the control of MSI.
    vectors = 1 << (control & MSI_CAPABLE) // 2
    data = 0xC if control & MSI_64 else 8
    yield 4, 4, 0xFFFFFFFC
    if control & MSI_64:
        yield 8, 4, 0xFFFFFFFF
    yield data, 2, 0xFFFF
    if control & MSI_MASKS:
        yield data + 4, 4, ones(4) >> 32 - vectors


def _msi(session):
    # The window of the capability, and two patterns that ask for nothing impossible.
    at = capability(session, MSI)
    control = number(session, at + CONTROL, 2)
    size = length(session, MSI, at) + 3 & ~3
    writable = (MSI_ENABLE | MSI_ENABLED) << 8 * CONTROL
    for offset, _, bits in _msi_registers(control):
        writable |= bits << 8 * offset
    known = ones(size)
    if control & MSI_MASKS:
        # Pending bits change by themselves, and the upper half of the data may be there.
        known &= ~(0xFFFFFFFF << 8 * (size - 4))
    if control & MSI_EXTENDED_DATA >> 1:
        known &= ~(0xFFFF << 8 * (14 if control & MSI_64 else 10))
    most = (control & MSI_CAPABLE) << 3
    patterns = []
    for fill, asked in ((b"\xff", MSI_ENABLE | most), (b"\x5a", 0)):
        fixed = ~(MSI_ENABLE | MSI_ENABLED | MSI_EXTENDED_DATA) & 0xFFFF
        pattern = int.from_bytes(fill * size, "little") & ~(0xFFFF << 8 * CONTROL)
        patterns.append(pattern | (asked | fixed) << 8 * CONTROL)
    # The bit to use extended data is written as 0, and not looked at.
    known &= ~(MSI_EXTENDED_DATA << 8 * CONTROL)
    return Window(at, size, writable, known), patterns


def _msix(session):
    # The window of the capability, and two patterns.
    writable = (MSIX_ENABLE | MSIX_MASK) << 8 * CONTROL
    window = Window(capability(session, MSIX), MSIX_SIZE, writable, ones(MSIX_SIZE))
    return window, [ones(MSIX_SIZE), int.from_bytes(b"\x5a" * MSIX_SIZE, "little")]


@covers("PCI-MSI-001")
@needs("pci_config", "msi")
def test_msi_has_as_many_vectors_as_its_index(session, device):
    control = number(session, capability(session, MSI) + CONTROL, 2)
    most = (control & MSI_CAPABLE) // 2
    assert most <= 5
    assert device.irqs[IRQ.MSI].count == 1 << most
    assert not control & MSI_RESERVED


@covers("PCI-MSI-002")
@needs("pci_config", "msi")
@by_width
def test_writes_to_msi_change_the_writable_bits_they_cover(session, width):
    window, patterns = _msi(session)
    window.check_writes(session, width, *patterns)


@covers("PCI-MSI-003")
@needs("pci_config", "msi")
@across
def test_write_across_registers_of_msi_is_one_to_each(session, place):
    window, patterns = _msi(session)
    offset, width = _place(place, window.size)
    for pattern in patterns:
        window.check_write(session, offset, width, pattern)


def _msix_places(session):
    # Name: (region, offset, size) of the table and of the pending bits.
    at = capability(session, MSIX)
    vectors = (number(session, at + CONTROL, 2) & 0x7FF) + 1
    sizes = {"table": vectors * ENTRY, "pending-bits": (vectors + 63) // 64 * 8}
    found = {}
    for offset, (name, size) in zip((4, 8), sizes.items(), strict=True):
        word = number(session, at + offset)
        found[name] = (word & 7, word & ~7, size)
    return found


@covers("PCI-MSIX-001")
@needs("pci_config", "msix")
def test_msix_has_as_many_vectors_as_its_index(session, device):
    control = number(session, capability(session, MSIX) + CONTROL, 2)
    assert device.irqs[IRQ.MSIX].count == (control & 0x7FF) + 1
    assert not control & 0x3800


@covers("PCI-MSIX-002")
@needs("pci_config", "msix")
def test_msix_table_and_pending_bits_lie_in_regions_and_apart(session, device):
    places = _msix_places(session)
    for name, (region, offset, size) in places.items():
        assert region < BARS, name
        assert offset + size <= device.regions[region].size, name
    (table, start, size), (pending, other, length_of_other) = places.values()
    assert table != pending or start + size <= other or other + length_of_other <= start


@covers("PCI-MSIX-003")
@needs("pci_config", "msix")
@by_width
def test_writes_to_msix_change_mask_and_enable_only(session, width):
    window, patterns = _msix(session)
    window.check_writes(session, width, *patterns)


@covers("PCI-MSIX-004")
@needs("pci_config", "msix")
@across
def test_write_across_registers_of_msix_is_one_to_each(session, place):
    window, patterns = _msix(session)
    offset, width = _place(place, MSIX_SIZE)
    for pattern in patterns:
        window.check_write(session, offset, width, pattern)


def _words(session, place):
    # All dwords of a table, None where one can not be read.
    region, offset, size = place
    return [try_read(session, region, at, DWORD) for at in range(offset, offset + size, DWORD)]


@covers("PCI-MSIX-005")
@needs("pci_config", "msix")
def test_msix_table_and_pending_bits_can_be_read(session, device):
    places = _msix_places(session)
    if not all(device.regions[region].readable for region, _, _ in places.values()):
        pytest.skip("needs: a readable region around table and pending bits")
    table = _words(session, places["table"])
    pending = _words(session, places["pending-bits"])
    assert None not in table
    assert None not in pending
    for word in table[3::4]:
        assert not int.from_bytes(word, "little") & 0xFFFE
    vectors = len(table) // 4
    assert int.from_bytes(b"".join(pending), "little") >> vectors == 0


@covers("PCI-MSIX-006")
@needs("pci_config", "msix")
@pytest.mark.parametrize("word", range(4), ids=["address", "upper-address", "data", "control"])
@pytest.mark.parametrize("entry", ["first", "last"])
def test_write_to_the_msix_table_changes_that_word_or_nothing(session, device, entry, word):
    place = _msix_places(session)["table"]
    region, offset, size = place
    if not (device.regions[region].readable and device.regions[region].writable):
        pytest.skip("needs: a region around the table that can be read and written")
    index = (0 if entry == "first" else size // ENTRY - 1) * 4 + word
    before = _words(session, place)
    if before[index] is None:
        pytest.skip("needs: an MSI-X table that can be read")
    value = bytes([before[index][0] ^ 1, 0, 0, 0]) if word == 3 else b"\xa4\x5a\x3c\xc3"
    data = {"region": region, "offset": offset + DWORD * index}
    session.outcome("REGION_WRITE", data=value, **data)
    after = _words(session, place)
    session.outcome("REGION_WRITE", data=before[index], **data)
    assert after[index] in (value, before[index])
    after[index] = before[index]
    assert after == before
    assert _words(session, place) == before
