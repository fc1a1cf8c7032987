# SPDX-License-Identifier: BSD-3-Clause
"""Address spaces with a PASID: rows D01 to D09 and D13 to D17 of the catalogue (README.md)."""

from errno import EEXIST, EINVAL, ENOENT, ENOSPC

import pytest
from dma import memory_for
from flight import (
    BARRIER, SEED, assert_ended, assert_waits, canary, let_drain, moved,
)
from mapping import BASE, PAGE, RW, SIZE, assert_mapped, map_range
from spaces import P1, P2, P3, PAGE_REQUEST, offer, space_guest, space_session

from vuc import constants, covers, in_each_dialect, needs
from vuc.schema import pasid_of
from vuc.session import VIOMMU
from vuc.vdma import pattern
from vuc.viommu import WHOLE, halves, word

pytestmark = needs("viommu", "dma_maps", "pasid")

ABORTED = "ABORTED ECANCELED"
MISSED = "FAULT ENOENT"
SPACES = (None, 0, P1, P3)  # that are told apart
TOP = (1 << constants.LIMITS.PASID_BITS) - 1
on_the_device = needs("provoke_dma", "device_pasid")
each_way = pytest.mark.parametrize(
    "shared", [pytest.param(False, marks=needs("server_dma")), True], ids=["messages", "with-fd"])


def assert_where(guest, ranges):
    """Each space has its bytes alone: an operation in one is seen there and nowhere else."""
    for seed, one in enumerate(ranges, 1):
        guest.succeed("FILL", one.address, one.size, seed=seed, pasid=one.pasid)
        one_by_one = [pattern(min(i + 1, seed) if i < seed else 0, one.size) for i in range(seed)]
        for other, data in zip(ranges, one_by_one, strict=False):
            assert other.holds(data), f"PASID {other.pasid} after a write to {one.pasid}"
        assert all(other.holds(canary()) for other in ranges[seed:]), "a write to another space"


def mapped_canary(guest, fds, shared, pasid):
    """A range at BASE in that space, all canary."""
    one = guest.map(memory=memory_for(fds, shared), pasid=pasid)
    one.write(BASE, canary())
    return one


# ---- D01, D02: spaces are kept apart ----


@in_each_dialect
@covers("VE-SPACE-001", "VE-SPACE-002", "VE-DMA-001", "VE-SPACE-003")
@on_the_device
@each_way
def test_d01_same_address_leads_elsewhere_in_each_space(vguest, fds, shared):
    poc = vguest.session.poc
    spaces = SPACES if shared or not poc else (None, P1, P3)  # PASID 0 has no bit in its messages
    ranges = [mapped_canary(vguest, fds, shared, pasid) for pasid in spaces]
    assert_where(vguest, ranges)
    if not shared:
        asked = {halves(request.count, poc)[1] for request in vguest.requests}
        assert asked == set(spaces), f"it asks in {asked}"


@in_each_dialect
@covers("VE-SPACE-002", "VE-SPACE-001")
@on_the_device
@each_way
@pytest.mark.parametrize("mapped, used", [(None, 0), (0, None)], ids=["none", "zero"])
def test_d02_pasid_zero_is_not_the_space_without_pasid(vguest, fds, shared, mapped, used):
    if vguest.session.poc and not shared:
        pytest.skip("the messages of the poc dialect do not tell PASID 0 from none")
    one = mapped_canary(vguest, fds, shared, mapped)
    assert vguest.run("FILL", BASE, PAGE, pasid=used) == MISSED
    assert one.holds(canary())
    vguest.unmap(one)
    one = mapped_canary(vguest, fds, shared, used)
    vguest.succeed("FILL", BASE, SIZE, seed=SEED, pasid=used)
    assert one.holds(moved(SIZE))


@in_each_dialect
@covers("VE-SPACE-001", "VE-MAP-008", "VE-SEC-006")
@on_the_device
def test_d01_rights_are_those_of_the_space(vguest, fds):
    memory = fds.memory(SIZE)
    vguest.map(memory=memory, pasid=P1)
    vguest.map(memory=memory, flags="READ", pasid=P2)
    vguest.map(memory=memory, flags="WRITE")
    for pasid, read, write in ((P1, "DONE", "DONE"), (P2, "DONE", "FAULT EACCES"),
                               (None, "FAULT EACCES", "DONE")):
        assert vguest.run("READ", BASE, PAGE, pasid=pasid) == read
        assert vguest.run("WRITE", BASE, PAGE, pasid=pasid) == write


@in_each_dialect
@covers("VE-MAP-003", "VE-SPACE-001")
def test_d01_ranges_overlap_in_one_space_only(connect):
    session = space_session(connect)
    for pasid in SPACES:
        map_range(session, flags=word(RW, pasid))
    for pasid in SPACES:
        for address in (BASE - PAGE, BASE, BASE + SIZE - PAGE):
            session.refuse("DMA_MAP", flags=word(RW, pasid), address=address, size=2 * PAGE,
                           errno=EEXIST)


@covers("VE-MAP-001", "VE-SEC-005")
@pytest.mark.parametrize("pasid", [None, P1], ids=["none", "pasid"])
@pytest.mark.parametrize("bits", [32, 48])
def test_addresses_end_at_the_width_that_was_negotiated(connect, bits, pasid):
    session = connect(capabilities=offer(address_bits=bits))
    end = 1 << session.viommu["address_bits"]
    assert end <= 1 << bits
    for address, size in ((end, PAGE), (end - PAGE, 2 * PAGE), ((1 << 64) - PAGE, PAGE),
                          (0, (1 << 64) - PAGE)):
        session.refuse("DMA_MAP", flags=word(RW, pasid), address=address, size=size, errno=EINVAL)
    map_range(session, end - PAGE, PAGE, flags=word(RW, pasid))


# ---- D05: in which space ----


@in_each_dialect
@covers("VE-UNMAP-001", "VE-SPACE-001")
@pytest.mark.parametrize("mapped, named", [(P1, P2), (P1, None), (None, P1), (0, None), (None, 0),
                                           (TOP, P1)])
def test_d05_range_is_unmapped_in_its_own_space_only(connect, mapped, named):
    session = space_session(connect)
    map_range(session, flags=word(RW, mapped))
    session.refuse("DMA_UNMAP", flags=word("", named), address=BASE, size=SIZE, errno=ENOENT)
    reply = session.call("DMA_UNMAP", flags=word("", mapped), address=BASE, size=SIZE)
    assert (reply.address, reply.size, pasid_of(reply.flags)) == (BASE, SIZE, mapped)


# ---- D06, D07, D16: ALL ----


@covers("VE-ALL-002", "VE-ALL-004", "VE-UNMAP-004")
@pytest.mark.parametrize("ended", SPACES)
def test_d07_all_is_about_the_space_that_it_names(connect, ended):
    guest = space_guest(connect)
    for pasid in SPACES:
        for number in range(3):
            guest.iommu.map(BASE + 2 * number * PAGE, pasid=pasid)
    assert guest.iommu.end(ended) == 3 * PAGE
    for pasid in SPACES:
        if pasid == ended:
            guest.refuse("DMA_UNMAP", flags=word("", pasid), address=BASE, size=PAGE, errno=ENOENT)
        else:
            assert guest.iommu.invalidate(pasid=pasid) == 3 * PAGE


@covers("VE-ALL-002", "VE-ALL-004", "VE-ATC-001")
@on_the_device
@each_way
def test_d06_space_that_has_ended_is_missed_and_the_others_work(vguest, fds, shared):
    ended = mapped_canary(vguest, fds, shared, P1)
    other = mapped_canary(vguest, fds, shared, P2)
    vguest.succeed("READ", BASE, PAGE, pasid=P1)
    vguest.unmapped(ended, vguest.ask_unmap(ended, "ALL"))
    assert vguest.run("FILL", BASE, PAGE, pasid=P1) == MISSED
    assert ended.holds(canary())
    vguest.succeed("FILL", BASE, SIZE, seed=SEED, pasid=P2)
    assert other.holds(moved(SIZE))


@covers("VE-ALL-003", "VE-UNMAP-004")
@pytest.mark.parametrize("pasid", [None, 0, P1, TOP])
def test_d16_all_of_an_empty_space_succeeds(connect, pasid):
    guest = space_guest(connect)
    assert guest.iommu.end(pasid) == 0
    guest.iommu.map(BASE, pasid=pasid)
    assert guest.iommu.end(pasid) == PAGE
    assert guest.iommu.end(pasid) == 0


@covers("VE-ALL-001")
@pytest.mark.parametrize("address, size", [(BASE, SIZE), (0, SIZE), (BASE, 0), (PAGE, PAGE)])
@pytest.mark.parametrize("pasid", [None, P1], ids=["none", "pasid"])
def test_all_names_no_range(connect, pasid, address, size):
    session = connect(capabilities=VIOMMU)
    map_range(session, flags=word(RW, pasid))
    session.refuse("DMA_UNMAP", flags=word("ALL", pasid), address=address, size=size, errno=EINVAL)
    session.call("DMA_UNMAP", flags=word("", pasid), address=BASE, size=SIZE)


@covers("VE-ALL-005", "VE-ALL-008", "VE-REQ-001", "VE-REQ-010")
@needs("page_requests")
@pytest.mark.parametrize("twin", [False, pytest.param(True, marks=needs("twin"))],
                         ids=["single", "twin"])
def test_d11_marker_comes_before_the_reply_to_all_of_a_pasid(connect, twin):
    guest = space_guest(connect, twin)
    ended = (P1, P1, None, 0, TOP, P1)
    for pasid in ended:
        before = len(guest.iommu.markers)
        sent = guest.send("DMA_UNMAP", flags=word("ALL", pasid))
        if not twin and pasid is not None:
            came = guest.session.receive()
            assert came.header.command == PAGE_REQUEST, f"it comes before the marker: {came}"
            guest.iommu.requested(came)
        guest.iommu.removed(sent, 0, WHOLE, pasid)
        assert guest.iommu.markers[before:] == ([] if pasid is None else [pasid])
    guest.barrier()
    assert guest.iommu.markers == [pasid for pasid in ended if pasid is not None]


@covers("VE-ALL-005", "VE-ALL-006")
@needs("page_requests")
def test_d11_no_marker_comes_where_no_pages_are_asked_for(connect):
    guest = space_guest(connect, page_requests=0)
    guest.iommu.map(BASE, pasid=P1)
    guest.iommu.end(P1)
    guest.barrier()
    assert not guest.iommu.markers


# ---- D08, D14: operations without a space ----


@covers("VE-SPACE-006", "VE-DMA-008")
@on_the_device
@each_way
def test_d08_operation_in_a_space_without_mappings_misses(vguest, fds, shared):
    ranges = [mapped_canary(vguest, fds, shared, pasid) for pasid in (None, 0, P1)]
    for op in ("FILL", "READ", "TOUCH"):
        assert vguest.run(op, BASE, PAGE, pasid=P2) == MISSED
        assert vguest.run(op, BASE, PAGE, pasid=TOP) == MISSED
    assert not vguest.requests
    assert all(one.holds(canary()) for one in ranges)


@covers("VE-SPACE-005", "VE-PCI-016")
@on_the_device
@each_way
def test_d14_operation_fails_while_pasids_are_disabled(connect, fds, shared):
    guest = space_guest(connect)
    guest.enable(pasid=False)
    ranges = [mapped_canary(guest, fds, shared, pasid) for pasid in (None, 0, P1)]
    for pasid in (0, P1):
        state = guest.run("FILL", BASE, PAGE, pasid=pasid)
        assert state == "FAULT", f"PASID {pasid}: {state}"
    assert not guest.requests
    assert all(one.holds(canary()) for one in ranges)
    guest.enable()
    guest.succeed("FILL", BASE, SIZE, seed=SEED, pasid=P1)
    assert ranges[2].holds(moved(SIZE))
    assert ranges[0].holds(canary())
    assert ranges[1].holds(canary())


# ---- D09: a space ends under an operation ----


def held_in(guest, fds, point, **how):
    """A range of P1, and an operation in it that is held."""
    one = guest.map_canary(fds, pasid=P1)
    guest.start("FILL", BASE, SIZE, hold=point, seed=SEED, mid=PAGE, pasid=P1, **how)
    guest.held()
    return one


def assert_silent(guest, one, data):
    """The range holds this at the reply, and behind further commands."""
    assert one.holds(data), "the bytes at the reply are wrong"
    guest.slot().step("end")
    guest.wait()
    if not one.holds(data):
        failure = guest.failure("effect", "bytes move behind the reply")
        failure.requirement = BARRIER
        raise failure


FORMS = pytest.mark.parametrize("names", ["", "ALL", pytest.param("RANGE",
                                                                  marks=needs("unmap_range"))],
                                ids=["exact", "all", "range"])


@covers("VE-DONE-001", "VE-DONE-002", "VE-ALL-004", "VIO-UNMAP-002")
@on_the_device
@FORMS
@pytest.mark.parametrize("point, count", [("POST", 0), ("MID", PAGE)], ids=["translated", "middle"])
def test_d09_held_operation_is_aborted_when_its_space_loses_the_range(vguest, fds, names, point,
                                                                      count):
    one = held_in(vguest, fds, point)
    vguest.unmapped(one, vguest.ask_unmap(one, names))
    assert_silent(vguest, one, moved(count))
    assert_ended(vguest, ABORTED, count)


@covers("VE-DONE-001", "VE-ALL-004", "VIO-UNMAP-003")
@on_the_device
@FORMS
def test_d09_reply_waits_for_an_operation_that_drains(vguest, fds, names):
    let_drain(vguest)
    one = held_in(vguest, fds, "MID", drain=True)
    sent = vguest.ask_unmap(one, names)
    assert_waits(vguest)
    vguest.slot().release("end")
    vguest.unmapped(one, sent)
    assert_silent(vguest, one, moved(SIZE))
    assert_ended(vguest, "DONE", SIZE)


@covers("VE-DONE-005", "VE-ATC-005", "VE-ALL-002")
@on_the_device
@FORMS
@pytest.mark.parametrize("other", [None, 0, P2])
def test_d09_operation_in_another_space_delays_nothing(vguest, fds, names, other):
    let_drain(vguest)
    one = held_in(vguest, fds, "MID", drain=True)
    there = vguest.map(memory=one.memory, pasid=other)
    vguest.unmapped(there, vguest.ask_unmap(there, names))
    assert vguest.slot().state() == "HELD@MID"
    vguest.slot().step("end")
    assert vguest.wait() == "DONE"
    assert one.holds(moved(SIZE))


# ---- D13: how many spaces there are ----


@covers("VE-SPACE-004", "VE-MAP-006", "VE-SEC-001")
@pytest.mark.parametrize("most", [1, 7])
def test_d13_space_above_the_number_is_refused_until_another_has_ended(connect, most):
    guest = space_guest(connect, max_pasids=most)
    most = guest.session.viommu["max_pasids"]
    for pasid in range(most):
        guest.map(pasid=pasid)
    guest.map()
    for _ in range(2):
        guest.refuse("DMA_MAP", flags=word(RW, P3), address=BASE, size=SIZE, errno=ENOSPC)
        guest.map(BASE + SIZE, pasid=0)
        guest.unmap(guest.ranges[-1])
    guest.unmapped(guest.ranges[0], guest.ask_unmap(guest.ranges[0], "ALL"))
    guest.map(pasid=P3)
    guest.refuse("DMA_MAP", flags=word(RW, 0), address=BASE, size=SIZE, errno=ENOSPC)


@covers("VE-SPACE-009", "VE-ERR-002")
@pytest.mark.parametrize("names", ["", pytest.param("RANGE", marks=needs("unmap_range"))],
                         ids=["exact", "range"])
def test_d13_space_without_mappings_makes_room(connect, names):
    guest = space_guest(connect, max_pasids=2)
    for pasid in range(guest.session.viommu["max_pasids"]):
        guest.map(pasid=pasid)
    for pasid in range(P3, P3 + 9):
        guest.refuse("DMA_MAP", flags=word(RW, pasid), address=BASE, size=SIZE, errno=ENOSPC)
        guest.unmapped(guest.ranges[0], guest.ask_unmap(guest.ranges[0], names))
        guest.map(pasid=pasid)


@covers("VE-MAP-001", "VE-MAP-006")
@pytest.mark.parametrize("pasid", [None, P1], ids=["none", "pasid"])
@pytest.mark.parametrize("changes", [{"address": BASE + 8}, {"size": SIZE + 8}, {"offset": 8}],
                         ids=["address", "size", "offset"])
def test_mapping_of_parts_of_pages_is_refused(connect, pasid, changes):
    session = connect(capabilities=VIOMMU)
    fields = {"flags": word(RW, pasid), "address": BASE, "size": SIZE, **changes}
    session.refuse("DMA_MAP", errno=EINVAL, **fields)
    map_range(session, flags=word(RW, pasid))


# ---- D15, D17: what spaces and connections share ----


@in_each_dialect
@covers("VE-SPACE-001", "VE-ATC-005", "VE-SEC-006")
@on_the_device
@FORMS
def test_d15_page_of_two_spaces_stays_in_one_when_the_other_loses_it(vguest, fds, names):
    if vguest.session.poc and names == "ALL":
        pytest.skip("ALL is about all spaces in the poc dialect")
    memory = fds.memory(SIZE)
    gone, stays = vguest.map(memory=memory, pasid=P1), vguest.map(memory=memory, pasid=P2)
    for pasid in (P1, P2):
        vguest.succeed("FILL", BASE, PAGE, seed=pasid, pasid=pasid)
    vguest.unmapped(gone, vguest.ask_unmap(gone, names))
    assert vguest.run("FILL", BASE, PAGE, pasid=P1) == MISSED
    vguest.succeed("FILL", BASE, SIZE, seed=SEED, pasid=P2)
    assert stays.holds(moved(SIZE))


@covers("VE-SPACE-007", "VE-SEC-009", "VE-ALL-002")
@needs("concurrent")
@pytest.mark.parametrize("pasid", [None, P1], ids=["none", "pasid"])
@FORMS
def test_d17_space_of_one_connection_is_nothing_to_another(connect, pasid, names):
    first, second = space_guest(connect), space_guest(connect)
    for guest in (first, second):
        guest.map(pasid=pasid)
    first.unmapped(first.ranges[0], first.ask_unmap(first.ranges[0], names))
    second.unmap(second.ranges[0])
    first.map(pasid=pasid)
    assert_mapped_in(first, pasid)


def assert_mapped_in(guest, pasid):
    """BASE is mapped in that space, once."""
    guest.unmap(guest.ranges[-1])
    guest.refuse("DMA_UNMAP", flags=word("", pasid), address=BASE, size=SIZE, errno=ENOENT)


@covers("VE-DISC-002", "VE-SPACE-007")
@needs("reconnect")
def test_g09_no_space_is_left_for_the_next_client(connect):
    first = space_guest(connect, max_pasids=2)
    for pasid in (0, P1):
        first.map(pasid=pasid)
    first.session.close()
    second = space_guest(connect, max_pasids=2)
    for pasid in (P1, P2):
        second.refuse("DMA_UNMAP", flags=word("", pasid), address=BASE, size=SIZE, errno=ENOENT)
        second.map(pasid=pasid)


@covers("VE-SPACE-008", "VE-RST-001")
@on_the_device
@needs("reset")
def test_g04_mappings_of_all_spaces_are_used_after_a_reset(vguest, fds):
    ranges = [vguest.map_canary(fds, pasid=pasid) for pasid in SPACES]
    vguest.call("DEVICE_RESET")
    vguest.enable()
    assert_where(vguest, ranges)
    assert_mapped(vguest.session)
