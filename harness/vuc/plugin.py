# SPDX-License-Identifier: BSD-3-Clause
"""The pytest plugin: options, collection, the protocol of a case, fixtures.

Each pytest process that runs cases has one server of its own (around.Worker). A case runs as pytest
runs any test; then the checks around it follow, and only then its reports go out, rewritten to the
one verdict that the case has. `report.vuc` holds the result; the process that talks to the user
makes the report from those (terminal.py).
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

from . import difference, marks, record
from .around import Context, Worker
from .duration import DEFAULT_SCALE, set_patience
from .failure import BEFORE_LINES, Failure
from .marks import Case, MarkError, case_of, check_marks
from .profile import DIALECTS, Profile, ProfileError, choose_profile
from .register import FEATURES, READINGS, register
from .report import result_of
from .session import Connection
from .terminal import Reporter, repeat_command
from .verdict import (
    BROKEN, DEVIATES, FAIL, GATES, KNOWN, PASS, SKIP, UNEXPECTED_PASS, Judge, Trouble, Verdict,
)

CASE = pytest.StashKey[Case]()
CONTEXT = pytest.StashKey[Context]()
RAISED = pytest.StashKey[list]()
FAILED = (Failure, AssertionError, pytest.fail.Exception)
FRAMES = 4  # that are shown of what a case raised
STATUS = {
    PASS: ("passed", "."),
    FAIL: ("failed", "F"),
    KNOWN: ("known", "k"),
    DEVIATES: ("deviates", "d"),
    SKIP: ("skipped", "s"),
    BROKEN: ("error", "B"),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("vuc", "vfio-user conformance")
    group.addoption("--target", metavar="FILE", help="describes the server under test (TOML)")
    group.addoption("--server", metavar="CMD", help="starts it; {socket} is its path; behind CASES")
    group.addoption("--socket", metavar="PATH", help="where one listens that already runs")
    group.addoption("--viommu-dialect", choices=DIALECTS,
                    help="of the vIOMMU extension (default: as the target file says, or native)")
    group.addoption("--level", choices=tuple(GATES), default="must",
                    help="failures of these requirements fail the run (default: must)")
    group.addoption("--patience", type=float, default=1.0, metavar="FACTOR",
                    help="multiplies all waiting times (default: 1)")
    group.addoption("--scale", type=float, default=os.environ.get("SCALE", DEFAULT_SCALE),
                    metavar="FACTOR", help="multiplies counts and durations of cases that "
                    f"repeat something (default: $SCALE, or {DEFAULT_SCALE})")
    group.addoption("--record", type=Path, metavar="DIR",
                    help="gets what each case sends, as programs")
    group.addoption("--limits", type=Path, metavar="DIR",
                    help="gets what each flood of cases/floods has measured")
    group.addoption("--report-dir", metavar="DIR", default="build/report",
                    help="gets <target>.xml and <target>.json (default: build/report)")


def pytest_configure(config: pytest.Config) -> None:
    for line in marks.MARKS:
        config.addinivalue_line("markers", line)
    if config.option.collectonly or config.option.help:
        return
    option = config.option
    try:
        profile = choose_profile(option.target, option.server, option.socket)
        if option.viommu_dialect:
            profile = profile.speaking(option.viommu_dialect)
        set_patience(option.patience)
        if not 0 < option.scale <= 1:
            raise ValueError(f"--scale={option.scale:g}: above 0, and not above 1")
    except (ProfileError, ValueError) as error:
        raise pytest.UsageError(
            f"{error}\nverdict: no verdict (wrong usage), exit code 4"
        ) from error
    difference.install()
    judge = Judge(register(), option.level, profile.known)
    config.pluginmanager.register(Runner(config, profile, judge), "vuc-runner")
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Reporter(config, profile, judge), "vuc-reporter")
        if profile.socket and getattr(config.option, "tx", None):
            config.option.tx = config.option.tx[:1]


def pytest_sessionfinish(session: pytest.Session) -> None:
    folder = session.config.option.record
    if folder is not None and not hasattr(session.config, "workerinput") and folder.is_dir():
        record.keep_once(folder)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Refuses a case with wrong marks while it is collected."""
    try:
        check_marks(metafunc.definition, register())
    except MarkError as error:
        raise pytest.Collector.CollectError(str(error)) from error


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.stash[CASE] = case_of(item, register())
    items.sort(key=lambda item: item.stash[CASE].hostile)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo) -> Iterator[None]:
    if call.excinfo is not None and RAISED in item.stash:
        item.stash[RAISED].append(call.excinfo)
    yield


def pytest_report_teststatus(report: Any) -> tuple | None:
    result = getattr(report, "vuc", None)
    if result is None:
        return None
    return (*STATUS[result["verdict"]], result["verdict"])


def described(raised: pytest.ExceptionInfo, context: Context) -> str:
    """What a case raised, without the frames: a Failure's listing, or message, place and the
    last messages of its connection."""
    if isinstance(raised.value, Failure):
        return str(raised.value)
    effect = isinstance(raised.value, FAILED)
    lines = [f"{'effect' if effect else type(raised.value).__name__}: {raised.value}"]
    frames = [f for f in raised.traceback if not set(f.path.parts) & {"_pytest", "pluggy"}]
    for index, frame in enumerate(frames[-FRAMES:]):
        lines.append(f"    {'' if index else 'at':<9} {frame.path}:{frame.lineno + 1}")
    for index, text in enumerate(context.trace()[-BEFORE_LINES:]):
        lines.append(f"    {'' if index else 'before':<9} {text}")
    return "\n".join(lines)


class Runner:
    """Runs cases in this process, against its own server. A case that finds something missing
    there is tried against the variants of the profile, in their order."""

    def __init__(self, config: pytest.Config, profile: Profile, judge: Judge):
        self.config = config
        self.judge = judge
        self.workers = {"": Worker(profile)}
        for variant in profile.variants:
            self.workers[variant.name] = Worker(profile.varied(variant))
        self.variant = ""  # the one that is being used

    @property
    def worker(self) -> Worker:
        """The server that the present case runs against."""
        return self.workers[self.variant]

    def pytest_unconfigure(self) -> None:
        for worker in self.workers.values():
            worker.stop()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool:
        hook, where = item.ihook, {"nodeid": item.nodeid, "location": item.location}
        hook.pytest_runtest_logstart(**where)
        for report in self.run(item, nextitem):
            hook.pytest_runtest_logreport(report=report)
        hook.pytest_runtest_logfinish(**where)
        return True

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        for feature in item.stash[CASE].needs:
            if not self.worker.has(feature):
                pytest.skip(f"needs: {FEATURES[feature]}")

    def run(self, item: pytest.Item, nextitem: pytest.Item | None) -> list[pytest.TestReport]:
        """Runs one case with the checks around it and returns its reports, verdict included."""
        first = None
        for self.variant in self.able(item.stash[CASE]):
            reports, result = self.run_once(item, nextitem)
            first = first or (reports, result)
            if result["verdict"] != SKIP:
                break
        else:
            reports, result = first
        return self.rewritten(item, reports, result)

    def able(self, case: Case) -> list[str]:
        """The variants that are not known to lack what the case needs; the first, to say what
        is missing, where all do."""
        able = [name for name, worker in self.workers.items()
                if all(worker.profile.features.get(feature, True) for feature in case.needs)]
        return able or list(self.workers)[:1]

    def run_once(self, item: pytest.Item, nextitem: pytest.Item | None) -> tuple[list, dict]:
        """The same against one server: pytest's reports, and the result."""
        case = item.stash[CASE].read_by(self.worker.profile.readings)
        folder = self.config.option.record
        programs = None if folder is None else []
        around = Connection.went_around
        reports, failure, context = self.attempt(item, nextitem, programs)
        if programs:
            record.write(folder, case.id, case.requirements, programs)
        unjudged = Connection.went_around > around
        raised = item.stash[RAISED][0] if item.stash[RAISED] else None
        if failure is None and self.worker.suspects_leak():
            failure = self.worker.leak(lambda: self.attempt(item, nextitem)[1])
        verdict, envelope = self.judged(case, raised, failure, context)
        verdict = self.with_envelope(case, verdict, envelope)
        if verdict.word == KNOWN:  # what is known to fail is known with all its messages
            envelope = [{**one, "verdict": KNOWN} for one in envelope]
        # What failed may have left anything behind, which must not be taken for the next case's.
        if case.hostile or failure is not None or verdict.word not in (PASS, SKIP):
            self.worker.discard()
        result = result_of(case, verdict, self.judge, envelope)
        return reports, {**result, "unjudged": unjudged}

    def attempt(self, item: pytest.Item, nextitem: pytest.Item | None,
                programs: list[str] | None = None) -> tuple:
        """Runs the case once: pytest's reports, what the checks found, what the case used.
        `programs` gets what it sends."""
        if hasattr(item, "_request"):
            item._initrequest()
        context = Context(self.worker, programs)
        item.stash[CONTEXT] = context
        item.stash[RAISED] = []
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        context.close()
        return reports, self.worker.after(context), context

    def judged(self, case: Case, raised: pytest.ExceptionInfo | None, failure: Failure | None,
               context: Context) -> tuple[Verdict, list[dict]]:
        """The verdict over a case, and those over the messages that it received."""
        envelope = [
            {"code": v.code, "requirement": v.requirement, "text": v.text,
             "verdict": self.judge.violation(case.id, v.code, v.requirement)}
            for v in context.violations
        ]
        body = None if raised is None else raised.value
        if failure is not None:
            listing = str(failure)
            if isinstance(body, FAILED):
                listing += f"\nThe case itself had come to:\n{described(raised, context)}"
            return self.failed(case, failure, listing), envelope
        if body is None:
            return self.judge.passed(case.id, case.requirements[0], case.level), envelope
        if isinstance(body, pytest.skip.Exception):
            return Verdict(SKIP, reason=body.msg or "no reason given"), envelope
        if isinstance(body, FAILED):
            return self.failed(case, body, described(raised, context)), envelope
        text = described(raised, context)
        return Verdict(BROKEN, "harness", case.requirements[0], case.level, text), envelope

    def failed(self, case: Case, failure: BaseException, listing: str) -> Verdict:
        code = getattr(failure, "code", "effect")
        requirement = self.known_requirement(case, getattr(failure, "requirement", None))
        level = case.level_of(requirement)
        return self.judge.trouble(case.id, Trouble(code, requirement, listing, level))

    def known_requirement(self, case: Case, requirement: str | None) -> str:
        """The blamed requirement, or the first of the case where none of the register is."""
        return requirement if requirement in self.judge.register else case.requirements[0]

    def with_envelope(self, case: Case, verdict: Verdict, envelope: list[dict]) -> Verdict:
        """A case that does not fail by itself still fails by a message that broke the envelope;
        what it had come to stands in the listing."""
        broken = next((one for one in envelope if one["verdict"] == FAIL), None)
        passed = verdict.word == PASS or verdict.code == UNEXPECTED_PASS
        if broken is None or not (passed or verdict.word in (DEVIATES, SKIP)):
            return verdict
        requirement = self.known_requirement(case, broken["requirement"])
        text = f"{broken['code']}: {broken['text']}"
        if not passed:
            came = verdict.text or verdict.reason
            text += f"\nThe case itself had come to {verdict.word} [{verdict.requirement}]:\n{came}"
        return self.judge.trouble(case.id, Trouble(broken["code"], requirement, text))

    # ---- reports ----

    def rewritten(self, item: pytest.Item, reports: list[pytest.TestReport],
                  result: dict) -> list[pytest.TestReport]:
        """pytest's reports of the case with the verdict in the one that counts."""
        setup, teardown = reports[0], reports[-1]
        main = reports[1] if len(reports) == 3 else setup
        trace = "" if main.passed or isinstance(main.longrepr, tuple) else main.longreprtext
        result["seconds"] = round(sum(report.duration for report in reports), 4)
        teardown.outcome, teardown.longrepr = "passed", None
        word = result["verdict"]
        main.vuc = result
        main.user_properties = [
            ("level", result["level"]),
            ("requirements", " ".join(result["requirements"])),
            ("verdict", word),
            *([("code", result["code"])] if result["code"] else []),
            *item.user_properties,
        ]
        teardown.user_properties = main.user_properties
        self.set_outcome(item, main, result)
        if word in (FAIL, BROKEN) and self.config.option.verbose >= 2 and trace:
            main.longrepr += "\n" + trace
        return [main, teardown] if main is setup or word == BROKEN else [setup, main, teardown]

    def set_outcome(self, item: pytest.Item, main: pytest.TestReport, result: dict) -> None:
        word = result["verdict"]
        if word == SKIP:
            place = main.longrepr if isinstance(main.longrepr, tuple) else (*item.location[:2], "")
            main.outcome, main.longrepr = "skipped", (*place[:2], result["reason"])
            return
        main.when = "setup" if word == BROKEN else "call"
        main.longrepr = None if word == PASS else self.listing(item, result)
        main.outcome = {PASS: "passed", FAIL: "failed", BROKEN: "failed"}.get(word, "skipped")
        if main.outcome == "skipped":
            reason = result["reason"] or f"{result['blamed_level']}, below the gate"
            main.wasxfail = f"{result['code']} [{result['blamed']}]: {reason}"

    def listing(self, item: pytest.Item, result: dict) -> str:
        """What a failed case prints: requirement, what happened, and how to repeat it."""
        lines = [f"{result['verdict']} {result['id']}"]
        blamed = self.judge.register.get(result["blamed"])
        if blamed is not None and result["verdict"] != BROKEN:
            level = result["blamed_level"]
            lines.append(f"{blamed.id} ({level}): {blamed.statement}")
            lines += [f"strict reading {x}: {READINGS[x]}" for x in item.stash[CASE].readings]
        if self.variant:
            lines.append(f"server: {shlex.join(self.worker.profile.argv)}")
        lines += [result["listing"], f"repeat: {self.command(item)}"]
        return "\n".join(lines)

    def command(self, item: pytest.Item) -> str:
        """The command that runs just this case again."""
        nodeid = shlex.quote(self.config.cwd_relative_nodeid(item.nodeid))
        return repeat_command(self.config.option).replace("{case}", nodeid, 1)


# ---- fixtures ----


@pytest.fixture
def context(request: pytest.FixtureRequest) -> Context:
    """What the case has opened so far; all of it is closed when the case has ended."""
    return request.node.stash[CONTEXT]


@pytest.fixture
def target(context: Context) -> Any:
    """The server under test, running (target.Target)."""
    return context.target()


@pytest.fixture
def session(context: Context) -> Any:
    """A negotiated connection with the default capabilities."""
    return context.connect()


@pytest.fixture
def connect(context: Context) -> Any:
    """A function that opens a connection: connect(**arguments of negotiate), or with
    version=False one on which nothing has been said."""
    return context.connect


@pytest.fixture
def fds(context: Context) -> Any:
    """Makes descriptors to pass (evidence.Fds)."""
    return context.fds


@pytest.fixture
def device(context: Context) -> Any:
    """What the server's device offers (device.Device)."""
    return context.device()


@pytest.fixture
def scale(request: pytest.FixtureRequest) -> float:
    """What a case multiplies its counts and durations with, above 0 and at most 1 (--scale)."""
    return request.config.option.scale


@pytest.fixture
def private_target(context: Context) -> Any:
    """A function that starts a server of the case's own; arguments as for Target.private."""
    return context.private_target
