# SPDX-License-Identifier: BSD-3-Clause
"""Messages and splits of operations in spaces: what the server says and what it takes for an
answer. The orders in which a client may answer are in test_blocking_clients.py."""

from errno import EACCES, EFAULT, EIO, EPERM

import pytest
from dma import ACCESS_SIZE, each_direction, on_each_socket
from flight import SEED, assert_ended, canary, moved
from mapping import BASE, PAGE, RW, SIZE
from spaces import CREDIT, P1, P2, paging_guest, space_guest

from vuc import constants, covers, message, needs, unknown
from vuc.exchange import REPLY
from vuc.schema import pasid_word
from vuc.vdma import pattern
from vuc.viommu import HALF, PERM, widened

pytestmark = needs("viommu", "dma_maps", "provoke_dma")

MISSED = "FAULT ENOENT"
FAILED = "FAULT EIO"
in_each_space = pytest.mark.parametrize(
    "pasid", [None, pytest.param(P1, marks=needs("pasid", "device_pasid"))], ids=["none", "pasid"])


def pending(guest, op, size=PAGE, pasid=None, slot=0, **how):
    """Start an operation in a range that is reached by messages; its command, not answered."""
    guest.session.success(guest.send(guest.prepare(op, BASE, size, slot, pasid=pasid, **how)))
    return guest.session.take_request()


def data_of(op, size=PAGE):
    """What a good reply has behind its structure."""
    return pattern(SEED, size) if op == "READ" else b""


# ---- attribute words of the server ----


@covers("VE-ATTR-001", "VE-ATTR-003", "VE-DMA-001")
@needs("server_dma", "page_requests", "device_pages")
@in_each_space
@on_each_socket
def test_words_of_the_server_have_the_space_and_nothing_else(connect, fds, twin, pasid):
    guest = paging_guest(connect, fds.memory(SIZE), twin)
    guest.map(pasid=pasid)
    for op in ("READ", "FILL"):
        guest.succeed(op, BASE, SIZE, pasid=pasid)
    assert {request.count >> HALF for request in guest.requests} == {pasid_word(pasid)}
    guest.iommu.enter(BASE + SIZE, pasid=pasid)
    assert guest.fault("FILL", BASE + SIZE, PAGE, pasid=pasid) == "DONE"
    assert guest.fault("FILL", BASE + 2 * SIZE, PAGE, pasid=pasid, pages=False,
                       translate=True) == "FAULT EFAULT"
    only = constants.PAGE_REQUEST_ATTR.TRANSLATE_ONLY
    words = [group.request.attr for group in guest.iommu.requests]
    assert words == [pasid_word(pasid), pasid_word(pasid) | only]


# ---- replies ----


WRONG = {"address": {"address": BASE + 8}, "count": {"count": PAGE - 1}, "none": {"count": 0},
         "another-space": {"count": widened(PAGE, P2)}, "reserved": {"count": PAGE | 1 << HALF}}


@covers("VE-DMA-003", "VE-LIM-004")
@needs("server_dma")
@in_each_space
@each_direction
@pytest.mark.parametrize("changes", WRONG.values(), ids=WRONG)
def test_reply_to_something_else_fails_the_operation(vguest, op, pasid, changes):
    vguest.map(pasid=pasid)
    vguest.vdma.store(0, bytes(PAGE))
    request = pending(vguest, op, pasid=pasid)
    vguest.session.answer(request, data=data_of(op), **changes)
    assert vguest.wait() == FAILED
    assert vguest.slot().moved() == 0
    assert vguest.vdma.load(0, PAGE) == bytes(PAGE), "bytes of a wrong reply are taken"
    vguest.succeed(op, BASE, PAGE, pasid=pasid)


@covers("VE-DMA-003")
@needs("server_dma")
@in_each_space
@pytest.mark.parametrize("size", [0, 1, PAGE - 1, PAGE + 1])
def test_reply_with_another_amount_of_data_fails_the_operation(vguest, pasid, size):
    vguest.map(pasid=pasid)
    request = pending(vguest, "READ", pasid=pasid)
    vguest.session.answer(request, data=bytes(size))
    assert vguest.wait() == FAILED
    vguest.succeed("READ", BASE, PAGE, pasid=pasid)


@covers("VE-DMA-004")
@needs("server_dma")
@in_each_space
def test_reply_to_a_write_may_end_after_the_count(vguest, pasid):
    vguest.map(pasid=pasid)
    request = pending(vguest, "WRITE", 16, pasid=pasid)
    payload = request.payload[:constants.LIMITS.DMA_WRITE_SHORT_REPLY]
    assert len(payload) < ACCESS_SIZE
    reply = unknown(request.header.command, payload).with_header(flags=REPLY)
    vguest.session.send_bytes(reply.bytes(request.header.id), channel=request.channel)
    assert vguest.wait() == "DONE"


@covers("VE-DMA-007")
@needs("server_dma")
@in_each_space
@each_direction
@pytest.mark.parametrize("errno, state", [(EFAULT, "FAULT"), (EACCES, "FAULT"), (EPERM, FAILED),
                                          (EIO, FAILED)], ids=["fault", "right", "other", "io"])
def test_error_of_the_client_is_a_miss_or_the_end(vguest, op, pasid, errno, state):
    vguest.map(pasid=pasid)
    request = pending(vguest, op, pasid=pasid)
    vguest.session.answer(request, errno=errno)
    came = vguest.wait()
    assert came == state
    assert (came == FAILED) == (state == FAILED), came
    vguest.succeed(op, BASE, PAGE, pasid=pasid)


@covers("VE-DMA-007", "VE-REQ-005")
@needs("server_dma", "page_requests", "device_pages")
@in_each_space
@pytest.mark.parametrize("errno", [EFAULT, EACCES], ids=["fault", "right"])
def test_page_is_asked_for_where_the_client_has_none(vguest, fds, pasid, errno):
    vguest.enable(pages=CREDIT)
    one = vguest.map(pasid=pasid)
    start = vguest.ask("WRITE", BASE, PAGE, pasid=pasid)
    vguest.vdma.store(0, pattern(SEED, PAGE))
    vguest.session.success(vguest.send(start))
    vguest.iommu.policy = "empty"
    vguest.session.answer(vguest.session.take_request(), errno=errno)
    assert vguest.wait() == "DONE"
    group, = vguest.iommu.requests
    assert (group.pasid, group.ranges) == (pasid, ((BASE, PAGE, PERM.WRITE),))
    assert one.read(BASE, PAGE) == pattern(SEED, PAGE)


# ---- operations over several mappings ----


@covers("VE-DMA-009", "VE-DONE-009")
@needs("server_dma")
@in_each_space
@each_direction
def test_message_lies_in_one_mapping(vguest, op, pasid):
    ranges = [vguest.map(BASE + n * PAGE, PAGE, pasid=pasid) for n in range(3)]
    size = 2 * PAGE + 32
    vguest.succeed(op, BASE + PAGE - 32, size, pasid=pasid)
    asked = [(request.address, request.count & 0xFFFFFFFF) for request in vguest.requests]
    assert all(at // PAGE == (at + count - 1) // PAGE for at, count in asked), asked
    assert sum(count for _, count in asked) == size
    assert [at for at, _ in asked] == sorted(at for at, _ in asked), "not in their order"
    assert len(ranges) == 3


@covers("VE-DONE-009", "VE-DONE-002")
@in_each_space
@pytest.mark.parametrize("shared", [pytest.param(False, marks=needs("server_dma")), True],
                         ids=["messages", "with-fd"])
@pytest.mark.parametrize("skip", [0, 100], ids=["from-a-page", "from-within"])
def test_first_miss_ends_the_operation(vguest, fds, pasid, shared, skip):
    first, _, last = (vguest.map(BASE + n * PAGE, PAGE, fds.memory(PAGE) if shared else None,
                                 pasid=pasid) for n in range(3))
    vguest.unmap(vguest.ranges[1])
    for one in (first, last):
        one.write(one.address, canary(PAGE))
    assert vguest.run("FILL", BASE + skip, 3 * PAGE - skip, seed=SEED, pasid=pasid) == MISSED
    assert_ended(vguest, MISSED, PAGE - skip)
    assert first.holds(canary(skip) + pattern(SEED, PAGE - skip))
    assert last.holds(canary(PAGE)), "bytes move behind the miss"


@covers("VE-DONE-009", "VE-DONE-001")
@needs("unmap_range")
@in_each_space
@pytest.mark.parametrize("names", ["", "RANGE"], ids=["exact", "range"])
def test_operation_in_the_first_of_two_ends_where_the_second_is_gone(vguest, fds, pasid, names):
    first = vguest.map_canary(fds, size=PAGE, pasid=pasid)
    second = vguest.map_canary(fds, BASE + PAGE, PAGE, pasid=pasid)
    vguest.start("FILL", BASE, 2 * PAGE, hold="MID", mid=PAGE // 2, seed=SEED, pasid=pasid)
    vguest.held()
    vguest.unmapped(second, vguest.ask_unmap(second, names))
    vguest.slot().step("end")
    assert vguest.wait() == MISSED
    assert_ended(vguest, MISSED, PAGE)
    assert first.holds(moved(PAGE, PAGE))
    assert second.holds(canary(PAGE))


@covers("VE-DONE-010", "VE-SPACE-001")
@needs("pasid", "device_pasid")
def test_file_that_was_cut_short_costs_the_operations_that_meet_it(vguest, fds):
    memory, other = fds.memory(2 * PAGE), fds.memory(PAGE)
    for pasid in (None, P1):
        vguest.map(size=2 * PAGE, memory=memory, pasid=pasid)
    there = vguest.map(BASE + SIZE, PAGE, other, pasid=P1)
    memory.truncate(PAGE)
    for pasid in (None, P1):
        assert vguest.run("FILL", BASE + PAGE, PAGE, pasid=pasid) == "FAULT EFAULT"
    vguest.succeed("FILL", there.address, PAGE, seed=SEED, pasid=P1)
    assert there.holds(pattern(SEED, PAGE))


# ---- behind the reply to a removal ----


@covers("VE-DONE-006", "VE-LIM-004", "VE-DEAD-003")
@needs("server_dma", "unmap_range")
@in_each_space
@on_each_socket
@each_direction
@pytest.mark.parametrize("names", ["", "RANGE", "ALL"], ids=["exact", "range", "all"])
def test_removal_does_not_wait_for_a_reply_and_no_message_follows(connect, twin, op, pasid, names):
    guest = space_guest(connect, twin)
    guest.enable()
    one = guest.map(pasid=pasid)
    guest.vdma.store(0, bytes(SIZE))
    request = pending(guest, op, SIZE, pasid=pasid)
    guest.session.success(guest.ask_unmap(one, names))
    guest.session.answer(request, data=data_of(op, request.count & 0xFFFFFFFF))
    assert guest.wait().name in ("FAULT", "ABORTED")
    guest.ranges.remove(one)
    guest.asked_nothing()
    assert guest.vdma.load(0, SIZE) == bytes(SIZE), "bytes of a late reply are taken"
    guest.map(pasid=pasid)
    guest.succeed(op, BASE, SIZE, pasid=pasid)


@covers("VE-DEAD-010", "VE-RESP-002")
@needs("server_dma", "page_requests", "device_pages")
@pytest.mark.parametrize("code", ["PAGE_RESPONSE", "DMA_MAP", "DEVICE_GET_INFO"])
def test_commands_and_replies_are_told_by_their_type(paged, code):
    there = paged.map(BASE + SIZE)
    paged.iommu.policy = "never"
    paged.iommu.enter(BASE)
    group = paged.waits("FILL", BASE, PAGE, seed=SEED)
    paged.session.success(paged.send(paged.prepare("READ", BASE + SIZE, PAGE, 1)))
    request = paged.session.take_request()
    paged.session.success(paged.iommu.send(paged.iommu.found(BASE)))
    if code == "PAGE_RESPONSE":
        same = paged.iommu.response(group)
    elif code == "DMA_MAP":
        same = message("DMA_MAP", flags=RW, address=BASE + 4 * SIZE, size=SIZE)
    else:
        same = message("DEVICE_GET_INFO")
    paged.session.success(paged.send(same.with_header(id=request.header.id)))
    assert paged.slot(1).state() == "WAIT_MSG"
    paged.session.answer(request, data=there.read(BASE + SIZE, PAGE))
    assert paged.wait(1) == "DONE"
    if code != "PAGE_RESPONSE":
        paged.success(paged.iommu.respond(group))
    assert paged.wait() == "DONE"
