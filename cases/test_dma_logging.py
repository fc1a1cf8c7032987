# SPDX-License-Identifier: BSD-3-Clause
"""DMA_LOGGING_START and DMA_LOGGING_STOP, and what a report needs: that logging is on."""

import pytest
from dirtying import (
    CONTROL_SIZE, FEATURE_SIZE, STOP, control,
    log_fixture,  # noqa: F401 - a fixture
    page_size_of, report_message, start_message,
)
from exchanges import flat_memory
from mapping import BASE, PAGE, SIZE
from vuc import covers, message, needs, reading

OTHER = BASE + 0x100000
MIB = 1 << 20
LARGEST = (1 << 64) - 1
HINTS = {"512": 512, "page": PAGE, "64-kib": 1 << 16, "2-mib": 2 * MIB, "1-tib": 1 << 40}
ODD_HINTS = {"zero": 0, "one": 1, "3000": 3000, "top-and-one": (1 << 63) + 1}


# ---- start ----


@covers("LOG-START-001")
@needs("dma_logging", "dma_maps")
@pytest.mark.parametrize("mapped", [False, True], ids=["nothing-mapped", "something-mapped"])
def test_start_repeats_its_request_but_for_the_page_size(log, fds, mapped):
    if mapped:
        log.map(fds)
    request = start_message().replace(argsz=FEATURE_SIZE + CONTROL_SIZE)
    reply = log.session.call(request)
    assert len(reply.payload) == FEATURE_SIZE + CONTROL_SIZE
    assert reply.flags == request.values["flags"]
    assert reply.data[8:] == request.data[8:]
    assert page_size_of(reply)
    log.stop()


@covers("LOG-START-003")
@needs("dma_logging")
@pytest.mark.parametrize("hint", HINTS.values(), ids=HINTS)
def test_page_size_is_a_hint_and_the_reply_has_the_one_that_is_used(log, hint):
    log.start(hint)
    log.stop()


@covers("LOG-START-003", "LOG-REPORT-001")
@needs("dma_logging", "provoke_dma")
@pytest.mark.parametrize("hint", [512, PAGE, 1 << 16, 2 * MIB], ids=[*HINTS][:4])
def test_writes_are_logged_by_pages_of_the_size_in_the_reply(log, fds, hint):
    log.map(fds, size=4 * MIB)
    log.start(hint)
    log.write(3, 0x2FF)
    log.expect({3, 0x2FF}, length=4 * MIB)


@covers("LOG-START-004")
@needs("dma_logging")
@pytest.mark.parametrize("hint", ODD_HINTS.values(), ids=ODD_HINTS)
def test_odd_page_size_is_refused_or_another_one_chosen(log, hint):
    outcome = log.session.outcome(start_message(hint))
    if outcome.kind == "success":
        assert page_size_of(outcome.reply)
        log.stop()
    log.refuse_report()


@covers("LOG-START-004")
@reading("L4")
@needs("dma_logging")
@pytest.mark.parametrize("hint", ODD_HINTS.values(), ids=ODD_HINTS)
def test_another_page_size_is_chosen_for_an_odd_one(log, hint):
    log.start(hint)


# ---- ranges ----


@covers("LOG-START-002")
@needs("dma_logging", "provoke_dma")
def test_writes_inside_the_ranges_are_logged(log, fds):
    log.map(fds)
    log.map(fds, OTHER)
    log.start(ranges=[(OTHER, SIZE)])
    log.write(1, 4)
    log.write(2, 6, address=OTHER)
    log.expect({2, 6}, OTHER)


@covers("LOG-START-002")
@needs("dma_logging", "provoke_dma")
def test_writes_inside_several_ranges_are_logged(log, fds):
    log.map(fds)
    log.map(fds, OTHER)
    log.map(fds, OTHER + SIZE)
    log.start(ranges=[(OTHER, SIZE), (BASE, SIZE), (OTHER + SIZE, SIZE)])
    log.write(1, 7)
    log.write(0, 3, address=OTHER)
    log.write(8, address=OTHER + SIZE)
    log.expect({1, 7})
    log.expect({0, 3}, OTHER)
    log.expect({8}, OTHER + SIZE)


@covers("LOG-REPORT-011", "LOG-START-002")
@needs("dma_logging", "provoke_dma")
def test_writes_inside_ranges_that_cut_maps_are_logged(log, fds):
    log.map(fds)
    log.map(fds, OTHER)
    log.start(ranges=[(OTHER, 4 * PAGE), (BASE, SIZE // 2), (OTHER + 8 * PAGE, PAGE)])
    log.write(1, 7)
    log.write(0, 3, 8, address=OTHER)
    log.expect({1, 7}, BASE, SIZE // 2)
    log.expect({0, 3}, OTHER, 4 * PAGE)
    log.expect({0}, OTHER + 8 * PAGE, PAGE)


@covers("LOG-START-002")
@needs("dma_logging", "provoke_dma")
def test_without_ranges_all_writes_are_logged(log, fds):
    log.map(fds)
    log.map(fds, OTHER)
    log.start()
    log.write(1, 4)
    log.write(2, 6, address=OTHER)
    log.expect({1, 4})
    log.expect({2, 6}, OTHER)


RANGE = (BASE, SIZE)
TOO_FEW = {
    "one-of-two": control(ranges=[RANGE], num_ranges=2),
    "none-of-1000": control(num_ranges=1000),
    "none-of-most": control(num_ranges=(1 << 32) - 1),
    "one-of-the-wrapping": control(ranges=[RANGE], num_ranges=(1 << 28) + 1),
    "half-a-range": control(ranges=[RANGE])[: CONTROL_SIZE + 8],
    "half-a-structure": control()[: CONTROL_SIZE // 2],
    "all-but-one-byte": control()[: CONTROL_SIZE - 1],
}


@covers("LOG-START-005")
@needs("dma_logging")
@pytest.mark.parametrize("data", TOO_FEW.values(), ids=TOO_FEW)
def test_fewer_ranges_than_announced_are_refused_and_start_nothing(log, target, data):
    with flat_memory(target):
        log.session.refuse("DEVICE_FEATURE", flags="SET|DMA_LOGGING_START", data=data)
    log.refuse_report()
    log.start()


@covers("LOG-START-005")
@needs("dma_logging")
@pytest.mark.parametrize("surplus", [1, 16], ids=["a-byte", "a-range"])
def test_surplus_behind_the_ranges_is_refused_or_ignored(log, surplus):
    outcome = log.session.outcome(start_message(ranges=[RANGE]).extend(bytes(surplus)))
    if outcome.kind == "success":
        log.stop()
    log.refuse_report()


ODD_RANGES = {
    "empty": [(BASE, 0)],
    "wrapping": [(LARGEST - PAGE + 1, 2 * PAGE)],
    "largest": [(PAGE, LARGEST)],
    "overlapping": [(BASE, SIZE), (BASE + PAGE, SIZE)],
    "twice": [RANGE, RANGE],
    "unaligned": [(BASE + 1, SIZE - 3)],
    "not-mapped": [(BASE + (1 << 40), SIZE)],
    "top": [(LARGEST - PAGE + 1, PAGE)],
}


@covers("LOG-START-006")
@needs("dma_logging", "dma_maps")
@pytest.mark.parametrize("ranges", ODD_RANGES.values(), ids=ODD_RANGES)
def test_odd_ranges_are_refused_or_do_no_harm(log, fds, ranges):
    log.map(fds)
    outcome = log.session.outcome(start_message(ranges=ranges))
    if outcome.kind == "success":
        log.try_report()
        log.stop()
    log.refuse_report()
    log.start()


@covers("LOG-START-006")
@needs("dma_logging", "provoke_dma")
@pytest.mark.parametrize("ranges", ODD_RANGES.values(), ids=ODD_RANGES)
def test_ranges_beside_odd_ones_are_logged(log, fds, ranges):
    log.map(fds)
    log.map(fds, OTHER)
    outcome = log.session.outcome(start_message(ranges=[*ranges, (OTHER, SIZE)]))
    if outcome.kind == "error":
        log.start(ranges=[(OTHER, SIZE)])
    else:
        log.page_size = page_size_of(outcome.reply)
    log.write(2, 6, address=OTHER)
    log.expect({2, 6}, OTHER)


@covers("LOG-START-006")
@needs("dma_logging")
def test_reserved_field_is_refused_or_ignored(log):
    outcome = log.session.outcome(start_message(reserved=0xFFFFFFFF))
    if outcome.kind == "success":
        log.stop()
    log.refuse_report()


# ---- start and stop out of turn ----


@covers("LOG-START-007")
@needs("dma_logging")
@pytest.mark.parametrize("page_size", [PAGE, 2 * PAGE], ids=["same", "other"])
def test_one_stop_ends_what_was_started_twice(log, page_size):
    log.start()
    log.session.outcome(start_message(page_size))
    log.stop()
    log.refuse_report()


@covers("LOG-START-007")
@needs("dma_logging", "provoke_dma")
@pytest.mark.parametrize("page_size", [PAGE, 2 * PAGE], ids=["same", "other"])
def test_second_start_loses_nothing_in_silence(log, fds, page_size):
    log.map(fds)
    log.start()
    log.write(5)
    log.session.outcome(start_message(page_size))
    bits = log.try_report()
    assert bits is None or 5 in bits


@covers("LOG-START-007")
@reading("L5")
@needs("dma_logging")
def test_second_start_is_refused(log):
    log.start()
    log.session.refuse(start_message())


@covers("LOG-STOP-001")
@needs("dma_logging", "provoke_dma")
def test_after_a_stop_a_new_log_is_clean(log, fds):
    log.map(fds)
    log.start()
    log.write(1, 2)
    log.stop()
    log.refuse_report()
    log.write(3)
    log.start()
    log.expect({})
    log.write(4)
    log.expect({4})


@covers("LOG-STOP-001")
@needs("dma_logging")
def test_stop_repeats_its_request(log):
    log.start()
    reply = log.stop()
    assert reply.flags == message("DEVICE_FEATURE", flags=STOP).values["flags"]
    assert len(reply.payload) in (FEATURE_SIZE, FEATURE_SIZE + CONTROL_SIZE)


@covers("LOG-STOP-002")
@needs("dma_logging")
def test_stop_with_or_without_data_ends_logging(log):
    taken = []
    for data in (b"", control()):
        log.start()
        outcome = log.session.outcome("DEVICE_FEATURE", flags=STOP, data=data)
        if outcome.kind == "success":
            log.refuse_report()
            taken.append(data)
    assert taken, "neither form of DMA_LOGGING_STOP is taken"


@covers("LOG-STOP-002")
@reading("W10")
@needs("dma_logging")
def test_stop_without_data_ends_logging(log):
    log.start()
    log.session.call("DEVICE_FEATURE", flags=STOP)
    log.refuse_report()


@covers("LOG-STOP-003")
@needs("dma_logging")
def test_stop_without_a_start_does_no_harm(log):
    log.try_stop()
    log.refuse_report()
    log.start()
    log.stop()
    log.try_stop()
    log.refuse_report()


@covers("LOG-STOP-003")
@reading("L5")
@needs("dma_logging")
def test_stop_without_a_start_succeeds(log):
    log.stop()


@covers("LOG-REPORT-002")
@needs("dma_logging", "dma_maps")
def test_report_is_refused_while_logging_is_off(log, fds):
    log.map(fds)
    assert not log.refuse_report().payload
    log.start()
    log.stop()
    log.refuse_report()


# ---- methods ----


WRONG = {
    "get-start": start_message().replace(flags="GET|DMA_LOGGING_START"),
    "get-stop": message("DEVICE_FEATURE", flags="GET|DMA_LOGGING_STOP"),
    "set-report": report_message().replace(flags="SET|DMA_LOGGING_REPORT"),
}
each_wrong = pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)


@covers("LOG-GEN-001")
@each_wrong
def test_feature_has_the_one_method_that_it_is_for(session, wrong):
    assert not session.refuse(wrong).payload
    session.barrier()


@covers("LOG-GEN-001")
@needs("dma_logging", "dma_maps")
@each_wrong
def test_wrong_method_neither_starts_nor_stops(log, fds, wrong):
    log.map(fds)
    log.session.refuse(wrong)
    log.refuse_report()
    log.start()
    log.session.refuse(wrong)
    assert log.report() == set()


@covers("LOG-GEN-001")
def test_device_without_logging_refuses_all_of_it(session, device):
    if device.has("dma_logging"):
        pytest.skip("needs: a device without the DMA logging features")
    for feature in ("START", "STOP", "REPORT"):
        for method in ("GET", "SET", "PROBE", "PROBE|GET", "PROBE|SET"):
            session.refuse("DEVICE_FEATURE", flags=f"{method}|DMA_LOGGING_{feature}")
    session.barrier()
