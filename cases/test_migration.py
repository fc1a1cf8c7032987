# SPDX-License-Identifier: BSD-3-Clause
"""Migration states: VFIO_DEVICE_FEATURE_MIGRATION and VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE.

The arcs are a table by requirement. Where bad data has to bring the device into ERROR, the target
file says that it does (migration_error). test_migration_data.py is about the data itself.
"""

import pytest

from migrating import (
    GARBAGE, GET_STATE, REACHABLE, SAVING, STATES, STOPPED, each_arc, each_state, named,
    set_message, state_of, words,
)
from migrating import contents_fixture, destination_fixture, migration_fixture  # noqa: F401
from vuc import constants, covers, message, needs, reading, structure

pytestmark = needs("migration")

FLAGS = constants.MIGRATION_FLAGS
FOREIGN = {
    "error": 0, "running-p2p": 5, "pre-copy-p2p": 7, "8": 8, "100": 100, "largest": 0xFFFFFFFF,
}
DIRECT = {
    "MIG-FSM-001": ("RUNNING", "STOP"),
    "MIG-FSM-002": ("STOP_COPY", "STOP"),
    "MIG-FSM-003": ("RESUMING", "STOP"),
    "MIG-FSM-004": ("PRE_COPY", "RUNNING"),
    "MIG-FSM-005": ("STOP", "RUNNING"),
    "MIG-FSM-006": ("RUNNING", "PRE_COPY"),
    "MIG-FSM-007": ("STOP", "STOP_COPY"),
    "MIG-FSM-008": ("PRE_COPY", "STOP_COPY"),
    "MIG-FSM-009": ("STOP", "RESUMING"),
}
COMBINED = {
    "MIG-FSM-010": ("RUNNING", "STOP_COPY"),
    "MIG-FSM-011": ("RUNNING", "RESUMING"),
    "MIG-FSM-012": ("STOP", "PRE_COPY"),
    "MIG-FSM-013": ("STOP_COPY", "RUNNING"),
    "MIG-FSM-014": ("STOP_COPY", "RESUMING"),
    "MIG-FSM-015": ("RESUMING", "RUNNING"),
    "MIG-FSM-016": ("RESUMING", "STOP_COPY"),
    "MIG-FSM-017": ("RESUMING", "PRE_COPY"),
    "MIG-FSM-018": ("PRE_COPY", "STOP"),
    "MIG-FSM-019": ("PRE_COPY", "RESUMING"),
}
ARCS = DIRECT | COMBINED
WITHOUT_PRE_COPY = [arc for arc in ARCS.values() if "PRE_COPY" not in arc]
ASSIGN = "DATA_EVENTFD|ACTION_TRIGGER"
ADDRESS = 0x100000
SIZE = 0x10000


# ---- what the device can do ----


@covers("MIG-FEAT-001")
def test_flags_have_stop_copy_and_nothing_undefined(migration):
    flags = migration.flags()
    assert flags & FLAGS.STOP_COPY
    assert not flags & ~(FLAGS.STOP_COPY | FLAGS.P2P | FLAGS.PRE_COPY)


@covers("MIG-FEAT-002")
def test_flag_of_the_unused_p2p_states_is_clear(migration):
    assert not migration.flags() & FLAGS.P2P


@covers("MIG-FEAT-003")
@needs("pre_copy")
def test_pre_copy_can_be_entered_where_its_flag_is_set(migration):
    migration.set("PRE_COPY")
    migration.expect("PRE_COPY")


@covers("MIG-FEAT-003", "MIG-FSM-023")
@needs("no_pre_copy")
@each_state("RUNNING", *STOPPED)
def test_pre_copy_is_refused_where_its_flag_is_clear(migration, state):
    migration.arrive(state)
    migration.refuse("PRE_COPY")
    migration.expect(state)


@covers("MIG-FSM-023")
@needs("no_pre_copy")
@pytest.mark.parametrize(
    "start, end", WITHOUT_PRE_COPY, ids=[words(*arc) for arc in WITHOUT_PRE_COPY])
def test_arc_between_other_states_is_taken_where_the_flag_is_clear(migration, start, end):
    migration.arrive(start)
    migration.set(end)
    migration.expect(end)


# ---- asking for the state ----


@covers("MIG-STATE-001")
@needs("process")
def test_fresh_device_runs(destination):
    destination.expect("RUNNING")


@covers("MIG-STATE-001")
@each_state(*REACHABLE)
def test_state_is_told_in_eight_bytes_without_descriptor(migration, state):
    migration.enter(state)
    reply = migration.session.call(GET_STATE)
    assert state_of(reply) == state
    assert len(reply.data) == 8
    assert not reply.fds


@covers("MIG-STATE-002")
@each_state(*STOPPED, "PRE_COPY")
def test_change_is_complete_when_a_pipelined_question_is_answered(migration, state):
    session = migration.session
    change, asked, back, again = map(session.send, [
        set_message(state), GET_STATE, message("DEVICE_GET_INFO"), GET_STATE])
    session.success(change)
    assert state_of(session.success(asked)) == state
    session.reply(back)
    assert state_of(session.success(again)) == state


@covers("MIG-STATE-003")
@pytest.mark.parametrize("data_fd", [0, 12345, 0xFFFFFFFF], ids=["zero", "number", "minus-one"])
@each_state("STOP_COPY", "RESUMING")
def test_data_fd_is_ignored_and_none_comes_back(migration, state, data_fd):
    reply = migration.session.call(set_message(state, data_fd))
    assert not reply.fds
    migration.expect(state)
    assert not migration.session.call(GET_STATE).fds


# ---- states that can not be asked for ----


@covers("MIG-STATE-004")
@each_state(*REACHABLE)
@pytest.mark.parametrize("number", FOREIGN.values(), ids=FOREIGN)
def test_state_that_is_none_is_refused_and_changes_nothing(migration, state, number):
    if "P2P" in STATES.get(number, "") and migration.flags() & FLAGS.P2P:
        pytest.skip("needs: a device without VFIO_MIGRATION_P2P")
    migration.enter(state)
    migration.refuse(number)
    migration.expect(state)


@covers("MIG-STATE-004")
@each_state("RUNNING", "STOP")
def test_device_works_after_a_state_that_is_none(migration, state):
    migration.enter(state)
    migration.refuse(100)
    migration.run()
    migration.works()


@covers("MIG-STATE-005", "MIG-FSM-024")
@pytest.mark.parametrize("end", named("STOP", "RUNNING", "STOP_COPY", "PRE_COPY"))
def test_state_after_bad_data_is_on_the_way_or_error(migration, end):
    migration.spoil(GARBAGE)
    outcome = migration.try_set(end)
    found = migration.state()
    if outcome.kind == "success":
        assert found == end
    else:
        assert found in ("RESUMING", "STOP", "ERROR"), f"the state is {found}"
    if found == "ERROR":
        for state in ("STOP", "RUNNING", "STOP_COPY", "RESUMING", end):
            migration.refuse(state)


# ---- what goes on while the device is stopped ----


@covers("MIG-STATE-006")
@needs("irq1", "raise_irq")
@each_state(*STOPPED)
def test_stopped_device_raises_no_interrupt_and_does_so_again_when_it_runs(
        migration, device, fds, state):
    session, index, eventfd = migration.session, device.irq_with().index, fds.eventfd()
    session.call("DEVICE_SET_IRQS", [eventfd], flags=ASSIGN, index=index, count=1)
    device.raise_irq(session, index, 0)
    assert eventfd.wait() == 1
    migration.arrive(state)
    session.outcome(device.irq_message(index, 0))
    migration.expect(state)
    assert eventfd.count() == 0, "it raised an interrupt"
    migration.set("RUNNING")
    migration.expect("RUNNING")
    eventfd.count()
    device.raise_irq(session, index, 0)
    assert eventfd.wait() >= 1


def commands_of(session, device):
    """What a client may have to do while the device is stopped, by name; it works before."""
    made = {
        "info": message("DEVICE_GET_INFO"),
        "region-info": message("DEVICE_GET_REGION_INFO", index=0),
        "irq-info": message("DEVICE_GET_IRQ_INFO", index=0),
        "map": message("DMA_MAP", flags="READ|WRITE", address=ADDRESS, size=SIZE),
        "unmap": message("DMA_UNMAP", address=ADDRESS, size=SIZE),
    }
    region, irq = device.readable(), device.irq_with()
    if region is not None:
        made["read"] = message("REGION_READ", region=region.index, count=min(4, region.size))
    if irq is not None:
        made["disable"] = message("DEVICE_SET_IRQS", flags="DATA_NONE|ACTION_TRIGGER",
                                  index=irq.index, count=0)
    return {name: one for name, one in made.items() if session.outcome(one).kind == "success"}


@covers("MIG-STATE-007")
@each_state(*STOPPED)
def test_other_commands_are_answered_while_stopped_and_work_afterwards(migration, device, state):
    session = migration.session
    commands = commands_of(session, device)
    migration.arrive(state)
    for command in commands.values():
        session.outcome(command)
    migration.expect(state)
    migration.set("RUNNING")
    session.outcome("DMA_UNMAP", address=ADDRESS, size=SIZE)
    for name, command in commands.items():
        assert session.outcome(command).kind == "success", f"{name} is refused when it runs again"
    migration.works()


@covers("MIG-STATE-007", "VIO-STOP-002")
@reading("M3")
@each_state(*STOPPED)
@pytest.mark.parametrize("name", ["info", "region-info", "irq-info", "read", "disable", "map"])
def test_other_commands_work_while_stopped(migration, device, state, name):
    commands = commands_of(migration.session, device)
    if name not in commands:
        pytest.skip(f"needs: a device that takes {name} when it runs")
    migration.arrive(state)
    migration.session.call(commands[name])
    if name == "map":
        migration.session.call(commands["unmap"])


# ---- the arcs ----


@each_arc(ARCS)
def test_arc_is_taken(migration, start, end):
    migration.arrive(start)
    migration.expect(start)
    migration.set(end)
    migration.expect(end)


@each_arc(ARCS)
def test_data_goes_as_the_state_behind_the_arc_says(migration, start, end):
    data = migration.saved() if end == "RESUMING" else b""
    migration.arrive(start)
    migration.set(end)
    if end in SAVING:
        migration.refuse_write()
        migration.save()
    elif end == "RESUMING":
        migration.refuse_read()
        migration.load(data)
    else:
        migration.refuse_read()
        migration.refuse_write()
    migration.expect(end)
    migration.run()
    migration.works()


@needs("store")
@each_arc({name: arc for name, arc in ARCS.items() if "RESUMING" not in arc})
def test_arc_changes_nothing_that_the_device_holds(migration, contents, start, end):
    contents.put(migration.session, 3)
    migration.arrive(start)
    migration.set(end)
    migration.run()
    contents.expect(migration.session, 3)


@covers("MIG-FSM-002", "MIG-READ-002")
@pytest.mark.parametrize("to_the_end", [False, True], ids=["before-the-end", "at-the-end"])
@pytest.mark.parametrize("end", ["STOP", "RUNNING"])
def test_saving_can_be_ended_at_any_point(migration, to_the_end, end):
    migration.enter("STOP_COPY")
    if to_the_end:
        migration.save()
    migration.set(end)
    migration.refuse_read()
    migration.expect(end)
    migration.run()
    migration.works()


@covers("MIG-FSM-006")
@needs("pre_copy", "store")
def test_device_can_be_used_in_pre_copy(migration, contents):
    migration.enter("PRE_COPY")
    contents.put(migration.session, 5)
    contents.expect(migration.session, 5)
    migration.expect("PRE_COPY")
    migration.session.barrier()


@covers("MIG-FSM-006", "MIG-FSM-004", "MIG-FSM-012")
@needs("pre_copy", "irq1", "raise_irq")
@pytest.mark.parametrize("way", [["PRE_COPY"], ["STOP", "PRE_COPY"], ["PRE_COPY", "RUNNING"]],
                         ids=["from-running", "from-stop", "back-to-running"])
def test_device_raises_interrupts_in_pre_copy_and_behind_it(migration, device, fds, way):
    session, index, eventfd = migration.session, device.irq_with().index, fds.eventfd()
    session.call("DEVICE_SET_IRQS", [eventfd], flags=ASSIGN, index=index, count=1)
    for state in way:
        migration.set(state)
    device.raise_irq(session, index, 0)
    assert eventfd.wait() == 1


@covers("MIG-FSM-020")
@needs("pre_copy")
def test_way_back_from_stop_copy_to_pre_copy_is_refused_and_the_stream_goes_on(migration):
    migration.enter("STOP_COPY")
    first = migration.read(64)
    migration.refuse("PRE_COPY")
    migration.expect("STOP_COPY")
    data = first + (migration.save() if len(first) == 64 else b"")
    migration.set("RUNNING")
    migration.restore(data)


@covers("MIG-FSM-021")
@each_state(*REACHABLE)
def test_present_state_is_kept_when_it_is_asked_for(migration, state):
    migration.arrive(state)
    migration.try_set(state)
    migration.expect(state)
    migration.run()
    migration.works()


@covers("MIG-FSM-021")
@each_state(*SAVING)
def test_stream_goes_on_when_the_present_state_is_asked_for(migration, state):
    migration.enter(state)
    data = migration.read(64)
    migration.try_set(state)
    migration.expect(state)
    data += migration.save() if len(data) == 64 and state == "STOP_COPY" else b""
    if state == "PRE_COPY":
        migration.set("STOP_COPY")
        data += migration.save()
    migration.set("RUNNING")
    migration.restore(data)


@covers("MIG-FSM-021")
@each_state(*REACHABLE)
def test_present_state_can_be_asked_for(migration, state):
    migration.arrive(state)
    migration.set(state)
    migration.expect(state)


# ---- ERROR and reset ----


@covers("MIG-FSM-022")
@needs("migration_error", "reset")
@pytest.mark.parametrize("state", named("STOP", "RUNNING", "STOP_COPY", "RESUMING", "PRE_COPY"))
def test_error_is_left_by_a_reset_only(migration, state):
    migration.break_down()
    migration.refuse(state)
    migration.refuse_read()
    migration.refuse_write()
    migration.expect("ERROR")
    migration.session.call("DEVICE_RESET")
    migration.works()


@covers("RST-DEV-004")
@needs("migration_error", "reset")
@pytest.mark.parametrize("end", named("STOP", "RUNNING", "STOP_COPY", "PRE_COPY"))
def test_reset_brings_a_device_in_error_back_to_running(migration, end):
    migration.spoil(GARBAGE)
    migration.refuse(end)
    migration.expect("ERROR")
    reply = migration.session.call("DEVICE_RESET")
    assert not reply.payload
    migration.works()


@covers("RST-DEV-004", "MIG-WRITE-007")
@needs("migration_error", "reset", "store")
def test_device_that_was_reset_in_error_can_be_used_and_migrated(migration, contents):
    contents.put(migration.session, 7)
    data = migration.saved()
    migration.break_down()
    migration.session.call("DEVICE_RESET")
    contents.put(migration.session, 9)
    contents.expect(migration.session, 9)
    migration.restore(data)
    contents.expect(migration.session, 7)


@covers("RST-DEV-005")
@needs("reset")
@each_state(*STOPPED, "PRE_COPY")
def test_state_after_a_reset_is_running_or_as_before(migration, state):
    migration.enter(state)
    migration.session.outcome("DEVICE_RESET")
    found = migration.state()
    assert found in ("RUNNING", state), f"the state is {found}"
    if found == "RUNNING":
        migration.refuse_read()
        migration.refuse_write()
        migration.works()


@covers("RST-DEV-005")
@reading("M1")
@needs("reset")
@each_state(*STOPPED, "PRE_COPY")
def test_reset_leads_to_running(migration, state):
    migration.enter(state)
    migration.session.call("DEVICE_RESET")
    migration.works()


# ---- disconnection ----


@covers("DISC-STATE-001")
@needs("reconnect")
@each_state(*STOPPED, "PRE_COPY")
def test_state_after_a_reconnect_is_running_or_as_before(migration, connect, state):
    migration.enter(state)
    migration.reconnect(connect)
    found = migration.state()
    assert found in ("RUNNING", state), f"the state is {found}"
    if found not in SAVING:
        migration.refuse_read()
    assert migration.recovers(), "neither SET RUNNING nor a reset brings it back"
    migration.works()


@covers("DISC-STATE-001")
@needs("reconnect")
@each_state(*SAVING)
def test_stream_after_a_reconnect_goes_on_or_has_ended(migration, connect, state):
    data = migration.saved()
    migration.enter(state)
    migration.read(64)
    migration.reconnect(connect)
    if migration.state() in SAVING:
        assert len(migration.save()) <= len(data), "the stream is longer than before"
    else:
        migration.refuse_read()
    assert migration.recovers()
    migration.restore(migration.saved())


@covers("DISC-STATE-001")
@needs("reconnect", "migration_error", "reset")
def test_error_survives_a_reconnect_or_is_left(migration, connect):
    migration.break_down()
    migration.reconnect(connect)
    assert migration.state() in ("ERROR", "RUNNING")
    migration.session.call("DEVICE_RESET")
    migration.works()


def report_message():
    """Asks which part of the range was written to."""
    asked = structure("LOGGING_REPORT", iova=ADDRESS, length=SIZE, page_size=0x1000)
    return message("DEVICE_FEATURE", flags="GET|DMA_LOGGING_REPORT", data=asked)


@covers("DISC-STATE-001")
@needs("reconnect", "dma_logging", "dma_maps")
def test_logging_after_a_reconnect_is_on_or_off_as_a_report_tells(session, connect, fds):
    memory = fds.memory(SIZE)
    control = structure("LOGGING_CONTROL", page_size=0x1000)
    start = message("DEVICE_FEATURE", flags="SET|DMA_LOGGING_START", data=control)
    stop = message("DEVICE_FEATURE", flags="SET|DMA_LOGGING_STOP")
    ranged = message("DMA_MAP", flags="READ|WRITE", address=ADDRESS, size=SIZE)
    session.call(ranged, [memory])
    session.call(start)
    session.close()
    second = connect()
    second.call(ranged, [memory])
    if second.outcome(report_message()).kind == "error":
        second.call(start)
    second.call(report_message())
    second.call(stop)
    second.refuse(report_message())
