# SPDX-License-Identifier: BSD-3-Clause
"""Clients without end, and what one of them may make the device do: rows of README.md about
connections, negotiation, and operations."""

import socket
from errno import EAGAIN, EINVAL, ENOSPC
from struct import pack
from time import monotonic, perf_counter

import pytest
from flooding import FULL, MAP, NOFILE, UNMAP
from mapping import BASE, PAGE, RW
from migrating import set_message

from vuc import Failure, covers, message, needs, structure
from vuc.duration import long
from vuc.flood import Stride
from vuc.vdma import Vdma

pytestmark = needs("process", "proc", "reconnect")

SLOTS = 8
HUNDRED = 100  # maps that come and go behind one another
CLIENTS = 1000  # more than any server may want to serve at a time
SILENT = 100_000  # that come and go without a word
MIB = 1 << 20
CHUNK = 1 << 16
HALF = message("DMA_MAP", flags=RW, address=BASE, size=PAGE).bytes(2)
VERSION = message("VERSION", data=b'{"capabilities":{"max_msg_fds":8}}\0').bytes(1)


def opened(path, *images):
    """A connection on which that was sent; None where the server takes no more of them."""
    ours = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    ours.setblocking(False)
    try:
        ours.connect(path)
        for image in images:
            ours.send(image)
    except OSError:
        ours.close()
        return None
    return ours


@covers("LIM-BOUND-001", "LIM-RECOVER-001", "LIM-OTHERS-001", "LIM-LOG-001")
@pytest.mark.parametrize("images", [(), (VERSION, HALF[:20])], ids=["silent", "half-a-message"])
def test_x30_connections_that_stay_are_bounded_and_fill_no_log(scene, images):
    scene.start("connection", limit_nofile=NOFILE)
    held = []

    def act(_):
        one = opened(scene.target.socket, *images)
        if one is not None:
            scene.opened.callback(one.close)
            held.append(one)

    scene.each(scene.count(10_000, 128), act)
    scene.bounded(len(held), fds=1, anon=64)
    scene.recovers_one_client(held)
    scene.served()
    for one in held:
        one.close()
    scene.target.connect().close()
    scene.recovers("disconnect")


@covers("LIM-BOUND-001", "LIM-RECOVER-001", "LIM-OTHERS-001", "LIM-LOG-001", "DISC-CLI-008")
@pytest.mark.parametrize("images", [(), (VERSION,), (VERSION, HALF)],
                         ids=["silent", "negotiated", "mapped"])
def test_x31_clients_that_come_and_go_leave_nothing(scene, images):
    scene.start("client")

    def act(_):
        ours = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with ours:
            # A socket with a timeout would not wait for room in the backlog.
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, pack("ll", round(long()), 0))
            try:
                ours.connect(scene.target.socket)
                ours.settimeout(long())
                for image in images:
                    ours.send(image)
                    ours.recv(4096)
            except ConnectionError:
                pass  # too many of them: some are turned away
            except (BlockingIOError, TimeoutError) as error:
                raise Failure("server.unreachable", "one of many clients is not served") from error

    scene.each(scene.count(6000 if images else SILENT, 100), act)
    scene.bounded()
    scene.served()
    scene.recovers("disconnect")


def text(words):
    """A VERSION message with these version data."""
    return message("VERSION", data=words + b"\0")


TEXTS = {
    "mebibyte": b'{"a":"' + b"x" * (MIB - 64) + b'"}',
    "arrays": b"[" * 30_000 + b"]" * 30_000,
    "keys": b'{"capabilities":{' + b",".join(b'"k%d":%d' % (i, i) for i in range(4000)) + b"}}",
    "same-key": b'{"capabilities":{' + b",".join([b'"max_msg_fds":1'] * 3000) + b"}}",
    "numbers": b'{"capabilities":{"max_msg_fds":1e400,"max_dma_maps":-1,"pgsizes":NaN}}',
}


@covers("LIM-BOUND-001", "LIM-RECOVER-001", "LIM-OTHERS-001", "VER-JSON-008")
@pytest.mark.parametrize("words", TEXTS.values(), ids=TEXTS)
def test_x32_hostile_version_data_cost_nothing_that_stays(scene, words):
    scene.start("negotiation")
    what = text(words)

    def act(_):
        with scene.target.connect() as session, scene.flood(session) as flood:
            took = flood.run(what, 1)
            assert not took.silent, "neither a reply nor the end of the connection"

    scene.each(scene.count(400, 32), act)
    scene.bounded()
    scene.served()
    scene.recovers("disconnect")


@covers("LIM-REFUSE-001", "LIM-RECOVER-001", "VER-JSON-008", "SEC-GEN-001")
@pytest.mark.parametrize("room", [CHUNK], ids=["texts"])
def test_x50_version_data_that_there_is_no_memory_for_end_nothing(scene, room):
    scene.start("negotiation", honest=False)
    if scene.sanitized():
        pytest.skip("a sanitizer needs the address space")
    texts = [text(words) for words in TEXTS.values()]

    def act(number):
        with scene.target.connect() as session, scene.flood(session) as flood:
            took = flood.run(texts[number % len(texts)], 1)
            assert not took.silent, "neither a reply nor the end of the connection"

    with scene.meter.limited("space", scene.sample().space * 1024 + room):
        scene.each(scene.count(400, 40), act)
    scene.bounded()
    scene.target.negotiate().close()
    scene.recovers("disconnect")


@covers("LIM-BOUND-001", "LIM-OTHERS-001", "LIM-RECOVER-001")
@needs("dma_maps", "provoke_dma", "reset")
def test_x44_endless_operations_in_all_slots_leave_room_for_others_and_end_with_a_reset(scene):
    scene.start("round")
    flood = scene.attack()
    memory = scene.fds.memory(MIB)
    flood.session.call("DMA_MAP", [memory], flags=RW, address=BASE, size=MIB)
    vdma = Vdma(flood.session)
    times = []

    def act(_):
        for number in range(SLOTS):
            vdma.slot(number).start("FILL", dst=BASE, length=MIB, count=(1 << 32) - 1)
        began = perf_counter()
        flood.session.call("DEVICE_RESET")
        times.append(perf_counter() - began)
        for number in range(SLOTS):
            state = vdma.slot(number).state()
            assert state in ("IDLE", "ABORTED"), f"slot {number} behind the reset: {state}"

    scene.each(scene.count(120, 16), act)
    scene.prompt(times)
    scene.bounded(units=1, shmem=MIB // 1024, threads=SLOTS)
    scene.served()
    scene.leaves(flood)


@covers("LIM-BOUND-001", "LIM-OTHERS-001", "LIM-RECOVER-001")
@needs("dma_maps", "provoke_dma", "concurrent")
def test_x45_unmaps_that_wait_for_their_own_dma_cost_one_thread_each_at_most(scene):
    scene.start("client")
    held = []

    def act(_):
        try:
            session = scene.connect()
            for address in (BASE, BASE + PAGE):
                session.call("DMA_MAP", [scene.fds.memory(PAGE)], flags=RW, address=address,
                             size=PAGE)
            slot = Vdma(session).slot()
            slot.start("FILL", dst=BASE, length=PAGE, hold="POST", drain=True)
            slot.wait()
        except Failure as failure:
            if failure.code not in ("reply.closed", "server.unreachable"):
                raise
            return  # no more of them are served
        session.send("DMA_UNMAP", address=BASE, size=PAGE, maybe=True)
        held.append(session)

    scene.each(scene.count(CLIENTS, 24), act)
    assert held, "no client was served"
    scene.bounded(len(held), threads=2, fds=8, vmas=16, anon=512, shmem=64, page_tables=64)
    scene.recovers_one_client(held)
    scene.served()
    for session in held:
        session.close()
    scene.recovers("disconnect")


class Pace:
    """How fast the operation of a slot goes on: what it has moved while something was done."""

    def __init__(self, slot):
        self.slot = slot
        self.bytes, self.seconds = 0, 0.0

    def over(self, act):
        """While this is done."""
        began, before = perf_counter(), self.slot.moved()
        act()
        self.bytes += (self.slot.moved() - before) % (1 << 32)
        self.seconds += perf_counter() - began

    def goes_on(self):
        """It moves something now."""
        before, end = self.slot.moved(), monotonic() + long()
        while self.slot.moved() == before:
            assert monotonic() < end, "nothing is moved any more"


@covers("LIM-OTHERS-001", "LIM-BOUND-001", "LIM-RECOVER-001")
@needs("dma_maps", "provoke_dma")
def test_x46_maps_that_come_and_go_leave_dma_of_other_memory_going(scene):
    scene.start("hundred maps")
    flood = scene.attack()
    memory = scene.fds.memory(MIB)
    place = {"address": 1 << 44, "size": MIB}
    flood.session.call("DMA_MAP", [memory], flags=RW, **place)
    slot = Vdma(flood.session).slot()
    slot.start("FILL", dst=place["address"], length=PAGE, count=(1 << 32) - 1)
    ask = message("DEVICE_GET_INFO")
    alone, beside = Pace(slot), Pace(slot)

    def churn():
        for what in (MAP, UNMAP):
            took = flood.run(what, HUNDRED, strides=[Stride("address", BASE, PAGE)])
            assert took.succeeded == HUNDRED, took.text()

    def act(_):
        alone.over(lambda: flood.run(ask, 2 * HUNDRED))
        beside.over(churn)

    scene.each(scene.count(200, 24), act)
    assert slot.state() == "RUN", "the operation has ended, though its memory is mapped"
    beside.goes_on()
    scene.record.rates = {"alone": alone.bytes / alone.seconds,
                          "beside": beside.bytes / beside.seconds}
    scene.bounded(units=1, shmem=MIB // 1024, threads=SLOTS)
    slot.step("abort")
    flood.session.call("DMA_UNMAP", **place)
    scene.recovers("all")
    scene.served()
    scene.leaves(flood)


@covers("LIM-BOUND-001", "LIM-RECOVER-001", "LIM-OTHERS-001")
@needs("dma_logging", "dma_maps")
@pytest.mark.parametrize("page_size", [PAGE, 1 << 63, 1, 3], ids=["pages", "all", "bytes", "odd"])
def test_x36_log_over_everything_costs_what_was_written(scene, page_size):
    scene.start("log")
    flood = scene.attack()
    memory = scene.fds.memory(1 << 36)
    flood.session.call("DMA_MAP", [memory], flags=RW, address=1 << 40, size=1 << 36)
    scene.attacked = scene.settled()
    whole = structure("LOGGING_RANGE", iova=0, length=(1 << 64) - PAGE)
    data = structure("LOGGING_CONTROL", page_size=page_size, num_ranges=1, tail=whole)
    start = message("DEVICE_FEATURE", flags="SET|DMA_LOGGING_START", data=data)
    stop = message("DEVICE_FEATURE", flags="SET|DMA_LOGGING_STOP")

    def act(_):
        for what in (start, stop):
            took = flood.run(what, 1)
            scene.refused(took, FULL | {EINVAL})

    flood.run(start, 1)
    scene.each(scene.count(5000, 64), act)
    scene.bounded()
    flood.run(stop, 1)
    scene.recovers("all")
    scene.served()
    scene.leaves(flood)


@covers("LIM-BOUND-001", "LIM-OTHERS-001", "LIM-RECOVER-001")
@needs("migration")
def test_x39_state_that_never_ends_is_refused_and_not_kept(scene):
    scene.start("chunk")
    flood = scene.attack()
    for name in ("STOP", "RESUMING"):
        flood.session.call(set_message(name))
    what = message("MIG_DATA_WRITE", data=bytes(CHUNK))
    took = scene.curve(flood, what, scene.count(20_000), window=8)
    assert not took.end, took.text()
    scene.refused(took, FULL | {EINVAL, EAGAIN, ENOSPC})
    scene.bounded(units=1, anon=4096)
    flood.session.call("DEVICE_RESET")
    scene.recovers("all")
    scene.served()
    scene.leaves(flood)
