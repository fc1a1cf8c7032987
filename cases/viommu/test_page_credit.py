# SPDX-License-Identifier: BSD-3-Clause
"""How many pages a device asks for, for how long, and what ends that: rows E04, E05, E14, E15, E18
to E22, E28, E29, D10, D12, D14, G02, G03, G06, J03 and J11 of the catalogue (README.md)."""

from errno import ENOENT

import pytest
from flight import SEED, canary, let_drain, moved
from mapping import BASE, PAGE, SIZE, eventually
from spaces import (
    ATS, ATS_CONTROL, ATS_ENABLE, BUS_MASTER, COMMAND, CREDIT, P1, P2, PRI_CONTROL, PRI_ENABLE,
    PRI_RESET, RESPONSE_FAILURE, STOPPED, UNEXPECTED, paging_guest, space_guest,
)

from vuc import covers, in_each_dialect, needs
from vuc.device import CAPABILITY_EXPRESS
from vuc.measure import queues
from vuc.session import TWIN
from vuc.vdma import SLOTS
from vuc.viommu import CODE, PERM

pytestmark = needs("viommu", "dma_maps", "page_requests", "device_pages", "provoke_dma")

MISSED = "FAULT ENOENT"
FAR = BASE + 16 * SIZE
SHORT = 100  # ms
ENDS, AT_A_TIME = 1 << 14, 64  # of spaces, until no marker fits the socket
MARKER = 32  # bytes
EXPRESS_CONTROL, FUNCTION_LEVEL_RESET = 8, 1 << 15
on_each_socket = pytest.mark.parametrize(
    "twin", [False, pytest.param(True, marks=needs("twin"))], ids=["single", "twin"])
in_each_space = pytest.mark.parametrize(
    "pasid", [None, pytest.param(P1, marks=needs("pasid", "device_pasid"))], ids=["none", "pasid"])


def enter(guest, pages, first=BASE, **row):
    """The guest maps so many pages, each by a row of its own."""
    return [guest.iommu.enter(first + n * PAGE, offset=n * PAGE, **row) for n in range(pages)]


def queued(guest, slot, size=PAGE, **how):
    """Start an operation that has to wait, but is not asked for."""
    before = len(guest.iommu.requests)
    guest.call(guest.ask("FILL", FAR + slot * SIZE, size, slot, seed=SEED, **how))
    assert guest.wait(slot, ("WAIT_PAGE", "FAULT", "DONE", "ABORTED")) == "WAIT_PAGE"
    guest.barrier()
    assert len(guest.iommu.requests) == before, "it asks for more pages than it may"


def comes(guest, count):
    """Wait until so many groups have come."""
    assert eventually(guest, lambda: guest.serve() or len(guest.iommu.requests) >= count)
    guest.barrier()
    assert len(guest.iommu.requests) == count


def works(guest, slot=7, **space):
    """A page is brought in as ever, by a cookie that is new."""
    before = {group.cookie for group in guest.iommu.requests}
    guest.iommu.policy = "at-once"
    row = guest.iommu.enter(FAR - PAGE, offset=0, **space)
    assert guest.fault("FILL", FAR - PAGE, PAGE, slot, seed=SEED, **space) == "DONE"
    assert guest.session.poc or guest.iommu.requests[-1].cookie not in before
    guest.iommu.unmap(row)


def at_once(guest, most):
    """How many pages it asks for at a time, of so many."""
    return 1 if guest.session.poc else most


# ---- E14, E15: credit ----


@covers("VE-CRED-001", "VE-CRED-002")
@on_each_socket
def test_e14_second_operation_waits_for_the_credit_of_the_first(connect, fds, twin):
    guest = paging_guest(connect, fds.memory(SIZE), twin, pages=1)
    guest.iommu.policy = "never"
    enter(guest, 1)
    group = guest.waits("FILL", BASE, PAGE, seed=SEED)
    for slot in (1, 2):
        queued(guest, slot)
        guest.iommu.enter(FAR + slot * SIZE, offset=slot * PAGE)
    for count, slot in ((2, 1), (3, 2)):
        guest.success(guest.iommu.serve(group))
        comes(guest, count)
        group = guest.iommu.requests[-1]
    guest.success(guest.iommu.serve(group))
    assert all(guest.wait(slot) == "DONE" for slot in range(3))
    assert [group.pages for group in guest.iommu.requests] == [1, 1, 1]


@covers("VE-CRED-004", "VE-CRED-001")
@pytest.mark.parametrize("credit, pages", [(1, 3), (2, 3), (2, 8), (5, 8)])
def test_e15_group_is_no_larger_than_the_credit(paged, credit, pages):
    paged.allocate(credit)
    enter(paged, pages)
    assert paged.fault("FILL", BASE, pages * PAGE, seed=SEED, retries=7) == "DONE"
    sizes = [group.pages for group in paged.iommu.requests]
    assert all(1 <= size <= credit for size in sizes), sizes
    assert sum(sizes) == pages
    assert paged.iommu.memory.read(0, pages * PAGE) == moved(pages * PAGE)[:pages * PAGE]


@covers("VE-CRED-001", "VE-SEC-002", "VE-NEG-002")
@pytest.mark.parametrize("negotiated", [1, 3])
def test_e14_credit_is_no_more_than_was_negotiated(connect, fds, negotiated):
    guest = space_guest(connect, page_requests=negotiated)
    guest.iommu.memory = fds.memory(SIZE)
    guest.iommu.policy = "never"
    guest.enable(pages=(1 << 32) - 1)
    groups = [guest.waits("FILL", BASE + n * SIZE, PAGE, n) for n in range(negotiated)]
    queued(guest, 7)
    guest.success(guest.iommu.respond(groups[0], CODE.INVALID))
    comes(guest, negotiated + 1)


@covers("VE-CRED-003", "VE-PCI-009", "VE-PCI-010")
def test_e21_interface_stops_when_all_is_answered(paged):
    paged.allocate(1)
    paged.iommu.policy = "never"
    enter(paged, 1)
    group = paged.waits("FILL", BASE, PAGE, seed=SEED)
    queued(paged, 1)
    assert not paged.status() & STOPPED
    paged.write_config(paged.pri + PRI_CONTROL, 0)
    assert paged.wait(1) == MISSED
    assert not paged.status() & STOPPED
    paged.success(paged.iommu.serve(group))
    assert paged.wait() == "DONE"
    assert paged.status() & STOPPED
    paged.call(paged.ask("FILL", FAR, PAGE))
    assert paged.wait() == MISSED
    assert len(paged.iommu.requests) == 1
    paged.write_config(paged.pri + PRI_CONTROL, PRI_ENABLE)
    assert not paged.status() & STOPPED


# ---- E20: when nothing is asked for ----


@covers("VE-REQ-004")
@in_each_space
@pytest.mark.parametrize("off", ["ats", "pri", "bus-master", "allocation", "operation"])
def test_e20_miss_is_a_fault_where_pages_can_not_be_asked_for(paged, pasid, off):
    enter(paged, 1, pasid=pasid)
    if off == "ats":
        paged.write_config(paged.capability(ATS) + ATS_CONTROL, 0)
    elif off == "pri":
        paged.write_config(paged.pri + PRI_CONTROL, 0)
    elif off == "bus-master":
        paged.write_config(COMMAND, paged.read_config(COMMAND) & ~BUS_MASTER)
    elif off == "allocation":
        paged.allocate(0)
    state = paged.fault("FILL", BASE, PAGE, pasid=pasid, pages=off != "operation")
    assert state == "FAULT"
    assert not paged.iommu.requests
    paged.enable(pages=CREDIT)
    assert paged.fault("FILL", BASE, PAGE, pasid=pasid, seed=SEED) == "DONE"


@covers("VE-SPACE-005", "VE-REQ-004")
@needs("pasid", "device_pasid")
def test_d14_no_page_is_asked_for_while_pasids_are_disabled(paged):
    enter(paged, 1, pasid=P1)
    paged.enable(pasid=False, pages=CREDIT)
    assert paged.fault("FILL", BASE, PAGE, pasid=P1) == "FAULT"
    assert not paged.iommu.requests


# ---- E04, E22: the interface fails, and is reset ----


@covers("VE-RESP-007", "VE-PCI-013", "VE-PCI-011")
@in_each_space
def test_e04_failure_ends_all_that_wait_until_the_interface_is_reset(paged, pasid):
    paged.allocate(3)
    paged.iommu.policy = "never"
    groups = [paged.waits("FILL", BASE + n * SIZE, PAGE, n, pasid=pasid) for n in range(3)]
    queued(paged, 3, pasid=pasid)
    paged.success(paged.iommu.respond(groups[1], CODE.FAILURE))
    assert all(paged.wait(slot) == "FAULT EIO" for slot in range(4))
    assert paged.status() & RESPONSE_FAILURE
    paged.iommu.gone(*groups)
    assert not paged.status() & UNEXPECTED
    assert paged.fault("FILL", BASE, PAGE, pasid=pasid) == "FAULT"
    assert len(paged.iommu.requests) == 3
    paged.enable(pages=CREDIT)
    assert not paged.status() & RESPONSE_FAILURE
    works(paged, pasid=pasid)


@covers("VE-PCI-011", "VE-CRED-005", "VE-RST-003")
@in_each_space
@pytest.mark.parametrize("control", [PRI_RESET], ids=["disable-and-reset"])
def test_e22_reset_of_the_interface_retires_its_groups(paged, pasid, control):
    paged.allocate(2)
    paged.iommu.policy = "never"
    groups = [paged.waits("FILL", BASE + n * SIZE, PAGE, n, pasid=pasid) for n in range(2)]
    queued(paged, 2, pasid=pasid)
    paged.write_config(paged.pri + PRI_CONTROL, control)
    assert all(paged.wait(slot) == "FAULT EIO" for slot in range(3))
    assert paged.status() & STOPPED
    paged.iommu.gone(*groups)
    assert not paged.status() & UNEXPECTED
    paged.write_config(paged.pri + PRI_CONTROL, PRI_ENABLE)
    paged.waits("FILL", BASE, PAGE, pasid=pasid)
    paged.waits("FILL", BASE + SIZE, PAGE, 1, pasid=pasid)


@covers("VE-PCI-012")
def test_e22_reset_is_ignored_in_a_write_that_leaves_it_enabled(paged):
    paged.iommu.policy = "never"
    enter(paged, 1)
    group = paged.waits("FILL", BASE, PAGE, seed=SEED)
    paged.write_config(paged.pri + PRI_CONTROL, PRI_ENABLE | PRI_RESET)
    assert paged.slot().state() == "WAIT_PAGE"
    paged.success(paged.iommu.serve(group))
    assert paged.wait() == "DONE"


# ---- E05: late answers ----


@covers("VE-TIME-001", "VE-TIME-002", "VE-RESP-009", "VE-RESP-010", "VE-RESP-011", "VE-CRED-001")
@in_each_space
def test_e05_late_response_gives_the_credit_back_and_nothing_else(paged, pasid):
    paged.allocate(1)
    paged.vdma.write("PR_TIMEOUT", SHORT)
    paged.iommu.policy = "never"
    assert paged.fault("FILL", BASE, PAGE, pasid=pasid) == "FAULT ETIMEDOUT"
    group, = paged.iommu.requests
    paged.vdma.write("PR_TIMEOUT", 0)
    queued(paged, 1, pasid=pasid)
    assert not paged.status() & UNEXPECTED
    paged.refuse("PAGE_RESPONSE", cookie=group.cookie, errno=ENOENT)
    comes(paged, 2)
    assert paged.status() & UNEXPECTED
    assert paged.iommu.requests[1].cookie != group.cookie
    assert paged.slot(1).state() == "WAIT_PAGE"


# ---- E18, E19, J03: an unmap while a page is missing ----


@in_each_dialect
@covers("VE-DEAD-001", "VE-DEAD-003", "VE-REQ-011", "VE-REQ-012", "VE-DONE-004")
@in_each_space
@pytest.mark.parametrize("way", ["exact", "drain",
                                 pytest.param("range", marks=needs("unmap_range"))])
def test_e18_unmap_does_not_wait_for_the_page_of_a_neighbour(paged, fds, pasid, way):
    if way == "drain":
        let_drain(paged)
    first = paged.map_canary(fds, BASE, PAGE, pasid=pasid)
    paged.iommu.policy = "never"
    group = paged.waits("FILL", BASE, 2 * PAGE, pasid=pasid, seed=SEED, drain=way == "drain")
    assert group.ranges[-1] == (BASE + PAGE, PAGE, PERM.WRITE)
    assert first.holds(moved(PAGE, PAGE))
    names = "RANGE" if way == "range" else ""
    paged.unmapped(first, paged.ask_unmap(first, names))
    paged.iommu.enter(BASE + PAGE, pasid=pasid, offset=PAGE)
    paged.success(paged.iommu.serve(group))
    assert paged.wait() == "DONE"
    assert first.holds(moved(PAGE, PAGE))
    assert paged.iommu.memory.read(PAGE, PAGE) == moved(2 * PAGE)[PAGE:2 * PAGE]
    assert len(paged.iommu.requests) == 1


@in_each_dialect
@covers("VE-DEAD-007", "VE-DEAD-003", "VE-DONE-008")
@needs("reset")
def test_j03_response_behind_an_unmap_that_waits_is_taken_in_its_place(paged, fds):
    let_drain(paged)
    busy = paged.map_canary(fds, FAR)
    paged.iommu.policy = "never"
    enter(paged, 1)
    group = paged.waits("FILL", BASE, PAGE, 1, seed=SEED)
    paged.start("FILL", FAR, SIZE, hold="MID", mid=PAGE, seed=SEED, drain=True)
    paged.held()
    sent = paged.ask_unmap(busy)
    answered = paged.iommu.serve(paged.iommu.requests[0])
    assert paged.slot(1).door_state() == "WAIT_PAGE"
    paged.slot().release("end")
    paged.unmapped(busy, sent)
    paged.success(answered)
    assert paged.wait(1) == "DONE"
    assert busy.holds(moved(SIZE))
    assert group.pages == 1


# ---- E28: a twin socket that nobody reads ----


def stop_reading(guest):
    """Nobody reads the twin, and spaces end until its socket takes no more markers: its bytes."""
    full, before = 0, -1
    guest.session.deaf = True
    for _ in range(ENDS // AT_A_TIME):
        for _ in range(AT_A_TIME):
            guest.call("DMA_UNMAP", flags="ALL|PASID=9")
        full = queues(guest.session, TWIN)[1]
        if full == before:
            return full
        before = full
    raise AssertionError(f"{full} bytes lie on the twin, and more come")


@covers("VE-DEAD-004", "VE-DEAD-002", "VE-REQ-013", "VE-DEAD-005", "VE-CRED-003")
@needs("twin")
def test_e28_main_socket_is_served_while_nobody_reads_the_twin(connect, fds):
    guest = paging_guest(connect, fds.memory(SIZE), True, pages=1)
    guest.iommu.policy = "never"
    group = guest.waits("FILL", BASE, PAGE)
    queued(guest, 1)
    full = stop_reading(guest)
    assert full >= MARKER
    far = guest.map_canary(fds, FAR - SIZE)
    for number in range(SLOTS):
        guest.call("DMA_MAP", flags="READ|WRITE", address=FAR, size=PAGE * (1 + number))
        guest.call("DMA_UNMAP", address=FAR, size=PAGE * (1 + number))
        guest.call("DMA_UNMAP", flags=f"ALL|PASID={number}")
    guest.start("FILL", FAR - SIZE, SIZE, 2, seed=SEED)
    assert guest.wait(2) == "DONE"
    assert far.holds(moved(SIZE))
    guest.write_config(guest.pri + PRI_CONTROL, 0)
    assert guest.wait(1) == MISSED
    assert queues(guest.session, TWIN)[1] == full
    guest.session.deaf = False
    assert eventually(guest, lambda: guest.serve() or {*range(SLOTS), 9} == {*guest.iommu.markers})
    assert guest.iommu.requests == [group]


# ---- E29: bus mastering ----


@covers("VE-PCI-014")
def test_e29_nothing_moves_while_the_device_is_no_bus_master(paged):
    paged.iommu.policy = "never"
    enter(paged, 1)
    group = paged.waits("FILL", BASE, PAGE, seed=SEED)
    command = paged.read_config(COMMAND)
    paged.write_config(COMMAND, command & ~BUS_MASTER)
    paged.success(paged.iommu.serve(group))
    for _ in range(3):
        state = paged.slot().state()
        assert state != "DONE"
    assert paged.iommu.memory.read(0, SIZE) == canary()
    paged.write_config(COMMAND, command | BUS_MASTER)
    state = paged.wait()
    assert state in ("DONE", "FAULT"), state
    assert paged.iommu.memory.read(0, SIZE) == moved(PAGE if state == "DONE" else 0)


# ---- D10, D11: a space ends ----


@covers("VE-ALL-004", "VE-ALL-005", "VE-ALL-007", "VE-RESP-009", "VE-RESP-013")
@needs("pasid", "device_pasid")
@on_each_socket
def test_d10_end_of_a_space_retires_its_groups_and_no_others(connect, fds, twin):
    guest = paging_guest(connect, fds.memory(SIZE), twin, pages=3)
    guest.iommu.policy = "never"
    groups = [guest.waits("FILL", BASE, PAGE, slot, pasid=pasid)
              for slot, pasid in enumerate((P1, P2, None))]
    queued(guest, 3, pasid=P1)
    assert guest.iommu.end(P1) == 0
    assert guest.iommu.markers == [P1]
    assert [str(guest.wait(slot)) for slot in (0, 3)] == ["ABORTED ECANCELED"] * 2
    assert [guest.slot(slot).state().name for slot in (1, 2)] == ["WAIT_PAGE"] * 2
    guest.iommu.gone(groups[0])
    guest.waits("FILL", BASE, PAGE, pasid=P1)
    for slot, group in ((1, groups[1]), (2, groups[2])):
        guest.iommu.enter(BASE, pasid=group.pasid)
        guest.success(guest.iommu.serve(group))
        assert guest.wait(slot) == "DONE"


@covers("VE-ALL-008", "VE-ALL-002")
def test_d10_groups_without_pasid_outlive_all(paged):
    paged.iommu.policy = "never"
    enter(paged, 1)
    group = paged.waits("FILL", BASE, PAGE, seed=SEED)
    paged.iommu.end()
    assert not paged.iommu.markers
    assert paged.slot().state() == "WAIT_PAGE"
    paged.success(paged.iommu.serve(group))
    assert paged.wait() == "DONE"


@covers("VE-ALL-005", "VE-ALL-010", "VE-ALL-004")
@needs("pasid", "device_pasid")
@on_each_socket
def test_d12_request_of_the_next_space_comes_behind_the_marker(connect, fds, twin):
    guest = paging_guest(connect, fds.memory(SIZE), twin)
    old = guest.map_canary(fds, BASE + SIZE, pasid=P1)
    guest.call(guest.ask("FILL", BASE, PAGE, pasid=P1, hold="PREREQ", seed=SEED))
    guest.held()
    guest.unmapped(old, guest.ask_unmap(old, "ALL"))
    assert guest.iommu.markers == [P1]
    assert not guest.iommu.requests
    guest.iommu.enter(BASE, pasid=P1)
    guest.slot().step("end")
    state = guest.wait()
    assert state in ("DONE", "ABORTED", "FAULT"), state
    assert old.holds(canary())
    if state == "DONE":
        assert len(guest.iommu.requests) == 1


# ---- G02, G03, G06, J11: resets, and the end of the connection ----


def reset(guest, how, device):
    """Reset the device."""
    if how == "reset":
        guest.call("DEVICE_RESET")
        return
    with device._session() as session:
        at = device._capability(session, CAPABILITY_EXPRESS)
    guest.write_config(at + EXPRESS_CONTROL, FUNCTION_LEVEL_RESET)


@in_each_dialect
@covers("VE-RST-001", "VE-RST-003", "VE-CRED-005", "VE-PCI-006", "VE-SPACE-008")
@in_each_space
@pytest.mark.parametrize("how", [pytest.param("reset", marks=needs("reset")),
                                 pytest.param("function", marks=needs("flr", "concurrent"))])
def test_g02_reset_retires_groups_and_page_requests_work_again(paged, fds, device, pasid, how):
    there = paged.map_canary(fds, FAR + 8 * SIZE, pasid=pasid)
    paged.allocate(2)
    paged.iommu.policy = "never"
    groups = [paged.waits("FILL", BASE + n * SIZE, PAGE, n, pasid=pasid)
              for n in range(at_once(paged, 2))]
    queued(paged, 2, pasid=pasid)
    reset(paged, how, device)
    assert all(paged.slot(slot).state() in ("IDLE", "ABORTED") for slot in range(3))
    assert paged.read_config(paged.pri + PRI_CONTROL) & (PRI_ENABLE | PRI_RESET) == 0
    assert paged.status() & (STOPPED | UNEXPECTED | RESPONSE_FAILURE) == STOPPED
    assert not paged.read_config(paged.capability(ATS) + ATS_CONTROL) & ATS_ENABLE
    paged.iommu.gone(*groups)
    assert not paged.status() & UNEXPECTED
    paged.enable(pages=2)
    works(paged, pasid=pasid)
    paged.succeed("FILL", there.address, SIZE, seed=SEED, pasid=pasid)
    assert there.holds(moved(SIZE))


@in_each_dialect
@covers("VE-DISC-002", "VE-CRED-005", "VE-SEC-009")
@needs("reconnect")
@on_each_socket
@in_each_space
def test_g06_next_client_has_all_credit_and_no_groups(connect, fds, twin, pasid):
    first = paging_guest(connect, fds.memory(SIZE), twin, pages=2)
    first.iommu.policy = "never"
    many = at_once(first, 2)
    groups = [first.waits("FILL", BASE + n * SIZE, PAGE, n, pasid=pasid) for n in range(many)]
    first.session.close()
    second = paging_guest(connect, fds.memory(SIZE), twin, pages=2)
    second.iommu.policy = "never"
    second.iommu.gone(*groups)
    again = [second.waits("FILL", BASE + n * SIZE, PAGE, n, pasid=pasid) for n in range(many)]
    assert len({group.cookie for group in again}) == many
    second.iommu.finish(again[0], CODE.INVALID)
    works(second, pasid=pasid)


@covers("VE-SEC-009", "VE-RESP-009", "VE-RESP-003")
@needs("concurrent")
def test_g06_cookie_of_one_connection_is_nothing_to_another(connect, fds):
    guests = [paging_guest(connect, fds.memory(SIZE)) for _ in range(2)]
    groups = []
    for guest in guests:
        guest.iommu.policy = "never"
        enter(guest, 1)
        groups.append(guest.waits("FILL", BASE, PAGE, seed=SEED))
    if groups[0].cookie != groups[1].cookie:
        gone(guests[1], groups[0])
    guests[0].success(guests[0].iommu.serve(groups[0]))
    assert guests[0].wait() == "DONE"
    assert guests[1].slot().state() == "WAIT_PAGE"
    guests[1].success(guests[1].iommu.serve(groups[1]))
    assert guests[1].wait() == "DONE"
