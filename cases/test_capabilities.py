# SPDX-License-Identifier: BSD-3-Clause
"""Capabilities of VFIO_USER_VERSION: what was not offered is off, and what is announced holds."""

import pytest
from mapping import (
    BASE, PAGE, RW, SIZE, assert_mapped, assert_told, exchange_all, map_range, unmap_range,
)
from negotiation import LIMITS

from vuc import covers, message, needs, structure
from vuc.session import DEFAULT
from vuc.vdma import pattern

MANY_MAPS = 1 << 18  # a larger limit is taken for no limit


@covers("VER-NEG-007")
@pytest.mark.parametrize(
    "offered", [None, {}, {"max_msg_fds": 8}, LIMITS], ids=["none", "empty", "one", "limits"]
)
def test_what_was_not_offered_is_not_enabled(connect, offered):
    connection = connect(version=False)
    reply = connection.negotiate(capabilities=offered)
    assert not connection.negotiated.get("twin_socket"), "twin_socket was not offered"
    assert not connection.negotiated.get("write_multiple"), "write_multiple was not offered"
    assert not reply.fds


@covers("VER-CAP-001")
@needs("store")
@pytest.mark.parametrize("share", [64, 2, 1], ids=["a-part", "half", "all-that-there-is"])
def test_transfer_up_to_the_limit_is_served(session, device, share):
    store = device.store
    size = min(session.limits.max_data_xfer_size, store.size) // share
    size = max(size - size % store.width, store.width)
    data = pattern(0, size)
    where = {"region": store.region, "offset": store.offset}
    old = session.call("REGION_READ", **where, count=size).data
    assert session.call("REGION_WRITE", **where, data=data).count == size
    assert session.call("REGION_READ", **where, count=size).data == data
    session.call("REGION_WRITE", **where, data=old)


@covers("VER-CAP-001")
@needs("store", "small_transfers")
def test_transfer_over_the_limit_that_was_told_is_refused(session, device):
    store, limit = device.store, session.limits.max_data_xfer_size
    where = {"region": store.region, "offset": store.offset}
    old = session.call("REGION_READ", **where, count=limit).data
    session.refuse("REGION_READ", **where, count=limit + store.width)
    session.outcome("REGION_WRITE", **where, data=b"\x55" * (limit + store.width),
                    allowed=("error", "close"))
    if not session.closed:
        assert session.call("REGION_READ", **where, count=limit).data == old


@covers("VER-CAP-001")
@needs("store", "small_transfers")
@pytest.mark.parametrize("offered", [None, {}, {"max_msg_fds": 1}], ids=["none", "empty", "other"])
def test_client_that_was_told_no_limit_may_transfer_a_mebibyte(connect, device, offered):
    session, store = connect(capabilities=offered), device.store
    size = min(DEFAULT["max_data_xfer_size"], store.size)
    where = {"region": store.region, "offset": store.offset}
    data = pattern(0, size)
    assert session.call("REGION_WRITE", **where, data=data).count == size
    assert session.call("REGION_READ", **where, count=size).data == data


@covers("VER-CAP-001")
@needs("mmap_region")
def test_read_of_the_limit_from_a_large_region_is_served(session, device):
    limit = min(session.limits.max_data_xfer_size, DEFAULT["max_data_xfer_size"])
    for region in device.regions:
        if not (region.mappable and region.readable):
            continue
        for offset, size in region.areas or [(0, region.size)]:
            count = min(limit, size)
            reply = session.call("REGION_READ", region=region.index, offset=offset, count=count)
            assert len(reply.data) == reply.count == count


def page_of(session):
    """The smallest page size that the server announced, or the default one."""
    return session.limits.pgsizes & -session.limits.pgsizes


def pages(session, count):
    """The addresses of that many pages behind each other."""
    page = page_of(session)
    return range(BASE, BASE + count * page, page)


@covers("VER-CAP-004")
@needs("dma_maps")
@pytest.mark.parametrize("offered", [{}, LIMITS], ids=["no-limit-offered", "limit-offered"])
def test_as_many_ranges_as_announced_are_mapped(connect, offered):
    session = connect(capabilities={**DEFAULT, **offered})
    count = min(session.limits.max_dma_maps, MANY_MAPS)
    addresses, page = pages(session, count), page_of(session)
    exchange_all(session, "DMA_MAP", addresses, flags=RW, size=page)
    exchange_all(session, "DMA_UNMAP", addresses, size=page)
    session.refuse("DMA_UNMAP", address=addresses[-1], size=page)


@covers("VER-CAP-005")
@needs("dma_maps")
@pytest.mark.parametrize("offered", [{}, LIMITS], ids=["no-limit-offered", "limit-offered"])
def test_one_range_more_than_announced_is_refused(connect, offered):
    session = connect(capabilities={**DEFAULT, **offered})
    if session.limits.max_dma_maps > MANY_MAPS:
        pytest.skip(f"the server announces {session.limits.max_dma_maps} DMA maps")
    *most, more = pages(session, session.limits.max_dma_maps + 1)
    page = page_of(session)
    exchange_all(session, "DMA_MAP", most, flags=RW, size=page)
    session.refuse("DMA_MAP", flags=RW, address=more, size=page)
    unmap_range(session, most[0], page)
    map_range(session, more, page)
    session.refuse("DMA_MAP", flags=RW, address=most[0], size=page)
    exchange_all(session, "DMA_UNMAP", [*most[1:], more], size=page)


@covers("VER-CAP-006")
@needs("dma_maps")
@pytest.mark.parametrize("offered", [{}, LIMITS], ids=["default", "offered"])
@pytest.mark.parametrize("first, count", [(1, 1), (3, 1), (16, 5), (0x10001, 256)],
                         ids=["page-1", "page-3", "5-pages", "256-pages"])
def test_range_of_whole_pages_is_mapped(connect, offered, first, count):
    session = connect(capabilities={**DEFAULT, **offered})
    page = page_of(session)
    map_range(session, first * page, count * page)
    assert_mapped(session, first * page, count * page)


@covers("VER-CAP-007")
@needs("dma_maps")
@pytest.mark.parametrize(
    "address, size, offset",
    [(0x1001, 0x123, None), (0x1000, 0x800, None), (0x1800, 0x1000, None), (0x1000, 0x1000, 0x10),
     (0x1000, 0x800, 0x800), (0x1000, 0x801, 0)],
    ids=["odd", "half-a-page", "between-pages", "odd-offset", "second-half-of-a-page", "odd-size"],
)
def test_state_after_a_range_of_broken_pages_is_as_the_reply_tells(session, fds, address, size,
                                                                  offset):
    request = message("DMA_MAP", flags=RW, address=address, size=size, offset=offset or 0)
    outcome = session.outcome(request, [] if offset is None else [fds.memory(SIZE)])
    assert_told(session, outcome, address, size, around=(PAGE, 2 * PAGE))


def write_one(store, value):
    """A REGION_WRITE_MULTI that stores one value."""
    entry = structure("WRITE_MULTI_ENTRY", region=store.region, offset=store.offset,
                      count=store.width, data=int.from_bytes(store.bytes(value), "little"))
    return message("REGION_WRITE_MULTI", wr_cnt=1, data=entry)


@covers("VER-CAP-008")
@needs("store", "write_multiple")
def test_write_multi_works_where_both_sides_offered_it(session, device):
    store = device.store
    old = store.read(session)
    assert session.call(write_one(store, old ^ 0x55)).wr_cnt == 1
    assert store.read(session) == old ^ 0x55
    store.write(session, old)


@covers("VER-CAP-008")
@needs("store")
@pytest.mark.parametrize("offered", [{}, {"write_multiple": False}], ids=["absent", "false"])
def test_write_multi_is_refused_where_the_client_did_not_offer_it(connect, device, offered):
    session, store = connect(capabilities=offered), device.store
    assert not session.limits.write_multiple
    old = store.read(session)
    session.refuse(write_one(store, old ^ 0x55))
    assert store.read(session) == old


@covers("VER-CAP-008")
@needs("store", "no_write_multiple")
def test_write_multi_is_refused_where_the_server_did_not_offer_it(session, device):
    store = device.store
    old = store.read(session)
    session.refuse(write_one(store, old ^ 0x55))
    assert store.read(session) == old
