# SPDX-License-Identifier: BSD-3-Clause
"""VFIO_USER_DEVICE_RESET.

What a reset brings back is known of the test device only. The text does not say what becomes of
DMA maps and interrupts: either is right, as long as all commands agree about it.
"""

import sys

import pytest

from interrupts import ASSIGN, TRIGGER, assert_told_by_eventfds
from regions import CONFIG, WORD, all_described, read, write
from vuc import covers, message, needs, reading

ADDRESS = 0x100000
SIZE = 0x10000
# Region, offset and other value of what the test device has as 0 at first.
RESETTABLE = {
    "command": (CONFIG, 0x04, 0x0006),
    "checksum-offset": (0, 0x14, 0x1230),
    "drain-time": (0, 0x24, 0x0777),
    "buffer": (0, 0x10100, 0x5A5AA5A5),
    "mapped-memory": (2, 0xFF8, 0x5A5AA5A5),
}


@covers("RST-DEV-001")
@needs("reset")
def test_reset_has_no_payload_and_changes_no_description(session):
    info = session.call("DEVICE_GET_INFO").payload
    regions = [reply.payload for reply in all_described(session)]
    reply = session.call("DEVICE_RESET")
    assert not reply.payload
    assert not reply.fds
    assert session.call("DEVICE_GET_INFO").payload == info
    assert [reply.payload for reply in all_described(session)] == regions


@covers("RST-DEV-001")
@needs("reset")
def test_reset_can_be_repeated(session):
    for sent in [session.send("DEVICE_RESET") for _ in range(8)]:
        assert not session.success(sent).payload
    session.barrier()


@covers("RST-DEV-001")
@needs("reset")
def test_reset_with_a_payload_is_refused_or_works_in_step(session):
    outcome = session.outcome(message("DEVICE_RESET").extend(bytes(4)))
    assert outcome.kind == "error" or not outcome.reply.payload
    session.barrier()
    session.call("DEVICE_RESET")


@covers("RST-DEV-002")
@needs("reset", "raise_irq")
@pytest.mark.parametrize("name", RESETTABLE)
def test_reset_brings_back_the_first_value(session, device, name):
    region, offset, number = RESETTABLE[name]
    if offset >= device.regions[region].size:
        pytest.skip(f"needs: a test device with memory behind region {region}")
    width = 2 if region == CONFIG else WORD
    session.call("DEVICE_RESET")
    first = read(session, region, offset, width)
    write(session, region, offset, number.to_bytes(width, sys.byteorder))
    assert read(session, region, offset, width) != first
    session.call("DEVICE_RESET")
    assert read(session, region, offset, width) == first


def _write(store, value):
    return message("REGION_WRITE", region=store.region, offset=store.offset,
                   data=store.bytes(value))


def _read(store):
    return message("REGION_READ", region=store.region, offset=store.offset, count=store.width)


@covers("RST-DEV-002")
@needs("reset", "store")
def test_access_that_is_pipelined_behind_a_reset_takes_place_after_it(session, device):
    store = device.store
    steps = [_write(store, 0x21), message("DEVICE_RESET"), _write(store, 0x43), _read(store)]
    replies = [session.success(sent) for sent in [session.send(step) for step in steps]]
    assert replies[-1].data == store.bytes(0x43)


@covers("RST-DEV-002")
@needs("reset", "store")
def test_access_that_is_pipelined_before_a_reset_takes_place_before_it(session, device):
    store = device.store
    store.write(session, 0x21)
    session.call("DEVICE_RESET")
    left = store.read(session)
    store.write(session, 0x43)
    steps = [_write(store, 0x21), _read(store), message("DEVICE_RESET"), _read(store)]
    replies = [session.success(sent) for sent in [session.send(step) for step in steps]]
    assert replies[1].data == store.bytes(0x21)
    assert replies[3].data == store.bytes(left)


def _mapped_and_reset(session, fds):
    memory = fds.memory(SIZE)
    session.call("DMA_MAP", [memory], flags="READ|WRITE", address=ADDRESS, size=SIZE)
    memory.sent()
    session.call("DEVICE_RESET")
    return memory


@covers("RST-DEV-003")
@needs("reset", "dma_maps", "lease")
def test_mapping_is_kept_or_gone_after_a_reset_as_unmapping_shows(session, fds):
    memory = _mapped_and_reset(session, fds)
    session.outcome("DMA_UNMAP", address=ADDRESS, size=SIZE)
    assert not memory.held()
    session.refuse("DMA_UNMAP", address=ADDRESS, size=SIZE)
    session.call("DMA_MAP", flags="READ|WRITE", address=ADDRESS, size=SIZE)
    session.call("DMA_UNMAP", address=ADDRESS, size=SIZE)


@covers("RST-DEV-003")
@needs("reset", "dma_maps", "lease")
def test_mapping_is_kept_or_gone_after_a_reset_as_mapping_shows(session, fds):
    memory = _mapped_and_reset(session, fds)
    session.outcome("DMA_MAP", flags="READ|WRITE", address=ADDRESS, size=SIZE)
    session.call("DMA_UNMAP", address=ADDRESS, size=SIZE)
    assert not memory.held()
    session.refuse("DMA_UNMAP", address=ADDRESS, size=SIZE)


@covers("RST-DEV-003")
@reading("M2")
@needs("reset", "dma_maps")
def test_mapping_survives_a_reset(session, fds):
    _mapped_and_reset(session, fds)
    session.call("DMA_UNMAP", address=ADDRESS, size=SIZE)
    session.refuse("DMA_UNMAP", address=ADDRESS, size=SIZE)


@covers("RST-DEV-003")
@needs("reset", "irq1")
def test_eventfd_works_or_is_silent_after_a_reset(session, device, fds):
    assert_told_by_eventfds(session, device, fds, lambda client: client.call("DEVICE_RESET"))


@covers("RST-DEV-003")
@reading("M2")
@needs("reset", "irq1")
def test_eventfd_survives_a_reset(session, device, fds):
    index, eventfd = device.irq_with().index, fds.eventfd()
    session.call("DEVICE_SET_IRQS", [eventfd], flags=ASSIGN, index=index, count=1)
    session.call("DEVICE_RESET")
    session.call("DEVICE_SET_IRQS", flags=TRIGGER, index=index, count=1)
    assert eventfd.wait() == 1
