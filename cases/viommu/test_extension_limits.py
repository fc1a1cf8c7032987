# SPDX-License-Identifier: BSD-3-Clause
"""Numbers and errors of the vIOMMU extension: what is announced is what there is, and each error
has its number."""

from errno import EACCES, EBUSY, EEXIST, EINVAL, ENODEV, ENOENT, ENOSPC, EPERM
from time import monotonic

import pytest
from dma import lose, may_end
from flight import SEED, canary
from mapping import BASE, PAGE, RW, SIZE, exchange_all, map_range
from spaces import CREDIT, P1, P2, STOPPED, offer, paging_guest, space_guest

from vuc import covers, message, needs
from vuc.device import CAPABILITY_EXPRESS
from vuc.session import TWIN, VIOMMU
from vuc.vdma import SLOTS, TERMINAL
from vuc.viommu import CODE, word

pytestmark = needs("viommu", "dma_maps")

LARGE = 1 << 32
MOST_MAPS = 1 << 17
STRANGERS = 20_000  # cookies that nobody gave out
LOGGED = 64  # bytes of log for a few of them
FLR_TIME = 0.1  # s
TRIES = 5
EXPRESS_CONTROL, FUNCTION_LEVEL_RESET = 8, 1 << 15


# ---- numbers ----


@covers("VE-NEG-011")
@pytest.mark.parametrize("size", [LARGE - 1, LARGE, LARGE << 8])
def test_messages_of_dma_are_smaller_than_their_count_can_say(connect, size):
    session = connect(version=False)
    capabilities = {**VIOMMU, "max_data_xfer_size": size}
    session.announce(capabilities)
    outcome = session.outcome(session.version(0, 0, capabilities))
    if size >= LARGE and outcome.kind in ("error", "close"):
        return  # it has no such number
    session.negotiated_by(outcome.reply)
    assert session.viommu.get("version") == 1
    assert session.negotiated["max_data_xfer_size"] < LARGE


@covers("VE-MAP-007", "VE-NEG-009", "VE-ERR-002")
@needs("pasid", "unmap_range")
@pytest.mark.parametrize("names", ["", "RANGE", "ALL"], ids=["exact", "range", "all"])
def test_mappings_of_all_spaces_count_and_any_removal_makes_room(connect, names):
    session = connect(capabilities=offer(max_pasids=4))
    most = session.limits.max_dma_maps
    if most > MOST_MAPS:
        pytest.skip(f"the server announces {most} DMA maps")
    few = 3
    map_range(session, BASE, PAGE, flags=word(RW, P1))
    map_range(session, BASE, PAGE, flags=word(RW, P2))
    addresses = range(BASE, BASE + (most - few) * PAGE, PAGE)
    exchange_all(session, "DMA_MAP", addresses, flags=RW, size=PAGE)
    map_range(session, addresses.stop, PAGE)
    more = addresses.stop + PAGE
    for pasid in (None, P1, P2):
        session.refuse("DMA_MAP", flags=word(RW, pasid), address=more, size=PAGE, errno=ENOSPC)
    where = (0, 0) if names == "ALL" else (BASE, PAGE)
    session.call("DMA_UNMAP", flags=word(names, P1), address=where[0], size=where[1])
    map_range(session, more, PAGE, flags=word(RW, P2))
    session.refuse("DMA_MAP", flags=RW, address=more, size=PAGE, errno=ENOSPC)
    session.call("DMA_UNMAP", flags="ALL")


@covers("VE-CRED-006", "VE-CRED-001")
@needs("page_requests", "device_pages", "provoke_dma")
def test_smaller_allocation_holds_back_new_requests_alone(connect, fds):
    guest = paging_guest(connect, fds.memory(SIZE), pages=4)
    guest.iommu.policy = "never"
    groups = [guest.waits("FILL", BASE + n * SIZE, PAGE, n) for n in range(4)]
    guest.allocate(2)
    guest.call(guest.ask("FILL", BASE + 4 * SIZE, PAGE, 4))
    for left, group in enumerate(groups[:3]):
        assert guest.slot(4).state() == "WAIT_PAGE"
        guest.barrier()
        assert len(guest.iommu.requests) == 4, f"it asks while {4 - left} are outstanding"
        guest.iommu.finish(group, CODE.INVALID)
        assert guest.wait(left) == "FAULT EFAULT"
    while len(guest.iommu.requests) < 5:
        guest.barrier()
    guest.iommu.finish(groups[3], CODE.INVALID)
    assert guest.wait(3) == "FAULT EFAULT"
    guest.iommu.finish(guest.iommu.requests[4], CODE.INVALID)
    assert guest.wait(4) == "FAULT EFAULT"


@covers("VE-RST-002", "VE-RST-001")
@needs("flr", "concurrent", "page_requests", "device_pages", "provoke_dma")
def test_function_level_reset_does_not_take_long(paged, fds, device):
    with device._session() as session:
        at = device._capability(session, CAPABILITY_EXPRESS)
    paged.map_canary(fds, BASE + SIZE)
    paged.iommu.policy = "never"
    taken = []
    for _ in range(TRIES):
        paged.enable(pages=CREDIT)
        paged.waits("FILL", BASE, PAGE)
        for slot in range(1, SLOTS):
            paged.start("FILL", BASE + SIZE, SIZE, slot, hold="MID", mid=PAGE, drain=True)
            paged.held(slot)
        begin = monotonic()
        paged.write_config(at + EXPRESS_CONTROL, FUNCTION_LEVEL_RESET)
        taken.append(monotonic() - begin)
        assert all(paged.slot(slot).state().name in TERMINAL for slot in range(SLOTS))
    assert min(taken) <= FLR_TIME, taken


@covers("VE-DISC-001")
@needs("twin", "page_requests", "device_pages", "provoke_dma", "reconnect")
def test_twin_socket_that_is_closed_leaves_nobody_waiting(connect, fds):
    guest = paging_guest(connect, fds.memory(SIZE), True)
    guest.iommu.policy = "never"
    guest.waits("FILL", BASE, PAGE)
    lose(guest.session, TWIN)
    with may_end(guest.session):
        while guest.slot().state().name not in TERMINAL:
            guest.session.barrier()
    again = paging_guest(connect, fds.memory(SIZE), True)
    assert again.status() & STOPPED == 0
    again.iommu.enter(BASE)
    assert again.fault("FILL", BASE, PAGE, seed=SEED) == "DONE"


@covers("VE-SEC-004", "VE-SEC-003")
@needs("page_requests", "process")
def test_invented_cookies_do_not_fill_the_log(connect, target):
    session = connect(capabilities=VIOMMU)
    session.refuse("PAGE_RESPONSE", cookie=1, errno=ENOENT)
    before = len(target.log())
    response = message("PAGE_RESPONSE", cookie=0xDEAD, no_reply=True)
    for _ in range(STRANGERS // 1000):
        session.send_bytes(response.bytes(7) * 1000, maybe=False)
        session.barrier()
    assert len(target.log()) - before <= LOGGED * 1024, "each of them is logged"


# ---- the table of errors ----


MAP, UNMAP = "DMA_MAP", "DMA_UNMAP"
PLACE = {"address": BASE + 4 * SIZE, "size": SIZE}
THERE = {"address": BASE, "size": SIZE}
BACKED = {"address": BASE + 8 * SIZE, "size": SIZE}
ERRORS = {
    "bit": (MAP, {"flags": f"{RW}|4", **PLACE}, "", EINVAL),
    "argsz": (MAP, {"flags": RW, "argsz": 31, **PLACE}, "", EINVAL),
    "no-right": (MAP, {"flags": 0, **PLACE}, "", EINVAL),
    "alignment": (MAP, {"flags": RW, "address": BASE + 8, "size": SIZE}, "", EINVAL),
    "wrap": (MAP, {"flags": RW, "address": LARGE * LARGE - PAGE, "size": 2 * PAGE}, "", EINVAL),
    "indirect": (MAP, {"flags": f"{RW}|INDIRECT", **PLACE}, "", EINVAL),
    "window": (MAP, {"flags": f"{RW}|BACKING", **PLACE}, "", EINVAL),
    "beyond": (MAP, {"flags": RW, "offset": PAGE, **PLACE}, "memory", EINVAL),
    "overlap": (MAP, {"flags": RW, **THERE}, "", EEXIST),
    "replace": (MAP, {"flags": f"{RW}|REPLACE", **PLACE}, "", ENOENT),
    "read-only": (MAP, {"flags": RW, "size": PAGE, "address": BASE + 4 * SIZE}, "read-only-memfd",
                  {EACCES, EPERM}),
    "eventfd": (MAP, {"flags": RW, **PLACE}, "eventfd", ENODEV),
    "nothing": (UNMAP, PLACE, "", ENOENT),
    "unmap-bit": (UNMAP, {"flags": 4, **THERE}, "", EINVAL),
    "unmap-argsz": (UNMAP, {"argsz": 23, **THERE}, "", EINVAL),
    "two-forms": (UNMAP, {"flags": "ALL|RANGE"}, "", EINVAL),
    "cut": (UNMAP, {"flags": "RANGE", "address": BASE, "size": PAGE}, "", EINVAL),
    "busy": (UNMAP, {"flags": "BACKING", **BACKED}, "", EBUSY),
    "cookie": ("PAGE_RESPONSE", {"cookie": 9}, "", ENOENT),
    "code": ("PAGE_RESPONSE", {"cookie": 9, "code": 2}, "", EINVAL),
}


@covers("VE-ERR-001", "VE-ERR-002")
@needs("replace", "unmap_range", "backing", "page_requests")
@pytest.mark.parametrize("command, fields, kind, errno", ERRORS.values(), ids=ERRORS)
def test_each_error_has_its_number_and_no_effect(connect, fds, command, fields, kind, errno):
    guest = space_guest(connect)
    memory = fds.memory(SIZE)
    memory.write(0, canary())
    guest.map(BASE)
    guest.call(MAP, [memory], flags=f"{RW}|BACKING", **BACKED)
    guest.call(MAP, flags=f"{RW}|INDIRECT", offset=BACKED["address"], **BACKED)
    given = [memory] if kind == "memory" else [fds.kind(kind)] if kind else []
    guest.refuse(command, given, errno=errno, **fields)
    guest.map(PLACE["address"])
    for address in (BASE, PLACE["address"], BACKED["address"]):
        guest.call(UNMAP, address=address, size=SIZE)
    guest.call(UNMAP, flags="BACKING", **BACKED)
