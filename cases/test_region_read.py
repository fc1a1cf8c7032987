# SPDX-License-Identifier: BSD-3-Clause
"""VFIO_USER_REGION_READ.

What a device takes differs from region to region, so most cases read the configuration space, or
the first readable region where there is none.
"""

import pytest

from regions import (
    CONFIG, WIDTHS, WORD, WRAPPING, described, empty, mappable, read, read_somehow, still_reads,
    write,
)
from vuc import Failure, covers, message, needs

HEADER_BYTES = 64  # of the configuration space
CONFIG_DEFAULT = 256
STRUCTURE_SIZE = 16  # of a reply without its data

OUTSIDE = {  # offset and count of an access to a region of that size that meets no byte of it
    "at-the-end": lambda size: (size, 1),
    "behind-the-end": lambda size: (size + 0x1000, 8),
    "far-beyond": lambda size: (1 << 63, 4),
}
ACROSS = {  # and of one that meets some
    "by-one": lambda size: (size - 1, 2),
    "by-a-word": lambda size: (size - 4, 8),
    "all-and-one-byte": lambda size: (0, size + 1),
}


def _refuse_read(session, region, offset, count):
    refusal = session.refuse("REGION_READ", region=region, offset=offset, count=count)
    if refusal.data:
        raise Failure("effect", "a refused read discloses data", came=refusal.text())


@covers("RW-READ-001")
@needs("readable_region")
@pytest.mark.parametrize("offset", [0, 8])
@pytest.mark.parametrize("width", WIDTHS)
def test_reply_repeats_the_request_and_carries_count_bytes(session, device, width, offset):
    region = device.readable()
    if offset + width > region.size:
        pytest.skip("needs: a readable region of 16 bytes")
    reply = session.call("REGION_READ", region=region.index, offset=offset, count=width)
    assert (reply.region, reply.offset, reply.count) == (region.index, offset, width)
    assert len(reply.payload) == STRUCTURE_SIZE + width
    assert not reply.fds


@covers("RW-READ-003")
@needs("readable_region")
@pytest.mark.parametrize("beyond", ["first", "largest"])
def test_region_beyond_the_last_is_refused(session, device, beyond):
    index = device.info.num_regions if beyond == "first" else 0xFFFFFFFF
    _refuse_read(session, index, 0, WORD)
    assert still_reads(session, device)


@covers("RW-READ-004")
@needs("readable_region")
@pytest.mark.parametrize("place", OUTSIDE)
def test_access_outside_the_region_is_refused(session, device, place):
    for region in (region for region in device.regions if region.readable):
        _refuse_read(session, region.index, *OUTSIDE[place](region.size))
    assert still_reads(session, device)


def _never_longer(session, region, offset, count):
    # An error, or as a short transfer no more than the region holds.
    outcome = session.outcome("REGION_READ", region=region.index, offset=offset, count=count)
    inside = region.size - offset
    if outcome.kind == "success" and not outcome.reply.count == len(outcome.reply.data) <= inside:
        raise Failure("reply.unexpected-success", came=outcome.reply.text(),
                      allowed=f"error, or at most {inside} bytes")


@covers("RW-READ-004")
@needs("readable_region")
@pytest.mark.parametrize("place", ACROSS)
def test_access_across_the_end_shows_nothing_from_behind_it(session, device, place):
    for region in (region for region in device.regions if region.readable):
        offset, count = ACROSS[place](region.size)
        if offset >= 0 and count <= session.limits.max_data_xfer_size:
            _never_longer(session, region, offset, count)
    assert still_reads(session, device)


@covers("RW-READ-004")
@needs("readable_region")
def test_empty_region_can_not_be_read(session, device):
    for region in empty(device):
        _refuse_read(session, region.index, 0, 1)
    assert still_reads(session, device)


@covers("RW-READ-005")
@needs("readable_region")
@pytest.mark.parametrize("offset, count", WRAPPING.values(), ids=WRAPPING)
def test_access_that_wraps_is_refused(session, device, offset, count):
    for region in (region for region in device.regions if region.readable):
        _refuse_read(session, region.index, offset, count)
    assert still_reads(session, device)


@covers("RW-READ-006")
@needs("readable_region")
@pytest.mark.parametrize("count", ["limit-and-one", "largest"])
def test_read_above_the_limit_is_refused(session, device, count):
    largest = max((r for r in device.regions if r.readable), key=lambda region: region.size)
    above = session.limits.max_data_xfer_size + 1 if count == "limit-and-one" else 0xFFFFFFFF
    _refuse_read(session, largest.index, 0, above)
    session.barrier()


@covers("RW-READ-006")
@needs("readable_region")
def test_read_of_as_much_as_the_limit_works(session, device):
    limit = session.limits.max_data_xfer_size
    large = [region for region in device.regions if region.readable and region.size >= limit]
    if not large:
        pytest.skip("needs: a readable region as large as max_data_xfer_size")
    assert len(read(session, large[0].index, 0, limit)) == limit


@covers("RW-READ-007")
@needs("readable_region")
def test_read_above_the_limit_of_the_client_is_refused_or_answered(connect, device):
    session, region = connect(capabilities={"max_data_xfer_size": 16}), device.readable()
    outcome = session.outcome("REGION_READ", region=region.index, offset=0, count=HEADER_BYTES)
    assert outcome.kind == "error" or len(outcome.reply.data) == HEADER_BYTES
    assert len(read(session, region.index, 0, WORD)) == WORD


@covers("RW-READ-008")
@needs("readable_region")
@pytest.mark.parametrize("place", ["start", "end"])
def test_count_of_zero_is_refused_or_answered_without_data(session, device, place):
    region = device.readable()
    offset = 0 if place == "start" else region.size
    outcome = session.outcome("REGION_READ", region=region.index, offset=offset, count=0)
    if outcome.kind == "success":
        assert len(outcome.reply.payload) == STRUCTURE_SIZE
        assert (outcome.reply.offset, outcome.reply.count) == (offset, 0)
    session.barrier()


@covers("RW-READ-009", "REG-INFO-010")
@needs("region_without_read")
@pytest.mark.parametrize("width", WIDTHS)
def test_region_without_the_read_flag_can_not_be_read(session, device, width):
    for region in (region for region in device.regions if region.size and not region.readable):
        _refuse_read(session, region.index, 0, width)
        assert described(session, region.index).size == region.size


@covers("RW-READ-010")
@needs("mmap_region")
def test_messages_reach_what_can_be_mapped(session, device):
    for region, offset, size in mappable(device):
        last = offset + size - WORD
        if region.readable:
            found = read(session, region.index, last, WORD)
            if region.writable:
                write(session, region.index, last, found)
                assert read(session, region.index, last, WORD) == found


def _holes(region):
    # Offsets in the region that no sparse area covers, one behind each area and the start.
    places = [0] + [offset + size for offset, size in region.areas]
    return [
        at for at in places
        if at < region.size and not any(o <= at < o + size for o, size in region.areas)
    ]


@covers("RW-READ-010")
@needs("sparse_region")
def test_messages_reach_what_lies_between_sparse_areas(session, device):
    sparse = [region for region in device.regions if region.areas and region.readable]
    places = [(region, at) for region in sparse for at in _holes(region)]
    if not places:
        pytest.skip("needs: a readable region with something outside its sparse areas")
    for region, at in places:
        assert read_somehow(session, region, at) is not None, f"region {region.index} at {at:#x}"


@covers("RW-READ-011")
@needs("pci_config")
def test_configuration_space_is_the_same_by_every_width(session):
    block = read(session, CONFIG, 0, HEADER_BYTES)
    for width in (1, 2, 4):
        parts = [read(session, CONFIG, at, width) for at in range(0, HEADER_BYTES, width)]
        assert b"".join(parts) == block, f"by {width}"


@covers("RW-READ-012")
@needs("readable_region")
@pytest.mark.parametrize("offset", [0, 1, 3])
@pytest.mark.parametrize("count", [3, 5, 6, 7, 12])
def test_odd_sizes_and_places_are_refused_or_answered(session, device, count, offset):
    region = device.readable()
    outcome = session.outcome("REGION_READ", region=region.index, offset=offset, count=count)
    if outcome.kind == "success":
        assert (outcome.reply.offset, outcome.reply.count) == (offset, count)
        assert len(outcome.reply.data) == count
    assert described(session, region.index).size == region.size


@covers("RW-READ-012", "RW-READ-011")
@needs("pci_config")
@pytest.mark.parametrize("width", [2, 4])
def test_unaligned_read_of_the_configuration_space_shows_the_same_bytes(session, width):
    single = b"".join(read(session, CONFIG, at, 1) for at in range(HEADER_BYTES))
    for at in (1, 3, 13):
        asked = message("REGION_READ", region=CONFIG, offset=at, count=width)
        outcome = session.outcome(asked)
        assert outcome.kind == "error" or outcome.reply.data == single[at : at + width]
