# SPDX-License-Identifier: BSD-3-Clause
"""A device that is stopped for migration while it waits for pages: rows E30 and I02 to I04 of the
catalogue (README.md)."""

from errno import ENOENT

import pytest
from flight import SEED, canary, moved
from mapping import BASE, PAGE, SIZE
from migrating import Migration
from spaces import CREDIT, P1, PRI_STATUS, RESPONSE_FAILURE, STOPPED, UNEXPECTED, SpaceGuest

from vuc import covers, needs
from vuc.session import VIOMMU
from vuc.vdma import TERMINAL
from vuc.viommu import CODE

pytestmark = needs("viommu", "dma_maps", "page_requests", "device_pages", "provoke_dma",
                   "migration")

FAR = BASE + 16 * SIZE
in_each_space = pytest.mark.parametrize(
    "pasid", [None, pytest.param(P1, marks=needs("pasid", "device_pasid"))], ids=["none", "pasid"])


@pytest.fixture
def migration(paged):
    """The migration of the device that asks for pages."""
    return Migration(paged.session)


@pytest.fixture
def target_guest(private_target, fds):
    """The same device in another process, to which the state goes; its tables lead into memory that
    is all canary."""
    guest = SpaceGuest(fds.keep(private_target().negotiate(VIOMMU)))
    guest.iommu.memory = fds.memory(SIZE)
    guest.iommu.memory.write(0, canary())
    yield guest
    guest.vdma.close()


def parked(guest, migration, pasid, pages=2):
    """Stop the device under an operation that has moved its first page and waits for the second;
    its group."""
    guest.iommu.policy = "never"
    guest.iommu.map(BASE, pasid=pasid, offset=0)
    group = guest.waits("FILL", BASE, pages * PAGE, pasid=pasid, seed=SEED)
    migration.set("STOP")
    return group


@covers("VE-MIG-001", "VE-MIG-002", "VE-MIG-003")
@in_each_space
def test_i02_stop_parks_an_operation_that_waits(paged, migration, pasid):
    group = parked(paged, migration, pasid)
    assert paged.slot().state().name not in TERMINAL
    paged.refuse("PAGE_RESPONSE", cookie=group.cookie, errno=ENOENT)
    assert not paged.status() & UNEXPECTED
    paged.asked_nothing()
    paged.iommu.enter(BASE + PAGE, pasid=pasid, offset=PAGE)
    paged.iommu.policy = "at-once"
    migration.set("RUNNING")
    assert paged.wait() == "DONE"
    again = paged.iommu.requests[1]
    assert len(paged.iommu.requests) == 2
    assert again.cookie != group.cookie
    assert again.ranges == group.ranges
    assert paged.iommu.memory.read(0, SIZE) == moved(2 * PAGE)


@covers("VE-MIG-002", "VE-MIG-004", "VE-MIG-003")
@in_each_space
def test_i02_page_that_is_mapped_while_it_is_stopped_is_found(paged, migration, pasid):
    parked(paged, migration, pasid)
    paged.iommu.map(BASE + PAGE, pasid=pasid, offset=PAGE)
    paged.asked_nothing()
    assert paged.iommu.memory.read(0, SIZE) == moved(PAGE)
    migration.set("RUNNING")
    assert paged.wait() == "DONE"
    assert len(paged.iommu.requests) == 1
    assert paged.iommu.memory.read(0, SIZE) == moved(2 * PAGE)


@covers("VE-MIG-001", "VE-MIG-003")
@in_each_space
def test_e30_stopped_device_asks_for_nothing(paged, migration, pasid):
    migration.set("STOP")
    paged.iommu.enter(BASE, pasid=pasid)
    paged.call(paged.ask("FILL", BASE, PAGE, pasid=pasid, seed=SEED))
    paged.asked_nothing()
    assert paged.iommu.memory.read(0, SIZE) == canary()
    migration.set("RUNNING")
    assert paged.wait() == "DONE"
    assert paged.iommu.memory.read(0, SIZE) == moved(PAGE)


@covers("VE-MIG-003", "VE-MIG-002", "VE-RESP-009")
@needs("process")
@in_each_space
@pytest.mark.parametrize("there", [True, False], ids=["mapped", "missing"])
def test_i03_parked_operation_goes_on_where_the_state_is_loaded(paged, migration, target_guest,
                                                                pasid, there):
    group = parked(paged, migration, pasid)
    migration.set("STOP_COPY")
    data = migration.save()
    before = paged.iommu.memory.read(0, SIZE)
    other, loaded = target_guest, Migration(target_guest.session)
    other.iommu.memory.write(0, before)
    other.iommu.map(BASE, pasid=pasid, offset=0)
    if there:
        other.iommu.map(BASE + PAGE, pasid=pasid, offset=PAGE)
    else:
        other.iommu.enter(BASE + PAGE, pasid=pasid, offset=PAGE)
        other.iommu.policy = "late"
    loaded.enter("RESUMING")
    loaded.load(data)
    loaded.set("STOP")
    other.asked_nothing()
    loaded.set("RUNNING")
    if not there:
        assert other.wait(until=("WAIT_PAGE", "FAULT", "DONE")) == "WAIT_PAGE"
        other.barrier()
        again, = other.iommu.requests
        assert again.ranges == group.ranges
        if again.cookie != group.cookie:
            other.refuse("PAGE_RESPONSE", cookie=group.cookie, errno=ENOENT)
        other.iommu.answer_late()
    assert other.wait() == "DONE"
    assert other.slot().moved() == 2 * PAGE
    assert other.iommu.memory.read(0, SIZE) == moved(2 * PAGE)
    assert paged.iommu.memory.read(0, SIZE) == moved(PAGE)
    migration.set("STOP")
    paged.slot().step("abort")
    paged.iommu.policy = "invalid"
    migration.set("RUNNING")
    paged.wait()


@covers("VE-RESP-007", "VE-MIG-003")
@needs("process")
@pytest.mark.parametrize("seen", [False, True], ids=["status", "cleared"])
def test_i03_client_that_serves_no_pages_serves_none_where_the_state_is_loaded(
        paged, migration, target_guest, seen):
    paged.iommu.policy = "never"
    group = paged.waits("FILL", FAR, PAGE)
    paged.success(paged.iommu.respond(group, CODE.FAILURE))
    assert paged.wait() == "FAULT EIO"
    if seen:
        paged.write_config(paged.pri + PRI_STATUS, RESPONSE_FAILURE)
    migration.set("STOP_COPY")
    other, loaded = target_guest, Migration(target_guest.session)
    loaded.enter("RESUMING")
    loaded.load(migration.save())
    loaded.set("RUNNING")
    assert bool(other.status() & RESPONSE_FAILURE) == (not seen)
    assert other.fault("FILL", FAR, PAGE) == "FAULT"
    assert not other.iommu.requests
    migration.set("RUNNING")


@covers("VE-MIG-001", "VE-CRED-005", "VE-PCI-010")
def test_i02_stop_gives_all_credit_back(paged, migration):
    paged.allocate(1)
    for _ in range(3):
        paged.iommu.policy = "never"
        group = paged.waits("FILL", FAR, PAGE)
        migration.set("STOP")
        paged.refuse("PAGE_RESPONSE", cookie=group.cookie, errno=ENOENT)
        migration.set("RUNNING")
        paged.iommu.policy = "invalid"
        assert paged.wait() == "FAULT EFAULT"
    assert not paged.status() & STOPPED
    paged.allocate(CREDIT)
