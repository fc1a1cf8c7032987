# SPDX-License-Identifier: BSD-3-Clause
"""VFIO_USER_DEVICE_FEATURE: which features and methods there are, and what their messages say.

The features of migration stand for all; what DMA logging means by its data is another file's
matter. The effect that must not happen is a change of the migration state.
"""

from errno import EINVAL

import pytest

from migrating import GET_STATE, set_message, state_of
from migrating import migration_fixture  # noqa: F401
from vuc import constants, covers, message, needs, structure

FLAGS = constants.FEATURE_FLAGS
METHODS = {
    "MIGRATION": "GET",
    "MIG_DEVICE_STATE": "GET|SET",
    "DMA_LOGGING_START": "SET",
    "DMA_LOGGING_STOP": "SET",
    "DMA_LOGGING_REPORT": "GET",
}
UNDEFINED = (0, 3, 4, 5, 9, 0xFFF, 0xFFFF)
FEATURE_SIZE = 8  # of the structure
DATA = structure("DEVICE_STATE", device_state="STOP")  # that no message here may act on

each_feature = pytest.mark.parametrize("feature", [
    pytest.param(name, id=name.lower().replace("_", "-"),
                 marks=needs("dma_logging" if name.startswith("DMA") else "migration"))
    for name in METHODS
])
each_undefined_feature = pytest.mark.parametrize("feature", UNDEFINED)
each_bit = pytest.mark.parametrize("bit", [19, 24, 31])


def supported(feature, methods):
    """Does the feature have all these methods?"""
    return set(filter(None, methods.split("|"))) <= set(METHODS[feature].split("|"))


def flags_of(*names):
    """Flags by name, without those that are empty."""
    return "|".join(str(name) for name in names if name != "")


# ---- which there are ----


@covers("FEAT-GEN-002")
@each_undefined_feature
@pytest.mark.parametrize("methods", ["GET", "SET", "PROBE", "PROBE|GET", "PROBE|SET"])
def test_unknown_feature_is_refused(session, feature, methods):
    data = DATA if methods == "SET" else b""
    session.refuse("DEVICE_FEATURE", flags=flags_of(methods, feature), data=data)
    session.expect_silence()


@covers("FEAT-GEN-002")
@pytest.mark.parametrize("feature", ["MIGRATION", "MIG_DEVICE_STATE"], ids=["flags", "state"])
@pytest.mark.parametrize("methods", ["GET", "SET", "PROBE", "PROBE|GET", "PROBE|SET"])
def test_migration_of_a_device_without_is_refused(connect, device, feature, methods):
    if device.has("migration"):
        pytest.skip("needs: a device without migration")
    session = connect()
    data = DATA if methods == "SET" else b""
    session.refuse("DEVICE_FEATURE", flags=flags_of(methods, feature), data=data)
    session.expect_silence()


@covers("FEAT-GEN-003")
@each_feature
@pytest.mark.parametrize("methods", ["", "GET", "SET", "GET|SET"], ids=lambda one: one or "alone")
def test_probe_succeeds_where_all_the_methods_are_supported(session, feature, methods):
    probe = message("DEVICE_FEATURE", flags=flags_of("PROBE", methods, feature), argsz=8)
    if supported(feature, methods):
        assert not session.call(probe).data
    else:
        session.refuse(probe)


@covers("FEAT-GEN-008")
@pytest.mark.parametrize("feature", range(12))
@pytest.mark.parametrize("method", ["GET", "SET"])
def test_method_whose_probe_is_refused_is_refused(session, feature, method):
    probe = session.outcome("DEVICE_FEATURE", flags=flags_of("PROBE", method, feature), argsz=8)
    if probe.kind == "error":
        data = structure("LOGGING_REPORT", length=0x1000, page_size=0x1000)
        session.refuse("DEVICE_FEATURE", flags=flags_of(method, feature), data=data)
    session.expect_silence()


@covers("FEAT-GEN-008")
@needs("migration")
@pytest.mark.parametrize(
    "feature, method, request_of",
    [("MIGRATION", "GET", lambda: message("DEVICE_FEATURE", flags="GET|MIGRATION")),
     ("MIG_DEVICE_STATE", "GET", lambda: GET_STATE),
     ("MIG_DEVICE_STATE", "SET", lambda: set_message("STOP"))],
    ids=["get-migration", "get-state", "set-state"],
)
def test_method_whose_probe_succeeds_works(migration, feature, method, request_of):
    session = migration.session
    session.call("DEVICE_FEATURE", flags=flags_of("PROBE", method, feature), argsz=8)
    session.call(request_of())


# ---- what the replies say ----


@covers("FEAT-GEN-004")
@each_feature
@pytest.mark.parametrize("argsz", [8, 16, 4096])
def test_reply_to_a_probe_is_its_request(session, feature, argsz):
    probe = message("DEVICE_FEATURE", flags=flags_of("PROBE", feature), argsz=argsz)
    reply = session.call(probe)
    assert reply.payload == probe.payload
    assert not reply.fds


@covers("FEAT-GEN-004")
@needs("migration")
@pytest.mark.parametrize("argsz", [16, 4096])
@pytest.mark.parametrize("data_fd", [0, 12345, 0xFFFFFFFF], ids=["zero", "number", "minus-one"])
def test_reply_to_a_set_is_its_request(migration, argsz, data_fd):
    request = set_message("STOP", data_fd, argsz)
    reply = migration.session.call(request)
    assert reply.payload == request.payload
    assert not reply.fds
    migration.expect("STOP")


@covers("FEAT-GEN-009")
@needs("migration")
@pytest.mark.parametrize("feature", ["MIGRATION", "MIG_DEVICE_STATE"], ids=["flags", "state"])
@pytest.mark.parametrize("argsz", [16, 17, 4096])
def test_reply_to_a_get_has_the_flags_and_the_data_and_tells_their_size(session, feature, argsz):
    request = message("DEVICE_FEATURE", flags=flags_of("GET", feature), argsz=argsz)
    reply = session.call(request)
    assert reply.flags == request.values["flags"]
    assert len(reply.payload) == 16
    assert reply.argsz == 16


@covers("FEAT-GEN-010")
@needs("migration")
@pytest.mark.parametrize("feature", ["MIGRATION", "MIG_DEVICE_STATE"], ids=["flags", "state"])
@pytest.mark.parametrize("argsz", [8, 15])
def test_get_without_room_is_refused_or_tells_the_room_it_needs(session, feature, argsz):
    outcome = session.outcome("DEVICE_FEATURE", flags=flags_of("GET", feature), argsz=argsz)
    if outcome.kind == "success":
        assert len(outcome.reply.payload) <= argsz
        assert outcome.reply.argsz == 16
    session.expect_silence()


# ---- what has no effect ----


@covers("FEAT-GEN-001")
@needs("migration")
@pytest.mark.parametrize("size", [0, 4, 7])
def test_request_without_its_structure_is_refused(migration, size):
    migration.session.refuse(set_message("STOP").cut(size))
    migration.session.expect_silence()
    migration.expect("RUNNING")


@covers("FEAT-GEN-005")
@needs("migration")
@pytest.mark.parametrize("methods", ["PROBE", "PROBE|GET", "PROBE|SET", "PROBE|GET|SET"])
@pytest.mark.parametrize("data", [b"", DATA], ids=["without-data", "with-data"])
def test_probe_changes_nothing(migration, methods, data):
    flags = flags_of(methods, "MIG_DEVICE_STATE")
    allowed = ("success", "error") if data else ("success",)
    migration.session.outcome("DEVICE_FEATURE", flags=flags, data=data, allowed=allowed)
    migration.expect("RUNNING")


@covers("FEAT-GEN-005", "LOG-REPORT-002")
@needs("dma_logging")
@pytest.mark.parametrize("with_data", [False, True], ids=["without-data", "with-data"])
def test_probe_starts_no_logging(session, with_data):
    control = structure("LOGGING_CONTROL", page_size=0x1000)
    session.outcome("DEVICE_FEATURE", flags="PROBE|SET|DMA_LOGGING_START",
                    data=control if with_data else b"")
    report = structure("LOGGING_REPORT", iova=0, length=0x1000, page_size=0x1000)
    session.refuse("DEVICE_FEATURE", flags="GET|DMA_LOGGING_REPORT", data=report)


@covers("FEAT-GEN-006")
@needs("migration")
def test_get_and_set_together_are_refused(migration):
    migration.session.refuse("DEVICE_FEATURE", flags="GET|SET|MIG_DEVICE_STATE", data=DATA)
    migration.expect("RUNNING")


def assert_set_as_told(migration, outcome):
    """The state is STOP exactly if the outcome is a success."""
    migration.expect("STOP" if outcome.kind == "success" else "RUNNING")


@covers("FEAT-GEN-007")
@needs("migration")
@pytest.mark.parametrize("feature", ["MIGRATION", "MIG_DEVICE_STATE"], ids=["flags", "state"])
def test_request_without_an_operation_has_no_effect(migration, feature):
    migration.session.outcome("DEVICE_FEATURE", flags=feature, data=DATA)
    migration.session.expect_silence()
    migration.expect("RUNNING")


@covers("FEAT-GEN-007")
@needs("migration")
@pytest.mark.parametrize("feature", ["MIGRATION", "MIG_DEVICE_STATE"], ids=["flags", "state"])
def test_request_without_an_operation_is_refused(session, feature):
    session.refuse("DEVICE_FEATURE", flags=feature, data=DATA, errno=EINVAL)


@covers("FEAT-GEN-007")
@needs("migration")
@each_bit
def test_undefined_flag_of_a_get_is_refused_or_ignored(session, bit):
    outcome = session.outcome("DEVICE_FEATURE", flags=f"GET|MIG_DEVICE_STATE|{1 << bit}")
    if outcome.kind == "success":
        assert state_of(outcome.reply) == "RUNNING"


@covers("FEAT-GEN-007")
@needs("migration")
@each_bit
def test_undefined_flag_of_a_set_is_refused_or_ignored(migration, bit):
    outcome = migration.session.outcome(
        "DEVICE_FEATURE", flags=f"SET|MIG_DEVICE_STATE|{1 << bit}", data=DATA)
    assert_set_as_told(migration, outcome)


@covers("FEAT-GEN-007")
@needs("migration")
@each_bit
def test_undefined_flag_is_refused(session, bit):
    session.refuse("DEVICE_FEATURE", flags=f"GET|MIG_DEVICE_STATE|{1 << bit}", errno=EINVAL)


# ---- data that are not what they should be ----


@covers("FEAT-GEN-011")
@needs("migration")
@pytest.mark.parametrize("size", [0, 4, 7])
def test_state_that_is_cut_is_refused(migration, size):
    migration.session.refuse(set_message("STOP").cut(FEATURE_SIZE + size))
    migration.session.expect_silence()
    migration.expect("RUNNING")


@covers("FEAT-GEN-011")
@needs("dma_logging")
@pytest.mark.parametrize(
    "flags, name, size",
    [("SET|DMA_LOGGING_START", "LOGGING_CONTROL", 0),
     ("SET|DMA_LOGGING_START", "LOGGING_CONTROL", 15),
     ("GET|DMA_LOGGING_REPORT", "LOGGING_REPORT", 0),
     ("GET|DMA_LOGGING_REPORT", "LOGGING_REPORT", 23)],
    ids=["start-0", "start-15", "report-0", "report-23"],
)
def test_logging_data_that_are_cut_are_refused(session, flags, name, size):
    session.refuse("DEVICE_FEATURE", flags=flags, data=structure(name, page_size=0x1000)[:size])
    session.expect_silence()


ODD = {
    "set-argsz-0": lambda: set_message("STOP", argsz=0),
    "set-argsz-8": lambda: set_message("STOP", argsz=8),
    "set-argsz-15": lambda: set_message("STOP", argsz=15),
    "set-surplus": lambda: set_message("STOP", argsz=24).extend(bytes(8)),
    "set-surplus-beyond-argsz": lambda: set_message("STOP").extend(bytes(8)),
}


@covers("FEAT-GEN-012")
@needs("migration")
@pytest.mark.parametrize("make", ODD.values(), ids=ODD)
def test_state_after_an_odd_size_is_as_the_reply_tells(migration, make):
    assert_set_as_told(migration, migration.session.outcome(make()))


@covers("FEAT-GEN-012")
@needs("migration")
@pytest.mark.parametrize("argsz", [0, 7, 8, 16])
@pytest.mark.parametrize("surplus", [0, 8])
def test_probe_of_an_odd_size_is_answered_and_has_no_effect(migration, argsz, surplus):
    flags = "PROBE|SET|MIG_DEVICE_STATE"
    migration.session.outcome("DEVICE_FEATURE", flags=flags, argsz=argsz, data=DATA[:surplus])
    migration.session.expect_silence()
    migration.expect("RUNNING")
