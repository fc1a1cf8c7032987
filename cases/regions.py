# SPDX-License-Identifier: BSD-3-Clause
"""What the cases about regions share: access by message, access through a mapping.

Offsets and sizes are bytes, offsets of accesses count from the start of the region. A region is a
device.Region or anything else with index, size, flags, offset and areas.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from vuc import Failure, constants
from vuc.device import Device, Region
from vuc.session import Connection, Reply

FLAGS = constants.REGION_FLAGS
CONFIG = constants.REGION_INDEX.CONFIG
STRUCTURE_SIZE = 32  # of DEVICE_GET_REGION_INFO without capabilities
WIDTHS = (1, 2, 4, 8)
WORD = 4  # the access that every device takes somewhere
WRAPPING = {  # offset and count of accesses whose end does not fit into 64 bits
    "last-byte": (2**64 - 1, 1),
    "into-the-start": (2**64 - 4, 8),
    "largest-count": (2**64 - 1, 0xFFFFFFFF),
}


def described(session: Connection, index: int) -> Reply:
    """The whole DEVICE_GET_REGION_INFO reply, however long its capabilities are."""
    reply = session.call("DEVICE_GET_REGION_INFO", index=index)
    if reply.argsz > len(reply.payload):
        reply = session.call("DEVICE_GET_REGION_INFO", index=index, argsz=reply.argsz)
    return reply


def all_described(session: Connection) -> list[Reply]:
    """The whole replies of all regions, by index."""
    count = session.call("DEVICE_GET_INFO").num_regions
    return [described(session, index) for index in range(count)]


# ---- by message ----


def read(session: Connection, region: int, offset: int, count: int) -> bytes:
    """What is there; a read that is refused, or shorter, is a Failure."""
    reply = session.call("REGION_READ", region=region, offset=offset, count=count)
    if len(reply.data) != count:
        raise Failure("reply.field", requirement="RW-READ-001", came=reply.text(),
                      allowed=f"{count} bytes of data")
    return reply.data


def write(session: Connection, region: int, offset: int, data: bytes) -> Reply:
    """Store the data; a write that is refused is a Failure."""
    return session.call("REGION_WRITE", region=region, offset=offset, data=data)


def try_read(session: Connection, region: int, offset: int, count: int) -> bytes | None:
    """What is there; None where the device refuses an access of that shape."""
    outcome = session.outcome("REGION_READ", region=region, offset=offset, count=count)
    return outcome.reply.data if outcome.kind == "success" else None


def read_somehow(session: Connection, region: Region, offset: int) -> bytes | None:
    """What is there, by the first width that the device takes; None where it takes none."""
    for width in (WORD, 8, 2, 1):
        fits = offset + width <= region.size
        found = try_read(session, region.index, offset, width) if fits else None
        if found is not None:
            return found
    return None


def still_reads(session: Connection, device: Device) -> bool:
    """Does a good read still work?"""
    return read_somehow(session, device.readable(), 0) is not None


def empty(device: Device) -> list[Region]:
    """The regions of size 0; skips the case where there is none."""
    found = [region for region in device.regions if not region.size]
    if not found:
        pytest.skip("needs: a region of size 0")
    return found


def surroundings(session: Connection, region: Region, offset: int, size: int) -> list:
    """The eight bytes on each side of a place, each None where it can not be read."""
    first, last = max(offset - 8, 0), min(offset + size + 8, region.size)
    around = [at for at in range(first, last) if not offset <= at < offset + size]
    return [try_read(session, region.index, at, 1) for at in around]


# ---- through a mapping ----


def windows(region: Region) -> list[tuple[int, int]]:
    """The parts that can be mapped, as (offset, size): the sparse areas, or all of it."""
    return list(region.areas) or [(0, region.size)]


def mappable(device: Device, flags: int = 0) -> list[tuple[Region, int, int]]:
    """(region, offset, size) of each part that can be mapped, of regions with all these flags;
    skips the case where there is none."""
    found = [
        (region, *window)
        for region in device.regions if region.mappable and region.flags & flags == flags
        for window in windows(region)
    ]
    if not found:
        pytest.skip("needs: a mappable region with these flags: " + " ".join(
            name for name, bit in vars(FLAGS).items() if bit & flags))
    return found


def shared(device: Device) -> list[tuple[Region, int, int]]:
    """(region, offset, size) of the parts that both sides read and write, in both ways."""
    return mappable(device, FLAGS.READ | FLAGS.WRITE)


@contextmanager
def mapping(reply: Reply, region: Region, offset: int, size: int) -> Iterator[mmap.mmap]:
    """A part of the region, mapped by the descriptor of its reply as its flags allow."""
    if not reply.fds:
        raise Failure("reply.field", "MMAP without a descriptor", requirement="REG-INFO-006",
                      came=reply.text())
    prot = mmap.PROT_READ if region.flags & FLAGS.READ else 0
    prot |= mmap.PROT_WRITE if region.flags & FLAGS.WRITE else 0
    try:
        window = mmap.mmap(reply.fds[0].fileno(), size, mmap.MAP_SHARED, prot,
                           offset=region.offset + offset)
    except (OSError, ValueError, OverflowError) as error:
        raise Failure("effect", f"{size:#x} bytes at {offset:#x} of region {region.index} can not "
                      f"be mapped: {error}", came=reply.text()) from error
    with window:
        yield window
