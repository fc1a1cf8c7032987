# SPDX-License-Identifier: BSD-3-Clause
"""What is mapped, and what a command does to it: rows A08 to A22 of the catalogue (README.md).

Rows that are not here are proved by cases of the specification's own headings.
"""

import os
from errno import EEXIST, EINVAL, ENOSPC

import pytest
from dma import Range
from exchanges import send_together
from flight import SEED, assert_ended, assert_stays, canary, map_canary, moved
from mapping import (
    BASE, PAGE, RW, SIZE, assert_nothing_mapped, eventually, exchange_all, map_range, unmap_range,
)

from vuc import covers, message, needs, reading
from vuc.evidence import Fd
from vuc.exchange import Refusal
from vuc.vdma import pattern

pytestmark = needs("dma_maps")

TOP = 1 << 64
TIB = 1 << 40
TIMES = 1000
MOST_MAPS = 1 << 18  # that a case maps to reach a limit
QUOTA_ROUNDS = 100


def read_only(fds, memory):
    """A descriptor of the same file that can only be read."""
    number = os.open(f"/proc/self/fd/{memory.fileno()}", os.O_RDONLY | os.O_CLOEXEC)
    return fds.keep(Fd(number, "read-only-memfd"))


# ---- refused ----


@covers("VIO-MAP-001", "DMA-MAP-005")
@needs("lease", "proc")
@reading("D1")
def test_a08_thousand_maps_of_what_is_mapped_leave_nothing(session, target, fds, scale):
    memories = [fds.memory(SIZE) for _ in range(2)]
    map_range(session, fds=memories[:1])
    before = target.resources().fds
    for _ in range(max(50, round(TIMES * scale))):
        for memory in memories:
            session.refuse("DMA_MAP", [memory], flags=RW, address=BASE, size=SIZE, errno=EEXIST)
    assert eventually(session, lambda: target.resources().fds <= before), "descriptors are kept"
    memories[1].sent()
    assert eventually(session, lambda: not memories[1].held()), "a refused map holds its memory"
    unmap_range(session)
    assert_nothing_mapped(session)


@covers("DMA-MAP-006", "DMA-MAP-005")
@needs("provoke_dma")
@pytest.mark.parametrize("other", ["file", "offset", "rights", "kind"])
def test_a09_map_of_the_same_range_in_another_way_changes_nothing(guest, fds, other):
    one = map_canary(guest, fds, size=2 * SIZE)
    guest.unmap(one)
    one = guest.map(memory=one.memory)
    second = fds.memory(2 * SIZE) if other == "file" else one.memory
    guest.session.refuse(
        "DMA_MAP", [] if other == "kind" else [second], flags="READ" if other == "rights" else RW,
        offset=SIZE if other == "offset" else 0, address=BASE, size=SIZE, errno=EEXIST)
    guest.succeed("FILL", BASE, SIZE, seed=SEED)
    assert_stays(guest, one, moved(SIZE))
    assert one.memory.read(SIZE, SIZE) == canary(), "the other part of the file is written"
    if other == "file":
        assert second.read(0, 2 * SIZE) == bytes(2 * SIZE), "the other file is written"


@covers("VIO-MAP-001")
@pytest.mark.parametrize(
    "fields",
    [pytest.param({"size": 0}, id="size-zero"),
     pytest.param({"address": TOP - PAGE, "size": 2 * PAGE}, id="wrapping"),
     pytest.param({"address": BASE + 1}, id="address-unaligned"),
     pytest.param({"address": BASE + PAGE // 2}, id="address-half-a-page"),
     pytest.param({"size": SIZE - 1}, id="size-unaligned"),
     pytest.param({"size": 1}, id="size-one"),
     pytest.param({"offset": 8}, id="offset-unaligned"),
     pytest.param({"offset": TOP - PAGE}, id="offset-wrapping"),
     pytest.param({"flags": 0}, id="no-access"),
     pytest.param({"flags": 3 | 1 << 12}, id="unknown-flag")],
)  # fmt: skip
def test_a10_malformed_map_is_refused_with_einval_and_leaves_nothing(session, fds, fields):
    fields = {"flags": RW, "offset": 0, "address": BASE, "size": SIZE, **fields}
    memory = fds.memory(4 * SIZE)
    session.refuse("DMA_MAP", [memory], errno=EINVAL, **fields)
    session.refuse("DMA_UNMAP", address=fields["address"], size=fields["size"])
    assert_nothing_mapped(session)
    memory.sent()
    assert eventually(session, lambda: not memory.held()), "its memory is held"


@covers("VIO-MAP-001", "FD-PASS-008")
@needs("proc")
@pytest.mark.parametrize("kind", ["eventfd", "pipe", "socket", "directory", "epoll"])
def test_a13_refused_map_leaves_nothing_and_a_good_one_succeeds(session, target, fds, kind):
    bad = fds.kind(kind)
    good = fds.memory(SIZE)
    map_range(session, fds=[good])
    unmap_range(session)
    before = target.resources()
    for _ in range(8):
        session.refuse("DMA_MAP", [bad], flags=RW, address=BASE, size=SIZE)
        session.refuse("DMA_UNMAP", address=BASE, size=SIZE)
    now = target.resources()
    assert (now.fds, now.vmas) == (before.fds, before.vmas), "the refused map has left something"
    map_range(session, fds=[good])
    unmap_range(session)


# ---- as many as there may be ----


@covers("VIO-MAP-003", "VER-CAP-005")
def test_a14_quota_is_what_was_announced_and_any_unmap_makes_room(session, scale):
    count = session.limits.max_dma_maps
    if count > MOST_MAPS:
        pytest.skip(f"the server announces {count} DMA maps")
    addresses = range(BASE, BASE + count * PAGE, PAGE)
    more = addresses.stop
    exchange_all(session, "DMA_MAP", addresses, flags=RW, size=PAGE)
    for number in range(max(3, round(QUOTA_ROUNDS * scale))):
        session.refuse("DMA_MAP", flags=RW, address=more, size=PAGE, errno=ENOSPC)
        freed = addresses[(number * 7919 + count // 2) % count]
        unmap_range(session, freed, PAGE)
        map_range(session, more, PAGE)
        session.refuse("DMA_MAP", flags=RW, address=freed, size=PAGE, errno=ENOSPC)
        unmap_range(session, more, PAGE)
        map_range(session, freed, PAGE)
    exchange_all(session, "DMA_UNMAP", addresses, size=PAGE)


@covers("DMA-MAP-013", "DMA-MAP-001")
@pytest.mark.parametrize("shared", [False, True], ids=["without-fd", "with-fd"])
def test_a11_first_and_last_page_of_the_address_space_are_pages_like_others(session, fds, shared):
    for _ in range(2):
        for address in (0, TOP - PAGE):
            map_range(session, address, PAGE, [fds.memory(PAGE)] if shared else [])
        for address in (0, TOP - PAGE):
            session.refuse("DMA_MAP", flags=RW, address=address, size=PAGE, errno=EEXIST)
            unmap_range(session, address, PAGE)


# ---- in one write, and without replies ----


@covers("ORD-PIPE-001", "DMA-UNMAP-001")
def test_a16_range_that_was_mapped_without_a_reply_is_unmapped(session, fds):
    session.send("DMA_MAP", [fds.memory(SIZE)], flags=RW, address=BASE, size=SIZE, no_reply=True)
    unmap_range(session)
    session.refuse("DMA_UNMAP", address=BASE, size=SIZE)
    session.send("DMA_MAP", flags=RW, address=BASE, size=SIZE, no_reply=True)
    session.refuse("DMA_MAP", flags=RW, address=BASE + PAGE, size=PAGE)
    session.send("DMA_UNMAP", address=BASE, size=SIZE, no_reply=True)
    assert_nothing_mapped(session)


@covers("ORD-PIPE-001")
def test_a17_thousand_maps_and_unmaps_in_one_write_are_answered_in_order(session):
    one = message("DMA_MAP", flags=RW, address=BASE, size=SIZE)
    two = message("DMA_UNMAP", address=BASE, size=SIZE)
    sent = send_together(session, [one, two] * TIMES)
    for expected in sent:
        came = session.receive()
        assert came is not None, "replies are missing"
        assert came.header.id == expected.id, "the replies change places"
        assert not isinstance(came, Refusal), came.text()
    session.refuse("DMA_UNMAP", address=BASE, size=SIZE)
    assert_nothing_mapped(session)


@covers("DMA-MAP-006", "ORD-PIPE-001")
def test_a18_map_that_fails_without_a_reply_does_no_harm_to_those_behind_it(session, fds):
    map_range(session, BASE, SIZE)
    memory = fds.memory(SIZE)
    session.send("DMA_MAP", [memory], flags=RW, address=BASE + PAGE, size=PAGE, no_reply=True)
    session.send("DMA_MAP", [memory], flags=RW, address=BASE + SIZE, size=SIZE, no_reply=True)
    map_range(session, BASE + 2 * SIZE, SIZE, [memory])
    session.refuse("DMA_UNMAP", address=BASE + PAGE, size=PAGE)
    for index in (1, 0, 2):
        unmap_range(session, BASE + index * SIZE, SIZE)
    assert_nothing_mapped(session, BASE, 3 * SIZE)


# ---- which memory ----


@covers("VIO-MAP-002", "DMA-UNMAP-011")
@needs("provoke_dma", "server_dma")
def test_a19_way_to_the_memory_is_the_last_map_s(guest, fds):
    for memory in (None, fds.memory(SIZE), None, fds.memory(SIZE)):
        one, seen = guest.map(memory=memory), len(guest.requests)
        guest.works(one)
        by_messages = len(guest.requests) > seen
        assert by_messages == (memory is None), "it is reached in the way of the map before"
        guest.unmap(one)


@covers("VIO-MAP-002", "DMA-MAP-008")
@needs("provoke_dma")
@pytest.mark.parametrize("first", ["read-only", "writable"])
def test_a21_file_that_is_open_in_two_modes_has_the_rights_of_each(guest, fds, first):
    memory = fds.memory(SIZE)
    memory.write(0, canary())
    modes = {"read-only": (BASE, "READ", read_only(fds, memory)),
             "writable": (BASE + SIZE, RW, memory)}
    for name in (first, *(set(modes) - {first})):
        address, flags, fd = modes[name]
        map_range(guest.session, address, SIZE, [fd], flags=flags)
        guest.add(Range(address, SIZE, flags, memory))
    guest.start("FILL", BASE, SIZE, seed=SEED)
    guest.wait()
    assert_ended(guest, "FAULT EACCES", 0)
    assert memory.read(0, SIZE) == canary(), "it is written by the mapping that may only read"
    guest.succeed("FILL", BASE + SIZE, SIZE, seed=SEED)
    assert memory.read(0, SIZE) == pattern(SEED, SIZE)
    guest.succeed("READ", BASE, SIZE)
    assert guest.vdma.load(0, SIZE) == pattern(SEED, SIZE)
    session = guest.session
    unmap_range(session, BASE + SIZE, SIZE)
    session.refuse("DMA_MAP", [modes["read-only"][2]], flags=RW, address=BASE + SIZE, size=SIZE)


# ---- large and small ----


@covers("DMA-MAP-005", "DMA-MAP-006")
@pytest.mark.parametrize("at", [0, PAGE, 1 << 21, 1 << 30, TIB - PAGE],
                         ids=["first-page", "second-page", "at-2-mib", "at-1-gib", "last-page"])
@pytest.mark.parametrize("huge", [1 << 21, 1 << 30, TIB], ids=["2-mib", "1-gib", "1-tib"])
def test_a22_large_range_and_small_range_exclude_each_other(session, huge, at):
    base, at = TIB, min(at, huge - PAGE)
    for (first, size), (second, other) in (((base, huge), (base + at, PAGE)),
                                           ((base + at, PAGE), (base, huge))):
        map_range(session, first, size)
        session.refuse("DMA_MAP", flags=RW, address=second, size=other, errno=EEXIST)
        session.refuse("DMA_UNMAP", address=second, size=other)
        unmap_range(session, first, size)
    assert_nothing_mapped(session, base, huge)
