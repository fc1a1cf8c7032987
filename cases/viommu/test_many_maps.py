# SPDX-License-Identifier: BSD-3-Clause
"""Many small mappings: each is its own, none costs an area of addresses, and a client that comes to
the limit goes on for ever."""

import random
from errno import ENOSPC

from dma import guest_of
from mapping import BASE, PAGE, RW, exchange, exchange_all, map_range, unmap_range

from vuc import constants, covers, needs
from vuc.vdma import pattern

MAPS = 262_144  # pages of one file
FEWEST = 2_048
LAZY = 10_000_000  # maps of the client that unmaps lazily
BYTES = 64  # that the device writes to each page
SEED = 0x21
REACHED = 64  # pages that the device is asked for when they are unmapped
AREAS = 16  # of the server's own tables
TURNS = 64
FILES = 300  # more than a server may want to have open


def page_address(number):
    return BASE + number * PAGE


@covers("VIO-COST-001", "DMA-UNMAP-005")
@needs("dma_maps", "provoke_dma", "lease", "proc")
def test_small_maps_of_one_file_are_each_their_own_and_cost_no_area(connect, fds, target, scale):
    guest = guest_of(connect, max_dma_maps=MAPS)
    session = guest.session
    count = min(max(FEWEST, round(MAPS * scale)), session.limits.max_dma_maps)
    shuffled = random.Random(count)
    pages, last = list(range(count)), list(range(count))
    shuffled.shuffle(pages)
    shuffled.shuffle(last)
    memory = fds.memory(count * PAGE)
    map_range(session, page_address(0), PAGE, [memory], offset=pages[0] * PAGE)
    before = target.resources()
    for number in range(1, count):
        map_range(session, page_address(number), PAGE, [memory], offset=pages[number] * PAGE)
    after = target.resources()
    assert after.vmas - before.vmas <= AREAS, f"{count} maps of one file have cost areas each"
    assert after.fds == before.fds, f"{count} maps of one file have cost descriptors"
    guest.succeed("FILL", BASE, BYTES, count=count, stride=PAGE, seed=SEED)
    written = pattern(SEED, count * BYTES)
    for number, page in enumerate(pages):
        here = memory.read(page * PAGE, BYTES)
        assert here == written[number * BYTES : (number + 1) * BYTES], f"page {page} of the file"
    exchange_all(session, "DMA_UNMAP", map(page_address, last), size=PAGE)
    memory.sent()
    assert not memory.held(), "the file is held when its last page is unmapped"
    for number in last[:REACHED]:
        guest.fail("FILL", page_address(number), BYTES)


@covers("VIO-COST-001", "DMA-MAP-002")
@needs("dma_maps", "proc")
def test_maps_of_two_files_by_turns_cost_no_area_each(session, fds, target):
    memories = [fds.memory(TURNS * PAGE) for _ in range(2)]
    for number, one in enumerate(memories):
        map_range(session, page_address(number), PAGE, [one])
    before = target.resources()
    for number in range(len(memories), TURNS):
        map_range(session, page_address(number), PAGE, [memories[number % 2]],
                  offset=number * PAGE)
    after = target.resources()
    assert after.vmas - before.vmas <= AREAS, f"{TURNS} maps of two files have cost areas each"
    assert after.fds <= before.fds, f"{TURNS} maps of two files have cost descriptors"
    exchange_all(session, "DMA_UNMAP", map(page_address, range(TURNS)), size=PAGE)


@covers("VIO-MAP-003")
@needs("dma_maps")
def test_client_that_unmaps_only_when_it_is_refused_goes_on_for_ever(session, scale):
    limit = session.limits.max_dma_maps  # 65,535 by default
    error, mapped = constants.HEADER_FLAGS.ERROR, []
    for start in range(0, round(LAZY * scale), limit):
        wanted = [page_address(start + number) for number in range(limit)]
        refused = []
        replies = exchange(session, "DMA_MAP", wanted, flags=RW, size=PAGE)
        for address, reply in zip(wanted, replies):
            if not reply.flags & error:
                mapped.append(address)
                continue
            assert reply.error == ENOSPC, f"refused with {reply.error} after {len(mapped)} maps"
            refused.append(address)
        assert not refused or len(mapped) == limit, f"{len(mapped)} maps of {limit} were taken"
        exchange_all(session, "DMA_UNMAP", mapped, size=PAGE)
        mapped = []
        exchange_all(session, "DMA_MAP", refused, flags=RW, size=PAGE)
        mapped = refused
    exchange_all(session, "DMA_UNMAP", mapped, size=PAGE)


@covers("VIO-MAP-003")
@needs("dma_maps", "lease")
def test_files_above_the_limit_of_the_server_are_refused_and_an_unmap_makes_room(session, fds):
    def ask(number):
        memory = fds.memory(PAGE)
        outcome = session.outcome("DMA_MAP", [memory], flags=RW, address=page_address(number),
                                  size=PAGE)
        memory.sent()
        assert outcome.kind == "success" or outcome.reply.errno in (0, ENOSPC), outcome.text()
        assert outcome.kind == "success" or not memory.held(), "it holds a file that it refused"
        memory.close()
        return outcome.kind == "success"

    mapped = [number for number in range(FILES) if ask(number)]
    assert mapped == list(range(len(mapped))), "it takes further files, and nothing was unmapped"
    for more in range(len(mapped), FILES):
        gone = mapped.pop(len(mapped) // 2)
        unmap_range(session, page_address(gone), PAGE)
        assert ask(more), "an unmap has made no room"
        assert not ask(gone), "an unmap has made room for two"
        mapped.append(more)
    for number in mapped:
        unmap_range(session, page_address(number), PAGE)
