# SPDX-License-Identifier: BSD-3-Clause
"""What comes when time is over, or memory: with limits so small that they are met. Order alone is
asserted: that something comes, not when."""

from errno import ENOENT
from pathlib import Path
from resource import RLIMIT_AS, prlimit

import pytest
from flight import NEVER, SEED, moved
from mapping import BASE, PAGE, RW, SIZE, eventually
from spaces import P1, P2, SpaceGuest

from vuc import covers, message, needs
from vuc.session import VIOMMU
from vuc.vdma import pattern
from vuc.viommu import word

pytestmark = needs("viommu", "dma_maps", "provoke_dma", "process", "dialect_option")

LIMIT = 100  # ms
MANY = 40  # mappings of a space
LARGE = 1 << 30  # bytes of one more
MOST_MEMORY = 1 << 40
RESPONSE_TIME = 60_000  # ms
in_each_space = pytest.mark.parametrize(
    "pasid", [None, pytest.param(P1, marks=needs("pasid", "device_pasid"))], ids=["none", "pasid"])


def limited(private_target, *limits):
    """A server of the case's own with these time limits."""
    options = [f"--t-{name}={LIMIT}" for name in limits]
    return private_target(options=["--viommu-dialect=native", *options])


def guest_at(target):
    """A SpaceGuest there, with PASID Enable set."""
    guest = SpaceGuest(target.negotiate(capabilities=VIOMMU))
    guest.enable()
    return guest


def memory_of(target):
    """Bytes of the address space of its process that are taken."""
    status = Path(f"/proc/{target.state.pid}/statm").read_text(encoding="ascii")
    return int(status.split()[0]) * PAGE


def removal(names, pasid):
    """What waits for the references to SIZE bytes at BASE."""
    if names == "REPLACE":
        return message("DMA_MAP", flags=word(f"{RW}|REPLACE", pasid), address=BASE, size=SIZE)
    whole = {} if names == "ALL" else {"address": BASE, "size": SIZE}
    return message("DMA_UNMAP", flags=word(names, pasid), **whole)


@covers("VE-DONE-003", "VE-LIM-001", "VE-REPL-003")
@needs("drain_option", "unmap_range", "replace", "pasid", "device_pasid")
@pytest.mark.parametrize("names, pasid", [("", P1), ("RANGE", None), ("ALL", P1), ("REPLACE", P1)],
                         ids=["exact", "range", "all", "replace"])
def test_operation_that_is_never_released_costs_the_connection(private_target, fds, names, pasid):
    with limited(private_target, "drain") as target:
        guest = guest_at(target)
        with guest.session as session:
            one = guest.map_canary(fds, pasid=pasid)
            guest.vdma.write("DRAIN_MS", NEVER)
            guest.start("FILL", BASE, SIZE, hold="MID", mid=PAGE, seed=SEED, drain=True,
                        pasid=pasid)
            guest.held()
            session.expect_close(guest.send(removal(names, pasid)))
        with target.negotiate() as session:
            for _ in range(3):
                session.barrier()
                assert one.holds(moved(PAGE)), "bytes move behind the end of the connection"
            one.memory.sent()
            assert eventually(session, lambda: not one.memory.held()), "the memory is held"


@covers("VE-UNMAP-003", "VE-DONE-001")
@needs("proc", "pasid", "unmap_range")
@pytest.mark.parametrize("names", ["", "RANGE", "ALL"], ids=["exact", "range", "all"])
def test_removal_needs_no_memory(private_target, fds, names):
    with limited(private_target) as target:
        guest = guest_at(target)
        with guest.session as session:
            for pasid in (None, P1):
                for number in range(MANY):
                    guest.map(BASE + 2 * number * SIZE, memory=fds.memory(SIZE), pasid=pasid)
            taken = memory_of(target)
            if taken > MOST_MEMORY:
                pytest.skip("a sanitizer has taken most of the address space")
            prlimit(target.state.pid, RLIMIT_AS, (taken, taken))
            session.refuse("DMA_MAP", [fds.memory(LARGE)], flags=RW, address=LARGE, size=LARGE)
            for pasid in (None, P1):
                mine = [one for one in guest.ranges if one.pasid == pasid]
                for one in mine if not names else mine[:1]:
                    where = (0, 0) if names else (one.address, one.size)
                    session.call("DMA_UNMAP", flags=word(names, pasid), address=where[0],
                                 size=where[1])
                for one in mine:
                    session.refuse("DMA_UNMAP", flags=word("", pasid), address=one.address,
                                   size=one.size, errno=ENOENT)


@covers("VE-LIM-003", "VE-LIM-004")
@needs("server_dma")
@in_each_space
@pytest.mark.parametrize("op", ["READ", "WRITE"], ids=["read", "write"])
def test_operation_ends_whose_message_is_not_answered(private_target, op, pasid):
    with limited(private_target, "dma") as target:
        guest = guest_at(target)
        with guest.session as session:
            one = guest.map(pasid=pasid)
            guest.vdma.store(0, bytes(PAGE))
            session.success(guest.send(guest.prepare(op, BASE, PAGE, pasid=pasid)))
            request = session.take_request()
            assert guest.wait() == "FAULT EIO"
            session.answer(request, data=pattern(SEED, PAGE) if op == "READ" else b"")
            assert guest.vdma.load(0, PAGE) == bytes(PAGE), "bytes of a late reply are taken"
            guest.succeed(op, BASE, PAGE, pasid=pasid)
            assert one.holds(bytes(SIZE))


@covers("VE-LIM-002")
@needs("device_pages")
def test_device_waits_a_minute_for_a_page_unless_it_was_told_otherwise(private_target):
    with limited(private_target) as target:
        guest = guest_at(target)
        with guest.session:
            assert guest.vdma.read("PR_TIMEOUT") == RESPONSE_TIME


@covers("VE-LIM-005", "VE-DEAD-009")
@needs("concurrent", "page_requests", "device_pages", "pasid", "device_pasid")
@pytest.mark.parametrize("size", [1, 15, 16, 20], ids="{}-bytes".format)
def test_client_that_stops_in_a_message_is_left_and_others_are_served(private_target, fds, size):
    with limited(private_target, "partial") as target:
        guests = [guest_at(target) for _ in range(2)]
        for guest in guests:
            guest.iommu.memory = fds.memory(SIZE)
            guest.iommu.policy = "never"
            guest.enable(pages=1)
            guest.iommu.enter(BASE, pasid=P2)
        groups = [guest.waits("FILL", BASE, PAGE, pasid=P2, seed=SEED) for guest in guests]
        with guests[0].session as session, guests[1].session:
            sent = session.send_bytes(guests[0].iommu.response(groups[0]).bytes(1)[:size])
            guests[1].success(guests[1].iommu.serve(groups[1]))
            assert guests[1].wait() == "DONE"
            session.expect_close(sent)
            guests[1].succeed("FILL", BASE, PAGE, pasid=P2)
            assert guests[0].iommu.memory.read(0, SIZE) == bytes(SIZE)
