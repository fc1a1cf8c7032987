# SPDX-License-Identifier: BSD-3-Clause
"""Removal of all mappings of a range, which is the invalidation of ATS: rows F01 to F07, F09, F13,
F15 and F16 of the catalogue (README.md)."""

from errno import EINVAL, ENOENT

import pytest
from flight import SEED, assert_ended, assert_waits, canary, let_drain, moved
from mapping import BASE, PAGE, RW, SIZE, exchange_all, map_range
from spaces import ATS, ATS_CONTROL, ATS_ENABLE, BUS_MASTER, COMMAND, P1, P2, space_guest

from vuc import covers, needs
from vuc.exchange import Refusal
from vuc.session import VIOMMU
from vuc.vdma import pattern
from vuc.viommu import EVERYTHING, word

pytestmark = needs("viommu", "dma_maps", "unmap_range")

MISSED = "FAULT ENOENT"
CACHE = 1  # in GCTL: keep translations
TOP = 1 << 64
FLIGHT = 32  # invalidations at a time
MANY = 1000
STRETCH = 600  # of them go
in_each_space = pytest.mark.parametrize(
    "pasid", [None, pytest.param(P1, marks=needs("pasid"))], ids=["none", "pasid"])
operated_in_each_space = pytest.mark.parametrize(
    "pasid", [pytest.param(None, marks=needs("provoke_dma")),
              pytest.param(P1, marks=needs("pasid", "device_pasid"))], ids=["none", "pasid"])
# Mappings as (first page, pages), and a range in pages; None: the whole space.
LAYOUTS = {
    "one": ([(0, 4)], (0, 4)),
    "one-in-more": ([(2, 4)], (0, 16)),
    "several-with-gaps": ([(0, 1), (2, 3), (9, 1)], (0, 10)),
    "some-of-them": ([(0, 2), (2, 2), (4, 2), (6, 2)], (2, 4)),
    "whole-space": ([(0, 1), (7, 1), (1 << 20, 16)], None),
    "large-and-small": ([(0, 512), (512, 1), (1024, 512 * 512)], (0, 1 << 20)),
    "none-beside-some": ([(0, 1), (9, 1)], (1, 8)),
}


def invalid(session, address, size, pasid=None):
    """RANGE is refused with EINVAL."""
    session.refuse("DMA_UNMAP", flags=word("RANGE", pasid), address=address, size=size,
                   errno=EINVAL)


# ---- F03, F04: what lies within ----


@covers("VE-RANGE-001", "VE-UNMAP-004")
@in_each_space
@pytest.mark.parametrize("layout, extent", LAYOUTS.values(), ids=list(LAYOUTS))
def test_f04_all_within_the_range_goes_and_no_more(connect, pasid, layout, extent):
    guest = space_guest(connect)
    ranges = [guest.iommu.map(BASE + first * PAGE, pages * PAGE, pasid=pasid)
              for first, pages in layout]
    first, pages = extent or (0, 0)
    guest.iommu.invalidate(BASE + first * PAGE if extent else 0, pages * PAGE, pasid)
    left = guest.iommu.mapped[pasid]
    for one in ranges:
        if one.address in left:
            guest.iommu.unmap(one)
        else:
            guest.refuse("DMA_UNMAP", flags=word("", pasid), address=one.address, size=one.size,
                         errno=ENOENT)
    assert guest.iommu.invalidate(pasid=pasid) == 0


@covers("VE-RANGE-001", "VE-UNMAP-004")
@in_each_space
@pytest.mark.parametrize("address, size", [(0, 0), (0, PAGE), (BASE, SIZE), (TOP - PAGE, PAGE),
                                           (0, TOP - PAGE), (1 << 52, 1 << 52)])
def test_f03_range_over_nothing_succeeds(connect, pasid, address, size):
    guest = space_guest(connect)
    for _ in range(2):
        assert guest.iommu.invalidate(address, size, pasid) == 0


@covers("VE-RANGE-001", "VE-UNMAP-004", "VE-RANGE-005")
@in_each_space
def test_f04_six_hundred_of_a_thousand_go(connect, pasid):
    session = connect(capabilities=VIOMMU)
    exchange_all(session, "DMA_MAP", (BASE + n * PAGE for n in range(MANY)), size=PAGE,
                 flags=word(RW, pasid))
    reply = session.call("DMA_UNMAP", flags=word("RANGE", pasid), address=BASE, size=STRETCH * PAGE)
    assert reply.size == STRETCH * PAGE
    exchange_all(session, "DMA_UNMAP", (BASE + n * PAGE for n in range(STRETCH, MANY)), size=PAGE,
                 flags=word("", pasid))
    assert session.call("DMA_UNMAP", flags=word("RANGE", pasid)).size == 0


@covers("VE-RANGE-002", "VE-UNMAP-004")
@in_each_space
@pytest.mark.parametrize("halves", [False, True], ids=["ends", "all"])
def test_whole_space_is_2_to_the_power_of_64(connect, pasid, halves):
    guest = space_guest(connect)
    places = [(0, TOP // 2), (TOP // 2, TOP // 2)] if halves else [(0, PAGE), (TOP - PAGE, PAGE)]
    for address, size in places:
        guest.iommu.map(address, size, pasid=pasid)
    assert guest.iommu.invalidate(pasid=pasid) == (EVERYTHING if halves else 2 * PAGE)
    for address, size in places:
        guest.iommu.map(address, size, pasid=pasid)


# ---- F05: what is refused ----


CUTS = {"first-half": (-1, 3), "second-half": (2, 3), "middle": (1, 2), "first-page": (0, 1),
        "last-page": (3, 1), "up-to-the-last": (-4, 7), "from-the-second": (1, 9)}


@covers("VE-RANGE-003")
@in_each_space
@pytest.mark.parametrize("first, pages", CUTS.values(), ids=list(CUTS))
def test_f05_range_that_cuts_a_mapping_removes_nothing(connect, pasid, first, pages):
    guest = space_guest(connect)
    places = [(BASE - 3 * PAGE, PAGE), (BASE, 4 * PAGE), (BASE + 5 * PAGE, PAGE)]
    ranges = [guest.iommu.map(address, size, pasid=pasid) for address, size in places]
    invalid(guest, BASE + first * PAGE, pages * PAGE, pasid)
    for one in ranges:
        guest.iommu.unmap(one)


MALFORMED = {
    "address": (BASE + 1, SIZE), "half-page-address": (BASE + PAGE // 2, SIZE),
    "size": (BASE, SIZE - 1), "size-of-a-byte": (BASE, 1), "both": (BASE + 8, SIZE - 8),
    "size-0": (BASE, 0), "top-and-size-0": (TOP - PAGE, 0), "wrap": (TOP - PAGE, 2 * PAGE),
    "wrap-to-the-base": (BASE, TOP - PAGE), "half-and-more": (TOP // 2, TOP // 2 + PAGE),
}


@covers("VE-RANGE-004", "VE-SEC-005")
@in_each_space
@pytest.mark.parametrize("address, size", MALFORMED.values(), ids=list(MALFORMED))
def test_malformed_range_is_refused(connect, pasid, address, size):
    guest = space_guest(connect)
    one = guest.iommu.map(BASE, SIZE, pasid=pasid)
    invalid(guest, address, size, pasid)
    guest.iommu.unmap(one)


@covers("VE-RANGE-004")
@in_each_space
def test_range_above_the_width_of_addresses_is_no_error(connect, pasid):
    guest = space_guest(connect, address_bits=32)
    guest.iommu.map((1 << 32) - PAGE, PAGE, pasid=pasid)
    assert guest.iommu.invalidate(1 << 32, 1 << 40, pasid) == 0
    assert guest.iommu.invalidate((1 << 32) - PAGE, 1 << 40, pasid) == PAGE


@covers("VE-UNMAP-002")
@in_each_space
@pytest.mark.parametrize("address, size", [(0, 0), (BASE, SIZE)], ids=["all", "range"])
def test_two_forms_at_once_are_refused(connect, pasid, address, size):
    guest = space_guest(connect)
    one = guest.iommu.map(BASE, SIZE, pasid=pasid)
    guest.refuse("DMA_UNMAP", flags=word("ALL|RANGE", pasid), address=address, size=size,
                 errno=EINVAL)
    guest.iommu.unmap(one)


# ---- F06: what holds it up ----


@covers("VE-DONE-001", "VE-DONE-002", "VE-RANGE-001")
@operated_in_each_space
def test_f06_reply_waits_for_the_one_operation_in_the_range(vguest, fds, pasid):
    let_drain(vguest)
    memory = fds.memory(SIZE)
    memory.write(0, canary())
    for page in range(SIZE // PAGE):
        vguest.iommu.map(BASE + page * PAGE, offset=page * PAGE, memory=memory, pasid=pasid)
    place = SIZE // 2
    vguest.start("FILL", BASE + place, PAGE, hold="MID", mid=16, seed=SEED, drain=True, pasid=pasid)
    vguest.held()
    sent = vguest.send("DMA_UNMAP", flags=word("RANGE", pasid), address=BASE, size=SIZE)
    assert_waits(vguest)
    vguest.slot().release("end")
    assert vguest.iommu.removed(sent, BASE, SIZE, pasid) == SIZE
    assert memory.read(place, PAGE) == moved(PAGE, PAGE)
    assert memory.read(0, place) == canary(place)
    assert_ended(vguest, "DONE", PAGE)
    assert vguest.run("FILL", BASE + place, PAGE, pasid=pasid) == MISSED


@covers("VE-DONE-005")
@operated_in_each_space
def test_f06_operation_outside_the_range_delays_nothing(vguest, fds, pasid):
    let_drain(vguest)
    busy = vguest.map_canary(fds, pasid=pasid)
    vguest.map(BASE + SIZE, pasid=pasid)
    vguest.map(BASE - SIZE, pasid=pasid)
    vguest.start("FILL", BASE, SIZE, hold="MID", mid=PAGE, seed=SEED, drain=True, pasid=pasid)
    vguest.held()
    for address in (BASE - SIZE, BASE + SIZE):
        reply = vguest.call("DMA_UNMAP", flags=word("RANGE", pasid), address=address, size=SIZE)
        assert reply.size == SIZE
    assert vguest.slot().state() == "HELD@MID"
    vguest.slot().step("end")
    assert vguest.wait() == "DONE"
    assert busy.holds(moved(SIZE))


# ---- F07: many at a time ----


@covers("VE-RANGE-006", "VE-RANGE-001")
@in_each_space
@pytest.mark.parametrize("mapped", [0, 1, 40], ids=["nothing", "one-each", "many-each"])
def test_f07_invalidations_in_flight_are_answered_in_their_order(connect, pasid, mapped):
    guest = space_guest(connect)
    size = 64 * PAGE
    for number in range(FLIGHT if mapped else 0):
        for page in range(mapped):
            guest.iommu.map(BASE + number * size + page * PAGE, pasid=pasid)
    sent = [guest.send("DMA_UNMAP", flags=word("RANGE", pasid), address=BASE + number * size,
                       size=size) for number in range(FLIGHT)]
    for one in sent:
        came = guest.session.receive()
        assert not isinstance(came, Refusal) and one.answered_by(came), "out of order"
        assert came.size == mapped * PAGE


@covers("VE-RANGE-006", "VE-DONE-007", "VE-DONE-008")
@operated_in_each_space
def test_f07_invalidations_behind_one_that_waits_come_in_order(vguest, fds, pasid):
    let_drain(vguest)
    busy = vguest.map_canary(fds, pasid=pasid)
    vguest.map(BASE + SIZE, pasid=pasid)
    vguest.start("FILL", BASE, SIZE, hold="MID", mid=PAGE, seed=SEED, drain=True, pasid=pasid)
    vguest.held()
    sent = [vguest.send("DMA_UNMAP", flags=word("RANGE", pasid), address=BASE, size=n * SIZE)
            for n in (1, 2, 2, 1)]
    assert_waits(vguest)
    vguest.slot().release("end")
    sizes = [vguest.success(one).size for one in sent]
    assert sizes == [SIZE, SIZE, 0, 0]
    assert busy.holds(moved(SIZE))


# ---- F09: enable bits do not matter ----


@covers("VE-UNMAP-005", "VE-PCI-005", "VE-MIG-004")
@operated_in_each_space
@pytest.mark.parametrize("off", ["ats", "bus-master", "both"])
def test_f09_range_is_removed_whatever_is_enabled(vguest, fds, pasid, off):
    at = vguest.capability(ATS)
    if at and off != "bus-master":
        vguest.write_config(at + ATS_CONTROL, 0)
    if off != "ats":
        vguest.write_config(COMMAND, vguest.read_config(COMMAND) & ~BUS_MASTER)
    one = vguest.map_canary(fds, pasid=pasid)
    if off == "ats":
        vguest.succeed("FILL", BASE, SIZE, seed=SEED, pasid=pasid)
        assert one.holds(moved(SIZE))
    vguest.unmapped(one, vguest.ask_unmap(one, "RANGE"))
    assert vguest.run("FILL", BASE, PAGE, pasid=pasid) == "FAULT"


# ---- F13: in which space ----


@covers("VE-ATC-005", "VE-ALL-002", "VE-SPACE-001")
@needs("provoke_dma", "pasid", "device_pasid")
@pytest.mark.parametrize("removed", [None, 0, P1])
@pytest.mark.parametrize("whole", [False, True], ids=["range", "space"])
def test_f13_range_of_one_space_is_removed_there_alone(vguest, fds, removed, whole):
    ranges = {pasid: vguest.map_canary(fds, pasid=pasid) for pasid in (None, 0, P1, P2)}
    for pasid in ranges:
        vguest.succeed("READ", BASE, SIZE, pasid=pasid)
    place = {} if whole else {"address": BASE, "size": SIZE}
    reply = vguest.call("DMA_UNMAP", flags=word("RANGE", removed), **place)
    assert reply.size == SIZE
    for seed, (pasid, one) in enumerate(ranges.items()):
        state = vguest.run("FILL", BASE, SIZE, seed=seed, pasid=pasid)
        assert state == (MISSED if pasid == removed else "DONE"), f"PASID {pasid}: {state}"
        assert one.holds(canary() if pasid == removed else pattern(seed, SIZE))


# ---- F16: very many ----


@covers("VE-RANGE-005", "VE-RANGE-001")
@needs("concurrent")
@in_each_space
def test_f16_space_of_very_many_mappings_goes_while_others_are_served(connect, pasid):
    session, other = connect(capabilities=VIOMMU), connect()
    count = session.limits.max_dma_maps
    exchange_all(session, "DMA_MAP", (BASE + 2 * n * PAGE for n in range(count)), size=PAGE,
                 flags=word(RW, pasid))
    sent = session.send("DMA_UNMAP", flags=word("RANGE", pasid))
    other.barrier()
    assert session.success(sent).size == count * PAGE
    map_range(session, BASE, 2 * count * PAGE, flags=word(RW, pasid))


# ---- F01, F02, F15: translations that the device keeps ----


def cached(guest, fds, pasid, slots):
    """A range that these slots have used twice: a device that keeps translations has hit."""
    at = guest.capability(ATS)
    if at:
        guest.write_config(at + ATS_CONTROL, ATS_ENABLE)
    guest.vdma.write("GCTL", CACHE)
    one = guest.map_canary(fds, pasid=pasid)
    for slot in (*slots, *slots):
        guest.succeed("READ", BASE, PAGE, slot, pasid=pasid)
    if guest.vdma.can("ATC"):
        assert guest.vdma.read("ATC_HITS"), "no translation was found in the cache"
    return one


@covers("VE-ATC-001", "VE-DONE-001", "VE-ATC-003")
@operated_in_each_space
@pytest.mark.parametrize("names", ["", "RANGE", "ALL"], ids=["exact", "range", "all"])
@pytest.mark.parametrize("slots", [(0,), (0, 1, 2)], ids=["one", "several"])
def test_f01_translation_that_was_used_is_gone_with_its_mapping(vguest, fds, pasid, names, slots):
    one = cached(vguest, fds, pasid, slots)
    vguest.unmapped(one, vguest.ask_unmap(one, names))
    for slot in slots:
        assert vguest.run("FILL", BASE, PAGE, slot, pasid=pasid) == MISSED
    assert one.holds(canary())


@covers("VE-ATC-002")
@operated_in_each_space
def test_f01_miss_is_not_kept(vguest, fds, pasid):
    other = cached(vguest, fds, pasid, (0,))
    vguest.unmap(other)
    for _ in range(3):
        assert vguest.run("FILL", BASE, PAGE, pasid=pasid) == MISSED
    one = vguest.map_canary(fds, pasid=pasid)
    vguest.succeed("FILL", BASE, SIZE, seed=SEED, pasid=pasid)
    assert one.holds(moved(SIZE))


@covers("VE-ATC-001", "VE-ATC-004")
@needs("replace")
@operated_in_each_space
@pytest.mark.parametrize("off", [False, True], ids=["on", "off-and-on"])
def test_f15_translation_is_that_of_the_mapping_that_took_its_place(vguest, fds, pasid, off):
    old = cached(vguest, fds, pasid, (0, 1))
    control = vguest.capability(ATS) + ATS_CONTROL
    if off:
        vguest.write_config(control, 0)
    new = vguest.replace(old, fds.memory(SIZE))
    if off:
        vguest.write_config(control, ATS_ENABLE)
    for slot in (0, 1):
        vguest.succeed("FILL", BASE, SIZE, slot, seed=SEED + slot, pasid=pasid)
        assert new.holds(pattern(SEED + slot, SIZE))
    assert old.holds(canary())
