# SPDX-License-Identifier: BSD-3-Clause
"""Messages without end, and replies that nobody takes: rows of README.md about the stream."""

from errno import EINVAL, ENOENT, EPERM

import pytest
from flooding import FULL, UNMAP
from mapping import BASE

from vuc import covers, message, needs, structure
from vuc.duration import short
from vuc.flood import Stride
from vuc.measure import queues
from vuc.schema import COMMANDS, HEADER_SIZE, constants
from vuc.vdma import SLOTS

pytestmark = needs("process", "proc", "reconnect")

QUEUE = 2 * 4096  # KiB for the replies to one client: 4 MiB, and as much room to move them
LARGE = 1 << 20
SMALL = 256
ASK = message("DEVICE_GET_INFO")
REFUSED = FULL | {EINVAL, ENOENT, EPERM}
DROPS = 64  # bytes of the slowest reader
SLOW = 1 << 18  # bytes of the next, and what it reads at a time
MOUTHFUL = 512
SOME = 8  # that are timed, one by one


def large_read(scene, session, most=LARGE):
    """A REGION_READ of as much as a reply may have, as far as the device has it."""
    store = scene.device.store
    size = min(store.size or store.width, session.limits.max_data_xfer_size, most)
    return message("REGION_READ", region=store.region, offset=store.offset, count=size)


def taken_at_last(scene, flood, took):
    """All replies come when the client takes them, one for each command; the last to its end, as
    one more comes behind it."""
    rest = flood.run(ASK, 1)
    assert not rest.end, f"the replies are taken: {rest.text()}"
    assert not rest.waiting, f"{rest.waiting} of {took.sent} replies do not come"


@covers("LIM-BOUND-001", "LIM-OTHERS-001", "LIM-RECOVER-001", "SEC-GEN-008")
@needs("store")
def test_x24_commands_whose_replies_nobody_reads_are_not_read_either(scene):
    scene.start("command")
    flood = scene.attack()
    what = large_read(scene, flood.session, SMALL)
    took = scene.curve(flood, what, scene.count(1_000_000, 50_000), unread=True, timeout=short())
    scene.bounded(anon=QUEUE, units=1)
    assert queues(flood.session)[1] > 0, "no reply has come"
    scene.served()
    taken_at_last(scene, flood, took)
    scene.recovers("all")
    scene.leaves(flood)


@covers("LIM-BOUND-001", "LIM-OTHERS-001", "LIM-RECOVER-001", "SEC-GEN-008")
@needs("store")
def test_x25_slow_reader_of_large_replies_costs_a_queue_and_no_more(scene):
    scene.start("command")
    flood = scene.attack()
    took = scene.curve(flood, large_read(scene, flood.session), scene.count(4096), unread=True,
                       timeout=short())
    scene.bounded(units=1, anon=QUEUE + 2 * LARGE // 1024)
    for size, chunk in ((DROPS, 1), (SLOW, MOUTHFUL)):
        read = flood.read(size, chunk)
        assert not read.end, f"read by {chunk} bytes: {read.text()}"
        scene.point(took.sent)
        scene.bounded(units=1, anon=QUEUE + 2 * LARGE // 1024)
    scene.served()
    taken_at_last(scene, flood, took)
    scene.recovers("all")
    scene.leaves(flood)


@covers("LIM-BOUND-001", "LIM-OTHERS-001", "LIM-COST-001")
def test_x29_commands_that_fail_without_a_reply_cost_nothing_that_stays(scene):
    scene.start("command")
    flood = scene.attack()
    scene.curve(flood, UNMAP.replace(no_reply=True), scene.count(1_000_000, 10_000))
    flood.session.barrier()
    scene.point(scene.count(1_000_000, 10_000))
    scene.bounded()
    scene.even()
    scene.served()
    scene.leaves(flood)


@covers("LIM-BOUND-001", "LIM-COST-001", "VER-NEG-002")
def test_x33_negotiation_over_and_over_changes_nothing(scene):
    scene.start("command")
    flood = scene.attack()
    version = flood.session.version(capabilities={"max_msg_fds": 253, "max_dma_maps": 1 << 31,
                                                  "max_data_xfer_size": 1 << 31})
    before = flood.session.limits
    took = scene.curve(flood, version, scene.count(100_000), window=64)
    scene.bounded()
    scene.even()
    if not took.closed:
        assert not took.succeeded, took.text()
        assert flood.session.limits == before
        flood.session.barrier()
    scene.served()
    scene.leaves(flood)


@covers("LIM-BOUND-001", "LIM-OTHERS-001")
@needs("store")
def test_x41_largest_reads_one_behind_the_other_keep_to_the_queue(scene):
    scene.start("read")
    flood = scene.attack()
    read = large_read(scene, flood.session)
    took = scene.curve(flood, read, scene.count(1000, 96), window=512)
    assert not took.end and not took.refused, took.text()
    scene.bounded(units=1, anon=QUEUE + 2 * LARGE // 1024)
    taken_at_last(scene, flood, took)
    scene.served()
    scene.leaves(flood)


@covers("LIM-BOUND-001", "LIM-COST-001", "LIM-OTHERS-001")
@needs("write_multiple", "store")
@pytest.mark.parametrize("number", [(1 << 64) - 1, 1 << 32, 9], ids=["all", "32-bits", "nine"])
def test_x42_entries_that_do_not_come_are_not_looped_over(scene, number):
    scene.start("command")
    flood = scene.attack()
    store = scene.device.store
    entry = structure("WRITE_MULTI_ENTRY", region=store.region, offset=store.offset,
                      count=store.width, tail=store.bytes(1).ljust(8, b"\0"))
    what = message("REGION_WRITE_MULTI", wr_cnt=number, data=entry)
    took = scene.curve(flood, what, scene.count(100_000))
    assert not took.succeeded, took.text()
    scene.refused(took, REFUSED)
    scene.bounded()
    scene.even()
    scene.served()
    scene.leaves(flood)


@covers("LIM-BOUND-001", "LIM-COST-001", "LIM-OTHERS-001", "SEC-GEN-001")
@pytest.mark.parametrize("count", [1, 3, 8, 4097, (1 << 32) - 1],
                         ids=["byte", "three", "eight", "odd", "largest"])
def test_x43_reads_of_any_place_are_answered(scene, count):
    scene.start("read")
    flood = scene.attack()
    where = (Stride("region", 0, 1, period=16),
             Stride("offset", 0, 1, period=1 << 16, scatter=True))
    what = message("REGION_READ", count=count)
    took = scene.curve(flood, what, scene.count(100_000), strides=where, window=64)
    assert not took.end, took.text()
    scene.bounded()
    scene.served()
    scene.leaves(flood)


@covers("LIM-BOUND-001", "LIM-OTHERS-001", "SEC-GEN-001")
@pytest.mark.parametrize("count", [1, 3, 8], ids=["write-byte", "write-three", "write-eight"])
def test_x43_writes_to_any_place_are_answered(scene, count):
    scene.start("write")
    flood = scene.attack()
    where = (Stride("region", 0, 1, period=16),
             Stride("offset", 0, 1, period=1 << 16, scatter=True))
    what = message("REGION_WRITE", data=b"\x5a" * count)
    took = scene.curve(flood, what, scene.count(50_000), strides=where, window=64)
    assert not took.end, took.text()
    scene.bounded(units=1, threads=SLOTS, shmem=LARGE // 1024, fds=SLOTS)
    scene.served()
    scene.leaves(flood)


@covers("LIM-BOUND-001", "LIM-OTHERS-001", "SEC-GEN-003")
@needs("dma_logging")
def test_x37_reports_of_everything_take_no_memory(scene):
    scene.start("report")
    flood = scene.attack()
    data = structure("LOGGING_REPORT", iova=0, length=1 << 63, page_size=1)
    flags = "GET|DMA_LOGGING_REPORT"
    what = message("DEVICE_FEATURE", flags=flags, data=data, argsz=(1 << 32) - 1)
    took = scene.curve(flood, what, scene.count(100_000))
    assert not took.end and not took.succeeded, took.text()
    scene.bounded()
    scene.served()
    scene.leaves(flood)


@covers("LIM-BOUND-001", "LIM-COST-001", "SEC-GEN-001")
def test_x28_header_that_announces_more_than_there_is_takes_no_memory(scene):
    scene.start("connection")
    sizes = [(1 << 32) - 1, 0, 15, (16 << 20) + 1, 1 << 31]
    header = ASK.bytes()[:HEADER_SIZE]
    stay = 2 if scene.device.has("concurrent") else 0
    held = []

    def trickle():
        # Room is made for what comes behind what has been read.
        for one in held:
            one.send_bytes(b"t", maybe=True)

    def act(number):
        while len(held) > stay:
            held.pop(0).close()
        trickle()
        size = sizes[number % len(sizes)].to_bytes(4, "little")
        session = scene.target.negotiate() if number % 2 else scene.target.connect()
        held.append(session)
        session.send_bytes(header[:4] + size + header[8:] + b"trickle"[: number % 7], maybe=True)

    count = scene.count(4000, 64)
    scene.each(count, act)
    scene.settled()
    trickle()
    scene.settled()  # what came last is seen as well
    scene.point(count)
    scene.bounded()
    for session in held:
        session.close()
    scene.served()
    scene.recovers("disconnect")


@covers("LIM-BOUND-001", "LIM-COST-001", "LIM-OTHERS-001")
@needs("dma_maps")
def test_x51_log_by_other_pages_than_it_was_started_with_is_reported(scene):
    if not scene.device.has("dma_logging"):
        pytest.skip("needs: device supports the DMA logging features")
    scene.start("report")
    flood = scene.attack()
    session, size = flood.session, 1 << 20
    session.call("DMA_MAP", flags="READ|WRITE", address=BASE, size=size)
    start = structure("LOGGING_CONTROL", page_size=65536, num_ranges=0)
    session.call("DEVICE_FEATURE", flags="SET|DMA_LOGGING_START", data=start)
    data = structure("LOGGING_REPORT", iova=BASE, length=size, page_size=constants.DEFAULTS.PGSIZES)
    report = message("DEVICE_FEATURE", flags="GET|DMA_LOGGING_REPORT", data=data, argsz=65536)
    took = scene.curve(flood, report, scene.count(10_000), window=16)
    assert not took.end, took.text()
    scene.prompt([flood.run(report, 1).seconds for _ in range(SOME)])
    scene.bounded(units=1, anon=512)
    scene.served()
    scene.leaves(flood)


@covers("LIM-BOUND-001", "SEC-GEN-001")
def test_x43_commands_that_do_not_exist_are_refused_as_fast(scene):
    scene.start("command")
    flood = scene.attack()
    known = {row.number for row in COMMANDS.values()}
    number = max(known) + 1000
    what = ASK.with_header(command=number)
    took = scene.curve(flood, what, scene.count(200_000))
    assert not took.succeeded, took.text()
    scene.bounded()
    scene.even()
    scene.served()
    scene.leaves(flood)
