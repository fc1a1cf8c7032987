# SPDX-License-Identifier: BSD-3-Clause
"""Pages that a device asks for: rows E01 to E03, E06 to E13, E16, E17, E23, E24, E26 and E27 of the
catalogue (README.md)."""

from errno import EINVAL, ENOENT

import pytest
from dma import may_end
from flight import SEED, assert_ended, canary, moved
from mapping import BASE, PAGE, SIZE
from spaces import P1, RETRIES, UNEXPECTED, SpaceRange, paging_guest

from vuc import covers, in_each_dialect, message, needs
from vuc.exchange import ERROR, REPLY
from vuc.vdma import pattern
from vuc.viommu import CODE, PERM

pytestmark = needs("viommu", "dma_maps", "page_requests", "device_pages", "provoke_dma")

RIGHTS = {"READ": PERM.READ, "CHECK": PERM.READ, "TOUCH": PERM.READ, "WRITE": PERM.WRITE,
          "FILL": PERM.WRITE}
FAR = BASE + 16 * SIZE
in_each_space = pytest.mark.parametrize(
    "pasid", [None, pytest.param(P1, marks=needs("pasid", "device_pasid"))], ids=["none", "pasid"])
on_each_socket = pytest.mark.parametrize(
    "twin", [False, pytest.param(True, marks=needs("twin"))], ids=["single", "twin"])


def enter(guest, pages, first=BASE, offset=0, **row):
    """The guest maps so many pages, each by a row of its own."""
    return [guest.iommu.enter(first + n * PAGE, offset=offset + n * PAGE, **row)
            for n in range(pages)]


def holds(guest, data, at=0):
    """Is that what is in the memory from there on?"""
    return guest.iommu.memory.read(at, len(data)) == data


# ---- E01, E10: a page is brought in ----


@in_each_dialect
@covers("VE-REQ-005", "VE-REQ-001", "VE-REQ-006", "VE-REQ-010", "VE-RESP-002")
@on_each_socket
@in_each_space
@pytest.mark.parametrize("op", RIGHTS)
def test_e01_operation_asks_for_the_page_that_it_misses(connect, fds, twin, pasid, op):
    memory = fds.memory(SIZE)
    memory.write(0, pattern(SEED, SIZE))
    guest = paging_guest(connect, memory, twin)
    enter(guest, 1, pasid=pasid, offset=PAGE)
    guest.vdma.store(0, pattern(1, PAGE))
    seed = SEED + PAGE * 0x9D & 0xFF
    assert guest.fault(op, BASE, PAGE, pasid=pasid, seed=seed) == "DONE"
    group, = guest.iommu.requests
    assert (group.pasid, group.ranges) == (pasid, ((BASE, PAGE, RIGHTS[op]),))
    assert guest.slot().read("NREQ") == 1
    if op == "READ":
        assert guest.vdma.load(0, PAGE) == pattern(seed, PAGE)
    if op in ("WRITE", "FILL"):
        assert memory.read(PAGE, PAGE) == pattern(1 if op == "WRITE" else seed, PAGE)


@in_each_dialect
@covers("VE-RESP-002", "VE-DEAD-006")
@in_each_space
def test_e10_maps_and_response_may_be_one_write(paged, pasid):
    paged.iommu.policy = "never"
    rows = enter(paged, 4, pasid=pasid)
    group = paged.waits("FILL", BASE, 4 * PAGE, pasid=pasid, seed=SEED)
    maps = [paged.iommu.message(one, no_reply=True) for one in rows]
    response = paged.iommu.response(group)
    silent = [one.replace(no_reply=True) for one in (*maps, response)]
    whole = b"".join(one.bytes(n + 100) for n, one in enumerate(silent))
    paged.session.send_bytes(whole, [], maybe=False)
    paged.ranges += [paged_range(one) for one in rows]
    assert paged.wait() == "DONE"
    assert len(paged.iommu.requests) == 1
    assert b"".join(one.read(one.address, PAGE) for one in paged.ranges) == pattern(SEED, 4 * PAGE)


def paged_range(one):
    """A row that is mapped without memory, for what the server asks by messages."""
    return SpaceRange(one.address, one.size, one.flags, pasid=one.pasid)


@covers("VE-RESP-004", "VE-REQ-015")
@in_each_space
def test_e09_response_before_the_map_leads_to_another_request(paged, pasid):
    paged.iommu.policy = "never"
    row, = enter(paged, 1, pasid=pasid)
    group = paged.waits("FILL", BASE, PAGE, pasid=pasid, seed=SEED)
    paged.iommu.policy = "at-once"
    sent = paged.iommu.respond(group), paged.iommu.send(row)
    for one in sent:
        paged.success(one)
    assert paged.wait() == "DONE"
    assert len(paged.iommu.requests) <= 2
    assert holds(paged, moved(PAGE, PAGE))


@covers("VE-REQ-015", "VE-RESP-011", "VE-REQ-012")
@in_each_space
def test_e17_page_that_is_mapped_unasked_is_used_once(paged, pasid):
    paged.iommu.policy = "never"
    enter(paged, 1, pasid=pasid)
    group = paged.waits("FILL", BASE, PAGE, pasid=pasid, seed=SEED)
    paged.iommu.map(BASE, pasid=pasid)
    assert paged.slot().state().name in ("WAIT_PAGE", "RUN", "DONE")
    paged.success(paged.iommu.respond(group))
    assert paged.wait() == "DONE"
    assert paged.slot().moved() == PAGE
    assert len(paged.iommu.requests) == 1
    assert holds(paged, moved(PAGE))


# ---- E02, E03: what the answer says ----


@covers("VE-RESP-005", "VE-RESP-004", "VE-REQ-008")
@in_each_space
@pytest.mark.parametrize("retries", [1, RETRIES])
def test_e02_success_without_a_map_is_not_asked_for_without_end(paged, pasid, retries):
    paged.iommu.policy = "empty"
    assert paged.fault("FILL", BASE, PAGE, pasid=pasid, retries=retries) == "FAULT ELOOP"
    assert len(paged.iommu.requests) == retries + 1
    assert len({group.cookie for group in paged.iommu.requests}) == retries + 1
    assert {group.ranges for group in paged.iommu.requests} == {((BASE, PAGE, PERM.WRITE),)}
    assert paged.slot().moved() == 0


@in_each_dialect
@covers("VE-RESP-006")
@in_each_space
@pytest.mark.parametrize("pages", [0, 2], ids=["at-once", "in-the-middle"])
def test_e03_invalid_page_ends_the_operation(paged, pasid, pages):
    for one in enter(paged, pages, pasid=pasid):
        paged.iommu.map(one.address, pasid=pasid)
    paged.iommu.policy = "invalid"
    state = paged.fault("FILL", BASE, 4 * PAGE, pasid=pasid, seed=SEED)
    assert_ended(paged, "FAULT EFAULT", pages * PAGE)
    assert state == "FAULT EFAULT"
    assert len(paged.iommu.requests) == 1
    assert holds(paged, moved(pages * PAGE))


# ---- E06, E07, E24, E26: answers that are none ----


@in_each_dialect
@covers("VE-RESP-009", "VE-RESP-010", "VE-RESP-011")
@in_each_space
def test_e06_second_response_finds_nothing(paged, pasid):
    paged.iommu.policy = "twice"
    pages = 1 if paged.session.poc else 2  # that it asks for in one go
    enter(paged, pages, pasid=pasid)
    assert paged.fault("FILL", BASE, pages * PAGE, pasid=pasid, seed=SEED) == "DONE"
    assert paged.session.poc or paged.status() & UNEXPECTED
    assert len(paged.iommu.requests) == 1
    assert paged.vdma.read("DONE") >= 1
    assert holds(paged, moved(pages * PAGE))


@covers("VE-RESP-009", "VE-RESP-010", "VE-RESP-011", "VE-SEC-003")
@pytest.mark.parametrize("code", [CODE.SUCCESS, CODE.INVALID, CODE.FAILURE])
def test_e07_invented_cookie_finds_nothing(paged, code):
    paged.iommu.policy = "never"
    row, = enter(paged, 1)
    group = paged.waits("FILL", BASE, PAGE, seed=SEED)
    for cookie in (0, group.cookie + 1, group.cookie ^ 1 << 31, (1 << 32) - 1):
        paged.refuse("PAGE_RESPONSE", cookie=cookie, code=code, errno=ENOENT)
    assert paged.status() & UNEXPECTED
    assert paged.slot().state() == "WAIT_PAGE"
    paged.success(paged.iommu.serve(group))
    assert paged.wait() == "DONE"
    assert row.address in paged.iommu.mapped[None]


@covers("VE-RESP-008")
@pytest.mark.parametrize("fields", [*({"code": code} for code in (2, 7, 14, 16, 0xFFFF)),
                                    {"reserved": 1}, {"reserved": 0x8000, "code": 1}],
                         ids=str)
def test_e24_malformed_response_leaves_the_group(paged, fields):
    paged.iommu.policy = "never"
    enter(paged, 1)
    group = paged.waits("FILL", BASE, PAGE)
    paged.refuse("PAGE_RESPONSE", cookie=group.cookie, errno=EINVAL, **fields)
    assert paged.slot().state() == "WAIT_PAGE"
    paged.success(paged.iommu.serve(group))
    assert paged.wait() == "DONE"


@covers("VE-RESP-008")
@pytest.mark.parametrize("size", [0, 4, 7, 9, 16])
def test_e24_response_of_another_size_leaves_the_group(paged, size):
    paged.iommu.policy = "never"
    enter(paged, 1)
    group = paged.waits("FILL", BASE, PAGE)
    response = message("PAGE_RESPONSE", cookie=group.cookie)
    wrong = response.cut(size) if size < 8 else response.extend(bytes(size - 8))
    paged.refuse(wrong, errno=EINVAL)
    assert paged.slot().state() == "WAIT_PAGE"
    paged.success(paged.iommu.serve(group))
    assert paged.wait() == "DONE"


@covers("VE-REQ-003")
@on_each_socket
@pytest.mark.parametrize("errno", [None, 5], ids=["success", "error"])
def test_e26_reply_to_a_page_request_changes_nothing(connect, fds, twin, errno):
    guest = paging_guest(connect, fds.memory(SIZE), twin)
    guest.iommu.policy = "never"
    enter(guest, 1)
    group = guest.waits("FILL", BASE, PAGE)
    guest.session.unjudged()
    with may_end(guest.session):
        header = group.request.header
        stray = message("PAGE_REQUEST").cut(0).with_header(
            id=header.id, flags=REPLY | (ERROR if errno else 0), error=errno or 0)
        guest.session.send_bytes(stray.bytes(header.id), channel=group.request.channel)
        for _ in range(3):
            assert guest.slot().state() == "WAIT_PAGE"
        guest.success(guest.iommu.serve(group))
        assert guest.wait() == "DONE"


# ---- E11, E12, E23: what is missed anew ----


@covers("VE-REQ-012", "VE-RESP-004")
@in_each_space
def test_e11_rest_is_asked_for_when_half_is_answered(paged, pasid):
    paged.iommu.policy = "partial"
    enter(paged, 2, pasid=pasid)
    assert paged.fault("FILL", BASE, 2 * PAGE, pasid=pasid, seed=SEED) == "DONE"
    asked = [group.ranges for group in paged.iommu.requests]
    assert asked[-1] == ((BASE + PAGE, PAGE, PERM.WRITE),)
    assert len(asked) == 2
    assert holds(paged, moved(2 * PAGE))


@in_each_dialect
@covers("VE-REQ-005", "VE-MAP-008")
@in_each_space
@pytest.mark.parametrize("op, there, missed", [("FILL", "READ", PERM.WRITE),
                                               ("READ", "WRITE", PERM.READ)])
def test_e23_right_that_is_missing_is_asked_for(paged, pasid, op, there, missed):
    paged.iommu.map(BASE, pasid=pasid, flags=there, offset=0)
    enter(paged, 1, pasid=pasid)
    assert paged.fault(op, BASE, PAGE, pasid=pasid, seed=SEED) == "DONE"
    assert [group.ranges for group in paged.iommu.requests] == [((BASE, PAGE, missed),)]
    if op == "FILL":
        assert holds(paged, moved(PAGE, PAGE))


@in_each_dialect
@covers("VE-RESP-005", "VE-MAP-008")
@in_each_space
def test_e12_page_with_another_right_is_no_answer(paged, pasid):
    paged.iommu.policy = "empty"
    paged.iommu.map(BASE, pasid=pasid, flags="READ", offset=0)
    assert paged.fault("FILL", BASE, PAGE, pasid=pasid) in ("FAULT ELOOP", "FAULT EACCES")
    assert 1 <= len(paged.iommu.requests) <= RETRIES + 1
    assert holds(paged, canary())


# ---- E13, E16: groups ----


@covers("VE-REQ-007", "VE-REQ-006")
@in_each_space
def test_e13_both_sides_of_a_copy_are_asked_for_together(paged, pasid):
    paged.iommu.memory.write(0, pattern(SEED, PAGE))
    enter(paged, 1, pasid=pasid, flags="READ")
    enter(paged, 1, FAR, PAGE, pasid=pasid, flags="WRITE")
    start = paged.slot().prepare("COPY", src=BASE, dst=FAR, length=PAGE, pages=True, pasid=pasid,
                                 retries=RETRIES)
    paged.call(start)
    assert paged.wait() == "DONE"
    asked = [sorted(group.ranges) for group in paged.iommu.requests]
    assert asked == [[(BASE, PAGE, PERM.READ), (FAR, PAGE, PERM.WRITE)]]
    assert holds(paged, pattern(SEED, PAGE), PAGE)


@covers("VE-RESP-003", "VE-REQ-008", "VE-REQ-009")
@on_each_socket
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)], ids=str)
def test_e16_responses_come_in_any_order(connect, fds, twin, order):
    guest = paging_guest(connect, fds.memory(SIZE), twin)
    guest.iommu.policy = "never"
    enter(guest, 3)
    groups = [guest.waits("FILL", BASE + n * PAGE, PAGE, n, seed=SEED + n) for n in range(3)]
    assert len({group.cookie for group in groups}) == 3
    assert len({group.prgi for group in groups}) == 3
    assert all(group.cookie and group.prgi < 512 for group in groups)
    for done, number in enumerate(order, 1):
        guest.success(guest.iommu.serve(groups[number]))
        assert guest.wait(number) == "DONE"
        assert guest.vdma.read("RESPONSES") >= done
        for other in order[done:]:
            assert guest.slot(other).state() == "WAIT_PAGE"
    assert holds(guest, b"".join(pattern(SEED + n, PAGE) for n in range(3)))
    assert len(guest.iommu.requests) == 3


# ---- E27: what is in the tables already ----


@covers("VE-REQ-017", "VE-RESP-006")
@in_each_space
@pytest.mark.parametrize("there", [False, True], ids=["missing", "there"])
def test_e27_translation_is_asked_for_and_no_page(paged, pasid, there):
    if there:
        enter(paged, 1, pasid=pasid)
    state = paged.fault("FILL", BASE, PAGE, pasid=pasid, seed=SEED, pages=False, translate=True)
    assert state == ("DONE" if there else "FAULT EFAULT")
    assert [group.translate for group in paged.iommu.requests] == [True]
    assert holds(paged, moved(PAGE if there else 0))


# ---- E08: no answer at all ----


@in_each_dialect
@covers("VE-DEAD-009", "VE-REQ-013", "VE-DEAD-008", "VE-DEAD-004")
@on_each_socket
@in_each_space
def test_e08_group_without_an_answer_holds_up_nothing_else(connect, fds, twin, pasid):
    guest = paging_guest(connect, fds.memory(SIZE), twin)
    guest.iommu.policy = "never"
    guest.waits("FILL", BASE, PAGE, pasid=pasid)
    other = guest.map_canary(fds, FAR, pasid=pasid)
    for number in range(1, 4):
        guest.succeed("FILL", FAR, SIZE, number, seed=SEED, pasid=pasid)
        assert other.holds(moved(SIZE))
    guest.unmap(other)
    guest.call("DEVICE_GET_INFO")
    assert guest.slot().state() == "WAIT_PAGE"
