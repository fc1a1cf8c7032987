# SPDX-License-Identifier: BSD-3-Clause
"""The whole suite against servers that do nothing (null_server.py): what a case is worth that
they pass. No MUST case passes against one that does not answer well, and against those that answer
everything with success only the cases in SATISFIED, each for the reason given there.

This takes longer than the other self-tests and runs with the fault matrix. Of the functions with
parameters the servers get one case each; with FAULTS=all in the environment they get all, and
nothing in SATISFIED may be there in vain.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from runs import ROOT, Finished

SERVER = Path(__file__).with_name("null_server.py")
PATIENCE = "0.1"
ALL = os.environ.get("FAULTS") == "all"
LIMIT = 600  # seconds for one run; nothing comes near it unless it hangs
PROFILE = """
schema = 1
name = "null"
argv = {argv}
sessions = "many"
"""
# The facade claims to have this: zeros describes a device without any region.
STORE = """
[device]
kind = "any"
store = {region = 0, offset = 0x10000, width = 4, size = 0x10000}
"""

# Why a server that does nothing and says "success" may pass these: it does what they are about.
SATISFIED = {
    "it is a program that starts, listens and ends as it should": [
        "backend_program/output_is_text",
        "backend_program/program_does_not_daemonize",
        "backend_program/program_needs_no_rights_no_environment_and_no_files",
        "backend_program/program_survives_that_nobody_reads_its_log_any_more",
        "backend_program/sigterm_ends_the_program*",
        "backend_program/standard_descriptors_can_be_redirected_and_stay*",
    ],
    "it negotiates as it should and sends no descriptors": [
        "capabilities/what_was_not_offered_is_not_enabled*",
        "descriptor_passing/negotiation_carries_no_more_descriptors_than_the_client_takes*",
        "version/every_minor_version_below_the_newest_is_supported",
        "version/minor_version_in_the_reply_is_at_most_the_proposed_one*",
        "version/reply_has_the_major_version_and_the_layout_of_the_request*",
        "version/twin_socket_is_not_set_up_unless_the_client_supports_it*",
        "version_data/capabilities_are_optional*",
        "version_data/version_data_is_optional",
        "version_data/version_data_of_the_reply_is_one_json_object_with_known_types*",
    ],
    "its replies have the form of replies, one for each message that wants one": [
        "header/command_gets_exactly_one_reply*",
        "header/id_can_be_used_again_at_once",
        "header/message_of_the_largest_size_is_read_to_its_end",
        "header/reply_begins_with_the_header_and_ends_with_msg_size*",
        "header/reply_repeats_the_command_in_success_and_in_error*",
        "message_sizes/argsz_may_exceed_the_request*",
        "message_sizes/argsz_of_a_reply_is_the_size_of_its_payload*",
        "message_sizes/reply_is_not_longer_than_argsz*",
        "region_read/reply_repeats_the_request_and_carries_count_bytes*",
        "region_write/reply_repeats_the_request_without_data",
        "socket/client_without_descriptors_can_read_every_region*",
        "socket/command_is_answered_on_the_connection_it_came_by*",
        "socket/connections_with_the_same_ids_get_their_own_replies",
        "socket/hundred_messages_in_one_write_are_all_answered",
        "socket/messages_in_one_write_are_commands_of_their_own",
    ],
    "it is silent where a message has No_reply": [
        "header/command_without_reply_is_not_answered*",
        "header/failing_command_without_reply_is_not_answered*",
        "wrong_shapes/malformed_command_without_reply_is_not_answered_and_has_no_effect*",
    ],
    "they look at an error if one comes; that one has to come is the matter of other cases": [
        "header/error_reply_to_a_write_that_the_device_refuses_is_a_header_only",
        "header/error_reply_to_an_access_past_the_end_is_a_header_only",
        "header/error_reply_to_an_odd_read_that_the_device_refuses_is_a_header_only",
    ],
    "its device is described as it should be, and always the same": [
        "device_get_info/device_is_a_pci_device",
        "device_get_info/device_with_the_reset_flag_can_be_reset",
        "device_get_info/reply_is_the_16_byte_structure_and_the_same_each_time*",
        "device_get_irq_info/description_does_not_change_with_what_is_assigned",
        "device_get_irq_info/reply_is_the_16_byte_structure_and_the_same_each_time*",
        "device_get_region_info/caps_flag_and_cap_offset_say_whether_there_are_capabilities",
        "device_get_region_info/each_region_is_described_the_same_each_time",
        "device_get_region_info/each_region_that_is_not_empty_can_be_read_or_written",
        "device_get_region_info/each_region_with_the_read_flag_can_be_read",
        "device_get_region_info/region_that_can_not_be_mapped_comes_without_descriptor",
        "device_get_region_info/region_that_stores_has_both_flags",
        "device_get_region_info/reply_says_the_size_it_needs_whatever_argsz_says",
    ],
    "a device without state is in its reset state, and resets in step": [
        "device_reset/reset_can_be_repeated",
        "device_reset/reset_has_no_payload_and_changes_no_description",
        "device_reset/reset_with_a_payload_is_refused_or_works_in_step",
    ],
    "who never holds memory or a descriptor, signals or remembers has let go of everything": [
        "client_disconnection/limits_of_the_client_before_do_not_hold",
        "device_set_irqs/deassigned_descriptor_is_released*",
        "device_set_irqs/disabled_index_releases_all_descriptors*",
        "dma_unmap/memory_between_others_is_released_alone*",
        "dma_unmap/memory_can_be_truncated_after_the_reply",
        "dma_unmap/memory_is_released_by_the_unmap_of_its_last_range",
        "dma_unmap/memory_is_released_when_map_and_unmap_are_pipelined",
        "dma_unmap/memory_is_released_when_the_reply_comes*",
        "dma_unmap/memory_that_many_ranges_took_is_given_back",
        "dma_unmap/no_shared_mapping_is_left_when_the_reply_comes*",
        "dma_unmap/thousand_maps_of_a_range_leave_nothing_behind*",
        "viommu/extension/j10_map_with_bits_of_the_extension_is_what_its_reply_tells_without_it*",
    ],
}
GLOBS = [glob for globs in SATISFIED.values() for glob in globs]


def run_suite(directory: Path, way: str) -> Finished:
    """Runs all cases against a null server, or one of each function."""
    target = directory / "null.toml"
    argv = json.dumps([sys.executable, str(SERVER), "{socket}", way])
    text = PROFILE.format(argv=argv) + (STORE if way == "facade" else "")
    target.write_text(text, encoding="utf-8")
    words = [sys.executable, "-m", "pytest", "cases", f"--target={target}", "-q", "--tb=no",
             "-n", "3", f"--patience={PATIENCE}", f"--report-dir={directory}"]
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
    env["PYTHONPATH"] = os.pathsep.join((str(ROOT / "harness"), str(SERVER.parent)))
    done = subprocess.run(words if ALL else [*words, "-p", "one_of_each"], cwd=ROOT, env=env,
                          text=True, timeout=LIMIT, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False)
    return Finished(done.returncode, done.stdout, directory, "null")


def verdicts(run: Finished) -> Counter:
    """How many MUST cases came to each verdict."""
    return Counter(r["verdict"] for r in run.report["results"] if r["level"] == "MUST")


def passed(run: Finished) -> list[str]:
    """The MUST cases that the server passed."""
    return [r["id"] for r in run.report["results"]
            if (r["level"], r["verdict"]) == ("MUST", "PASS")]


def excused(case: str) -> list[str]:
    """The globs of SATISFIED that a case fits; only * and ? are special."""
    return [glob for glob in GLOBS if fnmatchcase(case, glob)]


@pytest.mark.parametrize("way", ["exit", "close", "mute", "header"])
def test_server_that_does_not_answer_well_fails_every_case(tmp_path, way):
    run = run_suite(tmp_path, way)
    assert run.exit_code == 1, run.output
    assert set(verdicts(run)) == {"FAIL"}


@pytest.mark.parametrize("way", ["zeros", "facade"])
def test_server_that_only_says_success_passes_what_it_does(tmp_path, way):
    run = run_suite(tmp_path, way)
    assert run.exit_code == 1, run.output
    assert [case for case in passed(run) if not excused(case)] == []
    count = verdicts(run)
    assert count["FAIL"] > count["PASS"] and not count["BROKEN"], count
    if ALL and way == "facade":
        used = {glob for case in passed(run) for glob in excused(case)}
        assert sorted(set(GLOBS) - used) == []
