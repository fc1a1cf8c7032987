# SPDX-License-Identifier: BSD-3-Clause
"""The log of written pages beside the writes: rows I07, I09, I11 and I12 of the catalogue
(README.md). Pages count from the start of the range."""

import pytest
from dirtying import bits_of, bitmap_of, blocks, log_of, report_message, scaled
from flight import SEED, canary, hold, map_canary
from mapping import BASE, PAGE, SIZE

from vuc import covers, needs
from vuc.vdma import TERMINAL

pytestmark = needs("dma_maps", "provoke_dma", "dma_logging")

MIB = 1 << 20
PAGES = SIZE // PAGE
MANY = 4096  # pages of a long operation
ROUNDS = 2000  # times that logging begins and ends
FEW = 20  # whatever the scale
MID = 4 * PAGE
WIDE = 320  # pages; around each of these something ends in some server
SPREAD = (0, 1, 63, 64, 239, 240, 255, 256, 299, 300, 319)


@pytest.fixture
def log(guest):
    yield from log_of(guest)


@covers("VIO-LOG-001", "LOG-REPORT-001")
@pytest.mark.parametrize("mid", [MID, MID + 8], ids=["between-pages", "inside-a-page"])
def test_i07_reports_during_and_behind_a_write_have_all_its_pages(log, guest, fds, mid):
    one = map_canary(guest, fds)
    log.start()
    hold(guest, "MID", one, mid=mid)
    first = log.report()
    guest.slot().step("end")
    assert guest.wait() == "DONE"
    second = log.report()
    every = set(range(PAGES))
    log.judge(first, set(), blocks(range(-(-mid // PAGE)), log.page_size))
    log.judge(second, set(range(mid // PAGE, PAGES)), every)
    log.judge(first | second, every, every)


@covers("VIO-LOG-001", "LOG-REPORT-001")
def test_i07_reports_beside_a_write_lose_no_page(log, guest, fds):
    map_canary(guest, fds, size=MANY * PAGE)
    log.start()
    guest.start("FILL", BASE, MANY * PAGE, seed=SEED)
    told = set()
    while guest.slot().state().name not in TERMINAL:
        told |= log.report(length=MANY * PAGE)
    assert guest.wait() == "DONE"
    told |= log.report(length=MANY * PAGE)
    assert told == set(range(MANY)), f"{MANY - len(told)} pages are never reported"


@covers("VIO-LOG-002", "LOG-REPORT-010")
@needs("server_dma")
def test_i09_range_by_messages_is_reported_as_clean_beside_one_that_is_not(log, guest, fds):
    guest.map()
    log.map(fds, BASE + SIZE)
    log.start()
    log.write(2, 5)
    log.write(3, address=BASE + SIZE)
    assert log.report() == set(), "the client executes these writes, and knows of them"
    log.expect({PAGES + 3}, length=2 * SIZE)


@covers("VIO-LOG-002", "LOG-STOP-001")
@pytest.mark.parametrize("point", ["POST", "MID", "END", "RETIRED"], ids=str.lower)
def test_i11_logging_ends_beside_an_operation_and_begins_clean(log, guest, fds, point):
    one = map_canary(guest, fds)
    log.start()
    hold(guest, point, one, mid=MID)
    log.stop()
    guest.slot().step("end")
    assert guest.wait() == "DONE"
    log.refuse_report()
    log.start()
    assert log.report() == set(), "it has been told what was written without a log"
    log.write(2)
    log.expect({2})


@covers("VIO-LOG-001", "VIO-LOG-002", "LOG-STOP-001")
def test_i11_logging_begins_beside_an_operation_and_has_the_rest_of_it(log, guest, fds):
    one = map_canary(guest, fds)
    log.start()
    hold(guest, "MID", one, mid=MID)
    log.stop()
    log.start()
    guest.slot().step("end")
    assert guest.wait() == "DONE"
    log.judge(log.report(), set(range(MID // PAGE, PAGES)), set(range(PAGES)))


@covers("VIO-LOG-002", "VIO-LOG-001", "LOG-STOP-001")
def test_i11_logging_begins_and_ends_again_and_again_beside_writes(log, guest, fds, scale):
    for slot in (0, 1):
        map_canary(guest, fds, BASE + slot * SIZE)
        guest.start("FILL", BASE + slot * SIZE, SIZE, slot, count=0xFFFFFFFF, seed=SEED)
    for _ in range(max(FEW, round(ROUNDS * scale))):
        log.start()
        log.report(length=2 * SIZE)
        log.stop()
        log.refuse_report()
    log.start()
    for slot in (0, 1):
        guest.slot(slot).step("abort")
        assert guest.wait(slot) == "ABORTED"
    log.report(length=2 * SIZE)
    log.write(3, PAGES + 7)
    log.expect({3, PAGES + 7}, length=2 * SIZE)


GRAINS = {"64-kib-by-4-kib": (16 * PAGE, PAGE), "64-kib-by-2-kib": (16 * PAGE, PAGE // 2),
          "4-kib-by-64-kib": (PAGE, 16 * PAGE), "4-kib-by-2-kib": (PAGE, PAGE // 2),
          "2-mib-by-4-kib": (2 * MIB, PAGE), "4-kib-by-2-mib": (PAGE, 2 * MIB)}


@covers("VIO-LOG-002", "LOG-REPORT-006", "LOG-START-003")
@pytest.mark.parametrize(("hint", "page_size"), GRAINS.values(), ids=GRAINS)
def test_i12_report_by_another_grain_than_the_log_has_every_page(log, guest, fds, hint, page_size):
    one = map_canary(guest, fds, size=WIDE * PAGE)
    log.start(hint)
    log.write(*SPREAD)
    reply = guest.call(report_message(length=one.size, page_size=page_size))
    bits = bits_of(bitmap_of(reply))
    most = blocks(SPREAD, log.page_size) & set(range(WIDE))
    log.judge(bits, scaled(SPREAD, page_size), scaled(most, page_size))
    assert one.read(BASE + 2 * PAGE, PAGE) == canary(PAGE)
    guest.succeed("FILL", BASE, one.size, seed=SEED)
    bits = log.report(length=one.size, page_size=page_size)
    every = scaled(range(WIDE), page_size)
    log.judge(bits, every, every)
