# SPDX-License-Identifier: BSD-3-Clause
"""What the poc dialect of the vIOMMU extension has of its own: row C10, and rows D07, E07, F01 and
G02 as they are there (README.md). What it shares is in the other files, in_each_dialect."""

import struct
from errno import EACCES, EINVAL, EIO, ENOENT

import pytest
from dma import each_direction, on_each_socket
from flight import SEED, assert_ended, assert_waits, canary, let_drain, moved
from mapping import BASE, PAGE, RW, SIZE, eventually, map_range, unmap_range
from spaces import CREDIT, P1, P2, P3, SpaceGuest, paging_guest, space_guest

from vuc import constants, covers, hostile, message, needs, structure, unknown
from vuc.message import decode
from vuc.schema import PASID_SHIFT, STRUCTURES, pasid_word
from vuc.vdma import TERMINAL
from vuc.viommu import HALF, NO_PASID, PERM, POC_PAGE_REQUEST, word

pytestmark = needs("poc", "dma_maps")

DENIED = "FAULT EACCES"
MISSED = "FAULT ENOENT"
FAR = BASE + 16 * SIZE
TOP = (1 << constants.LIMITS.PASID_BITS) - 1
ROUNDS = 500
COMPLETION = STRUCTURES["POC_PAGE"]
on_the_device = needs("provoke_dma", "device_pasid")
asks_for_pages = needs("provoke_dma", "device_pages")
in_each_space = pytest.mark.parametrize(
    "pasid", [None, pytest.param(P1, marks=needs("device_pasid"))], ids=["none", "pasid"])


def completion(group, **changes):
    """The command that completes a request, with other fields than it should have."""
    fields = decode(COMPLETION.request, group.request.data)
    return unknown(POC_PAGE_REQUEST, structure("POC_PAGE", **{**fields, **changes}))


def waiting(guest, address=BASE, slot=0, **how):
    """The request of an operation that waits for a page of the guest's tables."""
    guest.iommu.policy = "never"
    guest.iommu.enter(address, offset=0, pasid=how.get("pasid"))
    return guest.waits("FILL", address, PAGE, slot, seed=SEED, **how)


def served(guest, group, slot=0):
    """The request is served, and its operation ends well."""
    guest.success(guest.iommu.serve(group))
    assert guest.wait(slot) == "DONE"
    assert guest.iommu.memory.read(0, SIZE) == moved(PAGE)


# ---- C10: the same range is mapped again ----


@covers("VE-POC-004", "VE-MAP-008")
@on_the_device
@in_each_space
@pytest.mark.parametrize("point, count", [("POST", 0), ("MID", PAGE)], ids=["translated", "middle"])
def test_c10_same_range_again_changes_its_rights(vguest, fds, pasid, point, count):
    one = vguest.map_canary(fds, pasid=pasid)
    vguest.start("FILL", BASE, SIZE, hold=point, seed=SEED, mid=PAGE, pasid=pasid)
    vguest.held()
    vguest.map(memory=one.memory, flags="READ", pasid=pasid)
    assert one.holds(moved(count)), "the bytes at the reply are wrong"
    vguest.slot().step("end")
    vguest.wait()
    assert one.holds(moved(count)), "bytes move behind the reply"
    assert vguest.run("FILL", BASE, PAGE, pasid=pasid) == DENIED
    assert_ended(vguest, DENIED, 0)
    assert vguest.run("READ", BASE, PAGE, pasid=pasid) == "DONE"


@covers("VE-POC-004")
@on_the_device
@in_each_space
def test_c10_reply_waits_for_an_operation_that_drains(vguest, fds, pasid):
    let_drain(vguest)
    old, memory = vguest.map_canary(fds, pasid=pasid), fds.memory(SIZE)
    vguest.start("FILL", BASE, SIZE, hold="MID", mid=PAGE, seed=SEED, drain=True, pasid=pasid)
    vguest.held()
    sent = vguest.send("DMA_MAP", [memory], flags=word(RW, pasid), address=BASE, size=SIZE)
    assert_waits(vguest)
    vguest.slot().release("end")
    vguest.success(sent)
    assert old.holds(moved(SIZE)), "the reply came before the last byte"
    vguest.succeed("FILL", BASE, PAGE, seed=SEED + 1, pasid=pasid)
    assert old.holds(moved(SIZE)), "the old memory is reached"


@covers("VE-POC-004", "FD-PASS-008")
@needs("proc")
def test_c10_same_range_again_and_again_keeps_no_descriptors(vguest, fds, target):
    memory = fds.memory(SIZE)
    vguest.map(memory=memory)
    before = target.resources().fds
    for _ in range(ROUNDS):
        map_range(vguest.session, fds=[memory])
    assert eventually(vguest.session, lambda: target.resources().fds <= before), "they add up"
    unmap_range(vguest.session)
    vguest.refuse("DMA_UNMAP", address=BASE, size=SIZE, errno=ENOENT)


# ---- D07: ALL; and which bits there are ----


@covers("VE-POC-005", "VE-POC-003")
def test_d07_all_is_about_all_spaces(connect):
    guest = space_guest(connect)
    for _ in range(2):
        for pasid in (None, 0, P1, TOP):
            guest.map(pasid=pasid)
        guest.call("DMA_UNMAP", flags="ALL")
        for pasid in (None, 0, P1, TOP):
            guest.refuse("DMA_UNMAP", flags=word("", pasid), address=BASE, size=SIZE, errno=ENOENT)
    assert not guest.iommu.markers


@covers("VE-POC-005")
@pytest.mark.parametrize("pasid", [0, P1])
def test_d07_all_of_a_pasid_is_refused_and_removes_nothing(connect, pasid):
    guest = space_guest(connect)
    for space in (None, 0, P1):
        guest.map(pasid=space)
    guest.refuse("DMA_UNMAP", flags=word("ALL", pasid), errno=ENOENT)
    for one in list(guest.ranges):
        guest.unmap(one)


@covers("VE-POC-003")
@pytest.mark.parametrize("command, names", [
    ("DMA_MAP", f"{RW}|REPLACE"), ("DMA_MAP", f"{RW}|BACKING"), ("DMA_MAP", f"{RW}|INDIRECT"),
    ("DMA_MAP", f"{RW}|4"), ("DMA_UNMAP", "RANGE"), ("DMA_UNMAP", "BACKING")])
@pytest.mark.parametrize("pasid", [None, P1], ids=["none", "pasid"])
def test_bits_of_the_extension_are_refused(connect, command, names, pasid):
    guest = space_guest(connect)
    guest.map(pasid=pasid)
    address = BASE + (SIZE if command == "DMA_MAP" else 0)
    guest.refuse(command, flags=word(names, pasid), address=address, size=SIZE, errno=EINVAL)
    guest.refuse("DMA_UNMAP", flags=word("", pasid), address=BASE + SIZE, size=SIZE, errno=ENOENT)
    guest.unmap(guest.ranges[0])


@covers("VE-POC-003")
@hostile
def test_request_for_a_bitmap_in_a_space_is_refused(connect):
    guest = space_guest(connect)
    guest.map(pasid=P1)
    asked = message("DMA_UNMAP", flags=word("1", P1), address=BASE, size=SIZE, argsz=0x1000)
    guest.refuse(asked.extend(struct.pack("<2Q", PAGE, 8)), errno=EINVAL)
    guest.unmap(guest.ranges[0])


# ---- messages ----


@covers("VE-POC-006")
@on_the_device
@needs("server_dma")
@each_direction
@pytest.mark.parametrize("pasid", [None, 0, 1, P3, TOP])
def test_messages_have_the_pasid_and_no_bit_that_says_so(vguest, op, pasid):
    vguest.map(pasid=pasid)
    if not pasid:
        vguest.asked_in = None
    command = vguest.prepare(op, BASE, 16, pasid=pasid)
    sent = vguest.send(command)
    request = vguest.session.take_request()
    assert request.count >> HALF == (pasid or 0) << PASID_SHIFT
    assert request.count & 0xFFFFFFFF == 16
    vguest.session.answer(request, data=bytes(16) if op == "READ" else b"")
    vguest.success(sent)
    assert vguest.wait() == "DONE"


@covers("VE-POC-006")
@on_the_device
@needs("server_dma")
@each_direction
@pytest.mark.parametrize("attr", [0, P2 << PASID_SHIFT, pasid_word(P1)],
                         ids=["none", "another", "valid"])
def test_reply_without_the_pasid_fails_the_operation(vguest, op, attr):
    vguest.map(pasid=P1)
    sent = vguest.send(vguest.prepare(op, BASE, 16, pasid=P1))
    request = vguest.session.take_request()
    vguest.session.answer(request, data=bytes(16) if op == "READ" else b"",
                          count=16 | attr << HALF)
    vguest.success(sent)
    assert vguest.wait() == "FAULT EIO"
    vguest.succeed(op, BASE, 16, pasid=P1)


# ---- page requests ----


@covers("VE-POC-007")
@asks_for_pages
@in_each_space
@on_each_socket
@pytest.mark.parametrize("op, perm", [("FILL", PERM.WRITE), ("READ", PERM.READ)])
def test_page_is_asked_for_by_a_command_that_wants_a_reply(connect, fds, twin, pasid, op, perm):
    guest = paging_guest(connect, fds.memory(SIZE), twin)
    guest.iommu.policy = "never"
    request = guest.waits(op, BASE + PAGE, 3 * PAGE, pasid=pasid).request
    header = request.header
    assert (header.command, header.flags) == (POC_PAGE_REQUEST, 0)
    assert decode(COMPLETION.request, request.data) == {
        "address": BASE + PAGE, "count": PAGE, "flags": perm,
        "pasid": NO_PASID if pasid is None else pasid}
    assert len(request.data) == COMPLETION.request_size and not request.fds


@covers("VE-POC-007", "VE-POC-008")
@asks_for_pages
def test_one_page_is_asked_for_at_a_time(paged):
    group = waiting(paged)
    for slot in (1, 2):
        paged.iommu.enter(FAR + slot * SIZE, offset=slot * PAGE)
        paged.call(paged.ask("FILL", FAR + slot * SIZE, PAGE, slot, seed=SEED))
        assert paged.wait(slot, TERMINAL | {"WAIT_PAGE"}) == "WAIT_PAGE"
    paged.barrier()
    assert len(paged.iommu.requests) == 1
    for slot in (1, 2):
        paged.success(paged.iommu.serve(group))
        count = slot + 1
        assert eventually(paged, lambda: paged.serve() or len(paged.iommu.requests) >= count)
        group = paged.iommu.requests[-1]
        assert group.ranges == ((FAR + slot * SIZE, PAGE, PERM.WRITE),)
    paged.success(paged.iommu.serve(group))
    assert all(paged.wait(slot) == "DONE" for slot in range(3))


WRONG = {"address": {"address": BASE + PAGE}, "count": {"count": 2 * PAGE}, "none": {"count": 0},
         "pasid": {"pasid": P2}, "no-pasid": {"pasid": NO_PASID}}


@covers("VE-POC-008")
@asks_for_pages
@needs("device_pasid")
@pytest.mark.parametrize("changes", WRONG.values(), ids=WRONG)
def test_e07_completion_of_something_else_is_refused_and_leaves_the_request(paged, changes):
    group = waiting(paged, pasid=P1)
    paged.refuse(completion(group, **changes), errno=EINVAL)
    assert paged.slot().state() == "WAIT_PAGE"
    served(paged, group)


@covers("VE-POC-008")
@asks_for_pages
@pytest.mark.parametrize("size", [0, 8, 23, 32])
def test_e07_completion_of_another_size_is_refused_and_leaves_the_request(paged, size):
    group = waiting(paged)
    image = completion(group).payload
    paged.refuse(unknown(POC_PAGE_REQUEST, (image + bytes(8))[:size]), errno=EINVAL)
    assert paged.slot().state() == "WAIT_PAGE"
    served(paged, group)


@covers("VE-POC-008")
def test_e07_completion_of_nothing_is_refused(connect):
    guest = space_guest(connect)
    fields = {"address": BASE, "count": PAGE, "flags": PERM.WRITE, "pasid": NO_PASID}
    guest.refuse(unknown(POC_PAGE_REQUEST, structure("POC_PAGE", **fields)), errno=ENOENT)
    guest.barrier()


@covers("VE-POC-009", "VE-POC-008")
@asks_for_pages
@in_each_space
@pytest.mark.parametrize("flags", [0, PERM.READ], ids=["none", "another"])
def test_completion_without_the_right_ends_the_operation(paged, pasid, flags):
    group = waiting(paged, pasid=pasid)
    paged.refuse(completion(group, flags=flags), errno=EACCES)
    assert paged.wait() == "FAULT EFAULT"
    paged.iommu.gone(group)
    assert paged.iommu.memory.read(0, SIZE) == canary()
    served(paged, waiting(paged, pasid=pasid))


@covers("VE-POC-008", "VE-POC-009")
@asks_for_pages
def test_completion_with_more_rights_is_as_good(paged):
    group = waiting(paged)
    paged.iommu.map(BASE)
    paged.call(completion(group, flags=PERM.READ | PERM.WRITE))
    assert paged.wait() == "DONE"


class Silent(SpaceGuest):
    """A guest that does not say what became of a request, or `says` an errno, or the structure."""

    says: int | str | None = None

    def answer(self, request):
        if request.header.command != POC_PAGE_REQUEST:
            super().answer(request)
            return
        self.requests.remove(request)
        if self.says == "structure":
            self.session.answer(request, data=request.data)
        elif self.says:
            self.session.answer(request, errno=self.says)
        self.iommu.requested(request)


@covers("VE-POC-010")
@asks_for_pages
@on_each_socket
@pytest.mark.parametrize("says", [None, "structure", EIO], ids=["nothing", "structure", "error"])
def test_nothing_depends_on_the_reply_to_a_request(connect, fds, twin, says):
    session = space_guest(connect, twin).session
    guest = Silent(session)
    guest.says = says
    guest.iommu.memory = fds.memory(SIZE)
    guest.enable(pages=CREDIT)
    for number in range(3):
        guest.iommu.enter(BASE + number * SIZE, offset=number * PAGE)
        assert guest.fault("FILL", BASE + number * SIZE, PAGE, seed=SEED) == "DONE"
    assert len(guest.iommu.requests) == 3


@covers("VE-POC-010")
@asks_for_pages
@needs("reset")
def test_g02_completion_of_a_request_from_before_a_reset_finds_nothing(paged):
    group = waiting(paged)
    paged.call("DEVICE_RESET")
    paged.iommu.gone(group)
    paged.enable(pages=CREDIT)
    served(paged, waiting(paged))


# ---- F01: a mapping goes ----


@covers("VE-ATC-001", "VE-POC-003")
@on_the_device
@in_each_space
def test_f01_translation_that_was_used_is_gone_with_its_mapping_in_the_dialect(vguest, fds, pasid):
    vguest.vdma.write("GCTL", 1)
    one = vguest.map_canary(fds, pasid=pasid)
    for _ in range(2):
        vguest.succeed("READ", BASE, PAGE, pasid=pasid)
    vguest.unmap(one)
    assert vguest.run("FILL", BASE, PAGE, pasid=pasid) == MISSED
    assert one.holds(canary())
