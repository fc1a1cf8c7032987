# SPDX-License-Identifier: BSD-3-Clause
"""The life of a server process, and what is found out about it, with the fake server as the one."""

import os
import signal
import sys
from pathlib import Path

import pytest

from vuc.device import Device, Region, region_of
from vuc.duration import set_patience
from vuc.exchange import Reply
from vuc.failure import Broken, Failure
from vuc.message import structure
from vuc.profile import Profile, StorePlace
from vuc.register import FEATURES
from vuc.schema import COMMANDS, constants
from vuc.target import Target

FAKE = str(Path(__file__).with_name("fake_server.py"))
RESET = str(COMMANDS["DEVICE_RESET"].number)


def profile(*defect, **more):
    return Profile("fake", argv=(sys.executable, FAKE, "{socket}", *defect), **more)


@pytest.fixture
def impatient():
    set_patience(0.1)
    yield
    set_patience(1)


@pytest.fixture
def target():
    with Target(profile()) as made:
        yield made


def test_a_server_is_started_served_by_and_stopped(target):
    assert target.state.phase == "running" and target.state.pid > 0
    with target.negotiate() as session:
        assert session.barrier().num_regions == 9
    ended = target.stop()
    assert (ended.phase, ended.status) == ("killed", signal.SIGTERM)
    assert ended.text() == "killed by SIGTERM" and not ended.alive


def test_nothing_is_left_behind():
    with Target(profile()) as target:
        directory, pid = Path(target.socket).parent, target.state.pid
        assert len(target.socket) < 40
    assert not directory.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    target.close()


def test_a_connection_starts_the_server():
    target = Target(profile())
    try:
        target.connect().close()
        assert target.starts == 1
    finally:
        target.close()


def test_a_restart_is_another_process_with_another_log(target):
    pid, log = target.state.pid, target.log_path
    target.restart()
    assert target.state.pid != pid and target.log_path != log
    target.negotiate().close()


def test_a_program_that_does_not_exist_is_our_own_fault():
    with pytest.raises(Broken, match="No such file"), Target(Profile("x", ("./no", "{socket}"))):
        pass


def test_a_server_that_ends_before_it_listens_is_a_failure():
    wanted = pytest.raises(Failure, match=r"^server.exit(.|\n)*exited with 1")
    with wanted, Target(profile("exit-at-once")):
        pass


def test_a_death_is_known_with_its_signal(target):
    target.signal(signal.SIGKILL)
    assert target.wait_exit().text() == "killed by SIGKILL"
    with pytest.raises(Failure, match="^server.unreachable"):
        target.connect()


def test_a_living_server_does_not_end(target):
    assert target.wait_exit(0) is None


def test_the_log_begins_at_the_mark():
    with Target(profile("print", RESET)) as target, target.negotiate() as session:
        session.call("DEVICE_RESET")
        assert "heap-use-after-free" in target.log() and target.state.sanitizer
        target.mark()
        assert target.log() == ""


def test_what_a_server_keeps_is_counted():
    with Target(profile("leak", RESET)) as target:
        assert target.take_baseline() == target.baseline
        with target.negotiate() as session:
            session.barrier()
        assert target.surplus() == {}
        with target.negotiate() as session:
            session.call("DEVICE_RESET")
            session.call("DEVICE_RESET")
        assert target.surplus(0.1) == {"fds": 2}


def test_how_many_sessions_are_served_is_found_out(target):
    assert target.find_sessions() == "many"
    assert Target(profile(sessions="one")).find_sessions() == "one"


def test_a_server_of_one_session_is_started_for_the_next():
    with Target(profile("exit", RESET, sessions="one")) as target:
        for starts in (1, 2):
            with target.negotiate() as session:
                session.send("DEVICE_RESET")
                session.expect_close()
            assert target.starts == starts


def test_descriptors_options_and_limits_arrive(tmp_path):
    read, write = os.pipe()
    words = ("import os, resource, sys; os.write(int(sys.argv[1]), "
             "(sys.argv[2] + str(resource.getrlimit(7)[0]) + os.environ['VUC_X']).encode())")
    own = Target(profile(), argv=(sys.executable, "-c", words), options=[str(write), "a"],
                 fds=[write], limit_nofile=99, env={"VUC_X": "b"})
    with own, os.fdopen(read, "rb") as file:
        os.close(write)
        assert own.wait_exit().status == 0
        assert file.read() == b"a99b"


def test_a_server_that_already_runs_is_left_running(target):
    with Target(Profile("socket", socket=target.socket)) as other:
        assert other.attached and other.negotiate().barrier().num_irqs == 5
        assert other.log() == ""
    target.negotiate().close()


def test_a_server_that_never_listens_is_unreachable(impatient):
    words = (sys.executable, "-c", "import signal; signal.pause()", "{socket}")
    with pytest.raises(Failure, match="^server.unreachable"), Target(Profile("x", words)):
        pass


# ---- the device ----


def test_features_are_found_by_asking(target):
    device = Device(target)
    assert [irq.count for irq in device.irqs] == [0] * 5 and len(device.regions) == 9
    there = {name for name in FEATURES if device.has(name)}
    assert there - {"lease", "seal", "pipe"} == {
        "reset", "reconnect", "concurrent", "no_viommu", "no_write_multiple", "process", "proc"
    }
    assert target.starts == 1


def test_the_profile_has_the_last_word_on_features():
    said = {"dma_maps": True, "reset": False}
    with Target(profile(features=said)) as target:
        assert {name: Device(target).has(name) for name in said} == said


def test_a_feature_that_nobody_knows_is_our_own_fault(target):
    with pytest.raises(Broken):
        Device(target).has("colour")


def test_a_probe_that_ends_the_server_is_a_missing_feature():
    number = str(COMMANDS["DMA_MAP"].number)
    with Target(profile("exit", number)) as target:
        assert not Device(target).has("dma_maps")
        assert target.starts == 2
        target.negotiate().close()


def test_the_store_is_what_the_profile_says():
    with Target(profile(store=StorePlace(0, 16, 4, 64))) as target:
        store = Device(target).store
        assert (store.region, store.offset, store.width, store.size) == (0, 16, 4, 64)
        assert store.bytes(1) == (1).to_bytes(4, sys.byteorder)


def region_reply(capabilities, cap_offset=32):
    row = COMMANDS["DEVICE_GET_REGION_INFO"]
    values = {"flags": constants.REGION_FLAGS.CAPS, "index": 3, "size": 0x4000,
              "cap_offset": cap_offset}
    payload = bytearray(32)
    for name, value in values.items():
        field = row.reply[name]
        payload[field.offset : field.offset + field.width] = value.to_bytes(
            field.width, sys.byteorder)
    header = type("Header", (), {"command": row.number, "flags": 1, "error": 0})
    return Reply(header, bytes(payload) + capabilities, [], 0)


def test_capabilities_of_a_region_are_read_along_their_chain():
    areas = structure("SPARSE_AREA", offset=0, size=4096) + structure(
        "SPARSE_AREA", offset=8192, size=4096)
    sparse = structure("CAP_SPARSE_MMAP", id=1, version=1, next=80, nr_areas=2, tail=areas)
    kind = structure("CAP_TYPE", id=2, version=1, type=7, subtype=8)
    assert region_of(region_reply(sparse + kind)) == Region(
        3, 0x4000, constants.REGION_FLAGS.CAPS, 0, ((0, 4096), (8192, 4096)), (7, 8))


@pytest.mark.parametrize(
    ("capabilities", "at"),
    [
        (structure("CAP_HEADER", id=9, next=32), 32),
        (structure("CAP_HEADER", id=9, next=40), 32),
        (structure("CAP_SPARSE_MMAP", id=1, nr_areas=1), 32),
        (b"", 32),
        (b"", 1 << 31),
    ],
    ids=["circle", "outside", "areas-missing", "nothing", "far-away"],
)
def test_a_broken_chain_is_a_failure(capabilities, at):
    with pytest.raises(Failure, match="^reply.field"):
        region_of(region_reply(capabilities, at))


def test_a_surveyed_device_needs_no_further_connection(target):
    device = Device(target)
    device.survey()
    target.close()
    assert device.info.num_irqs == 5 and len(device.regions) == 9 and len(device.irqs) == 5
    assert device.store is None and device.vdma_caps is None and target.starts == 1
