# SPDX-License-Identifier: BSD-3-Clause
"""VFIO_USER_DMA_UNMAP: exact ranges, once, and nothing is held when the reply comes."""

import os
from errno import ENOMEM

import pytest
from mapping import (
    BASE, BATCH, PAGE, RW, SIZE, assert_mapped, assert_nothing_mapped, eventually, exchange_all,
    map_range, unmap_range,
)

from vuc import covers, message, needs, reading
from vuc.evidence import Fd
from vuc.target import COUNTED

pytestmark = needs("dma_maps")

ENTRY = 24  # bytes of a DMA entry, here and in the reply
SECOND = BASE + SIZE  # the second of two ranges that touch
BITS = (0, 1, 2, 8, 9, 10, 31)  # of the flags; the first two have been in use
WARM_UP = 200
REMAPS = 1000
KIB_PER_REMAP = 4  # less than a page is left behind by each
ROUNDS = 128  # of a batch of ranges, mapped and unmapped
BYTES_PER_RANGE = 16  # less than any record of a range
TIB = 1 << 40
FAR = 1 << 45  # more levels of any table away from 0
HUGE_PAGE = 2 << 20
AREAS = 16  # times; a sanitizer has some that come and go, so a few are no evidence


@pytest.fixture(params=[False, True], ids=["without-fd", "with-fd"])
def memories(request, fds):
    """What to pass with a map: one memory, or nothing."""
    return [fds.memory(SIZE)] if request.param else []


# ---- the reply ----


@covers("DMA-UNMAP-001")
@pytest.mark.parametrize("flags", ["READ", RW])
def test_unmap_succeeds_and_the_reply_repeats_the_entry(session, memories, flags):
    map_range(session, fds=memories, flags=flags)
    reply = session.call("DMA_UNMAP", argsz=ENTRY, address=BASE, size=SIZE)
    assert len(reply.payload) == ENTRY
    assert (reply.argsz, reply.flags, reply.address, reply.size) == (ENTRY, 0, BASE, SIZE)
    assert not reply.fds
    session.refuse("DMA_UNMAP", address=BASE, size=SIZE)


@covers("DMA-UNMAP-001")
@pytest.mark.parametrize(
    "address, size", [(0, PAGE), (0, 1 << 32), (1 << 47, PAGE)], ids=["zero", "4-gib", "128-tib"]
)
def test_reply_repeats_any_address_and_size(session, address, size):
    map_range(session, address, size)
    reply = unmap_range(session, address, size)
    assert (reply.address, reply.size) == (address, size)
    session.refuse("DMA_UNMAP", address=address, size=size)


@covers("DMA-UNMAP-002")
def test_argsz_of_the_reply_is_the_request_s_or_what_is_needed(session):
    map_range(session)
    reply = session.call("DMA_UNMAP", argsz=64, address=BASE, size=SIZE)
    assert reply.argsz in (ENTRY, 64)
    assert len(reply.payload) == ENTRY
    assert_nothing_mapped(session)


# ---- which range ----


@covers("DMA-UNMAP-003")
@pytest.mark.parametrize(
    "address, size",
    [
        (BASE - SIZE, SIZE), (BASE + 4 * SIZE, SIZE), (BASE, PAGE), (BASE + PAGE, PAGE),
        (SECOND - PAGE, PAGE), (BASE, SIZE - PAGE), (BASE, SIZE + PAGE), (BASE - PAGE, SIZE + PAGE),
        (BASE, 2 * SIZE), (SECOND - PAGE, 2 * PAGE), (SECOND, 2 * SIZE), (BASE - PAGE, SIZE),
    ],
    ids=[
        "unknown-below", "unknown-above", "head", "middle",
        "tail", "smaller", "larger", "larger-below",
        "union", "across-both", "with-a-hole", "shifted",
    ],
)  # fmt: skip
def test_range_that_is_not_one_of_the_maps_is_refused(session, memories, address, size):
    map_range(session, BASE, SIZE, memories)
    map_range(session, SECOND, SIZE)
    session.refuse("DMA_UNMAP", address=address, size=size)
    unmap_range(session, BASE, SIZE)
    unmap_range(session, SECOND, SIZE)


PARTS = {
    "first-page": lambda size: [(0, PAGE)],
    "both-ends": lambda size: [(0, PAGE), (size - PAGE, PAGE)],
    "two-parts": lambda size: [(0, size - 2 * PAGE), (size - 2 * PAGE, 2 * PAGE)],
    "all-but-a-page": lambda size: [(0, size - PAGE)],
}


@covers("DMA-UNMAP-003")
@pytest.mark.parametrize("size", [(4 << 20) + 4 * PAGE, (3 << 30) + 4 * PAGE],
                         ids=["mebibytes", "gibibytes"])
@pytest.mark.parametrize("far", [False, True], ids=["alone", "beside-one-far-away"])
@pytest.mark.parametrize("parts", PARTS.values(), ids=PARTS)
def test_large_range_that_is_not_one_map_is_refused(session, parts, far, size):
    maps = [*parts(size), *([(FAR, PAGE)] if far else [])]
    for one in maps:
        map_range(session, *one)
    session.refuse("DMA_UNMAP", address=0, size=size)
    for one in maps:
        assert_mapped(session, *one)


@covers("DMA-UNMAP-003")
@needs("concurrent")
def test_range_of_another_connection_is_refused(session, connect):
    other = connect()
    map_range(session)
    other.refuse("DMA_UNMAP", address=BASE, size=SIZE)
    unmap_range(session)


@covers("DMA-UNMAP-003")
def test_unmap_without_any_map_is_refused(session):
    session.refuse("DMA_UNMAP", address=BASE, size=SIZE)
    session.refuse("DMA_UNMAP", address=0, size=PAGE)
    assert_nothing_mapped(session)


@covers("DMA-UNMAP-004")
def test_range_is_unmapped_once(session, memories):
    map_range(session, fds=memories)
    unmap_range(session)
    session.refuse("DMA_UNMAP", address=BASE, size=SIZE)
    session.refuse("DMA_UNMAP", address=BASE, size=SIZE)
    assert_nothing_mapped(session)


# ---- nothing is held ----


@covers("DMA-UNMAP-005")
@needs("lease")
@pytest.mark.parametrize("flags", ["READ", "WRITE", RW])
@pytest.mark.parametrize("offset", [0, 4 * PAGE], ids=["from-the-start", "from-an-offset"])
def test_memory_is_released_when_the_reply_comes(session, fds, flags, offset):
    memory = fds.memory(offset + SIZE)
    map_range(session, BASE, SIZE, [memory], flags=flags, offset=offset)
    memory.sent()
    unmap_range(session)
    assert not memory.held(), "a descriptor or a mapping is left after the reply"


@covers("DMA-UNMAP-005")
@needs("seal")
@pytest.mark.parametrize("flags", ["WRITE", RW])
def test_no_shared_mapping_is_left_when_the_reply_comes(session, fds, flags):
    memory = fds.memory(SIZE)
    map_range(session, fds=[memory], flags=flags)
    unmap_range(session)
    assert not memory.mapped(), "a shared mapping is left after the reply"


@covers("DMA-UNMAP-005")
@needs("lease")
@pytest.mark.parametrize("released", [0, 1, 2], ids=["first", "middle", "last"])
def test_memory_between_others_is_released_alone(session, fds, released):
    memories = [fds.memory(SIZE) for _ in range(3)]
    for index, memory in enumerate(memories):
        map_range(session, BASE + index * SIZE, SIZE, [memory])
        memory.sent()
    unmap_range(session, BASE + released * SIZE, SIZE)
    assert not memories[released].held(), "a descriptor or a mapping is left after the reply"
    for index in {0, 1, 2} - {released}:
        unmap_range(session, BASE + index * SIZE, SIZE)
        assert not memories[index].held()


@covers("DMA-UNMAP-005", "ORD-PIPE-001")
@needs("lease")
def test_memory_is_released_when_map_and_unmap_are_pipelined(session, fds):
    memory = fds.memory(SIZE)
    first = session.send("DMA_MAP", [memory], flags=RW, address=BASE, size=SIZE)
    second = session.send("DMA_UNMAP", address=BASE, size=SIZE)
    session.success(first)
    session.success(second)
    memory.sent()
    assert not memory.held(), "a descriptor or a mapping is left after the reply"


@covers("DMA-UNMAP-005")
@needs("lease")
def test_memory_is_released_by_the_unmap_of_its_last_range(session, fds):
    memory = fds.memory(2 * SIZE)
    map_range(session, BASE, SIZE, [memory])
    map_range(session, SECOND, SIZE, [memory], offset=SIZE)
    memory.sent()
    unmap_range(session, BASE, SIZE)
    unmap_range(session, SECOND, SIZE)
    assert not memory.held(), "a descriptor or a mapping is left after the last reply"


@pytest.fixture
def huge(fds):
    """A file of two huge pages, which need not be there as long as nobody touches them."""
    try:
        one = fds.keep(Fd(os.memfd_create("huge", os.MFD_HUGETLB | os.MFD_CLOEXEC), "huge"))
        os.truncate(one.fileno(), 2 * HUGE_PAGE)
    except OSError as error:
        pytest.skip(f"needs: memory of huge pages ({error.strerror})")
    return one


@covers("VIO-UNMAP-002", "DMA-UNMAP-005")
@needs("proc")
def test_huge_pages_leave_no_area_behind(session, target, huge):
    where = {"address": HUGE_PAGE, "size": HUGE_PAGE}
    before = None
    for _ in range(AREAS):
        outcome = session.outcome("DMA_MAP", [huge], flags=RW, offset=HUGE_PAGE, **where)
        if outcome.kind == "error":
            assert before is None, f"it could be mapped before: {outcome.text()}"
            assert outcome.reply.errno in (0, ENOMEM), f"they are there: {outcome.text()}"
            pytest.skip("needs: a server that reserves no huge pages, or a system that has some")
        unmap_range(session, **where)
        before = before or target.resources().vmas
    assert eventually(session, lambda: target.resources().vmas < before + AREAS // 2), (
        "areas are kept")
    assert_nothing_mapped(session, **where)


@covers("DMA-UNMAP-005", "SEC-GEN-006")
def test_memory_can_be_truncated_after_the_reply(session, fds):
    memory = fds.memory(SIZE)
    map_range(session, fds=[memory])
    unmap_range(session)
    memory.truncate(0)
    session.barrier()
    assert_nothing_mapped(session)


@covers("DMA-UNMAP-011")
@pytest.mark.parametrize("flags", ["READ", "WRITE", RW])
def test_range_can_be_mapped_again_in_another_way(session, fds, flags):
    map_range(session, fds=[fds.memory(SIZE)], flags="READ")
    unmap_range(session)
    other = fds.memory(2 * SIZE)
    map_range(session, fds=[other], flags=flags, offset=PAGE)
    unmap_range(session)
    map_range(session, BASE, SIZE // 2, flags=flags)
    map_range(session, BASE + SIZE // 2, SIZE // 2, [other])
    assert_mapped(session, BASE, SIZE // 2)
    assert_mapped(session, BASE + SIZE // 2, SIZE // 2)


@covers("DMA-UNMAP-011")
@needs("proc")
def test_thousand_maps_of_a_range_leave_nothing_behind(session, target, memories, fds):
    ways = [dict(fds=memories), dict(fds=[fds.memory(2 * SIZE)] if memories else [], flags="READ")]

    def remap(times):
        for number in range(times):
            map_range(session, **ways[number % 2])
            unmap_range(session)
        return target.resources()

    before, now = remap(WARM_UP), remap(REMAPS)
    grown = {name: getattr(now, name) - getattr(before, name) for name in COUNTED}
    assert all(more < REMAPS // 10 for more in grown.values()), grown
    assert now.rss_anon_kib - before.rss_anon_kib < REMAPS * KIB_PER_REMAP


def keeps_what_was_freed(target):
    """Does a sanitizer do so? It has a shadow, a mapping that is larger than any other."""
    with open(f"/proc/{target.state.pid}/maps", encoding="ascii", errors="replace") as maps:
        ranges = [[int(end, 16) for end in line.split()[0].split("-")] for line in maps]
    return any(end - start > TIB for start, end in ranges)


@covers("DMA-UNMAP-011", "SEC-GEN-003")
@needs("proc")
def test_memory_that_many_ranges_took_is_given_back(session, target):
    if keeps_what_was_freed(target):
        pytest.skip("a sanitizer keeps what the server frees")
    addresses = range(BASE, BASE + BATCH * PAGE, PAGE)

    def remap(rounds):
        for _ in range(rounds):
            exchange_all(session, "DMA_MAP", addresses, flags=RW, size=PAGE)
            exchange_all(session, "DMA_UNMAP", addresses, size=PAGE)
        return target.resources().rss_anon_kib

    before, now = remap(ROUNDS // 8), remap(ROUNDS)
    assert (now - before) * 1024 < ROUNDS * BATCH * BYTES_PER_RANGE


# ---- what does not fit the structure ----


def assert_unmap_told(session, outcome):
    """The outcome of unmapping the range tells whether it is still mapped."""
    if outcome.kind == "error":
        unmap_range(session)
    session.refuse("DMA_UNMAP", address=BASE, size=SIZE)
    assert_nothing_mapped(session)


@covers("DMA-UNMAP-008")
@pytest.mark.parametrize("flags", [1 << bit for bit in BITS], ids=[f"bit-{bit}" for bit in BITS])
def test_state_after_an_unmap_with_flags_is_as_the_reply_tells(session, memories, flags):
    map_range(session, fds=memories)
    outcome = session.outcome("DMA_UNMAP", flags=flags, address=BASE, size=SIZE)
    if outcome.kind == "success":
        assert (outcome.reply.address, outcome.reply.size) == (BASE, SIZE)
    assert_unmap_told(session, outcome)


@covers("DMA-UNMAP-008")
def test_flag_for_all_ranges_is_no_success_without_effect(session, memories):
    map_range(session, fds=memories)
    outcome = session.outcome("DMA_UNMAP", flags=2, address=0, size=0)
    assert_unmap_told(session, outcome)


@covers("DMA-UNMAP-009")
@pytest.mark.parametrize("flags", [0, 1], ids=["no-flags", "bit-0"])
@pytest.mark.parametrize("size", [0, 8, 23])
def test_short_request_is_refused_and_unmaps_nothing(session, memories, size, flags):
    map_range(session, fds=memories)
    session.refuse(message("DMA_UNMAP", flags=flags, address=BASE, size=SIZE).cut(size))
    unmap_range(session)


@covers("DMA-UNMAP-010")
@pytest.mark.parametrize("argsz", [0, 8, 23])
def test_state_after_an_argsz_below_the_entry_is_as_the_reply_tells(session, argsz):
    map_range(session)
    outcome = session.outcome("DMA_UNMAP", argsz=argsz, address=BASE, size=SIZE)
    if outcome.kind == "success":
        assert len(outcome.reply.payload) <= argsz
    assert_unmap_told(session, outcome)


@covers("DMA-UNMAP-010")
@reading("T11")
def test_longer_request_is_accepted(session):
    map_range(session)
    session.call(message("DMA_UNMAP", argsz=ENTRY, address=BASE, size=SIZE).extend(bytes(8)))
    assert_nothing_mapped(session)
