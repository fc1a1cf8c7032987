# SPDX-License-Identifier: BSD-3-Clause
"""argsz: msg_size tells how large a request is, argsz how large its reply may be."""

import pytest
from exchanges import ADDRESS, SIZE, TO_SERVER, flat_memory, well_formed
from vuc import COMMANDS, covers, message, needs

QUESTIONS = ["DEVICE_GET_INFO", "DEVICE_GET_REGION_INFO", "DEVICE_GET_IRQ_INFO"]
REPLY_SIZE = {name: COMMANDS[name].reply_size for name in QUESTIONS}
WITH_ARGSZ = [name for name in TO_SERVER if "argsz" in COMMANDS[name].request]
HUGE = pytest.mark.parametrize("argsz", [0x80000000, 0xFFFFFFFF], ids=hex)
QUESTION = pytest.mark.parametrize("name", QUESTIONS)


def questions(device, name):
    """The question for each of its indexes."""
    counts = {"DEVICE_GET_REGION_INFO": device.info.num_regions,
              "DEVICE_GET_IRQ_INFO": device.info.num_irqs}
    if name not in counts:
        return [message(name)]
    return [message(name, index=index) for index in range(counts[name])]


@covers("ARGSZ-GEN-001", "ARGSZ-GEN-002")
@QUESTION
@pytest.mark.parametrize("argsz", [64, 4096, 65536], ids=["64", "4096", "65536"])
def test_argsz_may_exceed_the_request(session, device, name, argsz):
    for question in questions(device, name):
        reply = session.call(question, argsz=max(argsz, session.call(question).argsz))
        assert reply.argsz == len(reply.payload)
        exact = session.call(question, argsz=reply.argsz)
        assert exact.payload == reply.payload


@covers("ARGSZ-GEN-002")
@QUESTION
def test_argsz_of_a_reply_is_the_size_of_its_payload(session, device, name):
    for question in questions(device, name):
        reply = session.call(question, argsz=4096)
        assert reply.argsz == len(reply.payload) >= REPLY_SIZE[name]


@covers("ARGSZ-GEN-004")
@QUESTION
@pytest.mark.parametrize("more", [0, 1, 7, 8, 16], ids=["exact", "1", "7", "8", "16"])
def test_reply_is_not_longer_than_argsz(session, device, name, more):
    argsz = REPLY_SIZE[name] + more
    for question in questions(device, name):
        reply = session.call(question, argsz=argsz)
        assert len(reply.payload) <= argsz
        assert reply.argsz >= REPLY_SIZE[name]


@covers("ARGSZ-GEN-003", "ARGSZ-GEN-004")
@needs("sparse_region")
def test_truncated_reply_tells_the_size_that_it_needs(session, device):
    for region in (region for region in device.regions if region.areas):
        question = message("DEVICE_GET_REGION_INFO", index=region.index)
        short = session.call(question, argsz=REPLY_SIZE[question.name])
        assert len(short.payload) <= REPLY_SIZE[question.name] < short.argsz
        assert (short.index, short.size) == (region.index, region.size)
        whole = session.call(question, argsz=short.argsz)
        assert len(whole.payload) == whole.argsz == short.argsz


@covers("ARGSZ-GEN-004", "ARGSZ-GEN-003")
@needs("sparse_region")
def test_truncated_reply_is_within_every_argsz(session, device):
    for region in (region for region in device.regions if region.areas):
        question = message("DEVICE_GET_REGION_INFO", index=region.index)
        full = session.call(question).argsz
        for argsz in range(REPLY_SIZE[question.name], full):
            reply = session.call(question, argsz=argsz)
            assert len(reply.payload) <= argsz < reply.argsz == full


@covers("ARGSZ-GEN-003", "ARGSZ-GEN-004")
@needs("io_fds")
def test_truncated_list_of_descriptors_tells_the_size_that_it_needs(session, device):
    fixed = COMMANDS["DEVICE_GET_REGION_IO_FDS"].reply_size
    for region in (region for region in device.regions if region.size):
        outcome = session.outcome("DEVICE_GET_REGION_IO_FDS", index=region.index, argsz=fixed)
        if outcome.kind == "success" and outcome.reply.count:
            assert len(outcome.reply.payload) <= fixed < outcome.reply.argsz
            needed = outcome.reply.argsz
            whole = session.call("DEVICE_GET_REGION_IO_FDS", index=region.index, argsz=needed)
            assert len(whole.payload) == whole.argsz == needed


@covers("ARGSZ-GEN-005")
@pytest.mark.parametrize("name", [*QUESTIONS, "DEVICE_GET_REGION_IO_FDS"])
@pytest.mark.parametrize("argsz", [0, 4, -1], ids=["0", "4", "fixed-less-1"])
def test_argsz_below_the_fixed_size_is_refused_or_kept_to(session, device, name, argsz):
    argsz %= COMMANDS[name].reply_size
    outcome = session.outcome(well_formed(device, name), argsz=argsz)
    if outcome.kind == "success":
        assert len(outcome.reply.payload) <= argsz
    session.expect_silence()


@covers("ARGSZ-GEN-006")
@HUGE
@QUESTION
def test_huge_argsz_changes_no_answer(session, device, target, name, argsz):
    for question in questions(device, name):
        moderate = session.call(question, argsz=4096)
        with flat_memory(target):
            outcome = session.outcome(question, argsz=argsz)
        if outcome.kind == "success":
            assert outcome.reply.payload == moderate.payload
    session.expect_silence()


@covers("ARGSZ-GEN-006")
@HUGE
@pytest.mark.parametrize("name", [name for name in WITH_ARGSZ if name not in QUESTIONS])
def test_huge_argsz_takes_no_memory(session, device, target, name, argsz):
    with flat_memory(target):
        session.outcome(well_formed(device, name), argsz=argsz)
        session.expect_silence()


@covers("ARGSZ-GEN-006")
@needs("dma_maps")
@HUGE
def test_huge_argsz_of_a_mapping_does_no_harm(session, target, argsz):
    place = {"address": ADDRESS, "size": SIZE}
    with flat_memory(target):
        mapped = session.outcome("DMA_MAP", flags="READ|WRITE", argsz=argsz, **place)
        if mapped.kind == "error":
            session.call("DMA_MAP", flags="READ|WRITE", **place)
        unmapped = session.outcome("DMA_UNMAP", argsz=argsz, **place)
        if unmapped.kind == "error":
            session.call("DMA_UNMAP", **place)
    session.refuse("DMA_UNMAP", **place)
