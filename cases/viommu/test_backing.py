# SPDX-License-Identifier: BSD-3-Clause
"""Backing windows, and mappings that lie in them: rows C11, F14, I08 and I18 of the catalogue
(README.md), and what else the extension says of them. Pages count from the start of the range."""

import os
from errno import EACCES, EBUSY, EEXIST, EINVAL, ENOENT, EPERM

import pytest
from dirtying import blocks, log_of
from flight import SEED, assert_ended, assert_waits, canary, let_drain, moved
from mapping import BASE, PAGE, RW, SIZE
from spaces import P1, P2, SpaceRange, space_guest

from vuc import covers, needs
from vuc.evidence import Fd
from vuc.vdma import TERMINAL, pattern
from vuc.viommu import word

pytestmark = needs("viommu", "dma_maps", "backing")

WINDOW = 1 << 40  # where it lies in the backing space
DENIED = "FAULT EACCES"
MISSED = "FAULT ENOENT"
MANY = 1024  # pages of a long operation
in_each_space = pytest.mark.parametrize(
    "pasid", [None, pytest.param(P1, marks=needs("pasid"))], ids=["none", "pasid"])
operated_in_each_space = pytest.mark.parametrize(
    "pasid", [pytest.param(None, marks=needs("provoke_dma")),
              pytest.param(P1, marks=needs("pasid", "device_pasid"))], ids=["none", "pasid"])


def window(address=WINDOW, size=SIZE, flags=RW, offset=0):
    """The fields of a DMA_MAP that installs a backing window."""
    return {"flags": f"{flags}|BACKING", "offset": offset, "address": address, "size": size}


def install(guest, fds, **place):
    """A backing window over new memory, all canary; the memory."""
    memory = fds.memory(place.get("size", SIZE))
    memory.write(0, canary(place.get("size", SIZE)))
    guest.call("DMA_MAP", [memory], **window(**place))
    return memory


def lean(at=WINDOW, address=BASE, size=SIZE, flags=RW, pasid=None, names="INDIRECT"):
    """The fields of a DMA_MAP of a range that lies at `at` of the backing space."""
    return {"flags": word(f"{flags}|{names}", pasid), "offset": at, "address": address,
            "size": size}


def map_in(guest, memory, at=WINDOW, first=WINDOW, **place):
    """Map such a range, which has to succeed; its bytes are those of the memory that the window at
    `first` is over."""
    fields = lean(at, **place)
    guest.call("DMA_MAP", **fields)
    return guest.add(SpaceRange(fields["address"], fields["size"], place.get("flags", RW), memory,
                                at - first, pasid=place.get("pasid")))


def drop(address=WINDOW, size=SIZE, names="BACKING", pasid=None):
    """The fields of a DMA_UNMAP that removes a backing window."""
    return {"flags": word(names, pasid), "address": address, "size": size}


@pytest.fixture
def log(vguest):
    yield from log_of(vguest)


# ---- C11: rights ----


RIGHTS = {"window-read": ("READ", RW), "window-write": ("WRITE", RW), "mapping-read": (RW, "READ"),
          "mapping-write": (RW, "WRITE"), "both": (RW, RW), "neither": ("READ", "WRITE")}


@covers("VE-BACK-004", "VE-MAP-008")
@operated_in_each_space
@pytest.mark.parametrize("window_flags, flags", RIGHTS.values(), ids=RIGHTS)
def test_c11_rights_are_those_of_window_and_mapping(vguest, fds, pasid, window_flags, flags):
    memory = install(vguest, fds, flags=window_flags)
    one = map_in(vguest, memory, flags=flags, pasid=pasid)
    both = [right for right in ("READ", "WRITE") if right in window_flags and right in flags]
    vguest.vdma.store(0, bytes(PAGE))
    state = vguest.run("READ", BASE, PAGE, pasid=pasid)
    assert state == ("DONE" if "READ" in both else DENIED)
    assert vguest.vdma.load(0, PAGE) == (canary(PAGE) if "READ" in both else bytes(PAGE))
    state = vguest.run("FILL", BASE, PAGE, pasid=pasid, seed=SEED)
    assert state == ("DONE" if "WRITE" in both else DENIED)
    assert one.holds(moved(PAGE if "WRITE" in both else 0))


# ---- a window is installed ----


WRONG = {"replace": {"flags": f"{RW}|BACKING|REPLACE"},
         "indirect": {"flags": f"{RW}|BACKING|INDIRECT"},
         "pasid": {"flags": f"{RW}|BACKING|PASID={P1}"},
         "no-right": {"flags": "BACKING"},
         "unaligned": {"address": WINDOW + 8}, "unaligned-size": {"size": SIZE - 8},
         "unaligned-offset": {"offset": 8, "size": PAGE}, "empty": {"size": 0},
         "wrapping": {"address": (1 << 64) - PAGE}, "beyond-the-file": {"offset": PAGE}}


@covers("VE-BACK-001", "VE-BACK-002", "VE-MAP-006")
@pytest.mark.parametrize("changes", WRONG.values(), ids=WRONG)
def test_malformed_window_is_refused_and_not_there(connect, fds, changes):
    guest = space_guest(connect)
    memory = fds.memory(SIZE)
    guest.refuse("DMA_MAP", [memory], errno=EINVAL, **{**window(), **changes})
    guest.refuse("DMA_MAP", errno=EINVAL, **lean(size=PAGE))
    guest.call("DMA_MAP", [memory], **window())


@covers("VE-BACK-001")
def test_window_without_a_descriptor_is_refused(connect, fds):
    guest = space_guest(connect)
    guest.refuse("DMA_MAP", errno=EINVAL, **window())
    guest.refuse("DMA_MAP", errno=EINVAL, **lean())
    install(guest, fds)
    map_in(guest, None)


@covers("VE-BACK-002", "VE-MAP-004")
def test_window_has_no_right_that_its_descriptor_lacks(connect, fds):
    guest = space_guest(connect)
    number = os.open(f"/proc/self/fd/{fds.memory(SIZE).fileno()}", os.O_RDONLY | os.O_CLOEXEC)
    readable = fds.keep(Fd(number, "read-only"))
    guest.refuse("DMA_MAP", [readable], errno=(EACCES, EPERM), **window())
    guest.refuse("DMA_MAP", errno=EINVAL, **lean())
    guest.call("DMA_MAP", [readable], **window(flags="READ"))


@covers("VE-BACK-002")
@pytest.mark.parametrize("address, size", [(WINDOW, SIZE), (WINDOW - PAGE, 2 * PAGE),
                                           (WINDOW + SIZE - PAGE, 2 * PAGE),
                                           (WINDOW + PAGE, PAGE)])
def test_windows_do_not_overlap(connect, fds, address, size):
    guest = space_guest(connect)
    memory = install(guest, fds)
    guest.refuse("DMA_MAP", [memory], errno=EEXIST, **window(address, size))
    guest.call("DMA_UNMAP", **drop())
    guest.call("DMA_MAP", [memory], **window(address, size))


@covers("VE-BACK-002", "VE-BACK-003")
def test_window_may_lie_above_the_width_of_addresses(connect, fds):
    guest = space_guest(connect, address_bits=32)
    memory = install(guest, fds)
    map_in(guest, memory)
    guest.refuse("DMA_MAP", errno=EINVAL, **lean(address=1 << 32))


# ---- ranges lie in it ----


@covers("VE-BACK-003", "VE-BACK-001")
@operated_in_each_space
def test_range_leads_to_its_place_in_the_window_and_no_operation_to_the_window(vguest, fds, pasid):
    memory = install(vguest, fds, address=BASE, size=4 * PAGE)
    assert vguest.run("FILL", BASE, PAGE, pasid=pasid) == MISSED
    map_in(vguest, memory, BASE + 2 * PAGE, BASE, address=BASE, size=PAGE, pasid=pasid)
    vguest.succeed("FILL", BASE, PAGE, seed=SEED, pasid=pasid)
    assert vguest.run("FILL", BASE + PAGE, PAGE, pasid=pasid) == MISSED
    assert memory.read(0, 4 * PAGE) == canary(2 * PAGE) + moved(PAGE, PAGE) + canary(PAGE)


OUTSIDE = {"hole": (WINDOW + 4 * SIZE, PAGE), "before": (WINDOW - PAGE, 2 * PAGE),
           "over-the-end": (WINDOW + 2 * SIZE - PAGE, 2 * PAGE),
           "two-that-touch": (WINDOW + SIZE - PAGE, 2 * PAGE), "unaligned": (WINDOW + 8, PAGE),
           "wrapping": ((1 << 64) - PAGE, 2 * PAGE)}


@covers("VE-BACK-003", "VE-SEC-005", "VE-MAP-006")
@in_each_space
@pytest.mark.parametrize("at, size", OUTSIDE.values(), ids=OUTSIDE)
def test_range_lies_in_one_window(connect, fds, pasid, at, size):
    guest = space_guest(connect)
    for number in range(2):
        install(guest, fds, address=WINDOW + number * SIZE)
    guest.refuse("DMA_MAP", errno=EINVAL, **lean(at, size=size, pasid=pasid))
    guest.call("DMA_MAP", **lean(size=size, pasid=pasid))


@covers("VE-BACK-003")
@in_each_space
def test_range_in_a_window_has_no_descriptor(connect, fds, pasid):
    guest = space_guest(connect)
    memory = install(guest, fds)
    guest.refuse("DMA_MAP", [memory], errno=EINVAL, **lean(pasid=pasid))
    map_in(guest, memory, pasid=pasid)


@covers("VE-BACK-007", "VE-REPL-003")
@operated_in_each_space
def test_range_is_moved_within_its_window(vguest, fds, pasid):
    memory = install(vguest, fds, size=2 * SIZE)
    let_drain(vguest)
    old = map_in(vguest, memory, pasid=pasid)
    vguest.start("FILL", BASE, SIZE, hold="MID", mid=PAGE, seed=SEED, drain=True, pasid=pasid)
    vguest.held()
    sent = vguest.send("DMA_MAP", **lean(WINDOW + SIZE, pasid=pasid, names="INDIRECT|REPLACE"))
    assert_waits(vguest)
    vguest.slot().release("end")
    vguest.success(sent)
    assert old.holds(moved(SIZE)), "the reply came before the last byte"
    assert memory.read(SIZE, SIZE) == canary()
    vguest.succeed("FILL", BASE, PAGE, seed=SEED + 1, pasid=pasid)
    assert memory.read(SIZE, PAGE) == pattern(SEED + 1, PAGE)
    assert old.holds(moved(SIZE)), "it still leads to the old place"
    assert_ended(vguest, "DONE", PAGE)


@covers("VE-BACK-007", "VE-REPL-001", "VE-REPL-004")
@needs("replace")
@in_each_space
def test_range_in_a_window_is_replaced_exactly(connect, fds, pasid):
    guest = space_guest(connect)
    memory = install(guest, fds)
    refused = lean(WINDOW, size=PAGE, pasid=pasid, names="INDIRECT|REPLACE")
    guest.refuse("DMA_MAP", errno=ENOENT, **refused)
    one = map_in(guest, memory, size=2 * PAGE, pasid=pasid)
    guest.refuse("DMA_MAP", errno=ENOENT, **refused)
    refused = lean(WINDOW + SIZE, size=2 * PAGE, pasid=pasid, names="INDIRECT|REPLACE")
    guest.refuse("DMA_MAP", errno=EINVAL, **refused)
    guest.unmap(one)


# ---- F14: a window is removed ----


FORMS = pytest.mark.parametrize("names", ["", "ALL", pytest.param("RANGE",
                                                                  marks=needs("unmap_range"))],
                                ids=["exact", "all", "range"])


@covers("VE-BACK-005", "VE-BACK-006")
@in_each_space
@FORMS
def test_f14_window_in_use_stays_until_the_last_range_in_it_has_gone(connect, fds, names, pasid):
    guest = space_guest(connect)
    memory = install(guest, fds)
    first, last = (map_in(guest, memory, WINDOW + n * PAGE, size=PAGE, address=BASE + n * SIZE,
                          pasid=pasid) for n in range(2))
    guest.refuse("DMA_UNMAP", errno=EBUSY, **drop())
    guest.unmap(first)
    guest.refuse("DMA_UNMAP", errno=EBUSY, **drop())
    guest.unmapped(last, guest.ask_unmap(last, names))
    reply = guest.call("DMA_UNMAP", **drop())
    assert (reply.address, reply.size) == (WINDOW, SIZE)
    guest.refuse("DMA_UNMAP", errno=ENOENT, **drop())
    guest.refuse("DMA_MAP", errno=EINVAL, **lean())


@covers("VE-BACK-005")
@operated_in_each_space
def test_f14_window_that_is_not_removed_works(vguest, fds, pasid):
    memory = install(vguest, fds)
    one = map_in(vguest, memory, pasid=pasid)
    vguest.refuse("DMA_UNMAP", errno=EBUSY, **drop())
    vguest.succeed("FILL", BASE, SIZE, seed=SEED, pasid=pasid)
    assert one.holds(moved(SIZE))


@covers("VE-BACK-006", "VE-DONE-001", "VE-BACK-005")
@operated_in_each_space
def test_f14_range_in_a_window_goes_when_its_operation_has_ended(vguest, fds, pasid):
    let_drain(vguest)
    memory = install(vguest, fds)
    one = map_in(vguest, memory, pasid=pasid)
    vguest.start("FILL", BASE, SIZE, hold="MID", mid=PAGE, seed=SEED, drain=True, pasid=pasid)
    vguest.held()
    sent = vguest.ask_unmap(one)
    window_sent = vguest.send("DMA_UNMAP", **drop())
    assert_waits(vguest)
    vguest.slot().release("end")
    vguest.unmapped(one, sent)
    assert memory.read(0, SIZE) == moved(SIZE), "the reply came before the last byte"
    vguest.success(window_sent)


NO_WINDOW = {"half": (drop(size=SIZE // 2), ENOENT), "more": (drop(size=2 * SIZE), ENOENT),
             "pasid": (drop(pasid=P1), EINVAL), "range": (drop(names="BACKING|RANGE"), EINVAL),
             "all": (drop(0, 0, "BACKING|ALL"), EINVAL), "mapping": (drop(names=""), ENOENT)}


@covers("VE-BACK-005", "VE-UNMAP-001", "VE-UNMAP-002")
@pytest.mark.parametrize("fields, errno", NO_WINDOW.values(), ids=NO_WINDOW)
def test_window_is_removed_exactly(connect, fds, fields, errno):
    guest = space_guest(connect)
    memory = install(guest, fds)
    guest.refuse("DMA_UNMAP", errno=errno, **fields)
    guest.unmap(map_in(guest, memory))
    guest.call("DMA_UNMAP", **drop())


@covers("VE-DISC-002", "VE-BACK-003")
@needs("reconnect")
def test_no_window_is_left_for_the_next_client(connect, fds):
    first = space_guest(connect)
    map_in(first, install(first, fds))
    first.session.close()
    second = space_guest(connect)
    second.refuse("DMA_MAP", errno=EINVAL, **lean())
    map_in(second, install(second, fds))


@covers("VE-NEG-006")
@pytest.mark.parametrize("command, fields", [
    ("DMA_MAP", window()), ("DMA_MAP", lean()), ("DMA_UNMAP", drop())],
    ids=["window", "range", "removal"])
def test_windows_have_to_be_negotiated(connect, fds, command, fields):
    guest = space_guest(connect, backing=False)
    memories = [fds.memory(SIZE)] if fields == window() else []
    guest.refuse(command, memories, errno=EINVAL, **fields)
    if command == "DMA_MAP":
        guest.refuse("DMA_UNMAP", address=fields["address"], size=SIZE)


# ---- I08, I18: the log of written pages ----


@covers("VE-BACK-009", "VE-BACK-008", "VIO-LOG-001")
@needs("dma_logging")
@operated_in_each_space
@FORMS
def test_i08_log_keeps_what_was_written_by_a_range_that_has_gone(log, vguest, fds, names, pasid):
    memory = install(vguest, fds)
    one = map_in(vguest, memory, pasid=pasid)
    log.start(ranges=[(WINDOW, SIZE)])
    for page in (2, 5):
        vguest.succeed("FILL", BASE + page * PAGE, PAGE, seed=SEED, pasid=pasid)
    vguest.unmapped(one, vguest.ask_unmap(one, names))
    log.expect({2, 5}, WINDOW)
    log.expect((), WINDOW)


@covers("VE-BACK-008", "VE-MIG-006", "VE-MIG-005")
@needs("dma_logging", "pasid", "device_pasid")
def test_i18_page_that_is_written_in_two_spaces_is_dirty_once_where_it_is_backed(log, vguest, fds):
    memory = install(vguest, fds)
    for number, pasid in enumerate((P1, P2, None)):
        map_in(vguest, memory, address=BASE + 4 * number * SIZE, pasid=pasid)
    log.start(ranges=[(WINDOW, SIZE)])
    vguest.succeed("FILL", BASE + 3 * PAGE, 8, seed=SEED, pasid=P1)
    log.expect({3}, WINDOW)
    log.expect((), WINDOW)
    vguest.succeed("FILL", BASE + 4 * SIZE + 3 * PAGE, 8, seed=SEED, pasid=P2)
    vguest.succeed("FILL", BASE + 8 * SIZE + 7 * PAGE, 8, seed=SEED)
    log.expect({3, 7}, WINDOW)
    log.expect((), WINDOW)


@covers("VE-MIG-006", "VE-MIG-005")
@needs("dma_logging", "pasid", "device_pasid", "provoke_dma")
def test_i18_page_of_two_spaces_is_dirty_whoever_writes_it(log, vguest, fds):
    memory = fds.memory(SIZE)
    for pasid in (None, P1, P2):
        vguest.map(memory=memory, pasid=pasid)
    log.start()
    vguest.succeed("FILL", BASE + 3 * PAGE, 8, seed=SEED, pasid=P1)
    vguest.succeed("FILL", BASE + 5 * PAGE, 8, seed=SEED, pasid=P2)
    log.expect({3, 5})
    log.expect(())


@covers("VE-MIG-005", "VE-BACK-008")
@needs("dma_logging", "pasid", "device_pasid")
def test_i18_reports_beside_writes_in_two_spaces_lose_no_page(log, vguest, fds):
    size = MANY * PAGE
    memory = install(vguest, fds, size=2 * size)
    for number, pasid in enumerate((P1, P2)):
        map_in(vguest, memory, WINDOW + number * size, size=size, pasid=pasid)
    log.start(ranges=[(WINDOW, 2 * size)])
    for slot, pasid in enumerate((P1, P2)):
        vguest.start("FILL", BASE, size, slot, seed=SEED, pasid=pasid)
    told = set()
    while not all(vguest.slot(slot).state().name in TERMINAL for slot in (0, 1)):
        told |= log.report(WINDOW, 2 * size)
    assert all(vguest.wait(slot) == "DONE" for slot in (0, 1))
    told |= log.report(WINDOW, 2 * size)
    assert told == set(range(2 * MANY)), f"{2 * MANY - len(told)} pages are never reported"


@covers("VE-MIG-007", "VE-BACK-008", "VIO-LOG-002")
@needs("dma_logging", "pasid", "device_pasid", "server_dma")
def test_i18_what_goes_by_messages_is_not_in_the_log(log, vguest, fds):
    memory = install(vguest, fds)
    there = map_in(vguest, memory, pasid=P1)
    apart = vguest.map(pasid=P2)
    log.start(ranges=[(WINDOW, SIZE)])
    vguest.succeed("FILL", BASE, SIZE, seed=SEED, pasid=P2)
    assert apart.holds(pattern(SEED, SIZE))
    vguest.succeed("FILL", BASE, SIZE, seed=SEED, pasid=P1, path="messages")
    assert there.holds(pattern(SEED, SIZE))
    assert log.report(WINDOW) == set(), "the client executes these writes, and knows of them"
    vguest.succeed("FILL", BASE + PAGE, PAGE, seed=SEED, pasid=P1)
    log.judge(log.report(WINDOW), {1}, blocks({1}, log.page_size, WINDOW))
