# SPDX-License-Identifier: BSD-3-Clause
"""VFIO_USER_REGION_WRITE_MULTI.

Several small writes in one message, where both sides have agreed to it. Cases write where the
device stores (device.store); the data field of an entry is always full, so that a server which
takes more of it than count says is found out.
"""

import sys

import pytest
from exchanges import send_together
from regions import CONFIG, WIDTHS, read, surroundings, try_read
from vuc import constants, covers, message, needs, reading, structure
from vuc.device import INTERRUPT_LINE

ENTRY_SIZE = 24
LIMIT = constants.LIMITS.WRITE_MULTI_COUNT  # bytes of one entry
SLOT = 16  # bytes from one written place to the next
ODD = (0, 3, 5, 6, 7)
PATTERN = bytes([0xA1, 0x5E, 0x3C, 0xC7, 0x18, 0xE9, 0x72, 0x0D])
INVERSE = bytes(byte ^ 0xFF for byte in PATTERN)


def entry(store, data=PATTERN, at=0, **changes):
    """An entry that stores the first bytes of the data `at` bytes from the start of the place."""
    fields = {"region": store.region, "offset": store.offset + at, "count": store.width, **changes}
    return structure("WRITE_MULTI_ENTRY", data=int.from_bytes(data, sys.byteorder), **fields)


def multi(*entries, **changes):
    """The message that writes these."""
    return message("REGION_WRITE_MULTI", data=b"".join(entries),
                   **{"wr_cnt": len(entries), **changes})


def full(store, number):
    """The data of an entry that stores a number, and rubbish behind it."""
    return store.bytes(number) + INVERSE[store.width :]


def put(session, store, data):
    """Store the data from the start of the place, by the width that it takes."""
    for at in range(0, len(data), store.width):
        store.write(session, int.from_bytes(data[at : at + store.width], sys.byteorder), at)


def content(session, store, size, start=0):
    """What is stored from `start` on, by the same width."""
    parts = range(start, start + size, store.width)
    return b"".join(store.bytes(store.read(session, at)) for at in parts)


def widths(session, store):
    """The widths that the place takes by REGION_WRITE."""
    taken = [
        width for width in WIDTHS if width <= max(store.size, store.width) and session.outcome(
            "REGION_WRITE", region=store.region, offset=store.offset, data=INVERSE[:width],
        ).kind == "success"
    ]
    assert store.width in taken
    return taken


def several(store, number):
    """That many places that store; skips the case where there are fewer."""
    if store.size < number * SLOT:
        pytest.skip(f"needs: {number * SLOT} bytes that store")
    return range(0, number * SLOT, SLOT)


def region_of(device):
    """The region that stores."""
    return device.regions[device.store.region]


# ---- what is written ----


@covers("RW-MULTI-001", "VER-CAP-008")
@needs("write_multiple", "store")
def test_entry_of_each_width_is_written_and_counted(session, device):
    store = device.store
    for width in widths(session, store):
        size = max(width, store.width)
        put(session, store, INVERSE[:size])
        around = surroundings(session, region_of(device), store.offset, size)
        reply = session.call(multi(entry(store, count=width)))
        assert reply.wr_cnt == 1
        assert content(session, store, size) == PATTERN[:width] + INVERSE[width:size]
        assert surroundings(session, region_of(device), store.offset, size) == around


@covers("RW-MULTI-001")
@needs("write_multiple", "store")
def test_entries_of_all_widths_are_written_together(session, device):
    store = device.store
    wanted = widths(session, store)
    places = several(store, len(wanted))
    put(session, store, INVERSE * (2 * len(places)))
    parts = [entry(store, at=at, count=width) for at, width in zip(places, wanted)]
    reply = session.call(multi(*parts))
    assert (reply.wr_cnt, len(reply.payload)) == (len(parts), 8)
    for at, width in zip(places, wanted):
        expected = PATTERN[:width] + INVERSE[width:] + INVERSE
        assert content(session, store, SLOT, at) == expected, f"{width} bytes at {at}"


@covers("RW-MULTI-001")
@needs("write_multiple", "store")
@pytest.mark.parametrize("number", [1, 2, 3, 16, 170])
def test_all_entries_are_written_and_counted(session, device, number):
    store = device.store
    places = max(store.size // store.width, 1)
    values = [(number + 0x35 * i) & 0xFF for i in range(number)]
    parts = [entry(store, full(store, value), i % places * store.width)
             for i, value in enumerate(values)]
    reply = session.call(multi(*parts))
    assert (reply.wr_cnt, len(reply.payload)) == (number, 8)
    assert not reply.fds
    last = {i % places * store.width: value for i, value in enumerate(values)}
    assert {at: store.read(session, at) for at in last} == last


@covers("RW-MULTI-001")
@needs("write_multiple", "store", "pci_config")
def test_entries_may_name_different_regions(session, device):
    store = device.store
    line = {"region": CONFIG, "offset": INTERRUPT_LINE, "count": 1}
    old = read(session, CONFIG, INTERRUPT_LINE, 1)[0]
    single = session.outcome("REGION_WRITE", region=CONFIG, offset=INTERRUPT_LINE,
                             data=bytes([old ^ 0x0F]))
    if store.region == CONFIG or single.kind == "error" or (
            read(session, CONFIG, INTERRUPT_LINE, 1)[0] != old ^ 0x0F):
        pytest.skip("needs: two regions that store")
    for value in (old ^ 0xF0, old):
        reply = session.call(multi(entry(store, full(store, value)), entry(
            store, bytes([value]) + INVERSE[1:], **line)))
        assert reply.wr_cnt == 2
        assert read(session, CONFIG, INTERRUPT_LINE, 1)[0] == value
        assert store.read(session) == value


# ---- in which order ----


@covers("RW-MULTI-002")
@needs("write_multiple", "store")
@pytest.mark.parametrize("number", [2, 3, 50])
@pytest.mark.parametrize("no_reply", [False, True], ids=["with-reply", "without-reply"])
def test_last_entry_for_a_place_wins(session, device, number, no_reply):
    store = device.store
    for values in (range(number), range(number, 0, -1)):
        request = multi(*(entry(store, full(store, value)) for value in values))
        if no_reply:
            session.send(request.replace(no_reply=True))
        else:
            assert session.call(request).wr_cnt == number
        assert store.read(session) == values[-1]
    session.expect_silence()


@covers("RW-MULTI-002")
@needs("write_multiple", "store")
def test_narrow_write_behind_a_wide_one_is_not_covered_by_it(session, device):
    store = device.store
    taken = widths(session, store)
    narrow, wide = min(taken), max(taken)
    if narrow == wide:
        pytest.skip("needs: a place that stores by two widths")
    session.call(multi(entry(store, count=wide), entry(store, INVERSE, count=narrow)))
    assert content(session, store, wide) == INVERSE[:narrow] + PATTERN[narrow:wide]
    session.call(multi(entry(store, INVERSE, count=narrow), entry(store, count=wide)))
    assert content(session, store, wide) == PATTERN[:wide]


@covers("RW-MULTI-002")
@needs("write_multiple", "store")
@pytest.mark.parametrize("no_reply", [False, True], ids=["with-reply", "without-reply"])
def test_order_among_other_commands_is_kept(session, device, no_reply):
    store = device.store
    asked = message("REGION_READ", region=store.region, offset=store.offset, count=store.width)
    writes = [
        message("REGION_WRITE", region=store.region, offset=store.offset, data=store.bytes(1)),
        multi(entry(store, full(store, 9)), entry(store, full(store, 2))),
        multi(entry(store, full(store, 3))),
    ]
    row = [one for write in writes for one in (write.replace(no_reply=no_reply), asked)]
    sent = send_together(session, row, maybe=no_reply)
    seen = [int.from_bytes(session.success(one).data, sys.byteorder) for one in sent[1::2]]
    assert seen == [1, 2, 3]
    if not no_reply:
        assert session.success(sent[0]).count == store.width
        assert [session.success(one).wr_cnt for one in sent[2::2]] == [2, 1]
    session.expect_silence()


# ---- what does not fit an entry, or the message ----


TOO_MANY = {"nine": LIMIT + 1, "page": 4096, "sign": 1 << 31, "largest": (1 << 32) - 1}
each_too_many = pytest.mark.parametrize("count", TOO_MANY.values(), ids=TOO_MANY)


def prepared(session, store):
    """Two places that hold the inverse of the pattern."""
    places = several(store, 2)
    put(session, store, INVERSE * 4)
    return places


@covers("RW-MULTI-003")
@needs("write_multiple", "store")
@each_too_many
def test_entry_of_more_bytes_than_it_holds_is_refused(session, device, count):
    store = device.store
    put(session, store, INVERSE[: store.width])
    around = surroundings(session, region_of(device), store.offset, store.width)
    outcome = session.outcome(multi(entry(store, count=count)))
    assert outcome.kind == "error" or outcome.reply.wr_cnt == 0
    assert content(session, store, store.width) == INVERSE[: store.width]
    assert surroundings(session, region_of(device), store.offset, store.width) == around


@covers("RW-MULTI-003")
@needs("write_multiple", "store")
@each_too_many
def test_entries_stop_before_one_of_more_bytes_than_it_holds(session, device, count):
    store = device.store
    _, second = prepared(session, store)
    outcome = session.outcome(multi(entry(store), entry(store, at=second, count=count)))
    written = PATTERN[: store.width] + INVERSE[store.width :]
    if outcome.kind == "success":
        assert outcome.reply.wr_cnt == 1
        assert content(session, store, LIMIT) == written
    assert content(session, store, LIMIT) in (written, INVERSE), "neither written nor left"
    assert content(session, store, SLOT, second) == INVERSE * 2


WRONG_COUNTS = {
    "one-more": 2,
    "wraps-to-one": (1 << 61) + 1,
    "wraps-to-one-of-32-bits": (1 << 29) + 1,
    "lower-half-is-one": (1 << 32) + 1,
    "largest": (1 << 64) - 1,
}


@covers("RW-MULTI-004")
@needs("write_multiple", "store")
@pytest.mark.parametrize("wr_cnt", WRONG_COUNTS.values(), ids=WRONG_COUNTS)
def test_count_beyond_the_entries_is_refused(session, device, wr_cnt):
    store = device.store
    put(session, store, INVERSE[: store.width])
    around = surroundings(session, region_of(device), store.offset, store.width)
    session.refuse(multi(entry(store), wr_cnt=wr_cnt))
    seen = content(session, store, store.width)
    assert seen in (INVERSE[: store.width], PATTERN[: store.width]), "neither written nor left"
    assert surroundings(session, region_of(device), store.offset, store.width) == around


@covers("RW-MULTI-004")
@needs("write_multiple", "store")
@pytest.mark.parametrize("missing", [1, 8, 12, ENTRY_SIZE - 1])
def test_entry_that_is_not_whole_is_refused_and_not_written(session, device, missing):
    store = device.store
    _, second = prepared(session, store)
    whole = multi(entry(store), entry(store, at=second))
    session.refuse(whole.cut(len(whole.payload) - missing))
    assert content(session, store, SLOT, second) == INVERSE * 2
    assert session.call(whole).wr_cnt == 2


# ---- one that fails in the middle ----


def failing(device, kind):
    """An entry that fails; skips the case where the device has no such region."""
    store = device.store
    if kind == "beyond-the-region":
        return entry(store, offset=region_of(device).size)
    if kind == "no-such-region":
        return entry(store, region=device.info.num_regions)
    fixed = [region for region in device.regions if region.size and not region.writable]
    if not fixed:
        pytest.skip("needs: device has a region without the WRITE flag")
    return entry(store, region=fixed[0].index, offset=0)


each_failing = pytest.mark.parametrize(
    "kind", ["beyond-the-region", "no-such-region", "not-writable"])


@covers("RW-MULTI-005")
@needs("write_multiple", "store")
@each_failing
def test_success_with_a_failing_entry_counts_what_stands_before_it(session, device, kind):
    store = device.store
    _, second = prepared(session, store)
    outcome = session.outcome(
        multi(entry(store), failing(device, kind), entry(store, at=second)))
    if outcome.kind == "success":
        assert outcome.reply.wr_cnt == 1
        assert content(session, store, store.width) == PATTERN[: store.width]
        assert content(session, store, SLOT, second) == INVERSE * 2
    again = multi(entry(store), entry(store, at=second))
    assert session.call(again).wr_cnt == 2


@covers("RW-MULTI-005")
@reading("R6")
@needs("write_multiple", "store")
@each_failing
def test_failing_entry_ends_a_success_that_counts_the_others(session, device, kind):
    reply = session.call(multi(entry(device.store), failing(device, kind), entry(device.store)))
    assert reply.wr_cnt == 1


@covers("RW-MULTI-005")
@needs("write_multiple", "store")
@each_failing
def test_nothing_is_written_behind_a_first_entry_that_fails(session, device, kind):
    store = device.store
    put(session, store, INVERSE[: store.width])
    outcome = session.outcome(multi(failing(device, kind), entry(store)))
    if outcome.kind == "success":
        assert outcome.reply.wr_cnt == 0
        assert content(session, store, store.width) == INVERSE[: store.width]
    session.barrier()


# ---- what is not excluded ----


@covers("RW-MULTI-006")
@needs("write_multiple")
def test_no_entries_are_refused_or_counted_as_none(session):
    outcome = session.outcome(multi())
    assert outcome.kind == "error" or outcome.reply.wr_cnt == 0
    session.barrier()


@covers("RW-MULTI-006")
@reading("R7")
@needs("write_multiple")
def test_no_entries_are_counted_as_none(session):
    assert session.call(multi()).wr_cnt == 0


@covers("RW-MULTI-006")
@needs("write_multiple", "store")
@pytest.mark.parametrize("count", ODD)
def test_entry_of_an_odd_count_is_written_as_the_reply_tells(session, device, count):
    store = device.store
    if store.size < LIMIT:
        pytest.skip(f"needs: {LIMIT} bytes that store")
    put(session, store, INVERSE)
    outcome = session.outcome(multi(entry(store, count=count)))
    written = count if outcome.kind == "success" and outcome.reply.wr_cnt else 0
    assert outcome.kind == "error" or outcome.reply.wr_cnt in (0, 1)
    assert content(session, store, LIMIT) == PATTERN[:written] + INVERSE[written:]


@covers("RW-MULTI-006")
@reading("R7")
@needs("write_multiple", "store")
@pytest.mark.parametrize("count", ODD)
def test_odd_count_is_taken_where_a_single_write_takes_it(session, device, count):
    store = device.store
    place = {"region": store.region, "offset": store.offset}
    if session.outcome("REGION_WRITE", **place, data=INVERSE[:count]).kind == "error":
        pytest.skip(f"needs: a place that takes a write of {count} bytes")
    assert session.call(multi(entry(store, count=count))).wr_cnt == 1
    assert try_read(session, store.region, store.offset, count) in (PATTERN[:count], None)


# ---- without the capability ----


@covers("RW-MULTI-007", "VER-CAP-008")
@needs("store")
@pytest.mark.parametrize("number", [1, 3])
def test_without_the_capability_nothing_is_written(connect, device, number):
    session, store = connect(capabilities={}), device.store
    put(session, store, INVERSE[: store.width])
    refusal = session.refuse(multi(*[entry(store)] * number))
    assert not refusal.payload
    assert content(session, store, store.width) == INVERSE[: store.width]
