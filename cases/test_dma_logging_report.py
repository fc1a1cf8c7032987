# SPDX-License-Identifier: BSD-3-Clause
"""DMA_LOGGING_REPORT.

The bit of each page that the device wrote since the start is set. Bit n of the bitmap, which is an
array of words of 64 bits, stands for the n-th page of the range; the formula of the specification
can not be meant.
"""

import sys

import pytest
from dirtying import (
    FEATURE_SIZE, HEAD_SIZE, WORD, Log, bitmap_of, bitmap_size, bits_of, blocks,
    log_fixture,  # noqa: F401 - a fixture
    report_message, scaled,
)
from dma import Guest, Range
from exchanges import flat_memory
from mapping import BASE, PAGE, RW, SIZE, map_range
from migrating import each_state, migration_fixture  # noqa: F401 - a fixture
from vuc import covers, needs, reading

MIB = 1 << 20
APART = 4 * MIB  # pages that a log may not want to keep in one place
SPREAD = 300
HUNDRED = 100 * PAGE
OVERHEAD = FEATURE_SIZE + HEAD_SIZE
LARGEST = (1 << 64) - 1
GIB = 1 << 30
BLOCK = 128 * MIB  # of which a log may keep a part of its own
BLOCKS = 17_000  # more than a log may want to keep
POWERS = [512, 2048, 2 * PAGE, 1 << 16, 2 * MIB]


# ---- what is reported ----


@covers("LOG-REPORT-001", "VIO-LOG-001")
@needs("dma_logging", "provoke_dma")
def test_pages_that_the_device_wrote_are_reported(log, fds):
    log.map(fds)
    log.start()
    log.write(0, 3, 7)
    request = report_message()
    reply = log.session.call(request)
    assert reply.data[:HEAD_SIZE] == request.data
    least = {0, 3, 7}
    most = blocks(least, log.page_size)
    log.judge(bits_of(bitmap_of(reply)), least, most)


@covers("LOG-REPORT-001", "VIO-LOG-001")
@needs("dma_logging", "provoke_dma")
@pytest.mark.parametrize("parts", [1, 5], ids=["in-one-range", "in-several"])
def test_pages_far_apart_are_all_reported(log, fds, parts):
    length = SPREAD * APART // parts
    for start in range(0, SPREAD * APART, length):
        log.map(fds, BASE + start, length)
    log.start()
    log.guest.succeed("FILL", BASE, 8, count=SPREAD, stride=APART)
    far = APART // PAGE
    for start in range(0, SPREAD * APART, length):
        log.expect(range(0, length // PAGE, far), BASE + start, length)
    for start in range(0, SPREAD * APART, length):
        log.expect((), BASE + start, length)


@covers("LOG-REPORT-001")
@needs("dma_logging", "provoke_dma")
@pytest.mark.parametrize("size", [1, PAGE, 3 * PAGE], ids=["a-byte", "a-page", "three-pages"])
def test_every_page_that_a_write_touches_is_reported(log, fds, size):
    log.map(fds)
    log.start()
    log.write(4, size=size)
    last = (4 * PAGE + 3 + size - 1) // PAGE
    log.expect(set(range(4, last + 1)))


@covers("LOG-REPORT-001")
@needs("dma_logging", "provoke_dma")
def test_page_whose_last_byte_is_written_is_reported(log, fds):
    log.map(fds)
    log.start()
    log.guest.succeed("FILL", BASE + 6 * PAGE - 1, 1)
    log.expect({5})
    log.guest.succeed("FILL", BASE + SIZE - 1, 1)
    assert SIZE // PAGE - 1 in log.report()


@covers("LOG-REPORT-001")
@needs("dma_logging", "provoke_dma")
@pytest.mark.parametrize("op", ["WRITE", "COPY"], ids=str.lower)
def test_every_way_to_write_is_logged(log, fds, op):
    log.map(fds)
    log.start()
    log.guest.succeed(op, BASE + 2 * PAGE, 64)
    log.expect({2})


@covers("VIO-LOG-001", "LOG-REPORT-001")
@needs("dma_logging", "provoke_dma")
@pytest.mark.parametrize("page", [3, GIB // PAGE // 2 + 3, GIB // PAGE - 1],
                         ids=["front", "middle", "end"])
def test_page_of_a_large_range_is_reported_alone(log, fds, page):
    log.map(fds, size=GIB)
    log.start()
    log.write(page)
    log.expect({page}, length=GIB)
    log.expect(set(), length=GIB)


@covers("VIO-LOG-001", "LOG-STOP-001", "SEC-GEN-003")
@needs("dma_logging", "provoke_dma")
def test_pages_of_more_memory_than_a_log_may_want_to_keep_are_all_reported(log, fds):
    size = BLOCKS * BLOCK
    memory = fds.memory(size)
    outcome = log.session.outcome("DMA_MAP", [memory], flags=RW, address=BASE, size=size)
    if outcome.kind == "error":
        pytest.skip(f"needs: a map of {size:#x} bytes ({outcome.text()})")
    log.guest.add(Range(BASE, size, RW, memory))
    log.start()
    log.guest.succeed("FILL", BASE, 1, count=BLOCKS, stride=BLOCK)
    bits = log.report(length=size, page_size=BLOCK)
    assert bits == set(range(BLOCKS)), f"{BLOCKS - len(bits)} written pages are never reported"
    log.stop()
    log.start()
    log.write(3)
    log.expect({3}, length=BLOCK)


@covers("LOG-REPORT-009", "VIO-LOG-001")
@needs("dma_logging", "provoke_dma")
@pytest.mark.parametrize("op", ["READ", "CHECK", "TOUCH"], ids=str.lower)
def test_what_the_device_reads_is_not_reported(log, fds, op):
    log.map(fds)
    log.start()
    log.guest.run(op, BASE, SIZE)
    assert log.report() == set()


@covers("LOG-REPORT-009")
@needs("dma_logging", "provoke_dma")
def test_what_the_client_writes_is_not_reported(log, fds):
    memory = log.map(fds)
    log.start()
    memory.fill(1)
    assert log.report() == set()


@covers("LOG-REPORT-010")
@needs("dma_logging", "server_dma", "provoke_dma")
def test_writes_by_messages_are_reported_or_not(log):
    log.guest.map()
    log.start()
    log.write(2, 5)
    bits = log.try_report()
    assert bits is None or bits <= blocks({2, 5}, log.page_size)
    log.stop()


@covers("LOG-REPORT-010", "VIO-LOG-002")
@reading("L3")
@needs("dma_logging", "server_dma", "provoke_dma")
def test_report_over_what_is_written_by_messages_succeeds(log):
    log.guest.map()
    log.start()
    log.write(2, 5)
    assert log.report() <= blocks({2, 5}, log.page_size)


# ---- the form of the bitmap ----


@covers("LOG-REPORT-003")
@needs("dma_logging", "dma_maps")
@pytest.mark.parametrize("pages", [1, 63, 64, 65, 1000])
def test_bitmap_has_a_bit_for_each_page_in_whole_words(log, fds, pages):
    log.map(fds, size=pages * PAGE)
    log.start()
    reply = log.session.call(report_message(length=pages * PAGE))
    assert len(reply.payload) == OVERHEAD + -(-pages // 64) * WORD
    assert reply.argsz == len(reply.payload)
    assert not any(bitmap_of(reply))


@covers("LOG-REPORT-004")
@needs("dma_logging", "provoke_dma")
@pytest.mark.parametrize("page", [0, 1, 63, 64, 65, 130])
def test_page_n_is_bit_n_of_the_array(log, fds, page):
    log.map(fds, size=200 * PAGE)
    log.start()
    log.write(page)
    bitmap = bitmap_of(log.session.call(report_message(length=200 * PAGE)))
    words = [int.from_bytes(bitmap[at : at + WORD], sys.byteorder)
             for at in range(0, len(bitmap), WORD)]
    assert words[page // 64] >> page % 64 & 1
    if log.page_size <= PAGE:
        assert sum(words) == 1 << page % 64


@covers("LOG-REPORT-005", "VIO-LOG-002")
@needs("dma_logging", "provoke_dma")
def test_bits_outside_the_range_are_zero_and_keep_for_later(log, fds):
    log.map(fds, size=HUNDRED)
    log.start()
    log.write(0, size=HUNDRED - 8)
    assert log.report(BASE, 10 * PAGE) == set(range(10))
    assert log.report(BASE + 10 * PAGE, 90 * PAGE) == set(range(90))


@covers("LOG-REPORT-006")
@needs("dma_logging", "dma_maps")
@pytest.mark.parametrize("page_size", [0, 3, 3000, LARGEST], ids=["zero", "3", "3000", "largest"])
def test_page_size_that_is_no_power_of_two_is_refused(log, fds, page_size):
    log.map(fds)
    log.start()
    log.session.refuse(report_message(page_size=page_size))
    assert log.report() == set()


@covers("LOG-REPORT-006")
@needs("dma_logging", "provoke_dma")
@pytest.mark.parametrize("page_size", POWERS)
def test_report_by_another_page_size_shows_the_same_bytes(log, fds, page_size):
    log.map(fds, size=4 * MIB)
    log.start()
    log.write(1, 2, 17, 0x3F0)
    bits = log.report(length=4 * MIB, page_size=page_size)
    least, most = {1, 2, 17, 0x3F0}, blocks({1, 2, 17, 0x3F0}, log.page_size)
    log.judge(bits, scaled(least, page_size), scaled(most, page_size))


# ---- how often ----


@covers("LOG-REPORT-008")
@needs("dma_logging", "provoke_dma")
def test_page_written_between_two_reports_is_in_the_second(log, fds):
    log.map(fds)
    log.start()
    log.write(2)
    log.expect({2})
    log.write(5)
    bits = log.report()
    log.judge(bits, {5}, blocks({2, 5}, log.page_size))


@covers("LOG-REPORT-008")
@needs("dma_logging", "provoke_dma")
def test_page_written_again_is_reported_again(log, fds):
    log.map(fds)
    log.start()
    for _ in range(3):
        log.write(2)
        log.expect({2})


@covers("LOG-REPORT-008", "VIO-LOG-001")
@reading("L1")
@needs("dma_logging", "provoke_dma")
def test_report_clears_what_it_reports(log, fds):
    log.map(fds)
    log.start()
    log.write(2)
    log.expect({2})
    assert log.report() == set()
    log.write(9)
    log.expect({9})


# ---- of which range ----


@covers("LOG-REPORT-001")
@needs("dma_logging", "provoke_dma")
@pytest.mark.parametrize("bits", range(18, 36), ids=lambda bits: f"2-{bits}")
def test_write_across_a_multiple_of_a_power_of_two_is_reported_on_both_sides(log, fds, bits):
    border, size = 3 << bits, 4 * PAGE
    log.map(fds, border - size, 2 * size)
    log.start()
    log.write(2, address=border - size, size=4 * PAGE)
    log.expect(range(2, 7), border - size, 2 * size)


@covers("LOG-REPORT-011", "VIO-LOG-002")
@needs("dma_logging", "provoke_dma")
def test_part_of_a_map_is_reported(log, fds):
    log.map(fds)
    log.start()
    log.write(1, 4, 6, 9)
    log.expect({0, 2}, BASE + 4 * PAGE, 4 * PAGE)
    log.expect({1}, BASE, 2 * PAGE)


@covers("LOG-REPORT-011")
@needs("dma_logging", "provoke_dma")
def test_range_over_two_maps_is_reported(log, fds):
    log.map(fds)
    log.map(fds, BASE + SIZE)
    log.start()
    log.write(1, 15, 16, 20)
    log.expect({1, 15, 16, 20}, BASE, 2 * SIZE)


@covers("LOG-REPORT-011")
@needs("dma_logging", "provoke_dma")
def test_range_with_a_hole_is_refused_or_reported_without_it(log, fds):
    log.map(fds)
    log.map(fds, BASE + 2 * SIZE)
    log.start()
    log.write(1, 33)
    bits = log.try_report(length=3 * SIZE)
    hole = set(range(SIZE // PAGE, 2 * SIZE // PAGE))
    assert bits is None or ({1, 33} <= bits and not bits & hole)
    log.stop()


@covers("LOG-REPORT-011")
@reading("L2")
@needs("dma_logging", "provoke_dma")
def test_hole_is_reported_as_not_written(log, fds):
    log.map(fds)
    log.map(fds, BASE + 2 * SIZE)
    log.start()
    log.write(1, 33)
    log.expect({1, 33}, length=3 * SIZE)
    assert log.report(BASE + (1 << 32)) == set()


@covers("LOG-REPORT-012")
@needs("dma_logging", "dma_maps")
def test_empty_range_is_refused_or_reported_as_empty(log, fds):
    log.map(fds)
    log.start()
    outcome = log.session.outcome(report_message(length=0))
    assert outcome.kind == "error" or not bitmap_of(outcome.reply)
    assert log.report() == set()


@covers("LOG-REPORT-012")
@needs("dma_logging", "provoke_dma")
def test_last_page_counts_also_where_the_range_has_a_part_of_it(log, fds):
    log.map(fds)
    log.start()
    log.write(1)
    bits = log.try_report(length=PAGE + 4)
    assert bits is None or {1} <= bits <= {0, 1}


@covers("LOG-REPORT-012")
@needs("dma_logging", "provoke_dma")
def test_bits_count_from_the_start_of_an_unaligned_range(log, fds):
    log.map(fds)
    log.start()
    log.write(4)
    bits = log.try_report(BASE + PAGE // 2, 8 * PAGE)
    # Page 4 begins in the middle of bit 3; the log may know no more than that it was written.
    assert bits is None or {3} <= bits <= {number for page in blocks({4}, log.page_size)
                                            for number in (page - 1, page)}


@covers("LOG-REPORT-012")
@needs("dma_logging", "provoke_dma")
def test_page_that_reaches_beyond_the_range_is_reported_inside_it(log, fds):
    log.map(fds)
    log.start()
    log.write(4, size=PAGE - 8)
    bits = log.try_report(BASE, 4 * PAGE + PAGE // 2)
    assert bits is None or {4} <= bits <= blocks({4}, log.page_size)
    log.write(4, size=PAGE - 8)
    bits = log.try_report(BASE + 4 * PAGE + PAGE // 2, 4 * PAGE)
    assert bits is None or {0} <= bits <= set(range(max(log.page_size // PAGE, 1)))


WRAPPING = {"a-page": (LARGEST - PAGE + 1, 2 * PAGE), "almost-all": (PAGE, LARGEST - PAGE + 1),
            "largest": (LARGEST, LARGEST)}


@covers("LOG-REPORT-012")
@needs("dma_logging")
@pytest.mark.parametrize(("iova", "length"), WRAPPING.values(), ids=WRAPPING)
def test_range_that_wraps_is_refused(log, iova, length):
    log.start()
    log.session.refuse(report_message(iova, length, PAGE))
    log.stop()


@covers("LOG-REPORT-012")
@reading("L8")
@needs("dma_logging", "dma_maps")
def test_empty_range_is_refused(log, fds):
    log.map(fds)
    log.start()
    log.session.refuse(report_message(length=0))


# ---- sizes ----


EXTREME = {
    **{f"256-pages-by-{n}": (256 * PAGE, n) for n in (1, 2, 512, 2048)},
    **{f"65536-pages-by-{n}": (65536 * PAGE, n) for n in (512, 2048, 1 << 63)},
    "half-of-all-by-1": (1 << 63, 1),
    "all-by-1": (LARGEST, 1),
    "all-by-4096": (LARGEST, PAGE),
}


@covers("LOG-REPORT-007")
@needs("dma_logging", "dma_maps")
@pytest.mark.parametrize(("length", "page_size"), EXTREME.values(), ids=EXTREME)
def test_extreme_sizes_are_answered_and_take_no_memory(log, fds, target, length, page_size):
    log.map(fds, size=min(length, 65536 * PAGE))
    log.start()
    with flat_memory(target):
        outcome = log.session.outcome(
            report_message(0 if length > 1 << 62 else BASE, length, page_size))
        log.session.barrier()
    if outcome.kind == "success":
        assert len(outcome.reply.payload) == OVERHEAD + bitmap_size(length, page_size)
        assert not any(bitmap_of(outcome.reply))


@covers("LOG-REPORT-013")
@needs("dma_logging", "provoke_dma")
@pytest.mark.parametrize("room", [0, WORD - 1], ids=["none", "all-but-one-byte"])
def test_report_without_room_for_its_bitmap_loses_nothing(log, fds, room):
    log.map(fds)
    log.start()
    log.write(2, 6)
    needed = OVERHEAD + WORD
    outcome = log.session.outcome(report_message(argsz=OVERHEAD + room))
    if outcome.kind == "success":
        assert len(outcome.reply.payload) <= OVERHEAD + room
        assert outcome.reply.argsz == needed
    log.expect({2, 6})


@covers("LOG-REPORT-013")
@reading("L9")
@needs("dma_logging", "dma_maps")
@pytest.mark.parametrize("room", [0, WORD - 1], ids=["none", "all-but-one-byte"])
def test_report_without_room_for_its_bitmap_is_refused(log, fds, room):
    log.map(fds)
    log.start()
    log.session.refuse(report_message(argsz=OVERHEAD + room))


@covers("LOG-REPORT-013")
@needs("dma_logging", "dma_maps")
def test_bitmap_above_the_largest_transfer_is_refused_or_complete(log):
    length = 8 * PAGE * (log.session.limits.max_data_xfer_size + WORD)
    map_range(log.session, 0, length)
    log.start()
    outcome = log.session.outcome(report_message(0, length))
    if outcome.kind == "success":
        assert len(outcome.reply.payload) == OVERHEAD + bitmap_size(length, PAGE)
    log.stop()


# ---- what changes meanwhile ----


@covers("LOG-REPORT-014", "VIO-LOG-001")
@needs("dma_logging", "provoke_dma")
def test_range_that_is_mapped_after_the_start_is_logged(log, fds):
    log.start()
    log.map(fds)
    log.write(2, 6)
    log.expect({2, 6})


@covers("LOG-REPORT-014")
@needs("dma_logging", "provoke_dma")
def test_range_that_is_mapped_again_has_the_new_writes_only(log, fds):
    one = log.map(fds)
    log.start()
    log.write(2, 6)
    log.guest.unmap(one)
    log.map(fds)
    log.write(9)
    log.expect({9})
    log.stop()


@covers("LOG-REPORT-014")
@needs("dma_logging", "provoke_dma")
def test_stop_with_nothing_mapped_any_more_does_no_harm(log, fds):
    one = log.map(fds)
    log.start(ranges=[(BASE, SIZE)])
    log.write(2)
    log.guest.unmap(one)
    log.try_report()
    log.stop()
    log.refuse_report()


@covers("LOG-REPORT-015")
@needs("dma_logging", "migration", "provoke_dma")
@each_state("PRE_COPY", "STOP", "STOP_COPY")
def test_log_is_reported_in_each_state(migration, fds, state):
    log = Log(Guest(migration.session))
    log.map(fds)
    log.start()
    log.write(2, 6)
    migration.enter(state)
    log.expect({2, 6})
    log.stop()


@covers("LOG-REPORT-015")
@needs("dma_logging", "pre_copy", "provoke_dma")
def test_nothing_is_lost_on_the_way_to_the_stopped_device(migration, fds):
    log = Log(Guest(migration.session))
    log.map(fds)
    log.start()
    log.write(1)
    migration.set("PRE_COPY")
    log.write(4)
    migration.set("STOP_COPY")
    log.expect({1, 4})
    log.stop()
