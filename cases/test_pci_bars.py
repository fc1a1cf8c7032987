# SPDX-License-Identifier: BSD-3-Clause
"""Base address registers of the PCI configuration space.

That they tell the sizes of the regions is shown with region writes; here it is each bit of them. A
VMM sizes them with decoding disabled, and so do the cases.
"""

from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from pci import (
    BAR, BAR_64, BAR_IO, BARS, COMMAND, DWORD, ROM, Window, by_width, image, kept, number, put,
)
from regions import all_described
from vuc import constants, covers, needs

ROM_ENABLE = 1
ROM_BITS = 0xFFFFF800
ONES = 0xFFFFFFFF
GIB = 1 << 30
DECODING = 3


@dataclass(frozen=True)
class Bar:
    """One register: `kind` are its type bits, `width` (4 or 8) its bytes, `mask` the address bits
    that its size leaves."""

    at: int
    width: int
    kind: int
    size: int

    @property
    def mask(self):
        return -self.size & ((1 << 8 * self.width) - 1)

    def put(self, session, address):
        """Both halves, the lower one first."""
        for part in range(0, self.width, DWORD):
            put(session, self.at + part, address >> 8 * part & ONES)

    def get(self, session):
        """Both halves as one number, type bits included."""
        return sum(number(session, self.at + part) << 8 * part
                   for part in range(0, self.width, DWORD))


def _bars(session, device):
    # The registers of the regions that exist.
    found = []
    for region in device.regions[:BARS]:
        low = number(session, BAR + 4 * region.index)
        if region.size:
            io = low & BAR_IO
            width = 8 if not io and low & BAR_64 else 4
            found.append(Bar(BAR + 4 * region.index, width, low & (3 if io else 15), region.size))
    return found


@contextmanager
def _sizing(session):
    # Decoding disabled; registers and decoding are put back at the end.
    with kept(session, (COMMAND, 2), *((BAR + 4 * i, DWORD) for i in range(BARS))) as (before, *_):
        put(session, COMMAND, before & ~DECODING, 2)
        yield


@covers("PCI-BAR-001")
@needs("pci_config")
def test_register_of_an_absent_region_stays_zero(session, device):
    used = {at for bar in _bars(session, device) for at in range(bar.at, bar.at + bar.width, 4)}
    absent = [at for at in range(BAR, BAR + 4 * BARS, 4) if at not in used]
    if not absent:
        pytest.skip("needs: a base address register without a region")
    with _sizing(session):
        for at in absent:
            assert number(session, at) == 0
            put(session, at, ONES)
            assert number(session, at) == 0


@covers("PCI-BAR-002")
@needs("pci_config", "bar")
def test_each_address_bit_from_the_size_upward_is_stored(session, device):
    with _sizing(session):
        for bar in _bars(session, device):
            for bit in range(bar.size.bit_length() - 1, 8 * bar.width):
                # An I/O register may have 16 bits.
                if not bar.kind & BAR_IO or bit < 16:
                    bar.put(session, 1 << bit)
                    assert bar.get(session) == 1 << bit | bar.kind


@covers("PCI-BAR-002")
@needs("pci_config", "bar")
@pytest.mark.parametrize("value", ["below-size", "zero"])
def test_bits_below_the_size_are_read_only(session, device, value):
    with _sizing(session):
        for bar in _bars(session, device):
            bar.put(session, bar.size - 1 if value == "below-size" else 0)
            assert bar.get(session) == bar.kind


@covers("PCI-BAR-003")
@needs("pci_config", "bar")
def test_type_and_size_of_a_register_are_possible(session, device):
    for bar in _bars(session, device):
        index = (bar.at - BAR) // 4
        assert bar.size & (bar.size - 1) == 0, f"size of region {index}"
        if bar.kind & BAR_IO:
            assert bar.kind == BAR_IO
            assert 4 <= bar.size <= 1 << 16
        else:
            assert bar.kind & 6 in (0, BAR_64)
            assert bar.size >= 16
        if bar.width == 8:
            assert index < BARS - 1
            assert device.regions[index + 1].size == 0


def _wide(session, device):
    return [bar for bar in _bars(session, device) if bar.width == 8]


@covers("PCI-BAR-004")
@needs("pci_config", "wide_bar")
@pytest.mark.parametrize("order", ["lower-first", "upper-first"])
def test_halves_of_a_64_bit_register_are_independent(session, device, order):
    for bar in _wide(session, device):
        halves = {bar.at: bar.mask & ONES | bar.kind, bar.at + 4: bar.mask >> 32}
        for at in sorted(halves, reverse=order == "upper-first"):
            with _sizing(session):
                bar.put(session, 0)
                other = 2 * bar.at + 4 - at
                still = number(session, other)
                put(session, at, ONES)
                assert number(session, at) == halves[at]
                assert number(session, other) == still
                put(session, other, ONES)
                assert number(session, other) == halves[other]
                assert number(session, at) == halves[at]


@covers("PCI-BAR-004")
@needs("pci_config", "wide_bar")
def test_address_beyond_4_gib_is_stored(session, device):
    with _sizing(session):
        for bar in _wide(session, device):
            address = 0x5A5A5A5A5A5A5A5A & bar.mask
            bar.put(session, address)
            assert bar.get(session) == address | bar.kind


@covers("PCI-BAR-005")
@needs("pci_config", "huge_bar")
@pytest.mark.parametrize("value", [ONES, 0xA5A5A5A5, 0], ids=["ones", "pattern", "zero"])
def test_lower_half_of_a_register_beyond_4_gib_has_no_address_bit(session, device, value):
    with _sizing(session):
        for bar in (one for one in _bars(session, device) if one.size >= 4 * GIB):
            assert bar.width == 8
            put(session, bar.at + 4, value)
            put(session, bar.at, value)
            assert number(session, bar.at) == bar.kind
            assert number(session, bar.at + 4) == value & -(bar.size >> 32) & ONES


def _beside(session, device):
    # Descriptions, and the header but for COMMAND and the registers.
    header = image(session, 0, 64)
    kept_bytes = header[:4] + header[8:BAR] + header[BAR + 4 * BARS : ROM] + header[ROM + 4 :]
    return [reply.payload for reply in all_described(session)], kept_bytes


@covers("PCI-BAR-006")
@needs("pci_config", "bar")
@pytest.mark.parametrize("value", [ONES, 0x12345678], ids=["ones", "address"])
def test_addresses_change_neither_descriptions_nor_other_registers(session, device, value):
    before = _beside(session, device)
    with _sizing(session):
        for at in range(BAR, BAR + 4 * BARS, 4):
            put(session, at, value)
        assert _beside(session, device) == before
    assert _beside(session, device) == before


@covers("PCI-BAR-007")
@needs("pci_config", "bar")
@by_width
def test_part_of_a_register_can_be_written(session, device, width):
    shift = {bar.at: 8 * (bar.at - BAR) for bar in _bars(session, device)}
    writable = sum(bar.mask << shift[bar.at] for bar in _bars(session, device)
                   if not bar.kind & BAR_IO)
    io = sum(ONES << shift[bar.at] for bar in _bars(session, device) if bar.kind & BAR_IO)
    every = (1 << 32 * BARS) - 1
    with _sizing(session):
        window = Window(BAR, 4 * BARS, writable, every & ~io)
        pattern = int.from_bytes(b"\xa5\x5a\xc3\x3c" * BARS, "little")
        window.check_writes(session, width, every, pattern, every & ~pattern)


@covers("PCI-BAR-008")
@needs("pci_config", "rom")
def test_expansion_rom_register_tells_the_size_and_stores_its_enable_bit(session, device):
    size = device.regions[constants.REGION_INDEX.ROM].size
    with kept(session, (ROM, DWORD)):
        put(session, ROM, ONES & ~ROM_ENABLE)
        assert number(session, ROM) == -size & ROM_BITS
        for enable in (ROM_ENABLE, 0):
            put(session, ROM, enable)
            assert number(session, ROM) == enable
