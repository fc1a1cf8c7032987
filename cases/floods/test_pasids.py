# SPDX-License-Identifier: BSD-3-Clause
"""Spaces without end, removal of many mappings at once, and memory by name: rows of README.md about
what the vIOMMU extension adds to the table. For servers with the extension."""

from errno import EBUSY, EINVAL, ENOSPC

import pytest
from asking import Asker, in_spaces, offer
from mapping import BASE, PAGE, RW, SIZE

from vuc import covers, message, needs
from vuc.flood import Stride
from vuc.measure import queues
from vuc.session import TWIN
from vuc.vdma import SLOTS, TERMINAL
from vuc.viommu import word

pytestmark = needs("process", "proc", "reconnect", "viommu", "dma_maps", "pasid")

MAPS = 262_144
LEAST = 2048
NODE = 1.0  # KiB of an isolated mapping
ROOT = 4.25  # KiB of a space
AREA = 1 / 1024  # areas of addresses of a mapping
SOME = 1000  # that are mapped and removed at once
FEW = 4  # spaces of a client that uses one PASID after the other
LIVE = 64  # spaces whose markers nobody reads
MARKER = 32  # bytes, header included
ENDLESS = 100_000  # times that an operation goes over its range
DENSE = Stride("address", BASE, PAGE)
FAR = Stride("address", 0, PAGE, period=1 << 52, scatter=True)  # all over the 64 bits
EVERYTHING = message("DMA_UNMAP", flags="RANGE")


def end_all(flood, spaces):
    """Each of these spaces ends."""
    ends, turn = in_spaces("DMA_UNMAP", "ALL", spaces)
    gone = flood.run(ends, spaces, strides=[turn])
    assert gone.succeeded == spaces, f"all of {spaces} spaces ended: {gone.text()}"


@covers("LIM-REFUSE-001", "LIM-BOUND-001", "LIM-RECOVER-001", "LIM-OTHERS-001", "VE-SPACE-004")
def test_x03_spaces_are_refused_above_the_number_that_was_agreed_on(scene):
    scene.start("space")
    flood = scene.attack(**offer(page_requests=0))
    limit = flood.session.viommu["max_pasids"]
    count = limit + limit // 8
    what, turn = in_spaces("DMA_MAP", RW, count, size=PAGE)
    took = scene.curve(flood, what, count, strides=[turn, FAR])
    scene.refused(took, {ENOSPC}, at=limit)
    scene.bounded(took.succeeded, anon=ROOT + NODE)
    ends, _ = in_spaces("DMA_UNMAP", "ALL", count)
    flood.run(ends, 1)
    scene.recovers_one(flood.run(what, 1, first=limit, strides=[turn, FAR]).succeeded == 1)
    end_all(flood, count)
    scene.recovers("all")
    scene.served()
    scene.leaves(flood)


@covers("LIM-BOUND-001", "LIM-REFUSE-001", "LIM-RECOVER-001", "LIM-OTHERS-001", "LIM-COST-001",
        "VE-SEC-001")
@pytest.mark.parametrize("where", [FAR, DENSE], ids=["far-apart", "dense"])
def test_x03_maps_all_over_all_spaces_cost_a_node_each_and_no_more(scene, where):
    scene.start("map")
    flood = scene.attack(**offer(page_requests=0), max_dma_maps=MAPS)
    spaces = flood.session.viommu["max_pasids"]
    what, turn = in_spaces("DMA_MAP", RW, spaces, size=PAGE)
    took = scene.curve(flood, what, scene.count(MAPS, LEAST), strides=[turn, where])
    scene.refused(took)
    scene.bounded(took.succeeded, anon=NODE + ROOT * spaces / took.succeeded, vmas=AREA,
                  page_tables=NODE)
    scene.even()
    end_all(flood, spaces)
    scene.recovers("all")
    scene.served()
    scene.leaves(flood)


@covers("LIM-COST-001", "LIM-OTHERS-001", "VE-RANGE-005")
@needs("unmap_range")
def test_x22_range_over_all_addresses_costs_what_one_over_a_page_does(scene):
    scene.start("command")
    flood = scene.attack(**offer(page_requests=0), max_dma_maps=MAPS)
    full, _ = in_spaces("DMA_MAP", RW, 1, size=PAGE)
    there = flood.run(full, scene.count(MAPS, LEAST), strides=[DENSE])
    assert there.succeeded, there.text()
    count = scene.count(100_000, SOME)
    took = scene.curve(flood, EVERYTHING, count)
    assert not took.refused and not took.end, took.text()
    scene.even()
    scene.alike(lambda: flood.run(EVERYTHING, count),
                lambda: flood.run(EVERYTHING.replace(address=BASE, size=PAGE), count))
    end_all(flood, 1)
    scene.recovers("all")
    scene.served()
    scene.leaves(flood)


@covers("LIM-COST-001", "LIM-RECOVER-001", "LIM-OTHERS-001", "VE-RANGE-001")
@needs("unmap_range")
@pytest.mark.parametrize("where", [FAR, DENSE], ids=["far-apart", "dense"])
def test_x22_range_over_a_full_space_costs_what_is_in_it(scene, where):
    scene.start("thousand maps")
    flood = scene.attack(**offer(page_requests=0))
    what = message("DMA_MAP", flags=RW, size=PAGE)

    def act(number):
        took = flood.run(what, SOME, first=number * SOME, strides=[where])
        assert took.succeeded == SOME, f"round {number}: {took.text()}"
        gone = flood.run(EVERYTHING, 1)
        assert gone.succeeded == 1, gone.text()

    scene.each(scene.count(600, 24), act)
    scene.bounded()
    scene.even()
    scene.recovers("all")
    scene.served()
    scene.leaves(flood)


@covers("LIM-BOUND-001", "LIM-OTHERS-001", "LIM-RECOVER-001", "VE-SEC-001", "VE-ALL-005",
        "VE-DEAD-002")
@needs("twin", "page_requests")
def test_x27_markers_that_nobody_reads_do_not_pile_up(scene):
    scene.start("end")
    flood = scene.attack(**offer(twin=True))
    what, turn = in_spaces("DMA_MAP", RW, LIVE, address=BASE, size=PAGE)
    rounds = scene.count(200_000, 32 * LIVE) // LIVE

    def act(_):
        took = flood.run(what, LIVE, strides=[turn])
        assert took.succeeded == LIVE, took.text()
        end_all(flood, LIVE)

    scene.each(rounds, act)
    scene.bounded()
    scene.served()
    there = queues(flood.session, TWIN)[1] // MARKER
    asker = Asker(flood)
    asker.take()
    came = asker.markers
    assert set(came) == set(range(LIVE)), "the end of a space is not told"
    most = there + 2 * LIVE  # each may be owed, and about to be sent
    assert len(came) <= most, f"{len(came)} markers, {most} may be, of which {there} had come"
    scene.recovers("all")
    scene.leaves(flood)


@covers("LIM-REFUSE-001", "LIM-BOUND-001", "LIM-RECOVER-001", "LIM-OTHERS-001", "VE-SEC-001",
        "VE-MAP-007")
@needs("backing", "lease")
def test_x47_backing_windows_without_end_meet_a_quota(scene):
    scene.start("window")
    flood = scene.attack(**offer())
    count = scene.count(4096, 400)
    memory = scene.fds.memory(count * PAGE)
    strides = [DENSE, Stride("offset", 0, PAGE)]
    back = message("DMA_MAP", flags=f"{RW}|BACKING", size=PAGE)
    leave = message("DMA_UNMAP", flags="BACKING", size=PAGE)
    took = scene.curve(flood, back, count, strides=strides, fds=[memory], window=64)
    scene.refused(took)
    scene.bounded(took.succeeded, vmas=2, page_tables=4, anon=1)
    if took.refused:
        flood.run(leave, 1, strides=[DENSE])
        again = flood.run(back, 1, first=count - 1, strides=strides, fds=[memory])
        scene.recovers_one(again.succeeded == 1)
    gone = flood.run(leave, count, strides=[DENSE])
    assert gone.succeeded == took.succeeded, gone.text()
    scene.recovers("all")
    memory.sent()
    assert not memory.held(), "the file is held when its windows are gone"
    scene.served()
    scene.leaves(flood)


WINDOW = {"address": BASE, "size": SIZE}
LEAN, TURN = in_spaces("DMA_MAP", f"{RW}|INDIRECT", FEW, address=BASE, offset=BASE, size=SIZE)
TAKE_AWAY = message("DMA_UNMAP", flags="BACKING", **WINDOW)
NOWHERE = {
    "in-use": (TAKE_AWAY, EBUSY),
    "gone": (LEAN.replace(address=BASE + SIZE, offset=BASE + SIZE), EINVAL),
    "across-its-end": (LEAN.replace(address=BASE + SIZE, offset=BASE + PAGE), EINVAL),
}


@covers("LIM-BOUND-001", "LIM-RECOVER-001", "LIM-OTHERS-001", "VE-BACK-005", "VE-BACK-003")
@needs("backing", "lease")
@pytest.mark.parametrize("what, error", NOWHERE.values(), ids=NOWHERE)
def test_x47_names_that_lead_nowhere_are_refused_and_count_for_nothing(scene, what, error):
    scene.start("command")
    flood = scene.attack(**offer(page_requests=0))
    memory, window = scene.fds.memory(SIZE), f"{RW}|BACKING"
    for place in ({"address": BASE + SIZE, "size": SIZE}, WINDOW):
        flood.session.call("DMA_MAP", [memory], flags=window, **place)
    flood.session.call(TAKE_AWAY.replace(address=BASE + SIZE))
    there = flood.run(LEAN, FEW, strides=[TURN])
    assert there.succeeded == FEW, there.text()
    scene.attacked = scene.settled()
    took = scene.curve(flood, what, scene.count(100_000))
    assert not took.succeeded and not took.end, took.text()
    scene.refused(took, {error})
    scene.bounded()
    scene.even()
    scene.recovers("all")
    end_all(flood, FEW)
    flood.session.call(TAKE_AWAY)
    memory.sent()
    assert not memory.held(), "the file is held when its windows are gone"
    scene.served()
    scene.leaves(flood)


@covers("LIM-BOUND-001", "LIM-RECOVER-001", "LIM-OTHERS-001", "VE-DONE-001", "VE-ALL-004")
@needs("provoke_dma", "device_pasid")
def test_x49_pasid_that_comes_and_goes_under_dma_leaves_nothing(scene):
    scene.start("space")
    flood = scene.attack(**offer(page_requests=0, max_pasids=FEW))
    session, memory, blank = flood.session, scene.fds.memory(SIZE), bytes(SIZE)
    asker = Asker(flood)
    asker.enable(0)
    slot, place = asker.slot(0), {"address": BASE, "size": SIZE}
    begin = [slot.prepare("FILL", dst=BASE, length=SIZE, count=ENDLESS, pasid=pasid)
             for pasid in range(2 * FEW)]

    def act(number):
        pasid = number % len(begin)
        sent = [session.send("DMA_MAP", [memory], flags=word(RW, pasid), **place),
                session.send(begin[pasid]), session.send("DMA_UNMAP", flags=word("ALL", pasid))]
        for one in sent:
            session.success(one)
        memory.write(0, blank)
        state = slot.wait(TERMINAL)
        assert state != "DONE", "an operation without end is done"
        assert memory.read(0, SIZE) == blank, "bytes move behind the end of their space"

    scene.each(scene.count(5000, 200), act)
    scene.bounded(units=1, shmem=SIZE // 1024, threads=SLOTS)
    scene.recovers("all")
    scene.served()
    scene.leaves(flood)
