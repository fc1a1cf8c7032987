# SPDX-License-Identifier: BSD-3-Clause
"""Translations that are gone: rows F08 and F10 to F12 of the catalogue (README.md).

What an operation finds is told by the bytes: every page has another pattern, and every time that a
page is mapped anew is another generation of it.
"""

import mmap
from contextlib import closing

import pytest
from flight import BARRIER, SEED, map_canary
from mapping import BASE, PAGE, RW, SIZE
from plain import Plain

from vuc import Failure, covers, message, needs
from vuc.vdma import BUFFER_SIZE, SLOT_BASE, SLOT_REGISTERS, SLOT_SIZE, State, pattern

pytestmark = needs("dma_maps", "provoke_dma")

ABORTED = "ABORTED ECANCELED"
MISSED = "FAULT ENOENT"


# ---- F08 ----


TIMES = 1_000_000
AT_LEAST = 1000
PAGES = 64  # of the file; a page comes back as another generation
GENERATIONS = 256  # that the pattern of a page can tell apart
HALF = PAGE // 2  # of a page is read, the other written
BURST = 16  # times that a page is read and written: longer than the unmap takes to come
AHEAD = 2  # rounds that are sent before the first is answered
MOMENTS = (0, 1, 2, 3, 4, 8, 16, 32)  # how many commands lie between start and unmap
READER, WRITER, LATE = range(3)  # slots
GONE = bytes([0xEE]) * HALF


class Race:
    """Rounds in which a page is mapped, read and written, and unmapped meanwhile; a
    third operation is started behind the unmap. Some rounds are sent before one is answered."""

    def __init__(self, guest, memory, ours):
        self.plain = Plain(guest.session)
        self.fds = [memory.fileno()]
        self.ours = ours
        self.vdma = guest.vdma
        starts = [guest.prepare("CHECK", BASE, HALF, READER, count=BURST),
                  guest.prepare("FILL", BASE + HALF, HALF, WRITER, count=BURST),
                  guest.prepare("CHECK", BASE, HALF, LATE)]
        self.starts = [start.bytes(2) for start in starts]
        self.images = [self._image(number) for number in range(GENERATIONS)]
        self.used = self.aborted = self.missed = 0

    def _image(self, number):
        # The messages of one round up to its unmap, those from there on, and how many both are;
        # the last six but two ask what has happened.
        place = number % PAGES * PAGE
        begin = [
            message("DMA_MAP", flags=RW, address=BASE, size=PAGE, offset=place).bytes(1),
            self._seed(READER, number), self.starts[READER], self.starts[WRITER],
            *[message("DEVICE_GET_INFO").bytes(3)] * MOMENTS[number % len(MOMENTS)],
        ]
        end = [
            message("DMA_UNMAP", address=BASE, size=PAGE).bytes(4), self._register(READER, "MOVED"),
            *[self._register(slot, "STATE") for slot in (READER, WRITER, LATE)],
            self._seed(LATE, number + 1), self.starts[LATE],
        ]
        return b"".join(begin), b"".join(end), len(begin) + len(end)

    def _seed(self, slot, generation):
        return self.vdma.slot(slot).write_message("PAT", generation % GENERATIONS).bytes(5)

    def _register(self, slot, name):
        offset, width = SLOT_REGISTERS[name]
        place = SLOT_BASE + SLOT_SIZE * slot + offset
        return message("REGION_READ", region=0, offset=place, count=width).bytes(6)

    def _written(self, number):
        at = number % PAGES * PAGE + HALF
        return slice(at, at + HALF)

    def send(self, number):
        """The page becomes another generation, and the round begins."""
        at = number % PAGES * PAGE
        if number >= PAGES and self.ours[self._written(number)] != GONE:
            raise Failure("effect", f"round {number - PAGES}: a page was written behind the reply "
                          "to its DMA_UNMAP", requirement=BARRIER)
        self.ours[at : at + HALF] = pattern(number % GENERATIONS, 256) * (HALF // 256)
        self.plain.send(self.images[number % GENERATIONS][0], self.fds)

    def unmap(self, number):
        """The page of the round goes, whatever has come of it so far."""
        self.plain.send(self.images[number % GENERATIONS][1])

    def answer(self, number):
        """The round is over: what was started before its unmap has ended, and read no other
        generation."""
        replies = self.plain.replies(self.images[number % GENERATIONS][2])
        self.ours[self._written(number)] = GONE
        moved, *states = [int.from_bytes(payload[-4:], "little") for payload in replies[-6:-2]]
        self.used += moved > 0
        for slot, value in zip((READER, WRITER, LATE), states, strict=True):
            state = State.of(value)
            self.aborted += slot == READER and moved > 0 and state == ABORTED
            self.missed += slot == LATE and state == MISSED
            if state not in (ABORTED, MISSED, "DONE") and (number or slot != LATE):
                raise Failure("effect", f"round {number}: the operation in slot {slot} is {state} "
                              "at the reply to DMA_UNMAP")

    def run(self, times):
        """That many rounds."""
        for number in range(times + AHEAD):
            if number < times:
                self.send(number)
            if number >= AHEAD:
                self.answer(number - AHEAD)
            if number < times:
                self.unmap(number)


@covers("VIO-ATC-002", "VIO-UNMAP-006", "DMA-UNMAP-006")
def test_f08_lookup_beside_an_unmap_finds_no_page_that_is_gone(guest, fds, scale, request):
    memory, times = fds.memory(PAGES * PAGE), max(AT_LEAST, round(TIMES * scale))
    with closing(mmap.mmap(memory.fileno(), PAGES * PAGE)) as ours:
        race = Race(guest, memory, ours)
        try:
            race.run(times)
        finally:
            race.plain.close()
            text = (f"{times} maps and unmaps, {race.used} used, {race.aborted} while a reader was "
                    f"in its middle, {race.missed} operations behind them missed")
            request.node.user_properties.append(("figure lookups beside unmaps", text))
    assert race.used > times // 100, "hardly an operation has reached its page"


# ---- F10 to F12 ----


@covers("VIO-ATC-001")
@pytest.mark.parametrize("shared", [True, pytest.param(False, marks=needs("server_dma"))],
                         ids=["with-fd", "messages"])
def test_f10_miss_is_not_remembered_when_the_page_is_mapped(guest, fds, shared):
    for number in range(8):
        address = BASE + number * SIZE
        for slot in range(8):
            assert guest.run("READ", address, 8, slot) == MISSED
        one = guest.map(address, memory=fds.memory(SIZE) if shared else None)
        data = one.fill(SEED + number)
        for slot in range(8):
            guest.succeed("READ", address, 8, slot)
            assert guest.vdma.load(0, 8) == data[:8]


@covers("VIO-ATC-001")
def test_f10_missing_end_of_an_operation_is_found_when_it_is_mapped(guest, fds):
    low = map_canary(guest, fds)
    assert guest.run("FILL", BASE, 2 * SIZE, seed=SEED) == MISSED
    assert guest.slot().moved() == SIZE
    high = map_canary(guest, fds, BASE + SIZE)
    guest.succeed("FILL", BASE, 2 * SIZE, seed=SEED + 1)
    data = pattern(SEED + 1, 2 * SIZE)
    assert low.holds(data[:SIZE]) and high.holds(data[SIZE:])


SMALL = 512  # pages that make a large one
LARGE = SMALL * PAGE
OTHERS = [(number * 173 + 31) % SMALL for number in range(SMALL)]  # each page once, in disorder

each_start = pytest.mark.parametrize("start", [LARGE, LARGE + PAGE], ids=["aligned", "unaligned"])


def told_apart(fds):
    """A file with another pattern in each of its pages; the file and the pages."""
    memory = fds.memory(LARGE)
    pages = [page.to_bytes(4, "little") + pattern(page % 251, PAGE - 4) for page in range(SMALL)]
    memory.write(0, b"".join(pages))
    return memory, pages


def map_small(guest, memory, start):
    """Each page of the file by itself, in disorder."""
    return [guest.map(start + number * PAGE, PAGE, memory, offset=page * PAGE)
            for number, page in enumerate(OTHERS)]


def assert_reads(guest, start, data):
    """The device reads that from the address on, whatever the slot."""
    for number, at in enumerate(range(0, len(data), BUFFER_SIZE)):
        guest.succeed("READ", start + at, BUFFER_SIZE, number % 8)
        assert guest.vdma.load(0, BUFFER_SIZE) == data[at : at + BUFFER_SIZE], "other pages"


@covers("DMA-MAP-002", "VIO-ATC-001", "DMA-UNMAP-011")
@each_start
def test_f11_small_mappings_in_the_place_of_a_large_one_lead_each_to_its_page(guest, fds, start):
    memory, pages = told_apart(fds)
    large = guest.map(start, LARGE, memory)
    assert_reads(guest, start, b"".join(pages))
    guest.unmap(large)
    map_small(guest, memory, start)
    assert_reads(guest, start, b"".join(pages[page] for page in OTHERS))
    guest.succeed("FILL", start, LARGE, seed=SEED)
    data = pattern(SEED, LARGE)
    for number, page in enumerate(OTHERS):
        written = data[number * PAGE : (number + 1) * PAGE]
        assert memory.read(page * PAGE, PAGE) == written, f"page {number} is elsewhere"


@covers("DMA-MAP-002", "VIO-ATC-001", "DMA-UNMAP-011")
@each_start
def test_f12_large_mapping_in_the_place_of_small_ones_is_linear(guest, fds, start):
    memory, pages = told_apart(fds)
    small = map_small(guest, memory, start)
    assert_reads(guest, start, b"".join(pages[page] for page in OTHERS))
    for number in OTHERS:
        guest.unmap(small[number])
    guest.fail("READ", start, PAGE)
    large = guest.map(start, LARGE, memory)
    assert_reads(guest, start, b"".join(pages))
    guest.succeed("FILL", start, LARGE, seed=SEED)
    assert large.holds(pattern(SEED, LARGE))
