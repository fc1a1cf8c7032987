# SPDX-License-Identifier: BSD-3-Clause
"""Descriptors and files without end: rows of README.md about what is passed, and what is behind
it."""

import os
import select
import socket
from array import array
from errno import EACCES, EBADF, EEXIST, EINVAL, ENODEV, ENOTSUP, ENXIO, EOVERFLOW, EPERM
from fcntl import F_ADD_SEALS, F_SEAL_WRITE, fcntl

import pytest
from flooding import FULL, MAP, NOFILE, UNMAP
from mapping import BASE, PAGE, RW

from vuc import covers, message, needs
from vuc.evidence import Fd
from vuc.flood import Stride
from vuc.vdma import TERMINAL, Vdma

pytestmark = needs("process", "proc", "reconnect")

DENSE = (Stride("address", BASE, PAGE),)
FILE_BYTES = 1 << 20
MIB = 1 << 20
HUGE = 1 << 62  # bytes of a file that has none
GIB = 1 << 30
ADDRESSES = 1 << 45  # bytes that a server may take of them: twice the quota of the reference server
LONG = 4  # times that an operation goes over its range
NO_MEMORY = {EINVAL, EACCES, EPERM, ENODEV, ENOTSUP, ENXIO, EBADF, EOVERFLOW, EEXIST}
ASK = message("DEVICE_GET_INFO")
IRQS = message("DEVICE_SET_IRQS", flags="DATA_EVENTFD|ACTION_TRIGGER", count=1)


@covers("LIM-REFUSE-001", "LIM-BOUND-001", "LIM-RECOVER-001", "LIM-OTHERS-001")
@needs("dma_maps")
def test_x07_new_file_with_each_map_ends_at_the_files_of_the_server(scene):
    scene.start("file", limit_nofile=NOFILE)
    flood = scene.attack()
    count = scene.count(4096, 400)
    took = scene.curve(flood, MAP, count, strides=DENSE, memfd_size=PAGE, window=64)
    scene.refused(took)
    scene.bounded(took.succeeded, fds=1, vmas=2, anon=1, page_tables=4)
    if took.refused and not took.closed:
        flood.run(UNMAP, 1, first=0, strides=DENSE)
        again = flood.run(MAP, 1, first=count, strides=DENSE, memfd_size=PAGE)
        scene.recovers_one(again.succeeded == 1)
        flood.run(UNMAP, 1, first=count, strides=DENSE)
        flood.run(UNMAP, count, strides=DENSE)
        scene.recovers("all")
    scene.served()
    scene.leaves(flood)


@covers("LIM-BOUND-001", "LIM-RECOVER-001", "LIM-OTHERS-001", "DMA-MAP-005")
@needs("dma_maps", "lease")
def test_x08_map_of_what_is_mapped_keeps_no_descriptor(scene):
    scene.start("map", limit_nofile=NOFILE)
    flood = scene.attack()
    memory = scene.fds.memory(PAGE)
    flood.session.call("DMA_MAP", [memory], flags=RW, address=BASE, size=PAGE)
    scene.attacked = scene.settled()
    took = scene.curve(flood, MAP, scene.count(100_000), fds=[memory], window=64)
    assert not took.succeeded and not took.end, took.text()
    scene.refused(took, {EEXIST})
    scene.bounded()
    scene.recovers("all")
    flood.session.call("DMA_UNMAP", address=BASE, size=PAGE)
    memory.sent()
    assert not memory.held(), "a map that was refused holds its memory"
    scene.served()
    scene.leaves(flood)


def sealed(fds):
    """A file that nobody may write any more."""
    number = os.memfd_create("sealed", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.truncate(number, FILE_BYTES)
    fcntl(number, F_ADD_SEALS, F_SEAL_WRITE)
    return fds.keep(Fd(number, "sealed-memfd"))


LATE = {
    "overlap": ({"address": BASE + PAGE, "size": PAGE}, lambda fds: fds.memory(FILE_BYTES)),
    "behind-the-end": ({"address": 1 << 32, "offset": 1 << 40, "size": PAGE},
                       lambda fds: fds.memory(FILE_BYTES)),
    "sealed": ({"address": 1 << 32, "size": PAGE}, sealed),
    "directory": ({"address": 1 << 32, "size": PAGE}, lambda fds: fds.kind("directory")),
    "pipe": ({"address": 1 << 32, "size": PAGE}, lambda fds: fds.kind("pipe")),
}


@covers("LIM-BOUND-001", "LIM-RECOVER-001", "LIM-OTHERS-001", "FD-PASS-007")
@needs("dma_maps")
@pytest.mark.parametrize(("fields", "make"), LATE.values(), ids=LATE)
def test_x09_map_that_fails_late_keeps_neither_descriptor_nor_area(scene, fields, make):
    scene.start("map")
    flood = scene.attack()
    one = make(scene.fds)
    flood.session.call("DMA_MAP", [scene.fds.memory(FILE_BYTES)], flags=RW, address=BASE,
                       size=16 * PAGE)
    scene.attacked = scene.settled()
    what = message("DMA_MAP", flags=RW, **fields)
    took = scene.curve(flood, what, scene.count(50_000), fds=[one], window=64)
    assert not took.end, took.text()
    scene.refused(took, NO_MEMORY)
    scene.bounded(took.succeeded)
    flood.run(message("DMA_UNMAP", address=fields["address"], size=PAGE), took.succeeded)
    scene.recovers("all")
    scene.served()
    scene.leaves(flood)


@covers("LIM-BOUND-001", "LIM-RECOVER-001", "LIM-OTHERS-001", "FD-PASS-007")
@pytest.mark.parametrize("name", ["DEVICE_GET_INFO", "DMA_MAP", "DEVICE_SET_IRQS", "REGION_READ"])
def test_x10_as_many_descriptors_as_go_with_a_message_are_closed(scene, name):
    scene.start("message", limit_nofile=NOFILE)
    memory = scene.fds.memory(PAGE)
    what = message(name)

    def act(_):
        with scene.target.negotiate() as session, scene.flood(session) as flood:
            flood.run(what, 4, fds=[memory] * 253, window=4)

    scene.each(scene.count(600, 48), act)
    scene.bounded(units=1, fds=256)
    scene.served()
    scene.recovers("disconnect")


def begun(path, fds):
    """A connection with the first bytes of a message, and descriptors; None where nobody takes
    it."""
    ours = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    ours.setblocking(False)
    try:
        ours.connect(path)
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", fds))] if fds else []
        ours.sendmsg([ASK.bytes()[:8]], rights)
    except OSError:
        ours.close()
        return None
    return ours


@covers("LIM-BOUND-001", "LIM-RECOVER-001", "LIM-OTHERS-001", "FD-PASS-009")
@pytest.mark.parametrize("each", [0, 16], ids=["without", "with-descriptors"])
def test_x11_half_messages_on_many_connections_leave_room_for_others(scene, each):
    scene.start("connection", limit_nofile=NOFILE)
    memory, held = scene.fds.memory(PAGE), []

    def act(_):
        one = begun(scene.target.socket, [memory.fileno()] * each)
        if one is not None:
            scene.opened.callback(one.close)
            held.append(one)

    scene.each(scene.count(10_000, 128), act)
    assert scene.sample().fds <= NOFILE
    scene.recovers_one_client(held)
    scene.served()
    for one in held:
        one.close()
    scene.target.connect().close()
    scene.recovers("disconnect")


@covers("LIM-RECOVER-001", "LIM-BOUND-001", "FD-PASS-007")
@needs("dma_maps")
@pytest.mark.parametrize("kind", ["connection", "watch-of-it", "pair"])
def test_x12_sockets_that_are_passed_over_themselves_are_let_go(scene, kind):
    scene.start("socket")

    def act(_):
        with scene.target.negotiate() as session, scene.flood(session) as flood:
            own = os.dup(session.fileno())
            if kind == "watch-of-it":
                with select.epoll() as epoll:
                    epoll.register(own, select.EPOLLIN)
                    os.dup2(epoll.fileno(), own)
            elif kind == "pair":
                ours, other = socket.socketpair()
                with ours, other:
                    ours.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                                           array("i", [other.fileno()]))])
                    os.dup2(other.fileno(), own)
            for what in (MAP, IRQS, ASK):
                flood.run(what, 1, fds=[own])
            os.close(own)

    scene.each(scene.count(1000, 32), act)
    scene.bounded()
    scene.served()
    scene.recovers("disconnect")


@covers("LIM-RECOVER-001", "LIM-BOUND-001", "LIM-OTHERS-001", "SEC-GEN-008")
@needs("impatient")
@pytest.mark.parametrize("negotiated", [False, True], ids=["at-first", "negotiated"])
def test_x12_socket_in_half_a_message_of_its_own_is_let_go_in_the_end(scene, negotiated):
    scene.start("socket")
    probes = [scene.fds.probe() for _ in range(scene.count(32, 4))]

    def act(number):
        session = scene.raw()
        if negotiated:
            session.negotiate()
        # When we have gone, nobody but the server keeps the client's end open.
        session.send_bytes(ASK.bytes()[:8], [session, probes[number]])
        session.close()
        released = probes[number].released()
        assert released, "a connection that is only open because the server holds both ends stays"

    scene.each(len(probes), act)
    scene.bounded()
    scene.served()
    scene.recovers("disconnect")


@covers("LIM-REFUSE-001", "LIM-BOUND-001", "LIM-RECOVER-001", "LIM-OTHERS-001")
@needs("dma_maps")
def test_x13_maps_all_over_an_endless_file_meet_a_quota(scene):
    scene.start("map")
    flood = scene.attack()
    number = os.memfd_create("endless", os.MFD_CLOEXEC)
    one = scene.fds.keep(Fd(number, "endless-memfd"))
    os.truncate(number, HUGE)
    strides = (Stride("address", 1 << 44, GIB),
               Stride("offset", 0, 2 * GIB, period=1 << 17, scatter=True))  # in 256 TiB
    what = message("DMA_MAP", flags=RW, size=GIB)
    count = scene.count(100_000, 1024)
    with scene.meter.limited("space", scene.sample().space * 1024 + ADDRESSES):
        took = scene.curve(flood, what, count, strides=strides, fds=[one], window=64)
    scene.refused(took)
    scene.bounded(took.succeeded, anon=4, vmas=2, fds=1, page_tables=8)
    gone = message("DMA_UNMAP", size=GIB)
    if took.refused and not took.closed:
        flood.run(gone, 1, strides=strides[:1])
        again = flood.run(what, 1, strides=strides, fds=[one])
        scene.recovers_one(again.succeeded == 1)
    flood.run(gone, count, strides=strides[:1])
    scene.recovers("all")
    scene.served()
    scene.leaves(flood)


@covers("LIM-BOUND-001", "LIM-RECOVER-001", "LIM-OTHERS-001")
@needs("dma_maps", "provoke_dma", "lease")
def test_x14_dma_all_over_a_large_file_costs_the_file_and_goes_with_it(scene):
    scene.start("MiB")
    flood = scene.attack()
    count = scene.count(96, 8)
    memory = scene.fds.memory(count * MIB)
    place = {"address": BASE, "size": count * MIB}
    flood.session.call("DMA_MAP", [memory], flags=RW, **place)
    slot = Vdma(flood.session).slot()

    def act(number):
        state = slot.run("FILL", dst=BASE + number * MIB, length=PAGE, count=MIB // PAGE,
                         stride=PAGE, seed=number)
        assert state == "DONE", f"MiB {number}: {state}"

    scene.each(count, act)
    scene.bounded(count, shmem=1024, page_tables=8)
    flood.session.call("DMA_UNMAP", **place)
    scene.recovers("all")
    memory.sent()
    assert not memory.held(), "the file is held behind its unmap"
    scene.served()
    scene.leaves(flood)


@covers("LIM-OTHERS-001", "LIM-BOUND-001", "SEC-GEN-006")
@needs("dma_maps", "provoke_dma")
def test_x15_file_that_is_cut_and_grows_under_dma_ends_nothing(scene):
    scene.start("cut")
    flood = scene.attack()
    memory, size = scene.fds.memory(64 * PAGE), 64 * PAGE
    flood.session.call("DMA_MAP", [memory], flags=RW, address=BASE, size=size)
    slot = Vdma(flood.session).slot()

    def act(number):
        slot.start("FILL", dst=BASE, length=size, count=LONG, seed=number)
        memory.truncate(0)
        memory.truncate(size)
        slot.wait(TERMINAL)

    scene.each(scene.count(200, 24), act)
    scene.bounded(units=1, shmem=64 * 4)
    flood.session.call("DMA_UNMAP", address=BASE, size=size)
    scene.recovers("all")
    scene.served()
    scene.leaves(flood)


@covers("LIM-BOUND-001", "LIM-RECOVER-001", "LIM-OTHERS-001")
@needs("irq1")
def test_x34_eventfds_that_take_the_place_of_others_do_not_add_up(scene):
    scene.start("assignment", limit_nofile=NOFILE)
    flood = scene.attack()
    irq = scene.device.irq_with()
    eventfds = scene.fds.eventfds(8)
    what = IRQS.replace(index=irq.index)
    took = scene.curve(flood, what, scene.count(100_000), fds=eventfds, each=1, window=64)
    assert not took.end and not took.refused, took.text()
    scene.bounded(units=1, fds=irq.count)
    wrong = what.replace(start=irq.count - 1, count=(1 << 32) - 1)
    refused = flood.run(wrong, scene.count(10_000), fds=eventfds, each=1, window=64)
    assert not refused.succeeded, refused.text()
    scene.refused(refused, FULL | NO_MEMORY)
    scene.bounded(units=1, fds=irq.count)
    flood.session.call("DEVICE_SET_IRQS", flags="DATA_NONE|ACTION_TRIGGER", index=irq.index)
    scene.recovers("all")
    again = flood.run(what, len(eventfds), fds=eventfds, each=1)  # that the client leaves behind
    assert not again.refused, again.text()
    scene.served()
    scene.leaves(flood)
