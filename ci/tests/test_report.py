# SPDX-License-Identifier: BSD-3-Clause
"""The report's two files, from reports that are written here: complete, escaped, and small."""

import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "ci/report"), str(ROOT / "harness")]

import make_report  # noqa: E402
import model  # noqa: E402
from vuc.failure import CODES  # noqa: E402
from vuc.register import register  # noqa: E402

HOSTILE = "</script><img src=x onerror=alert(1)>&quot;'`|<!--"
CASE = "dma_map/map_over_an_existing_region_is_refused_with_eexist"
LISTING = """reply.errno
    sent      dma_map(argsz=32, flags=READ|WRITE, offset=0, address=0x100000, size=0x10000)
    allowed   error EEXIST
    came      error EINVAL"""


def result(verdict, requirement="DMA-MAP-005", code="", name=CASE, **more):
    """One result as a run writes it."""
    stem, _, function = name.partition("/")
    failed = verdict in ("FAIL", "KNOWN", "DEVIATES")
    level = register()[requirement].level
    return {
        "id": name, "nodeid": f"cases/test_{stem}.py::test_{function}",
        "area": requirement.rsplit("-", 1)[0], "level": level, "requirements": [requirement],
        "readings": [], "verdict": verdict, "code": code,
        "blamed": requirement if failed else "", "blamed_level": level if failed else "",
        "gated": failed, "reason": "", "link": "", "listing": LISTING if failed else "",
        "seconds": 0.1, "envelope": [], **more,
    }  # fmt: skip


def run(name, *results, **more):
    """A report as ci/report.schema.json has it."""
    words = dict.fromkeys(register(), "NONE")
    totals = dict.fromkeys(model.WORDS, 0)
    for one in results:
        totals[one["verdict"]] += 1
        words[one["blamed"] or one["requirements"][0]] = one["verdict"]
    return {
        "schema_version": 2, "suite": {"name": "vuc", "version": "0.1.0"}, "spec_version": "0.9.2",
        "target": name, "argv": ["./server", "{socket}"], "socket": "", "level": "must",
        "readings": {}, "kernel": "Linux 6", "oracles": {"lease": "works"}, "arguments": [],
        "repeat": "python3 -m pytest {case} --target=t.toml", "complete": True,
        "started": "2026-01-02T03:04:05+00:00", "seconds": 1.5, "results": list(results),
        "requirements": words, "envelope": [], "outdated": [], "totals": totals,
        "verdict": "non-conformant", "why": "1 MUST case failed", "exit_code": 1, **more,
    }  # fmt: skip


class Page(HTMLParser):
    """What a browser makes of the page: elements, scripts, and all addresses in it."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.scripts, self.addresses, self.events = [], [], [], []
        self.cells, self.words = {}, ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        here = dict(attrs)
        self.addresses += [here[name] for name in ("src", "href") if name in here]
        self.events += [name for name in here if name.startswith("on")]
        if tag == "script":
            self.scripts.append("")
        if tag == "tr" and "data-area" in here:
            self.row = self.cells.setdefault(here["id"], [])
        if tag == "td" and "data-word" in here:
            self.row.append(here["data-word"])

    def handle_data(self, text):
        if self.tags[-1:] == ["script"]:
            self.scripts[-1] += text
        else:
            self.words += text

    def handle_endtag(self, tag):
        if tag == "script":
            self.tags.append("/script")


@pytest.fixture
def made(tmp_path, capsys):
    """A function that writes reports, makes the page, and returns exit status, page, Markdown."""

    def make(*reports):
        for number, one in enumerate(reports):
            text = one if isinstance(one, str) else json.dumps(one)
            (tmp_path / f"{number}.json").write_text(text, encoding="utf-8")
        status = make_report.main([str(tmp_path)])
        if status:
            assert not (tmp_path / "report.html").exists()
            return status, capsys.readouterr().err
        html, markdown = ((tmp_path / f"report.{x}").read_text(encoding="utf-8")
                          for x in ("html", "md"))
        return html, markdown

    return make


def test_matrix_holds_each_requirement_and_target(made):
    failed = result("FAIL", code="reply.errno")
    html, markdown = made(run("one", failed), run("two", result("PASS")))
    page = Page(html)
    servers = {one.id for one in register().values() if one.subject != "client"}
    assert page.cells.keys() == servers
    assert page.cells["DMA-MAP-005"] == ["FAIL", "PASS"]
    assert page.cells["DMA-MAP-001"] == ["NONE", "NONE"]
    assert register()["DMA-MAP-005"].statement in page.words
    assert re.search(r"\| DMA-MAP-005 .*\| FAIL 1/1 \| pass \|", markdown)


def test_reports_of_something_else_are_no_targets(made, tmp_path):
    for name in ("bench", "fuzz-wire", "afl-wire"):
        (tmp_path / f"{name}.json").write_text("[]", encoding="utf-8")
    html, _ = made(run("one", result("PASS")))
    assert "fuzz-wire" not in html


def test_cell_has_what_was_sent_allowed_and_received(made):
    html, _ = made(run("one", result("FAIL", code="reply.errno")))
    page = Page(html)
    data = json.loads(page.scripts[0])
    case = data["targets"][0]["cases"][0]
    text = data["texts"]
    assert text[case[0]] == CASE and data["words"][case[1]] == "FAIL"
    assert [text[line] for line in case[3][6]] == LISTING.splitlines()
    assert text[case[3][0]] == "reply.errno"
    command = f"python3 -m pytest cases/test_{CASE.replace('/', '.py::test_')} --target=t.toml"
    assert command in page.words and LISTING in page.words


def test_of_one_kind_of_failure_some_listings_are_kept(made):
    many = [result("FAIL", code="effect", name=f"a/b[{n}]") for n in range(30)]
    html, _ = made(run("one", *many))
    cases = json.loads(Page(html).scripts[0])["targets"][0]["cases"]
    assert [bool(case[3][6]) for case in cases] == [True] * 10 + [False] * 20


def test_page_needs_no_network(made):
    html, _ = made(run("one", result("FAIL", code="effect")))
    page = Page(html)
    assert page.addresses and all(one.startswith("#") for one in page.addresses)
    assert not set(page.tags) & {"link", "img", "iframe", "object"} and "@import" not in html


def test_hostile_strings_stay_text(made):
    name = f"dma_map/x[{HOSTILE}]"
    bad = result("KNOWN", name=name, code="reply.errno", reason=HOSTILE, listing=HOSTILE,
                 link="javascript:alert(1)", nodeid=f"cases/{HOSTILE}")
    html, markdown = made(run(HOSTILE, bad, result("SKIP", reason=HOSTILE), why=HOSTILE))
    page = Page(html)
    assert page.tags.count("script") == 2 and not set(page.tags) & {"img"} and not page.events
    assert HOSTILE in json.loads(page.scripts[0])["texts"]
    assert not set(page.scripts[0]) & set("<>&")
    assert "javascript:" not in " ".join(page.addresses)
    outside = re.sub(r"(`+).*?\1", "", markdown)
    assert "<img" not in outside and "</script" not in outside and "<!--" not in outside
    table = [line for line in markdown.splitlines() if line.startswith("|")][:3]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table}) == 1


def test_link_of_a_known_failure_is_a_link(made):
    known = result("KNOWN", code="reply.errno", reason="EINVAL", link="https://example.org/1")
    html, markdown = made(run("one", known))
    assert "https://example.org/1" in Page(html).addresses
    assert "<https://example.org/1>" in markdown


def test_what_to_fix_first_is_ranked(made):
    html, markdown = made(run(
        "one", result("DEVIATES", "CONN-SOCK-002", "reply.closed", "a/should"),
        result("FAIL", "DMA-MAP-005", "reply.errno", "a/must"),
        result("FAIL", "CONN-SOCK-004", "server.crash", "a/crash",
               listing="server.crash: the process: killed by SIGSEGV"),
        result("DEVIATES", "CONN-SOCK-004", "effect", "a/open"),
    ))  # fmt: skip
    for text in (Page(html).words, markdown):
        places = [text.index(word) for word in ("killed by SIGSEGV", "reply.errno", "reply.closed")]
        assert places == sorted(places)
    assert "\n3. DEVIATES SHOULD" in markdown and "\n4. " not in markdown


def test_part_of_the_cases_is_said_to_be_one(made):
    html, markdown = made(run("one", result("PASS"), complete=False))
    assert "only a part of the cases" in Page(html).words
    assert "only a part of the cases" in markdown


def test_everything_failing_stays_readable(made):
    ids = [one.id for one in register().values() if one.subject != "client"]
    results = [
        result("FAIL", one, f"reply.{word}", f"area/case_{one}[{number}]",
               listing=LISTING.replace("reply.errno", f"reply.{word}: {one} {number}"))
        for one in ids for number, word in enumerate(("errno", "field", "missing", "closed"))
    ]  # fmt: skip
    html, markdown = made(*(run(f"target-{n}", *results) for n in range(6)))
    assert len(html) < 4_000_000
    assert len(markdown.splitlines()) <= 200 and "and " in markdown.splitlines()[-1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (json.dumps(run("old") | {"schema_version": 1}), "schema version 1, version 2 is needed"),
        (json.dumps({k: v for k, v in run("x").items() if k != "repeat"}), "has no repeat"),
        ("[]", "no report of this suite"),
        ("{", "can not be read"),
    ],
    ids=["older", "key", "list", "no-json"],
)
def test_report_that_does_not_fit_is_a_clear_error(made, text, words):
    status, said = made(run("good"), text)
    assert status == 2 and "1.json" in said and words in said


def test_without_reports_it_is_a_clear_error(made, tmp_path):
    status, said = made()
    assert status == 2 and str(tmp_path) in said and "make conformance" in said
    assert make_report.main([str(tmp_path / "nowhere")]) == 2


def test_codes_of_the_target_files_are_explained():
    codes = re.compile(r'"((?:server|channel|reply|envelope|effect|oracle)\b[.a-z-]*)"')
    for path in (ROOT / "cases/targets").glob("*.toml"):
        for code in codes.findall(path.read_text(encoding="utf-8")):
            assert code in CODES or code.startswith("envelope."), f"{path}: {code}"


@pytest.mark.parametrize("text", ["a`b``c", "`", "a|b", "plain"])
def test_code_in_markdown_ends_where_it_should(text):
    code = make_report.code(text)
    fence = re.match("`+", code)[0]
    assert code.endswith(fence) and fence not in code[len(fence):-len(fence)].strip("` ")
