# SPDX-License-Identifier: BSD-3-Clause
"""VFIO_USER_REGION_WRITE.

Cases write where the device stores (device.store). A refused write must leave that place, the
bytes beside it and both ends of the region as they were.
"""

import pytest

from regions import (
    CONFIG, WIDTHS, WORD, WRAPPING, empty, read, read_somehow, still_reads, surroundings, try_read,
    write,
)
from vuc import covers, message, needs

STRUCTURE_SIZE = 16  # of a request without its data
EDGE = 8  # bytes at the ends of a region that a refused write must not reach
BARS = 6
BAR_OFFSET = 0x10  # of the first in the configuration space
BAR_IO = 1
BAR_64 = 4
BAR_IO_MASK = ~0x3 & 0xFFFFFFFF
BAR_MEMORY_MASK = ~0xF & 0xFFFFFFFF
ONES = b"\xff" * 4
PATTERN = bytes([0xA1, 0x5E, 0x3C, 0xC7, 0x18, 0xE9, 0x72, 0x0D])
INVERSE = bytes(byte ^ 0xFF for byte in PATTERN)


def _content(session, store, size):
    # The first bytes of the location that stores, by the width that it takes.
    parts = [
        read(session, store.region, store.offset + at, store.width)
        for at in range(0, size, store.width)
    ]
    return b"".join(parts)[:size]


def _put(session, store, data):
    # Store the data from its start, by the width that it takes.
    for at in range(0, len(data), store.width):
        write(session, store.region, store.offset + at, data[at : at + store.width])


def _extent(store, most=8):
    # How many bytes of the location the cases use: whole accesses.
    return max(min(store.size, most) // store.width, 1) * store.width


@covers("RW-WRITE-001")
@needs("store")
def test_reply_repeats_the_request_without_data(session, device):
    store = device.store
    reply = store.write(session, 0x5A)
    wanted = (store.region, store.offset, store.width)
    assert (reply.region, reply.offset, reply.count) == wanted
    assert len(reply.payload) == STRUCTURE_SIZE
    assert not reply.fds


@covers("RW-WRITE-001")
@needs("store")
@pytest.mark.parametrize("byte", [0x00, 0xFF, 0xA5, 0x5A], ids=lambda byte: f"{byte:02x}")
def test_written_value_is_read_back(session, device, byte):
    value = int.from_bytes(bytes([byte ^ i for i in range(device.store.width)]), "little")
    inverse = value ^ (1 << 8 * device.store.width) - 1
    for one in (inverse, value):
        device.store.write(session, one)
        assert device.store.read(session) == one


@covers("RW-WRITE-001")
@needs("store")
@pytest.mark.parametrize("width", WIDTHS)
def test_what_is_written_is_read_back_with_every_width(session, device, width):
    store = device.store
    if width > max(store.size, store.width):
        pytest.skip(f"needs: a location of {width} bytes that stores")
    size = max(width, store.width)
    _put(session, store, INVERSE[:size])
    if store.size >= 4 * EDGE:
        # A server that takes more bytes than came would find these behind them.
        write(session, store.region, store.offset + 2 * EDGE, PATTERN)
    outcome = session.outcome("REGION_WRITE", region=store.region, offset=store.offset,
                              data=PATTERN[:width])
    assert outcome.kind == "success" or width != store.width
    expected = PATTERN[:width] if outcome.kind == "success" else INVERSE[:width]
    assert _content(session, store, size) == expected + INVERSE[width:size]
    assert try_read(session, store.region, store.offset, width) in (expected, None)


@covers("RW-WRITE-001")
@needs("store")
def test_bytes_beside_the_written_ones_stay(session, device):
    store, region = device.store, device.regions[device.store.region]
    at = store.width if store.size >= 3 * store.width else 0
    place = store.offset + at
    before = surroundings(session, region, place, store.width)
    for data in (PATTERN, INVERSE):
        write(session, store.region, place, data[: store.width])
        assert surroundings(session, region, place, store.width) == before
    assert read(session, store.region, place, store.width) == INVERSE[: store.width]


@covers("RW-WRITE-001")
@needs("store")
def test_block_of_many_bytes_is_stored_or_refused(session, device):
    store, size = device.store, min(device.store.size, 4096)
    if size < 2 * WORD:
        pytest.skip("needs: a location of several words that stores")
    block = bytes((i * 7 + (i >> 8)) & 0xFF for i in range(size))
    _put(session, store, bytes(size))
    outcome = session.outcome("REGION_WRITE", region=store.region, offset=store.offset, data=block)
    expected = block if outcome.kind == "success" else bytes(size)
    assert _content(session, store, size) == expected
    assert try_read(session, store.region, store.offset, size) in (expected, None)


def _disagreeing(store):
    # Requests whose count and bytes are two different things.
    good = message("REGION_WRITE", region=store.region, offset=store.offset,
                   data=PATTERN[: store.width])
    return {
        "count-above": good.replace(count=store.width + 4),
        "count-below": good.replace(data=PATTERN + PATTERN, count=store.width),
        "largest-count": good.replace(count=0xFFFFFFFF),
        "no-data": good.cut(STRUCTURE_SIZE),
        "cut-structure": good.cut(STRUCTURE_SIZE - 1),
    }


@covers("RW-WRITE-002")
@needs("store")
@pytest.mark.parametrize(
    "shape", ["count-above", "count-below", "largest-count", "no-data", "cut-structure"]
)
def test_count_that_disagrees_with_the_data_writes_nothing(session, device, shape):
    store = device.store
    _put(session, store, INVERSE[: _extent(store)])
    session.refuse(_disagreeing(store)[shape])
    assert _content(session, store, _extent(store)) == INVERSE[: _extent(store)]


def _edges(session, region):
    # The first and the last bytes of a region, None where they can not be read.
    places = [*range(EDGE), *range(max(region.size - EDGE, EDGE), region.size)]
    words = [read_somehow(session, region, 0), read_somehow(session, region, region.size - WORD)]
    return words + [try_read(session, region.index, at, 1) for at in places if at < region.size]


def _refused_without_effect(session, device, offset, count, region=None):
    store, home = device.store, device.regions[device.store.region]
    _put(session, store, INVERSE[: _extent(store)])
    before = _edges(session, home)
    data = PATTERN[:count]
    index = store.region if region is None else region
    session.refuse("REGION_WRITE", region=index, offset=offset, data=data, count=count)
    assert _edges(session, home) == before
    assert _content(session, store, _extent(store)) == INVERSE[: _extent(store)]


@covers("RW-WRITE-003")
@needs("store")
@pytest.mark.parametrize("beyond", ["first", "largest"])
def test_region_beyond_the_last_is_refused_and_writes_nothing(session, device, beyond):
    index = device.info.num_regions if beyond == "first" else 0xFFFFFFFF
    _refused_without_effect(session, device, device.store.offset, device.store.width, index)


@covers("RW-WRITE-003")
@needs("store")
@pytest.mark.parametrize("count, before_end", [(1, 0), (2, 1), (4, 2), (8, 4)],
                         ids=["at-the-end", "across-by-1", "across-by-2", "across-by-4"])
def test_access_outside_the_region_is_refused_and_writes_nothing(
    session, device, count, before_end
):
    size = device.regions[device.store.region].size
    _refused_without_effect(session, device, size - before_end, count)


@covers("RW-WRITE-003")
@needs("store")
@pytest.mark.parametrize(
    "offset, count",
    [WRAPPING["last-byte"], WRAPPING["into-the-start"], (1 << 63, 4)],
    ids=["last-byte", "into-the-start", "far-beyond"],
)
def test_access_that_wraps_is_refused_and_writes_nothing(session, device, offset, count):
    _refused_without_effect(session, device, offset, count)


@covers("RW-WRITE-003")
@needs("readable_region")
def test_empty_region_can_not_be_written(session, device):
    for region in empty(device):
        session.refuse("REGION_WRITE", region=region.index, offset=0, data=PATTERN[:1])
    assert still_reads(session, device)


@covers("RW-WRITE-004", "REG-INFO-010")
@needs("region_without_write")
@pytest.mark.parametrize("width", WIDTHS)
def test_region_without_the_write_flag_can_not_be_written(session, device, width):
    for region in (region for region in device.regions if region.size and not region.writable):
        before = read_somehow(session, region, 0) if region.readable else None
        other = bytes(byte ^ 0xFF for byte in (before or b"")) + PATTERN
        session.refuse("REGION_WRITE", region=region.index, offset=0, data=other[:width])
        if region.readable:
            assert read_somehow(session, region, 0) == before


@covers("RW-WRITE-005")
@needs("store")
def test_count_of_zero_is_refused_or_writes_nothing(session, device):
    store = device.store
    _put(session, store, INVERSE[: _extent(store)])
    outcome = session.outcome("REGION_WRITE", region=store.region, offset=store.offset)
    assert outcome.kind == "error" or outcome.reply.count == 0
    assert _content(session, store, _extent(store)) == INVERSE[: _extent(store)]


@covers("RW-WRITE-006")
@needs("store")
def test_write_above_the_limit_is_refused_without_losing_the_stream(session, device):
    store = device.store
    _put(session, store, INVERSE[: _extent(store)])
    data = PATTERN[:1] * (session.limits.max_data_xfer_size + 1)
    outcome = session.outcome("REGION_WRITE", region=store.region, offset=store.offset, data=data,
                              allowed=("error", "close"))
    if outcome.kind == "error":
        assert _content(session, store, _extent(store)) == INVERSE[: _extent(store)]


def _bar(session, index):
    # (size, is it 64 bits wide) of one base address register, which is left as it was.
    at = BAR_OFFSET + 4 * index
    low = _sized(session, at)
    if low & BAR_IO:
        # An I/O register of 16 bits leaves the upper half zero.
        mask = low & BAR_IO_MASK
        mask |= 0xFFFF0000 if mask and not mask >> 16 else 0
        return -mask & 0xFFFFFFFF, False
    if low & BAR_64:
        mask = _sized(session, at + 4) << 32 | low & BAR_MEMORY_MASK
        return -mask & (1 << 64) - 1, True
    return -(low & BAR_MEMORY_MASK) & 0xFFFFFFFF, False


def _sized(session, at):
    # What one word of a base address register reads as after all ones have been written.
    before = read(session, CONFIG, at, 4)
    try:
        write(session, CONFIG, at, ONES)
        return int.from_bytes(read(session, CONFIG, at, 4), "little")
    finally:
        write(session, CONFIG, at, before)


@covers("RW-WRITE-007")
@needs("pci_config")
def test_base_address_registers_tell_the_sizes_of_the_regions(session, device):
    addresses = read(session, CONFIG, BAR_OFFSET, 4 * BARS)
    upper = False
    for region in device.regions[:BARS]:
        if upper:
            assert region.size == 0, f"region {region.index} is the upper half of another"
            upper = False
        elif region.size:
            size, upper = _bar(session, region.index)
            assert size == region.size, f"region {region.index}"
    assert read(session, CONFIG, BAR_OFFSET, 4 * BARS) == addresses
