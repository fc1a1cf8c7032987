# SPDX-License-Identifier: BSD-3-Clause
"""What guests do to a vIOMMU, as operations: one generator for each way in which they do it.

    steps = churn(seed=1, pages=64)
    op = next(steps)
    op = steps.send(True)       # it succeeded; False: the server has refused the map

A generator is endless, and depends on its seed and on what it is told alone: with the same seed and
the same answers it comes to the same operations. It asks for what a guest may ask for: it maps
nothing over what is mapped, unmaps exactly what it has mapped, and has the device reach what is
mapped for that access, or says that the access must fail. Only a map may be refused, and only in
WORKLOADS that say so; all but what `sva` does is of the base protocol. Guest memory is one file; an
operation says where in it its bytes are. Sizes and addresses are bytes. Pure data.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from random import Random
from typing import Literal

PAGE = 0x1000
MIB, GIB = 1 << 20, 1 << 30
FILE = 8 * GIB  # that holds all offsets, sparse
RW, RO, WO = "READ|WRITE", "READ", "WRITE"
LARGEST = 0x4000  # bytes of a transfer

Kind = Literal["map", "unmap", "read", "write", "no-read", "no-write", "enter", "invalidate", "end"]


@dataclass(frozen=True)
class Op:
    """One operation. read and write: of the device, which have to be done; no-read and no-write
    must fail. enter: the guest's tables have it, and the server learns of it when it asks.
    invalidate and end: a range, or all of a space. offset: where in the file the bytes are."""

    kind: Kind
    address: int = 0
    size: int = PAGE
    offset: int = 0
    flags: str = RW
    pasid: int | None = None


Steps = Generator[Op, bool, None]


def _transfer(random: Random, one: Op, kinds: tuple[Kind, ...] = ("read", "write"),
              most: int = LARGEST) -> Op:
    # Some bytes of a mapping, neither aligned nor of a round size.
    size = random.randint(1, min(one.size, most))
    at = random.randint(0, one.size - size)
    return Op(random.choice(kinds), one.address + at, size, one.offset + at, pasid=one.pasid)


def _out(one: Op) -> Op:
    return Op("unmap", one.address, one.size, one.offset, one.flags)


def identity(seed: int, pages: int) -> Steps:
    """All of the memory stands where the guest has it, below and above the hole for devices, for
    good; now and then a module of memory is plugged in or pulled out."""
    random = Random(seed)
    size = max(pages, 16) * MIB // 16
    plain = [Op("map", 0, 160 * PAGE), Op("map", MIB, size, MIB),
             Op("map", 4 * GIB, size, GIB)]
    modules = [Op("map", 8 * GIB + n * size, size, 2 * GIB + n * size) for n in range(4)]
    for one in plain:
        yield one
    inside: list[Op] = []
    while True:
        if random.random() < 1 / 32:
            one = random.choice(modules)
            if one in inside:
                inside.remove(one)
                yield _out(one)
                yield Op("no-read", one.address, 64, one.offset)
            else:
                inside.append(one)
                yield one
        yield _transfer(random, random.choice(plain + inside))


def churn(seed: int, pages: int) -> Steps:
    """virtio-iommu with a page for each mapping: addresses go down from 4 GiB, and those that were
    given back last are used again first."""
    random = Random(seed)
    live: list[Op] = []
    free: list[int] = []
    next_down = 4 * GIB
    while True:
        chance = random.random()
        if len(live) < pages and (chance < 0.4 or not live):
            if not free:
                next_down -= PAGE
                free.append(next_down)
            live.append(Op("map", free.pop(), PAGE, random.randrange(4 * pages) * PAGE))
            yield live[-1]
        elif chance < 0.7:
            yield _transfer(random, random.choice(live))
        else:
            one = live.pop(random.randrange(len(live)))
            free.append(one.address)
            yield _out(one)
            if random.random() < 1 / 8:
                yield Op(random.choice(("no-read", "no-write")), one.address, 64, one.offset)


def bounce(seed: int, pages: int) -> Steps:
    """swiotlb: one pool is mapped for good, and all transfers go through slots of 2 KiB in it that
    are taken and given back."""
    random = Random(seed)
    slot, slots = 0x800, 64 * MIB // 0x800
    pool = Op("map", 0x7C000000, slots * slot)
    yield pool
    used = [False] * slots
    live: list[tuple[int, int]] = []
    begin = 0
    while True:
        count = random.choice((1, 1, 2, 2, 4, 8))
        if len(live) > pages or (live and random.random() < 0.4):
            at, many = live.pop(random.randrange(len(live)))
            used[at : at + many] = [False] * many
            continue
        places = ((begin + n) % (slots - count) for n in range(slots))
        place = next(at for at in places if not any(used[at : at + count]))
        used[place : place + count] = [True] * count
        live.append((place, count))
        begin = place + count
        at = place * slot
        yield _transfer(random, Op("map", pool.address + at, count * slot, at))


def pins(seed: int, pages: int) -> Steps:
    """coIOMMU: a page is mapped when the device first needs it and stays mapped; when the server
    takes no more, or from time to time, those that were not used for longest go."""
    random = Random(seed)
    held: OrderedDict[int, Op] = OrderedDict()
    hot = 0
    while True:
        if random.random() < 1 / 64:
            hot = random.randrange(4 * pages)
        near = random.random() < 0.3
        page = (hot + random.randrange(max(pages // 8, 1))) % (4 * pages) if near else (
            random.randrange(4 * pages))
        if page not in held:
            one = Op("map", GIB + page * PAGE, PAGE, page * PAGE)
            while not (yield one):
                for _ in range(max(len(held) // 4, 1)):
                    yield _out(held.popitem(last=False)[1])
            held[page] = one
        held.move_to_end(page)
        yield _transfer(random, held[page])
        if len(held) > 8 and random.random() < 1 / 128:
            _, one = held.popitem(last=False)
            yield _out(one)
            yield Op("no-write", one.address, 64, one.offset)


def lazy(seed: int, pages: int) -> Steps:
    """s390 with a lazy flush queue: what is given back stays mapped until the queue is long, or
    until the server has no room, when all of the queue is unmapped and the map tried again."""
    random = Random(seed)
    live: deque[Op] = deque()
    queue: list[Op] = []
    number = 0
    while True:
        one = Op("map", 2 * GIB + number * PAGE, PAGE, number % (4 * pages) * PAGE)
        number += 1
        while not (yield one):
            if not queue:
                queue.append(live.popleft())
            for gone in queue:
                yield _out(gone)
            queue.clear()
        live.append(one)
        yield _transfer(random, random.choice(live))
        if len(live) > pages // 2 or random.random() < 0.3:
            queue.append(live.popleft())
        if len(queue) > 4 * pages:
            for gone in queue:
                yield _out(gone)
            queue.clear()


def lists(seed: int, pages: int) -> Steps:
    """NVMe: commands with a list of pages, the first and the last in part, each mapped for the way
    that the data go; several at a time, done in any order."""
    random = Random(seed)
    depth = max(pages // 16, 2)
    commands: list[tuple[list[Op], Kind]] = []
    stretches = list(range(4 * depth))  # of addresses, a command each
    while True:
        if len(commands) < depth:
            count, flags = random.randint(1, 16), random.choice((RO, WO))
            first = 3 * GIB + stretches.pop(0) * 16 * PAGE
            entries = [Op("map", first + n * PAGE, PAGE, random.randrange(4 * pages) * PAGE, flags)
                       for n in range(count)]
            for one in entries:
                yield one
            commands.append((entries, "read" if flags == RO else "write"))
            continue
        entries, kind = commands.pop(random.randrange(len(commands)))
        stretches.append((entries[0].address - 3 * GIB) // (16 * PAGE))
        for n, one in enumerate(entries):
            start = random.randrange(0, PAGE, 512) if n == 0 else 0
            end = random.randrange(start + 512, PAGE + 1, 512) if one is entries[-1] else PAGE
            yield Op(kind, one.address + start, end - start, one.offset + start)
        one = random.choice(entries)
        yield Op("no-write" if kind == "read" else "no-read", one.address, 64, one.offset)
        for one in entries:
            yield _out(one)


def sva(seed: int, pages: int) -> Steps:
    """Shared virtual addressing: processes with a PASID each, whose pages the device asks for when
    it first needs them; they give pages back, and end."""
    random = Random(seed)
    most = max(pages // 4, 8)
    alive: dict[int, dict[int, Op]] = {}
    first = 0x7F0000000000
    while True:
        chance = random.random()
        pasid = random.randint(1, 4)
        tables = alive.setdefault(pasid, {})
        if chance < 0.02 and tables:
            yield Op("end", pasid=pasid)
            del alive[pasid]
        elif chance < 0.1 and tables:
            at = random.randrange(most)
            count = random.randint(1, 4)
            gone = [n for n in range(at, at + count) if tables.pop(n, None)]
            if gone:
                yield Op("invalidate", first + at * PAGE, count * PAGE, pasid=pasid)
                yield Op("no-write", first + gone[0] * PAGE, 64, pasid=pasid)
        else:
            page = random.randrange(most)
            if page not in tables:
                # A page of the file belongs to one process.
                offset = ((pasid - 1) * most + page) * PAGE
                tables[page] = Op("enter", first + page * PAGE, PAGE, offset, pasid=pasid)
                yield tables[page]
            yield _transfer(random, tables[page])


@dataclass(frozen=True)
class Workload:
    """A generator, and whether the server may refuse a map of it when it has no room."""

    steps: Callable[[int, int], Steps]
    overcommits: bool = False


WORKLOADS = {
    "identity": Workload(identity), "churn": Workload(churn), "bounce": Workload(bounce),
    "pins": Workload(pins, overcommits=True), "lazy": Workload(lazy, overcommits=True),
    "lists": Workload(lists), "sva": Workload(sva),
}
