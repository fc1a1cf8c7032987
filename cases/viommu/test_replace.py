# SPDX-License-Identifier: BSD-3-Clause
"""Mappings that are replaced in one step: rows C05 to C09 of the catalogue (README.md)."""

import os
from errno import EACCES, EEXIST, EINVAL, ENOENT, EPERM

import pytest
from flight import SEED, assert_ended, assert_waits, canary, let_drain, moved
from mapping import BASE, PAGE, RW, SIZE
from spaces import P1, space_guest

from vuc import covers, needs
from vuc.evidence import Fd
from vuc.vdma import pattern
from vuc.viommu import word

pytestmark = needs("viommu", "dma_maps", "replace")

ABORTED = "ABORTED ECANCELED"
DENIED = "FAULT EACCES"
ROUNDS = 1000
READERS = range(4)  # slots
in_each_space = pytest.mark.parametrize(
    "pasid", [None, pytest.param(P1, marks=needs("pasid"))], ids=["none", "pasid"])
operated_in_each_space = pytest.mark.parametrize(
    "pasid", [pytest.param(None, marks=needs("provoke_dma")),
              pytest.param(P1, marks=needs("pasid", "device_pasid"))], ids=["none", "pasid"])


def held(guest, one, point, **how):
    """An operation that writes to all of the range, held at that point."""
    guest.start("FILL", one.address, one.size, hold=point, seed=SEED, mid=PAGE, pasid=one.pasid,
                **how)
    guest.held()


def assert_denied(guest, op, one):
    """The right is missing, and nothing is moved."""
    assert guest.run(op, one.address, PAGE, pasid=one.pasid) == DENIED
    assert_ended(guest, DENIED, 0)


# ---- C05: rights are taken away ----


@covers("VE-REPL-003", "VE-DONE-002", "VE-MAP-008", "VE-SEC-006")
@operated_in_each_space
@pytest.mark.parametrize("point, count", [("POST", 0), ("MID", PAGE)], ids=["translated", "middle"])
def test_c05_write_does_not_outlive_the_right_to_write(vguest, fds, pasid, point, count):
    one = vguest.map_canary(fds, pasid=pasid)
    held(vguest, one, point)
    one = vguest.replace(one, one.memory, "READ")
    assert one.holds(moved(count)), "the bytes at the reply are wrong"
    vguest.slot().step("end")
    vguest.wait()
    assert one.holds(moved(count)), "bytes move behind the reply"
    assert_ended(vguest, ABORTED, count)
    assert_denied(vguest, "FILL", one)
    assert vguest.run("READ", BASE, PAGE, pasid=pasid) == "DONE"


@covers("VE-REPL-003", "VE-DONE-001")
@operated_in_each_space
@pytest.mark.parametrize("change", ["rights", "memory"])
def test_c05_reply_waits_for_an_operation_that_drains(vguest, fds, pasid, change):
    let_drain(vguest)
    old = vguest.map_canary(fds, pasid=pasid)
    memory = old.memory if change == "rights" else fds.memory(SIZE)
    held(vguest, old, "MID", drain=True)
    sent = vguest.ask_replace(old, memory, "READ")
    assert_waits(vguest)
    vguest.slot().release("end")
    vguest.success(sent)
    assert old.holds(moved(SIZE)), "the reply came before the last byte"
    assert_ended(vguest, "DONE", SIZE)
    assert_denied(vguest, "FILL", old)


@covers("VE-DONE-005", "VE-REPL-003")
@needs("provoke_dma")
def test_c05_operation_elsewhere_delays_nothing(vguest, fds):
    let_drain(vguest)
    busy = vguest.map_canary(fds)
    held(vguest, busy, "MID", drain=True)
    other = vguest.map_canary(fds, BASE + SIZE)
    vguest.replace(other, fds.memory(SIZE))
    assert vguest.slot().state() == "HELD@MID"
    vguest.slot().step("end")
    assert vguest.wait() == "DONE"
    assert busy.holds(moved(SIZE))


# ---- C06, C07: there is no hole ----


@covers("VE-REPL-002", "VE-MAP-005")
@operated_in_each_space
def test_c06_no_read_fails_while_rights_come_and_go(vguest, fds, scale, pasid):
    one = vguest.map_canary(fds, flags="READ", pasid=pasid)
    starts = [vguest.prepare("READ", BASE, PAGE, slot, buf=slot * PAGE, pasid=pasid)
              for slot in READERS]
    for flags in (RW, "READ") * max(25, round(ROUNDS * scale / 2)):
        sent = [vguest.session.send(starts[0]), vguest.session.send(starts[1]),
                vguest.ask_replace(one, one.memory, flags),
                *(vguest.session.send(start) for start in starts[2:])]
        for reply in sent:
            vguest.success(reply)
        states = [vguest.wait(slot) for slot in READERS]
        assert all(state in ("DONE", ABORTED) for state in states[:2]), states
        assert all(state == "DONE" for state in states[2:]), states


@covers("VE-REPL-002", "VE-REPL-003", "VE-ATC-001")
@operated_in_each_space
def test_c07_operation_meets_the_old_memory_or_the_new(vguest, fds, scale, pasid):
    memories = [fds.memory(SIZE), fds.memory(SIZE)]
    for number, memory in enumerate(memories):
        memory.write(0, pattern(number + 1, SIZE))
    one = vguest.map(memory=memories[0], pasid=pasid)
    starts = [vguest.prepare("READ", BASE, PAGE, slot, buf=slot * PAGE, pasid=pasid)
              for slot in READERS]
    for number in (1, 0) * max(25, round(ROUNDS * scale / 2)):
        early = [vguest.session.send(start) for start in starts[:2]]
        sent = vguest.ask_replace(one, memories[number])
        late = [vguest.session.send(start) for start in starts[2:]]
        for reply in (*early, sent, *late):
            vguest.success(reply)
        states = [vguest.wait(slot) for slot in READERS]
        for slot, state in enumerate(states):
            came = vguest.vdma.load(slot * PAGE, PAGE)
            allowed = [pattern(number + 1, PAGE)]
            if slot < 2:
                assert state in ("DONE", ABORTED), state
                allowed.append(pattern(2 - number, PAGE))
            if state == "DONE":
                assert came in allowed, f"slot {slot} has read something else"


@covers("VE-REPL-003", "VE-DONE-001", "VE-DONE-002")
@operated_in_each_space
def test_c07_nothing_is_written_to_the_old_memory_behind_the_reply(vguest, fds, pasid):
    old = vguest.map_canary(fds, pasid=pasid)
    held(vguest, old, "MID")
    new = vguest.replace(old, fds.memory(SIZE))
    vguest.slot().step("end")
    vguest.wait()
    vguest.succeed("FILL", BASE, SIZE, seed=SEED + 1, pasid=pasid)
    assert old.holds(moved(PAGE))
    assert new.holds(pattern(SEED + 1, SIZE))


@covers("VE-REPL-002", "VE-ERR-002", "VE-NEG-009")
@in_each_space
def test_c07_mapping_that_is_replaced_stays_one(connect, fds, pasid):
    guest = space_guest(connect)
    memory = fds.memory(SIZE)
    one = guest.map(memory=memory, pasid=pasid)
    for number in range(100):
        one = guest.replace(one, memory if number % 2 else None, ("READ", "WRITE", RW)[number % 3])
    guest.unmap(one)
    guest.refuse("DMA_UNMAP", flags=word("", pasid), address=BASE, size=SIZE, errno=ENOENT)


# ---- C08, C09: what can not be replaced ----


INEXACT = {"first-half": (0, SIZE // 2), "second-half": (SIZE // 2, SIZE // 2), "more":
           (0, SIZE + PAGE), "around": (-PAGE, SIZE + 2 * PAGE), "elsewhere": (4 * SIZE, SIZE),
           "next": (SIZE, SIZE), "before": (-SIZE, SIZE)}


@covers("VE-REPL-001", "VE-REPL-004", "VE-MAP-006")
@in_each_space
@pytest.mark.parametrize("at, size", INEXACT.values(), ids=list(INEXACT))
def test_c08_other_range_than_that_of_the_mapping_is_refused(connect, fds, pasid, at, size):
    guest = space_guest(connect)
    one = guest.map(memory=fds.memory(SIZE), pasid=pasid)
    guest.refuse("DMA_MAP", [fds.memory(2 * SIZE)], flags=word(f"{RW}|REPLACE", pasid),
                 address=BASE + at, size=size, errno=ENOENT)
    guest.refuse("DMA_UNMAP", flags=word("", pasid), address=BASE + at, size=size, errno=ENOENT)
    guest.unmap(one)


@covers("VE-REPL-001", "VE-MAP-006")
@needs("pasid")
@pytest.mark.parametrize("mapped, named", [(None, None), (None, P1), (P1, None), (0, P1)])
def test_c09_nothing_is_there_to_be_replaced(connect, mapped, named):
    guest = space_guest(connect)
    if mapped != named:
        guest.map(pasid=mapped)
    guest.refuse("DMA_MAP", flags=word(f"{RW}|REPLACE", named), address=BASE, size=SIZE,
                 errno=ENOENT)
    guest.refuse("DMA_UNMAP", flags=word("", named), address=BASE, size=SIZE, errno=ENOENT)
    guest.map(pasid=named)


@covers("VE-REPL-004", "VE-MAP-004", "VE-MAP-002", "VE-MAP-001")
@operated_in_each_space
@pytest.mark.parametrize("how", ["mode", "short", "offset", "no-rights"])
def test_replacement_that_is_refused_leaves_the_mapping(vguest, fds, pasid, how):
    one = vguest.map_canary(fds, pasid=pasid)
    memory = fds.memory(SIZE - PAGE if how == "short" else 2 * SIZE)
    if how == "mode":
        number = os.open(f"/proc/self/fd/{memory.fileno()}", os.O_RDONLY | os.O_CLOEXEC)
        memory = fds.keep(Fd(number, "read-only-memfd"))
    flags = word("REPLACE" if how == "no-rights" else f"{RW}|REPLACE", pasid)
    vguest.refuse("DMA_MAP", [memory], flags=flags, address=BASE, size=SIZE,
                  offset=PAGE // 2 if how == "offset" else 0,
                  errno={EACCES, EPERM} if how == "mode" else EINVAL)
    vguest.refuse("DMA_MAP", flags=word(RW, pasid), address=BASE, size=PAGE, errno=EEXIST)
    vguest.succeed("FILL", BASE, SIZE, seed=SEED, pasid=pasid)
    assert one.holds(moved(SIZE))
    vguest.unmap(one)


@covers("VE-REPL-002", "VE-MAP-008")
@operated_in_each_space
@needs("server_dma")
def test_way_to_the_memory_is_replaced(vguest, fds, pasid):
    one = vguest.map_canary(fds, pasid=pasid)
    memory = one.memory
    one = vguest.replace(one)
    vguest.succeed("FILL", BASE, SIZE, seed=SEED, pasid=pasid)
    assert one.holds(moved(SIZE))
    assert memory.read(0, SIZE) == canary()
    assert vguest.requests
    one = vguest.replace(one, memory)
    del vguest.requests[:]
    vguest.succeed("FILL", BASE, SIZE, seed=SEED, pasid=pasid)
    assert one.holds(moved(SIZE))
    assert not vguest.requests
