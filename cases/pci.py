# SPDX-License-Identifier: BSD-3-Clause
"""What the cases about the PCI configuration space share.

Registers are little-endian numbers. Accesses are naturally aligned and of up to four bytes unless
a case is about others: a dword is what every device takes. Offsets count from the start of the
space; names and layouts are those of <linux/pci_regs.h>.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import pytest

from regions import CONFIG, read, write
from vuc import Failure
from vuc.session import Connection

ALIGNED = (1, 2, 4)
DWORD = 4
STANDARD = 256
EXTENDED = 4096

COMMAND = 0x04
IO, MEMORY, MASTER, INTX_DISABLE = 1 << 0, 1 << 1, 1 << 2, 1 << 10
STATUS = 0x06
STATUS_LIST = 0x10
LIST = 0x34
INTERRUPT_LINE, INTERRUPT_PIN = 0x3C, 0x3D

BARS = 6
BAR = 0x10
BAR_IO, BAR_64 = 1, 4
ROM = 0x30

PM, MSI, VENDOR, PCIX, EXPRESS, MSIX = 0x01, 0x05, 0x09, 0x07, 0x10, 0x11
MSI_64, MSI_MASKS = 1 << 7, 1 << 8
DEVICE_CONTROL = 8  # in the capability of PCI Express
FLR = 1 << 15
EXTENDED_LIST = 0x100
EXTENDED_LENGTHS = {
    0x0001: 0x2C, 0x0003: 12, 0x000D: 8, 0x000E: 8, 0x000F: 8, 0x0010: 0x40, 0x0013: 16,
    0x0018: 8, 0x001B: 8,
}  # fmt: skip
VENDOR_EXTENDED, DESIGNATED = 0x000B, 0x0023

by_width = pytest.mark.parametrize("width", ALIGNED)


def number(session: Connection, at: int, width: int = DWORD) -> int:
    """The register there."""
    return int.from_bytes(read(session, CONFIG, at, width), "little")


def put(session: Connection, at: int, value: int, width: int = DWORD) -> None:
    """Write the register there; a write that is refused is a Failure."""
    write(session, CONFIG, at, value.to_bytes(width, "little"))


def ones(width: int) -> int:
    """The largest number of that many bytes."""
    return (1 << 8 * width) - 1


def image(session: Connection, at: int, size: int) -> bytes:
    """A part of the space, read by dwords; at and size are multiples of four."""
    return b"".join(read(session, CONFIG, one, DWORD) for one in range(at, at + size, DWORD))


@contextmanager
def kept(session: Connection, *places: tuple[int, int]) -> Iterator[list[int]]:
    """The values of registers (offset, width), which get them back at the end."""
    before = [number(session, at, width) for at, width in places]
    try:
        yield before
    finally:
        # What a server refuses here, the case has found out before.
        with suppress(Failure):
            for (at, width), value in zip(places, before, strict=True):
                _put_back(session, at, value, width)


def _put_back(session: Connection, at: int, value: int, width: int) -> None:
    # Only the half of a dword that has changed: its neighbour may be one that takes no writes.
    changed = number(session, at, width) ^ value
    if width == DWORD and not BAR <= at <= ROM:
        for half in (at, at + 2):
            if changed >> 8 * (half - at) & 0xFFFF:
                put(session, half, value >> 8 * (half - at) & 0xFFFF, 2)
    elif changed:
        put(session, at, value, width)


@dataclass(frozen=True)
class Window:
    """Some registers: `size` bytes at `at`, both multiples of four. `writable` are the bits that a
    write changes, `known` those of which that is certain; little-endian numbers of `size` bytes."""

    at: int
    size: int
    writable: int
    known: int

    def after(self, before: int, offset: int, width: int, pattern: int) -> int:
        """The content after a write of that part of the pattern."""
        changes = self.writable & ones(width) << 8 * offset
        return before & ~changes | pattern & changes

    def content(self, session: Connection) -> int:
        """All of it."""
        return int.from_bytes(image(session, self.at, self.size), "little")

    def check_write(self, session: Connection, offset: int, width: int, pattern: int) -> None:
        """One write of a part of a pattern must succeed and change what it should; it is undone."""
        places = [(self.at + at, DWORD) for at in range(0, self.size, DWORD)]
        with kept(session, *places) as words:
            before = sum(word << 32 * i for i, word in enumerate(words))
            put(session, self.at + offset, pattern >> 8 * offset & ones(width), width)
            after, wanted = self.content(session), self.after(before, offset, width, pattern)
        wrong = (after ^ wanted) & self.known
        if wrong:
            first = (wrong & -wrong).bit_length() - 1
            raise Failure(
                "effect",
                f"write of {width} at {self.at + offset:#x}: bit {first % 8} of byte "
                f"{self.at + first // 8:#x} reads {after >> first & 1}",
                sent=f"{pattern >> 8 * offset & ones(width):#x}", came=f"{after:#x}",
                allowed=f"{wanted:#x} in the bits {self.known:#x}",
            )

    def check_writes(self, session: Connection, width: int, *patterns: int) -> None:
        """Every naturally aligned write of that width; patterns are inverted and original content
        if none are given."""
        for offset in range(0, self.size - width + 1, width):
            for pattern in patterns or (~self.content(session) & ones(self.size),):
                self.check_write(session, offset, width, pattern)


def check_header_of(session: Connection, at: int, width: int, size: int = 2) -> None:
    """The `size` bytes at `at` ignore inverted bytes; what else a wider write covers gets the
    value that it has."""
    window = Window(at, DWORD, 0, ones(size))
    pattern = window.content(session) ^ ones(size)
    for offset in range(0, max(size, width), width):
        window.check_write(session, offset, width, pattern)


# ---- capabilities ----


def check_places(pointers: list[int], first: int, end: int) -> None:
    """Do the pointers of a list stay in bounds, on dwords, and come once each?"""
    for n, at in enumerate(pointers):
        assert first <= at < end, f"pointer {n} is {at:#x}"
        assert at % DWORD == 0, f"pointer {n} is {at:#x}"
        assert at not in pointers[:n], f"the list comes back to {at:#x}"


def pointers(session: Connection) -> list[int]:
    """Where the capabilities are, as the pointers say. Ends after the first that has come before
    or is out of bounds."""
    found: list[int] = []
    at = number(session, LIST, 1) if number(session, STATUS, 2) & STATUS_LIST else 0
    while at:
        found.append(at)
        if at < 0x40 or at in found[:-1]:
            break
        at = number(session, at & 0xFC, 2) >> 8
    return found


def capabilities(session: Connection) -> list[tuple[int, int]]:
    """(id, offset) of each capability."""
    found = pointers(session)
    check_places([at & 0xFC for at in found], 0x40, STANDARD)
    return [(number(session, at & 0xFC, 2) & 0xFF, at & 0xFC) for at in found]


def capability(session: Connection, wanted: int) -> int:
    """Where a capability is; Failure without it, as the case needs it."""
    for name, at in capabilities(session):
        if name == wanted:
            return at
    raise Failure("effect", f"no capability {wanted:#04x} in the list")


def length(session: Connection, name: int, at: int) -> int:
    """How many bytes a capability takes; for one that is not known, its header."""
    if name == MSI:
        control = number(session, at, DWORD) >> 16
        return 10 + (4 if control & MSI_64 else 0) + (10 if control & MSI_MASKS else 0)
    if name == EXPRESS:
        first = number(session, at, DWORD) >> 16 & 0xF
        link = number(session, at + 0xC)
        return 0x14 if first < 2 else 0x34 if link else 0x2C
    if name == VENDOR:
        return number(session, at, DWORD) >> 16 & 0xFF
    return {PM: 8, MSIX: 12, 0x03: 8, 0x07: 8, 0x13: 6}.get(name, 2)


def extended_pointers(session: Connection) -> list[int]:
    """Where the extended capabilities are, as the pointers say; none where the first header is
    empty. Ends after the first that has come before or is out of bounds."""
    found: list[int] = []
    at, header = EXTENDED_LIST, number(session, EXTENDED_LIST)
    while at and header not in (0, 0xFFFFFFFF):
        found.append(at)
        at = header >> 20
        if at & ~3 < EXTENDED_LIST or at & ~3 in found:
            return found + [at] if at else found
        header = number(session, at & ~3)
    return found


def extended(session: Connection) -> list[tuple[int, int]]:
    """(header, offset) of each extended capability."""
    found = extended_pointers(session)
    check_places([at & ~3 for at in found], EXTENDED_LIST, EXTENDED)
    return [(number(session, at & ~3), at & ~3) for at in found]


def extended_length(session: Connection, name: int, at: int) -> int:
    """How many bytes an extended capability takes; for one that is not known, its header."""
    if name in (VENDOR_EXTENDED, DESIGNATED):
        return number(session, at + 4) >> 20
    return EXTENDED_LENGTHS.get(name, DWORD)


def check_disjoint(ranges: list[tuple[int, int, int]], end: int) -> None:
    """Do (id, offset, length) lie before the end, and apart?"""
    ordered = sorted(ranges, key=lambda one: one[1])
    borders = [at for _, at, _ in ordered[1:]] + [end]
    for (name, at, size), border in zip(ordered, borders, strict=bool(ordered)):
        assert at + size <= border, f"{name:#x} at {at:#x}, {size} bytes, reaches over {border:#x}"
