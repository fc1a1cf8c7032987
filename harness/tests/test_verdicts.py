# SPDX-License-Identifier: BSD-3-Clause
"""The suite as its users run it: verdicts, blame, exit codes and reports, on small folders of cases
against a fake server with one defect each.
"""

import json
import shutil
import subprocess

import pytest
from runs import CASES, ROOT, Suite, fake
from schema_check import errors

SCHEMA = json.loads((ROOT / "ci/report.schema.json").read_text(encoding="utf-8"))
KNOWN_RESET = """
sessions = "many"
[[known]]
case = "sample/reset"
code = "{code}"
reason = "it does not like to be reset"
"""
PROCESSES = pytest.mark.parametrize("processes", ["0", "2"], ids=["alone", "two-processes"])


@pytest.fixture
def suite(tmp_path):
    return Suite(tmp_path)


def test_good_server_is_conformant(suite):
    run = suite.run()
    assert run.exit_code == 0
    assert run.words() == {"before": "PASS", "reset": "PASS", "behind": "PASS"}
    assert run.last_line() == "verdict: conformant (3 passed, 0 skipped), exit code 0"
    assert run.report["requirements"]["RST-DEV-001"] == "PASS"
    assert run.report["requirements"]["RST-DEV-002"] == "NONE"


@pytest.mark.parametrize(
    ("defect", "code"),
    [
        ("crash", "server.crash"),
        ("exit", "server.exit"),
        ("hang", "server.hang"),
        ("print", "server.sanitizer"),
        ("leak", "server.leak-fds"),
        ("silent", "reply.missing"),
        ("refuse", "reply.unexpected-error"),
        ("id", "reply.missing"),
    ],
)
def test_defect_is_blamed_on_the_case_that_shows_it(suite, defect, code):
    run = suite.run(defect=f"{defect} 13")
    assert run.words() == {"before": "PASS", "reset": "FAIL", "behind": "PASS"}
    result = run.result("sample/reset")
    assert (result["code"], result["blamed"]) == (code, "RST-DEV-001")
    assert run.exit_code == run.report["exit_code"] == 1
    assert run.last_line() == "verdict: non-conformant (1 MUST case failed), exit code 1"


@pytest.mark.parametrize(("defect", "code"), [("crash", "server.crash"),
                                              ("leak", "server.leak-fds")])
def test_each_process_has_a_server_of_its_own(suite, defect, code):
    run = suite.run("-n", "2", defect=f"{defect} 13")
    assert run.words() == {"before": "PASS", "reset": "FAIL", "behind": "PASS"}
    assert (run.result("sample/reset")["code"], run.exit_code) == (code, 1)


def test_failure_prints_requirement_exchange_and_how_to_repeat_it(suite):
    run = suite.run(defect="refuse 13")
    for text in (
        "RST-DEV-001 (MUST): DEVICE_RESET has neither request nor reply payload.",
        "sent      device_reset()",
        "allowed   success",
        "came      error EINVAL",
    ):
        assert text in run.output
    assert "Traceback" not in run.output and "plugin.py" not in run.output
    command = next(line for line in run.output.splitlines() if line.startswith("repeat: "))
    again = suite.call("fake", *command.split(" -m pytest ")[1].split())
    assert again.words() == {"reset": "FAIL"}


@pytest.mark.parametrize(("options", "listings"), [((), 2), (("-v",), 13)])
def test_of_many_failures_one_of_each_cause_is_listed(suite, options, listings):
    suite.write("".join(
        f"@covers('DMA-MAP-00{n % 3 + 1}')\n"
        f"def test_{n}(session):\n    session.call('DEVICE_RESET')\n"
        for n in range(12)
    ) + "@covers('INFO-DEV-001')\ndef test_other(session):\n    assert False\n", "test_more.py")
    run = suite.run(*options, "-k", "more", defect="refuse 13")
    assert len(run.report["results"]) == 13 and "13 failed" in run.output
    assert run.output.count("\nFAIL more/") == listings
    first, second = (run.output.index(words) for words in (
        " 1. reply.unexpected-error: device_reset", " 2. effect: not so: other"))
    assert run.output.index("what to fix first") < first < second
    assert "MUST, 3 requirements in 12 cases: DMA-MAP-001" in run.output
    assert ("11 more listings of the same causes" in run.output) == (listings == 2)


def test_frames_of_python_are_shown_on_request_only(suite):
    line = 'session.call("DEVICE_RESET")'
    assert line not in suite.run("-k", "reset", "-v", defect="refuse 13").output
    assert line in suite.run("-k", "reset", "-vv", defect="refuse 13").output


def test_hang_is_reported_with_stacks(suite):
    run = suite.run("-k", "reset", defect="hang 13")
    listing = run.result("sample/reset")["listing"]
    assert "the server lives and does not answer" in listing
    assert len(listing.splitlines()) > 3 and "no stacks" not in listing


def test_thing_that_is_opened_once_is_no_leak(suite):
    run = suite.run(defect="leak-once 13")
    assert run.exit_code == 0


@pytest.mark.parametrize("defect", ["exit-at-once", "deaf", "closes", "mute"])
def test_server_that_does_nothing_passes_nothing(suite, defect):
    run = suite.run("-k", "before", defect=defect)
    assert run.words() == {"before": "FAIL"}
    assert run.exit_code == 1


def test_server_that_never_comes_up_is_started_three_times_at_most(suite):
    suite.write("".join(
        f"@covers('INFO-DEV-001')\ndef test_{n}(session):\n    pass\n" for n in range(9)
    ), "test_more.py")
    run = suite.run(defect="exit-at-once")
    listings = [result["listing"] for result in run.report["results"]]
    assert len(listings) == 12 and sum("not started again" in one for one in listings) >= 9


def test_program_that_is_not_there_is_no_failure_of_a_server(suite):
    run = suite.call("server", "--server=./no-such-program {socket}")
    assert set(run.words().values()) == {"BROKEN"}
    assert run.exit_code == 1 and run.report["verdict"] == "no verdict"


# ---- known failures ----


@PROCESSES
def test_known_failure_does_not_fail_the_run(suite, processes):
    run = suite.run("-n", processes, defect="refuse 13",
                    extra=KNOWN_RESET.format(code="reply.unexpected-error"))
    assert run.words()["reset"] == "KNOWN" and run.exit_code == 0
    assert run.result("sample/reset")["reason"] == "it does not like to be reset"
    assert "non-conformant (1 known failure" in run.last_line()


def test_unexpected_pass_fails_the_run(suite):
    run = suite.run(extra=KNOWN_RESET.format(code="reply.unexpected-error"))
    assert run.words()["reset"] == "FAIL" and run.exit_code == 1
    assert run.result("sample/reset")["code"] == "known.unexpected-pass"
    assert "out of date" in run.last_line()


def test_other_failure_code_than_the_known_one_fails_the_run(suite):
    run = suite.run(defect="refuse 13", extra=KNOWN_RESET.format(code="reply.missing"))
    assert run.words()["reset"] == "FAIL" and run.exit_code == 1
    assert "expects this case to fail with reply.missing" in run.output


@PROCESSES
def test_known_failure_that_fits_no_case_fails_the_run(suite, processes):
    extra = KNOWN_RESET.format(code="reply.missing").replace("sample/reset", "sample/gone")
    run = suite.run("-n", processes, extra=extra)
    assert set(run.words().values()) == {"PASS"} and run.exit_code == 1
    assert run.report["outdated"][0]["case"] == "sample/gone"
    assert "OUT OF DATE" in run.output and "no verdict" in run.last_line()


@pytest.mark.parametrize("selection", [("-k", "before"), ("cases/test_sample.py",)],
                         ids=["expression", "file"])
def test_unused_entry_means_nothing_when_only_some_cases_run(suite, selection):
    extra = KNOWN_RESET.format(code="reply.missing").replace("sample/reset", "sample/gone")
    assert suite.run(*selection, extra=extra).exit_code == 0


# ---- levels ----

SHOULD_CASE = """
@covers("INFO-DEV-008")
def test_unusual(session):
    assert session.call("DEVICE_GET_INFO").num_irqs == 4711
"""


@pytest.mark.parametrize(("level", "word", "code"), [("must", "DEVIATES", 0), ("should", "FAIL", 1),
                                                     ("all", "FAIL", 1)])
def test_level_decides_what_fails_the_run(suite, level, word, code):
    suite.write(SHOULD_CASE, "test_more.py")
    run = suite.run(f"--level={level}")
    assert (run.words()["unusual"], run.exit_code) == (word, code)
    assert run.result("more/unusual")["code"] == "effect"
    assert run.report["level"] == level


def test_crash_fails_the_run_at_every_level(suite):
    suite.write("""
@covers("INFO-DEV-008")
def test_unusual(session):
    session.call("DEVICE_RESET")
""", "test_more.py")
    run = suite.run("-k", "unusual", defect="crash 13")
    assert run.words() == {"unusual": "FAIL"} and run.exit_code == 1


def test_broken_message_fails_the_run_also_where_the_case_only_deviates(suite):
    suite.write("""
@covers("INFO-DEV-008")
def test_unusual(session):
    session.call("DEVICE_RESET")
""", "test_more.py")
    run = suite.run("-k", "unusual", defect="id 13")
    result = run.result("more/unusual")
    assert (result["verdict"], run.exit_code) == ("FAIL", 1)
    assert result["code"].startswith("envelope.")
    assert "DEVIATES [INFO-DEV-008]" in result["listing"] and "reply.missing" in result["listing"]


# ---- variants of a server ----

VARIANTS = """
sessions = "many"
[[variants]]
name = "first"
options = ["many"]
[variants.features]
migration = false
[[variants]]
name = "second"
options = ["crash", "13"]
[variants.features]
migration = true
"""


@PROCESSES
def test_case_that_lacks_something_runs_against_the_variant_that_has_it(suite, processes):
    suite.write("""
@covers("MIG-STATE-001")
@needs("migration")
def test_migrates(session, target):
    session.call("DEVICE_GET_INFO")
    assert target.argv[-2:] == ["crash", "13"]

@covers("MIG-STATE-001")
@needs("migration")
def test_crashes(session):
    session.call("DEVICE_RESET")

@covers("MIG-STATE-001")
def test_finds_out_by_itself(session, target):
    if target.argv[-1] != "many":
        pytest.skip("needs: another one")
    session.call("DEVICE_RESET")

@covers("MIG-STATE-001")
@needs("dma_logging")
def test_has_it_nowhere(session):
    raise RuntimeError("must not run")
""", "test_more.py")
    run = suite.run("-n", processes, extra=VARIANTS)
    words = run.words()
    assert [words.pop(name) for name in ("before", "reset", "behind")] == ["PASS"] * 3
    assert words == {"migrates": "PASS", "crashes": "FAIL", "finds_out_by_itself": "PASS",
                     "has_it_nowhere": "SKIP"}
    assert run.result("more/crashes")["code"] == "server.crash"
    assert "server: " in run.output and "crash 13" in run.output
    assert "1 skipped: needs: device supports the DMA logging features" in run.output


# ---- what is no verdict over the server ----


@PROCESSES
def test_no_selected_case_fails(suite, processes):
    run = suite.run("-n", processes, "-k", "nothing_of_that_name")
    assert run.exit_code == 5
    assert run.last_line() == "verdict: no verdict (no case was selected), exit code 5"


@PROCESSES
def test_skip_is_no_pass_and_names_what_is_missing(suite, processes):
    suite.write("""
@covers("MIG-STATE-001")
@needs("migration")
def test_migrates(session):
    raise RuntimeError("must not run")
""", "test_more.py")
    run = suite.run("-n", processes)
    assert run.words()["migrates"] == "SKIP" and run.exit_code == 0
    assert "1 skipped: needs: device supports VFIO_DEVICE_FEATURE_MIGRATION" in run.output
    assert run.report["totals"]["PASS"] == 3 and run.report["totals"]["SKIP"] == 1
    assert run.report["requirements"]["MIG-STATE-001"] == "SKIP"


def test_run_in_which_everything_is_skipped_is_no_pass(tmp_path):
    run = Suite(tmp_path, """
@covers("MIG-STATE-001")
@needs("migration")
def test_migrates(session):
    pass
""").run()
    assert run.exit_code == 5 and "every case was skipped" in run.last_line()


@PROCESSES
@pytest.mark.parametrize("where", ["setup", "call", "teardown"])
def test_exception_of_the_harness_is_broken_and_no_failure(tmp_path, where, processes):
    run = Suite(tmp_path, f"""
@pytest.fixture
def weak():
    if {where == 'setup'}:
        raise KeyError("of the harness")
    yield
    if {where == 'teardown'}:
        raise KeyError("of the harness")

@covers("INFO-DEV-001")
def test_uses_it(session, weak):
    if {where == 'call'}:
        raise KeyError("of the harness")
""").run("-n", processes)
    assert run.words() == {"uses_it": "BROKEN"}
    assert run.exit_code == 1 and run.report["verdict"] == "no verdict"
    assert "no verdict (1 broken by the suite itself)" in run.last_line()
    assert "of the harness" in run.result("sample/uses_it")["listing"]


@PROCESSES
@pytest.mark.parametrize(
    ("case", "complaint"),
    [
        ("def test_x(session): pass", "must say what it @covers"),
        ("@covers('NO-SUCH-001')\ndef test_x(session): pass", "no such requirement"),
        ("@covers('INFO-DEV-001')\n@needs('luck')\ndef test_x(session): pass", "no such feature"),
    ],
    ids=["no-covers", "unknown-requirement", "unknown-feature"],
)
def test_wrong_marks_are_a_mistake_of_collection(tmp_path, case, complaint, processes):
    run = Suite(tmp_path, case).run("-n", processes)
    assert run.exit_code in (1, 2) and complaint in run.output
    assert "no verdict" in run.last_line()


@pytest.mark.parametrize(
    "arguments",
    [[], ["--target=none.toml"], ["--server=x"], ["--server=x {socket}", "--patience=0"]],
    ids=["no-server", "no-file", "no-placeholder", "no-patience"],
)
def test_wrong_usage_exits_with_4(suite, arguments):
    run = suite.call("fake", *arguments)
    assert run.exit_code == 4
    assert run.last_line() == "verdict: no verdict (wrong usage), exit code 4"


# ---- order, progress, life cycles ----


def test_hostile_case_runs_last_and_gets_the_next_one_a_new_server(tmp_path):
    run = Suite(tmp_path, """
SEEN = []

@covers("INFO-DEV-001")
@hostile
@pytest.mark.parametrize("turn", ["first", "second"])
def test_rough(target, turn):
    SEEN.append(target.state.pid)

@covers("INFO-DEV-001")
def test_gentle(target):
    SEEN.append(target.state.pid)

@covers("INFO-DEV-001")
@hostile
def test_servers_were_new(target):
    SEEN.append(target.state.pid)
    assert SEEN[0] == SEEN[1] and len(set(SEEN)) == 3
""").run()
    assert run.report["results"][0]["id"] == "sample/gentle"
    assert set(run.words().values()) == {"PASS"}, run.output


def test_verbose_progress_is_one_line_per_case_with_its_word(suite):
    run = suite.run("-v", defect="refuse 13")
    assert "cases/test_sample.py::test_before PASS" in run.output
    assert "cases/test_sample.py::test_reset FAIL" in run.output


def test_table_counts_by_area_and_level(suite):
    run = suite.run(defect="refuse 13")
    rows = [line.split() for line in run.output.splitlines()]
    assert ["area", "level", "PASS", "FAIL", "KNOWN", "DEVIATES", "SKIP", "BROKEN"] in rows
    assert ["INFO-DEV", "MUST", "2", ".", ".", ".", ".", "."] in rows
    assert ["RST-DEV", "MUST", ".", "1", ".", ".", ".", "."] in rows
    assert ["total", "all", "2", "1", ".", ".", ".", "."] in rows


@pytest.mark.parametrize("sessions", ["many", "sequential", "one"])
def test_life_cycle_of_the_server_is_respected_and_found_out(suite, sessions):
    for extra in (f"sessions = '{sessions}'", ""):
        run = suite.run(defect=sessions, extra=extra)
        assert set(run.words().values()) == {"PASS"}, run.output


def test_server_that_runs_already_is_attached_to_by_one_process(suite, tmp_path):
    path = str(tmp_path / "s")
    words = [word.replace("{socket}", path) for word in fake("announce")]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as server:
        server.stdout.readline()
        run = suite.call("socket", f"--socket={path}", "-n", "2", "-v")
        assert server.poll() is None
        server.kill()
    assert set(run.words().values()) == {"PASS"} and "\ngw0 [3]" in run.output


# ---- reports ----

EVERYTHING = CASES + SHOULD_CASE + """
@covers("MIG-STATE-001")
@needs("migration")
def test_migrates(session):
    pass

@covers("INFO-DEV-001")
def test_breaks(session):
    raise KeyError("\\x00\\x1b[1m<&")

@covers("INFO-DEV-001")
@pytest.mark.parametrize("what", ["<&>\\"", "\\x01"])
def test_odd_name(session, what):
    session.refuse("DEVICE_GET_INFO")
"""


def xmllint(file):
    """What validates the JUnit report against our schema, when it has ended."""
    assert shutil.which("xmllint"), "xmllint (package libxml2-utils) is needed"
    words = ["xmllint", "--noout", "--schema", str(ROOT / "ci/junit.xsd"), str(file)]
    return subprocess.run(words, capture_output=True, text=True, check=False)


@PROCESSES
@pytest.mark.parametrize("defect", ["", "refuse 13"], ids=["unexpected-pass", "known"])
def test_reports_match_their_schemas(tmp_path, processes, defect):
    run = Suite(tmp_path, EVERYTHING).run(
        "-n", processes, defect=defect, extra=KNOWN_RESET.format(code="reply.unexpected-error")
    )
    assert list(errors(run.report, SCHEMA, SCHEMA)) == []
    assert set(run.words().values()) >= {"PASS", "FAIL", "DEVIATES", "SKIP", "BROKEN"}
    lint = xmllint(run.junit)
    assert lint.returncode == 0, lint.stderr


@pytest.mark.parametrize(("good", "bad"), [
    ('errors="0"', 'errors="none"'),
    (' name="test_reset"', ""),
    ("<testcase ", "<case/><testcase "),
    ("</testcase>", '<skipped type="pytest.skip" message="" /></testcase>'),
], ids=["no-number", "no-name", "unknown-element", "skip-without-a-reason"])
def test_junit_schema_finds_what_does_not_fit(suite, tmp_path, good, bad):
    text = suite.run().junit.read_text(encoding="utf-8")
    assert good in text
    file = tmp_path / "bad.xml"
    file.write_text(text.replace(good, bad, 1), encoding="utf-8")
    lint = xmllint(file)
    assert lint.returncode == 3 and "fails to validate" in lint.stderr


def test_loss_of_a_process_of_the_suite_is_broken(tmp_path):
    run = Suite(tmp_path, CASES + """
@covers("INFO-DEV-001")
def test_lost(session):
    import os
    os._exit(9)
""").run("-n", "2")
    assert sorted(run.words().values()) == ["BROKEN", "PASS", "PASS", "PASS"], run.output
    assert run.exit_code == 1 and run.report["verdict"] == "no verdict"
    assert list(errors(run.report, SCHEMA, SCHEMA)) == []


def test_schema_check_finds_what_does_not_fit():
    run = {key: None for key in SCHEMA["required"]} | {"exit_code": "1", "verdict": "good"}
    found = "\n".join(errors(run, SCHEMA, SCHEMA))
    assert "report.exit_code: '1' is no integer" in found
    assert "report.verdict: 'good' is none of" in found
    assert any("missing" in line for line in errors({}, SCHEMA, SCHEMA))


def test_case_files_can_be_listed_without_a_server(suite):
    run = suite.call("fake", "--collect-only", "-q")
    assert run.exit_code == 0 and "test_sample.py::test_reset" in run.output


@pytest.mark.parametrize("readings", ["", "[readings]\nD1 = 'strict'"])
def test_cases_that_the_model_does_not_see_to_their_end_are_counted(suite, readings):
    """Of a server that no model judges nothing goes around it."""
    suite.write("""
    @covers("INFO-DEV-001")
    def test_around(session):
        session.unjudged()
        session.call("DEVICE_GET_INFO")
    """, "test_more.py")
    done = suite.run(extra=f"sessions = 'many'\n{readings}")
    assert done.exit_code == 0, done.output
    around = [r["id"] for r in done.report["results"] if r["unjudged"]]
    assert around == (["more/around"] if readings else [])
    assert ("1 in part without the model" in done.output) == bool(readings)
