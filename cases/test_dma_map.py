# SPDX-License-Identifier: BSD-3-Clause
"""VFIO_USER_DMA_MAP: what registers a range, what does not, and that the reply tells which."""

from errno import EEXIST, EINVAL

import pytest
from mapping import (
    BASE, PAGE, RW, SIZE, assert_mapped, assert_nothing_mapped, assert_told, eventually, map_range,
    unmap_range,
)

from vuc import covers, message, needs, reading

pytestmark = needs("dma_maps")

TOP = 1 << 64
HUGE = (1 << 40, 1 << 46, 1 << 63)
MEMORY_BOUND_KIB = 64 << 10  # far below what a table with an entry per page would take

with_and_without_fd = pytest.mark.parametrize(
    "shared", [False, True], ids=["without-fd", "with-fd"]
)

# Ranges that overlap [BASE, BASE + SIZE), by where.
OVERLAPS = {
    "identical": (BASE, SIZE),
    "inside": (BASE + PAGE, PAGE),
    "same-start": (BASE, PAGE),
    "same-end": (BASE + SIZE - PAGE, PAGE),
    "around": (BASE - PAGE, SIZE + 2 * PAGE),
    "head-by-a-page": (BASE - PAGE, 2 * PAGE),
    "tail-by-a-page": (BASE + SIZE - PAGE, 2 * PAGE),
}
over_an_existing_region = pytest.mark.parametrize(
    "address, size",
    [pytest.param(*place, id=name, marks=reading("D1") if name == "identical" else ())
     for name, place in OVERLAPS.items()],
)


def passed(fds, shared, size=SIZE):
    """What to pass with a map: a memory of that size, or nothing."""
    return [fds.memory(size)] if shared else []


# ---- what registers a range ----


@covers("DMA-MAP-001")
@pytest.mark.parametrize("flags", ["READ", "WRITE", RW])
def test_range_without_descriptor_is_mapped_and_the_reply_has_no_payload(session, flags):
    reply = map_range(session, flags=flags)
    assert not reply.payload
    assert not reply.fds
    assert_mapped(session)


@covers("DMA-MAP-001")
@pytest.mark.parametrize(
    "address, size",
    [(0, PAGE), (0, 1 << 32), (1 << 32, 1 << 30), (1 << 47, PAGE), (TOP - 2 * PAGE, PAGE)],
    ids=["zero", "low-4-gib", "above-4-gib", "at-128-tib", "below-the-top"],
)
def test_range_anywhere_in_the_address_space_is_mapped(session, address, size):
    map_range(session, address, size)
    assert_mapped(session, address, size)


@covers("DMA-MAP-002")
@pytest.mark.parametrize("offset", [0, 0x4000], ids=["from-the-start", "from-an-offset"])
@pytest.mark.parametrize("flags", ["READ", RW])
def test_range_with_descriptor_is_mapped_and_the_reply_has_no_payload(session, fds, flags, offset):
    reply = map_range(session, BASE, 0x8000, [fds.memory(1 << 20)], flags=flags, offset=offset)
    assert not reply.payload
    assert not reply.fds
    assert_mapped(session, BASE, 0x8000)


@covers("DMA-MAP-002")
def test_range_in_a_read_only_file_is_mapped_for_reading(session, fds):
    map_range(session, BASE, SIZE, [fds.kind("read-only-memfd")], flags="READ")
    assert_mapped(session)


@covers("DMA-MAP-007")
@with_and_without_fd
def test_ranges_that_touch_are_distinct(session, fds, shared):
    addresses = (BASE, BASE + PAGE, BASE - PAGE)
    for address in addresses:
        map_range(session, address, PAGE, passed(fds, shared, PAGE))
    session.refuse("DMA_UNMAP", address=BASE - PAGE, size=3 * PAGE)
    for address in addresses:
        assert_mapped(session, address, PAGE)


@covers("DMA-MAP-007")
def test_ranges_of_one_file_are_distinct(session, fds):
    memory = fds.memory(4 * PAGE)
    for index in range(4):
        map_range(session, BASE + 2 * index * PAGE, PAGE, [memory], offset=(3 - index) * PAGE)
    for index in range(4):
        assert_mapped(session, BASE + 2 * index * PAGE, PAGE)


@covers("DMA-MAP-019")
def test_range_is_added_in_the_middle_of_a_session(session, device):
    map_range(session)
    for index in range(device.info.num_regions):
        session.call("DEVICE_GET_REGION_INFO", index=index)
    for index in range(device.info.num_irqs):
        session.call("DEVICE_GET_IRQ_INFO", index=index)
    map_range(session, BASE + SIZE, SIZE)
    assert_mapped(session, BASE + SIZE, SIZE)
    assert_mapped(session)


# ---- what is mapped already ----


@covers("DMA-MAP-005")
@with_and_without_fd
@over_an_existing_region
def test_map_over_an_existing_region_is_refused_with_eexist(session, fds, address, size, shared):
    map_range(session, fds=passed(fds, shared))
    session.refuse("DMA_MAP", passed(fds, shared, size), flags=RW, address=address, size=size,
                   errno=EEXIST)


@covers("DMA-MAP-005")
def test_map_over_two_regions_and_the_hole_between_is_refused_with_eexist(session):
    map_range(session, BASE, PAGE)
    map_range(session, BASE + 2 * PAGE, PAGE)
    session.refuse("DMA_MAP", flags=RW, address=BASE, size=3 * PAGE, errno=EEXIST)
    map_range(session, BASE + PAGE, PAGE)


@covers("DMA-MAP-006")
@with_and_without_fd
@over_an_existing_region
def test_refused_map_leaves_the_existing_region_and_adds_none(session, fds, address, size, shared):
    map_range(session, fds=passed(fds, shared))
    session.refuse("DMA_MAP", passed(fds, shared, size), flags=RW, address=address, size=size)
    unmap_range(session)
    session.refuse("DMA_UNMAP", address=address, size=size)
    assert_nothing_mapped(session, BASE - PAGE, SIZE + 2 * PAGE)


@covers("DMA-MAP-006", "FD-PASS-007")
@needs("lease")
@over_an_existing_region
def test_refused_map_releases_its_descriptor(session, fds, address, size):
    map_range(session, fds=[fds.memory(SIZE)])
    memory = fds.memory(size)
    session.refuse("DMA_MAP", [memory], flags=RW, address=address, size=size)
    memory.sent()
    assert eventually(session, lambda: not memory.held()), "a refused map holds its memory"
    unmap_range(session)


# ---- what does not fit the structure ----


@covers("DMA-MAP-003")
@with_and_without_fd
@pytest.mark.parametrize("size", [0, 4, 31])
def test_short_request_is_refused_and_registers_nothing(session, fds, size, shared):
    request = message("DMA_MAP", flags=RW, address=BASE, size=SIZE).cut(size)
    session.refuse(request, passed(fds, shared))
    session.refuse("DMA_UNMAP", address=BASE, size=SIZE)
    assert_nothing_mapped(session)


@covers("DMA-MAP-004")
@pytest.mark.parametrize("argsz", [0, 16, 31, 64, 0xFFFFFFFF])
def test_state_after_another_argsz_is_as_the_reply_tells(session, argsz):
    outcome = session.outcome("DMA_MAP", argsz=argsz, flags=RW, address=BASE, size=SIZE)
    assert_told(session, outcome)


@covers("DMA-MAP-004")
@reading("T19")
@pytest.mark.parametrize("argsz", [0, 16, 31])
def test_argsz_below_the_structure_is_refused(session, argsz):
    session.refuse("DMA_MAP", argsz=argsz, flags=RW, address=BASE, size=SIZE, errno=EINVAL)
    assert_nothing_mapped(session)


@covers("DMA-MAP-004")
@pytest.mark.parametrize("argsz", [32, 40])
def test_state_after_a_longer_request_is_as_the_reply_tells(session, argsz):
    request = message("DMA_MAP", argsz=argsz, flags=RW, address=BASE, size=SIZE)
    assert_told(session, session.outcome(request.extend(bytes(8))))


# ---- flags ----


@covers("DMA-MAP-010")
@with_and_without_fd
def test_state_after_a_map_without_any_access_is_as_the_reply_tells(session, fds, shared):
    request = message("DMA_MAP", flags=0, address=BASE, size=SIZE)
    assert_told(session, session.outcome(request, passed(fds, shared)))


@covers("DMA-MAP-011")
@with_and_without_fd
@pytest.mark.parametrize("bit", [2, 3, 4, 8, 9, 10, 11, 16, 31])
def test_state_after_an_undefined_flag_is_as_the_reply_tells(session, fds, bit, shared):
    request = message("DMA_MAP", flags=3 | 1 << bit, address=BASE, size=SIZE)
    assert_told(session, session.outcome(request, passed(fds, shared)))


@covers("DMA-MAP-011")
@reading("D2")
@pytest.mark.parametrize("bit", [2, 3, 4, 8, 9, 10, 11, 16, 31])
def test_undefined_flag_is_refused(session, bit):
    session.refuse("DMA_MAP", flags=3 | 1 << bit, address=BASE, size=SIZE, errno=EINVAL)
    assert_nothing_mapped(session)


# ---- addresses and sizes ----


@covers("DMA-MAP-012")
@with_and_without_fd
@pytest.mark.parametrize("address", [0, PAGE, BASE], ids=["at-zero", "at-a-page", "at-a-range"])
def test_map_of_nothing_disturbs_no_other(session, fds, address, shared):
    map_range(session, BASE + PAGE, PAGE)
    session.outcome("DMA_MAP", passed(fds, shared), flags=RW, address=address, size=0)
    map_range(session, address, PAGE)
    session.outcome("DMA_UNMAP", address=address, size=0)
    unmap_range(session, address, PAGE)
    unmap_range(session, BASE + PAGE, PAGE)


@covers("DMA-MAP-013")
@with_and_without_fd
@pytest.mark.parametrize(
    "address, size",
    [(TOP - PAGE, 2 * PAGE), (PAGE, TOP - 1), (TOP - 1, TOP - 1)],
    ids=["by-a-page", "low-and-almost-all", "high-and-almost-all"],
)
def test_range_that_wraps_is_refused_and_takes_no_room(session, fds, address, size, shared):
    session.refuse("DMA_MAP", passed(fds, shared), flags=RW, address=address, size=size)
    session.refuse("DMA_UNMAP", address=address, size=size)
    for low in (0, PAGE, BASE):
        assert_nothing_mapped(session, low, PAGE)


@covers("DMA-MAP-013")
@with_and_without_fd
def test_state_after_a_range_up_to_the_top_is_as_the_reply_tells(session, fds, shared):
    request = message("DMA_MAP", flags=RW, address=TOP - PAGE, size=PAGE)
    outcome = session.outcome(request, passed(fds, shared, PAGE))
    assert_told(session, outcome, TOP - PAGE, PAGE, around=(TOP - 2 * PAGE, PAGE))
    assert_nothing_mapped(session, 0, PAGE)


@covers("DMA-MAP-014", "SEC-GEN-003")
@needs("proc")
@pytest.mark.parametrize("size", HUGE, ids=["1-tib", "64-tib", "8-eib"])
def test_huge_range_takes_no_memory_by_its_size(session, target, size):
    before = target.resources()
    outcome = session.outcome("DMA_MAP", flags=RW, address=0, size=size)
    now = target.resources()
    assert now.rss_anon_kib - before.rss_anon_kib < MEMORY_BOUND_KIB
    assert now.page_tables_kib - before.page_tables_kib < MEMORY_BOUND_KIB
    assert_told(session, outcome, 0, size, around=(0, SIZE))


@covers("DMA-MAP-015")
def test_state_after_an_offset_without_descriptor_is_as_the_reply_tells(session):
    request = message("DMA_MAP", flags=RW, offset=PAGE, address=BASE, size=SIZE)
    assert_told(session, session.outcome(request))


# ---- the file behind the range ----


@covers("DMA-MAP-016")
@pytest.mark.parametrize(
    "offset, size",
    [(0, SIZE), (PAGE, PAGE), (1 << 63, PAGE), (TOP - PAGE, PAGE), (TOP - PAGE, 2 * PAGE)],
    ids=["size-past-the-end", "offset-past-the-end", "beyond-int64", "up-to-2-64", "wrapping"],
)
def test_state_after_a_range_beyond_the_file_is_as_the_reply_tells(session, fds, offset, size):
    request = message("DMA_MAP", flags=RW, offset=offset, address=BASE, size=size)
    assert_told(session, session.outcome(request, [fds.memory(PAGE)]), BASE, size)


@covers("DMA-MAP-016", "SEC-GEN-006")
@pytest.mark.parametrize("size", [0, PAGE], ids=["to-nothing", "to-a-part"])
def test_file_that_is_truncated_later_can_be_unmapped(session, fds, size):
    memory = fds.memory(SIZE)
    map_range(session, fds=[memory])
    memory.truncate(size)
    session.barrier()
    unmap_range(session)
    assert_nothing_mapped(session)


@covers("DMA-MAP-017", "FD-PASS-008")
@needs("proc")
@pytest.mark.parametrize(
    "kind",
    ["eventfd", "pipe", "broken-pipe", "socket", "directory", "epoll", "null", "o_path",
     "write-only-file", "read-only-file", "read-only-memfd"],
)
def test_descriptor_that_can_not_be_mapped_is_no_leak(session, target, fds, kind):
    before = target.resources().fds
    request = message("DMA_MAP", flags=RW, address=BASE, size=SIZE)
    outcome = session.outcome(request, [fds.kind(kind)])
    if outcome.kind == "error":
        assert eventually(session, lambda: target.resources().fds <= before), "it is kept"
    assert_told(session, outcome)
    assert eventually(session, lambda: target.resources().fds <= before), "it is kept"


@covers("DMA-MAP-017", "FD-PASS-008")
@needs("pipe")
def test_pipe_of_a_refused_map_is_closed(session, fds):
    probe = fds.probe()
    request = message("DMA_MAP", flags=RW, address=BASE, size=SIZE)
    assert_told(session, session.outcome(request, [probe]))
    assert probe.released(), "the pipe is kept"
    assert not probe.bytes()


@covers("FD-PASS-004")
@needs("lease")
def test_surplus_descriptors_are_closed(session, fds):
    memories = [fds.memory(SIZE) for _ in range(2)]
    request = message("DMA_MAP", flags=RW, address=BASE, size=SIZE)
    assert_told(session, session.outcome(request, memories))
    for memory in memories:
        memory.sent()
        assert eventually(session, lambda: not memory.held()), "a surplus descriptor is kept"
