# SPDX-License-Identifier: BSD-3-Clause
"""Mappings without end: rows of README.md about the table, its memory, and areas of addresses."""

from errno import EEXIST, EINVAL, ENOENT, ENOMEM

import pytest
from flooding import FULL, MAP, UNMAP
from mapping import BASE, PAGE, RW

from vuc import covers, message, needs
from vuc.flood import Stride
from vuc.vdma import Vdma

pytestmark = needs("process", "proc", "reconnect", "dma_maps")

BOUNDS = covers("LIM-BOUND-001", "LIM-REFUSE-001", "LIM-RECOVER-001", "LIM-OTHERS-001",
                "LIM-COST-001", "SEC-GEN-003")
MAPS = 262_144
MOST = 1 << 20  # maps that are tried in full length where the server announces them
UNASKED = 65_535  # that a client has which proposes nothing
LEAST = 2048
QUICK = 0.1  # the scale of a short run
CHURN = 1_000_000  # maps that come and go
TIB = 1 << 40
SOME = 16  # that are looked at one by one
NODE = 1.0  # KiB of an isolated mapping
AREA = 1 / 1024  # areas of the same
DENSE_COST = 16 / 1024
DENSE = (Stride("address", BASE, PAGE),)
FAR = (Stride("address", 0, PAGE, period=1 << 52, scatter=True),)  # all over the 64 bits
ROOMS = (1 << 26, 5 << 19)  # bytes of address space beyond what it has: in full, and at the least
PROPOSES_NOTHING = pytest.mark.parametrize("asked", [{}], ids=["rpcit"])


def wanted(scene, flood):
    """How many maps are to be tried, and the number that has to be refused if there is one. An
    eighth more is asked for than was announced, in short runs as well, so that they end alike."""
    limit = flood.session.limits.max_dma_maps
    count = scene.count(MAPS, LEAST)
    if limit <= (MOST if scene.scale >= 1 else MAPS if scene.scale >= QUICK else count):
        return limit + limit // 8, limit
    return count, None


def give_back(scene, flood, took, strides, what=MAP, **how):
    """One is unmapped and another mapped, then all of them, then the client leaves."""
    last = took.sent + 1
    if took.refused:
        flood.run(UNMAP, 1, first=0, strides=strides)
        scene.recovers_one(flood.run(what, 1, first=last, strides=strides, **how).succeeded == 1)
        flood.run(UNMAP, 1, first=last, strides=strides)
    gone = flood.run(UNMAP, took.sent, strides=strides)
    assert not gone.end, f"all of them unmapped: {gone.text()}"
    assert gone.succeeded >= took.succeeded - 1, f"{took.succeeded} mapped, {gone.text()}"
    scene.recovers("all")
    scene.served()
    scene.leaves(flood)


def dense(scene, **asked):
    """Dense maps on a client that asks for this, to the number that it has."""
    scene.start("map")
    flood = scene.attack(**asked)
    count, limit = wanted(scene, flood)
    took = scene.curve(flood, MAP, count, strides=DENSE)
    scene.refused(took, at=limit)
    scene.bounded(took.succeeded, anon=DENSE_COST)
    scene.even()
    give_back(scene, flood, took, DENSE)
    return flood


@BOUNDS
def test_x01_dense_maps_are_refused_where_it_was_announced(scene):
    dense(scene, max_dma_maps=MAPS)


@BOUNDS
@PROPOSES_NOTHING
def test_x01_client_that_proposes_no_number_has_the_default(scene, asked):
    flood = dense(scene, **asked)
    assert flood.session.limits.max_dma_maps == UNASKED


@BOUNDS
def test_x02_maps_far_apart_cost_a_node_each_and_no_more(scene):
    scene.start("map")
    flood = scene.attack(max_dma_maps=MAPS)
    count, _ = wanted(scene, flood)
    took = scene.curve(flood, MAP, count, strides=FAR)
    scene.refused(took, FULL | {EINVAL})
    scene.bounded(took.succeeded, anon=NODE, vmas=AREA, page_tables=NODE)
    scene.even()
    give_back(scene, flood, took, FAR)


@covers("LIM-BOUND-001", "LIM-RECOVER-001", "LIM-OTHERS-001", "LIM-COST-001")
def test_x04_maps_that_come_and_go_leave_the_table_as_it_was(scene):
    scene.start("thousand maps")
    flood = scene.attack()
    some = min(1000, flood.session.limits.max_dma_maps)
    rounds = scene.count(CHURN, 32_000) // 1000

    def act(number):
        for what in (MAP, UNMAP):
            took = flood.run(what, some, first=number * some, strides=FAR)
            assert took.succeeded == some, f"round {number}: {took.text()}"

    scene.each(rounds, act)
    scene.bounded()
    scene.even()
    scene.recovers("all")
    scene.served()
    scene.leaves(flood)


def by_turns(scene, **asked):
    """Dense maps all over one file on a client that asks for this, to the number that it has."""
    scene.start("map")
    flood = scene.attack(**asked)
    count, limit = wanted(scene, flood)
    memory = scene.fds.memory(MAPS * 2 * PAGE)
    strides = (*DENSE, Stride("offset", 0, PAGE, period=MAPS * 2, scatter=True))
    took = scene.curve(flood, MAP, count, strides=strides, fds=[memory])
    scene.refused(took, at=limit)
    scene.bounded(took.succeeded, anon=DENSE_COST)
    scene.even()
    give_back(scene, flood, took, DENSE, fds=[memory])
    memory.sent()
    assert not memory.held(), "the file is held when the client has left"


@BOUNDS
@needs("lease")
def test_x05_maps_of_one_file_by_turns_cost_no_area_and_no_descriptor(scene):
    by_turns(scene, max_dma_maps=MAPS)


@BOUNDS
@needs("lease")
@PROPOSES_NOTHING
def test_x05_client_that_proposes_no_number_has_the_default(scene, asked):
    by_turns(scene, **asked)


@covers("LIM-BOUND-001", "LIM-RECOVER-001", "LIM-OTHERS-001", "DMA-UNMAP-003")
def test_x06_every_second_map_is_unmapped_and_out_of_reach(scene):
    scene.start("map")
    flood = scene.attack(max_dma_maps=MAPS)
    count, _ = wanted(scene, flood)
    memory = scene.fds.memory(MAPS * 2 * PAGE)
    strides = (*DENSE, Stride("offset", 0, 2 * PAGE, period=MAPS))
    took = scene.curve(flood, MAP, count, strides=strides, fds=[memory])
    half = took.succeeded // 2
    every_second = (Stride("address", BASE, 2 * PAGE),)
    gone = flood.run(UNMAP, half, strides=every_second)
    assert gone.succeeded == half, f"every second one unmapped: {gone.text()}"
    scene.bounded(took.succeeded, anon=DENSE_COST)
    if scene.device.has("provoke_dma"):
        slot = Vdma(flood.session).slot()
        for number in range(min(SOME, took.succeeded)):
            state = slot.run("FILL", dst=BASE + number * PAGE, length=64)
            assert (state == "DONE") == bool(number % 2), f"page {number}: {state}"
    again = flood.run(MAP, half, strides=every_second)
    assert again.succeeded == half, f"mapped again: {again.text()}"
    give_back(scene, flood, took, DENSE)


@covers("LIM-BOUND-001", "LIM-COST-001", "LIM-RECOVER-001")
@pytest.mark.parametrize("address", [TIB, TIB + PAGE], ids=["aligned", "unaligned"])
def test_x23_large_range_comes_and_goes_at_a_steady_cost(scene, address):
    scene.start("map")
    flood = scene.attack()
    rounds = scene.count(10_000)

    def churn(size):
        place = {"address": address, "size": size}
        pair = message("DMA_MAP", flags=RW, **place), message("DMA_UNMAP", **place)

        def act(number):
            for what in pair:
                took = flood.run(what, 1, first=number)
                assert took.succeeded, f"{what.text()}: {took.text()}"

        return act

    def over(act):
        for number in range(rounds):
            act(number)

    scene.each(rounds, churn(TIB))
    scene.bounded()
    scene.even()
    scene.served()  # what it costs the server would count for both
    scene.alike(lambda: over(churn(TIB)), lambda: over(churn(PAGE)))
    scene.recovers("all")
    scene.leaves(flood)


@covers("LIM-REFUSE-001", "LIM-RECOVER-001", "SEC-GEN-001")
@pytest.mark.parametrize("strides", [DENSE, FAR], ids=["dense", "far-apart"])
def test_x50_server_without_room_for_more_refuses_and_lives(scene, strides):
    scene.start("map", honest=False)
    if scene.sanitized():
        pytest.skip("a sanitizer needs the address space")
    flood = scene.attack(max_dma_maps=MAPS)
    count, limit = wanted(scene, flood)
    room = ROOMS[1] if strides is DENSE else max(ROOMS[1], round(ROOMS[0] * scene.scale))
    with scene.meter.limited("space", scene.sample().space * 1024 + room):
        took = scene.curve(flood, MAP, count, strides=strides)
        assert not took.end, took.text()
        scene.refused(took, FULL | {EINVAL})
        if took.refused and took.succeeded:
            flood.run(UNMAP, 1, strides=strides)
            scene.recovers_one(flood.run(MAP, 1, strides=strides).succeeded == 1)
    if limit is not None and took.first_refused < limit:
        assert ENOMEM in took.errors, f"without memory for {limit}: {took.text()}"
    flood.run(UNMAP, took.sent, strides=strides)
    again = flood.run(MAP, SOME, strides=strides)
    assert again.succeeded == SOME, f"when it has room again: {again.text()}"
    flood.run(UNMAP, SOME, strides=strides)
    scene.recovers("all")
    scene.leaves(flood)


@covers("LIM-BOUND-001", "LIM-OTHERS-001", "DMA-UNMAP-004")
def test_x48_unmap_with_any_flag_ends_nothing(scene):
    scene.start("command")
    flood = scene.attack()
    flags = (Stride("flags", 0, 1, period=1 << 32, scatter=True),)
    took = scene.curve(flood, UNMAP, scene.count(100_000), first=1, strides=flags)
    assert not took.closed, took.text()
    scene.refused(took, {EINVAL, ENOENT, EEXIST} | FULL)
    scene.bounded()
    scene.even()
    scene.served()
    scene.leaves(flood)
