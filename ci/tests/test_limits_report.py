# SPDX-License-Identifier: BSD-3-Clause
"""What the report says and draws of limits, from floods that are made up here."""

import json
import re
import sys
import xml.etree.ElementTree as ElementTree

import limits
import limits_judge
import pytest

sys.path[:0] = [str(limits.ROOT / "ci/report"), str(limits.ROOT / "ci/tests")]

import limits_model  # noqa: E402
import make_report  # noqa: E402
from test_limits import FAILED, PASSED, record  # noqa: E402

from vuc.limits import SCHEMA_VERSION  # noqa: E402

HOSTILE = "<script>$\\x$|`"
TABLE = limits_model.rows()


def summed(results=None, **words):
    return limits_judge.summary([record(**words)], results or PASSED)


def written(folder, name="reference", problems=(), **floods):
    """The file of a run with these floods."""
    data = {"schema": SCHEMA_VERSION, "target": name, "version": "", "mode": "quick",
            "verdict": "as good", "why": "made up", "problems": list(problems),
            "floods": {key.replace("_", "-"): one for key, one in floods.items()}}
    (folder / f"limits-{name}.json").write_text(json.dumps(data))


def told(folder):
    """The first run of a folder in short."""
    return limits_model.Summary(limits_model.read_runs(folder)[0], TABLE)


def test_rows_come_from_the_table_with_their_family():
    assert TABLE["X01"].attacks == "the table, densely" and TABLE["X01"].family == "maps"
    assert "X38" not in TABLE  # has no case
    assert {row.family for row in TABLE.values()} == limits_model.FAMILIES.keys()


def test_curve_of_a_baseline_is_its_fit():
    one = summed(anon=lambda n: min(4 * n, 4000))
    taken = limits_model.curve(one, "anon")
    fitted = limits_model.curve({**one, "points": []}, "anon")
    assert taken[0] == fitted[0] == (0, 0)
    assert taken[-1] == fitted[-1] == (1500, 4000)
    assert any(0 < units < 1500 and value == 4000 for units, value in fitted)


def test_row_is_told_by_the_flood_and_metric_that_take_most(tmp_path):
    written(tmp_path, X09_pipe=summed(), X09_overlap=summed(fds=lambda n: 10 + n), X01=summed(),
            X08=summed(anon=lambda n: 0, cpu=lambda n: 0))
    shown = limits_model.series(tmp_path, tmp_path / "none")
    maps, files = limits_model.families(shown, TABLE)
    assert [panel.title for panel in maps.held] == ["X01 the table, densely"]
    assert [panel.title for panel in files.held] == ["X09 paths of errors (overlap)"]
    assert files.held[0].metric == "fds" and files.nothing == ["X08"]


def test_run_stands_beside_its_baseline_in_the_same_mode(tmp_path):
    folder = tmp_path / "runs"
    folder.mkdir()
    written(folder, "peer", X01=summed())
    written(folder, X01=summed())
    for mode, name in (("full", "reference"), ("quick", "reference"), ("full", "other")):
        limits.write_baseline(tmp_path / "b" / f"{name}.json", name, mode, {"X01": summed()})
    labels = [one.label for one in limits_model.series(folder, tmp_path / "b")]
    assert labels == ["reference, quick", "peer, quick", "other, baseline, full",
                      "reference, baseline, quick"]


def test_worst_come_first_and_each_row_once(tmp_path):
    bad = summed(FAILED)
    kept = summed()
    kept["recovered"]["all"]["fds"] = 400
    endless = summed(anon=lambda n: 100 * n)
    problem = {"flood": "X01", "what": "errno", "baseline": "ENOSPC", "now": "EINVAL"}
    written(tmp_path, problems=[problem], X01=summed(), X09_pipe=bad, X09_overlap=bad, X07=kept,
            X13=endless, X05=summed(anon=lambda n: 10 * n * n))
    worst = told(tmp_path).worst()
    assert [name.partition("-")[0] for name, _ in worst] == ["X01", "X09", "X07", "X05", "X13"]
    words = [text for _, text in worst]
    assert words[0] == "errno: EINVAL, baseline ENOSPC" and "400 descriptors" in words[2]
    assert "each costs" in words[3] and "does not say no" in words[4]


def test_summary_says_where_it_ends_what_it_costs_and_what_comes_back(tmp_path):
    full = summed(anon=lambda n: 10 * n, refused_at=1000, errnos={"ENOSPC": 5})
    stuck = summed(refused_at=0, errnos={"0": 9})
    stuck["one"] = False
    closed = summed(ended=True)
    written(tmp_path, X01=full, X02=stuck, X24=closed)
    one = told(tmp_path)
    assert {name: limits_model.refusal(flood) for name, flood in one.limits.items()} == {
        "X01": "after 1,000: ENOSPC", "X24": "closes the connection"}
    assert one.errnos() == "ENOSPC (1), no reason (1)"
    assert dict(one.recovers())["one given back makes room for one"] == "2 of 3"
    assert "X01 10,240 B/map" in dict(one.costs())["memory"]
    assert "1.0 times" in one.honest()


@pytest.fixture
def report(tmp_path):
    """A function that makes the report of a folder; returns page and summaries by name."""
    def make():
        assert make_report.main([str(tmp_path)]) == 0
        return ((tmp_path / "report.html").read_text(encoding="utf-8"),
                {path.name: path.read_text(encoding="utf-8")
                 for path in tmp_path.glob("limits-*.md")})

    return make


def test_plots_stand_in_the_page_and_need_no_network(report, tmp_path):
    pytest.importorskip("matplotlib")
    written(tmp_path, X01=summed(refused_at=1000, errnos={"ENOSPC": 5}),
            X05=summed(anon=lambda n: 9 * n, ended=True))
    page, _ = report()
    images = re.findall(r"<svg .*?</svg>", page, re.DOTALL)
    assert len(images) == 3  # what a unit costs; what is held; processor time
    ids = [word for image in images for word in re.findall(r' id="([^"]+)"', image)]
    for image in images:
        ElementTree.fromstring(image)
        links = re.findall(r'(?:href="|url\()([^")]+)', image)
        assert links and all(link.startswith("#") and link[1:] in ids for link in links)
    assert "ENOSPC" in images[1] and "closed" in images[1] and "reference, baseline" in images[1]


def test_page_without_matplotlib_says_so(report, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "limits_plots", None)
    written(tmp_path, X01=summed())
    page, _ = report()
    assert "No plots:" in page and "<svg" not in page and 'id="limits"' in page


def test_hostile_words_stay_text_and_a_summary_is_one_page(report, tmp_path):
    floods = {f"Z{n:02}": summed(FAILED, anon=lambda n: 90 * n) for n in range(99)}
    written(tmp_path, "evil", **floods, X01=summed([{"verdict": "FAIL", "listing": HOSTILE}]))
    page, short = report()
    assert "<script>$" not in page
    text = short["limits-evil.md"]
    assert "<script" not in text and len(text.splitlines()) < 70
    table = [line for line in text.splitlines() if line.startswith("| Z")]
    assert table and {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {9}


@pytest.mark.parametrize(("text", "words"), [
    (json.dumps({"schema": SCHEMA_VERSION + 1}), "run make limits again"), ("{", "can not be read"),
    ("[]", "run make limits again")])
def test_file_that_does_not_fit_is_a_clear_error(tmp_path, capsys, text, words):
    (tmp_path / "limits-x.json").write_text(text)
    assert make_report.main([str(tmp_path)]) == 2
    assert words in capsys.readouterr().err
