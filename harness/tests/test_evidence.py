# SPDX-License-Identifier: BSD-3-Clause
"""What is passed to servers, and what it tells: played through with this process as the server."""

import mmap
import os
import select

import pytest

from vuc.evidence import KINDS, EventFd, Fds, Memory, Probe, oracles


@pytest.fixture
def fds():
    with Fds() as made:
        yield made


def open_descriptors():
    return set(os.listdir("/proc/self/fd"))


def test_everything_that_was_made_is_closed_with_the_factory():
    before = open_descriptors()
    with Fds() as fds:
        fds.memory(4096)
        fds.probes(3)
        fds.eventfds(3)
        for name in KINDS:
            fds.kind(name)
        assert len(open_descriptors()) > len(before) + len(KINDS)
    assert open_descriptors() == before


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_is_one_open_descriptor_that_programs_do_not_inherit(fds, name):
    before = len(open_descriptors())
    one = fds.kind(name)
    assert one.kind == name
    assert not os.get_inheritable(one.fileno())
    assert len(open_descriptors()) == before + 1


def test_a_pipe_takes_bytes_and_a_broken_one_does_not(fds):
    assert os.write(fds.kind("pipe").fileno(), b"x") == 1
    with pytest.raises(BrokenPipeError):
        os.write(fds.kind("broken-pipe").fileno(), b"x")


def test_an_eventfd_counts_without_waiting():
    with EventFd() as one:
        assert one.count() == 0
        os.eventfd_write(one.fileno(), 2)
        os.eventfd_write(one.fileno(), 1)
        assert one.wait() == 3
        assert one.count() == 0
        assert one.wait(0) == 0


def test_an_eventfd_can_start_with_a_count():
    with EventFd(7) as one:
        assert one.count() == 7


def test_memory_is_held_as_long_as_a_descriptor_or_a_mapping_is():
    told, why = oracles()
    if "lease" not in told:
        pytest.skip(why)
    with Memory(8192) as memory:
        theirs = os.dup(memory.fileno())
        memory.sent()
        assert memory.held()
        view = mmap.mmap(theirs, 8192)
        os.close(theirs)
        assert memory.held()
        view.close()
        assert not memory.held()


def test_memory_is_sealed_only_when_it_is_not_mapped():
    told, why = oracles()
    if "seal" not in told:
        pytest.skip(why)
    with Memory(8192) as memory:
        view = mmap.mmap(memory.fileno(), 8192)
        assert memory.mapped()
        view.close()
        assert not memory.mapped()


def test_memory_shows_what_others_wrote():
    with Memory(8192) as memory:
        memory.fill(5)
        assert memory.differs(5) == 0
        assert memory.read(0, 3) == bytes((5 + i * 0x9D) & 0xFF for i in range(3))
        os.pwrite(memory.fileno(), bytes([0xFF ^ memory.read(100, 1)[0]]), 100)
        assert memory.differs(5) == 1
        memory.write(200, b"abc")
        assert os.pread(memory.fileno(), 3, 200) == b"abc"
        memory.truncate(4096)
        assert os.fstat(memory.fileno()).st_size == 4096 == memory.size


def test_a_passed_copy_is_gone_after_sent():
    with Memory(4096) as memory:
        memory.sent()
        with pytest.raises(OSError):
            memory.fileno()


def test_a_probe_is_released_when_the_last_copy_is_closed():
    with Probe() as probe:
        theirs = os.dup(probe.fileno())
        assert not probe.released(0)
        os.write(theirs, b"12345678")
        assert probe.bytes() == 8
        os.close(theirs)
        assert probe.released(0)


def test_closing_twice_is_fine(fds):
    for one in (fds.memory(4096), fds.probe(), fds.eventfd(), fds.kind("epoll")):
        one.close()
        one.close()


def test_a_taken_descriptor_is_the_callers():
    with EventFd() as one:
        number = one.take()
    os.close(number)


def test_an_epoll_descriptor_is_one(fds):
    select.epoll.fromfd(os.dup(fds.kind("epoll").fileno())).close()
