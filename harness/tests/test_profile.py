# SPDX-License-Identifier: BSD-3-Clause
"""Profiles: what a target file may say, and the complaint about one that says something else."""

import tomllib

import pytest
from runs import ROOT, Suite

from vuc.marks import Case
from vuc.profile import Known, ProfileError, StorePlace, choose_profile, load_profile
from vuc.register import READINGS

GOOD = """
schema = 1
name = "x"
argv = ["srv", "{socket}"]
"""
BY_SOCKET = GOOD.replace('argv = ["srv", "{socket}"]', 'socket = "/s"')
FULL = GOOD + """
sessions = "sequential"
[env]
A = "b"
[features]
dma_maps = false
[device]
kind = "vdma"
store = {region = 7, offset = 0x3c, width = 1}
[[known]]
case = "dma_map/*"
code = "reply.errno"
reason = "r"
"""


def write(tmp_path, text):
    path = tmp_path / "x.toml"
    path.write_text(text)
    return path


def test_everything_that_a_file_says_arrives(tmp_path):
    found = load_profile(write(tmp_path, FULL))
    assert (found.name, found.device, found.sessions) == ("x", "vdma", "sequential")
    assert found.argv == ("srv", "{socket}") and found.socket is None
    assert found.env == {"A": "b"} and found.features == {"dma_maps": False}
    assert found.store == StorePlace(7, 0x3C, 1, 1)
    assert found.known == (Known("dma_map/*", "reply.errno", "r", ""),)


def test_known_failure_may_have_several_globs_and_codes(tmp_path):
    text = GOOD + '[[known]]\ncase = ["a", "b"]\ncode = ["c", "d"]\nreason = "r"'
    found = load_profile(write(tmp_path, text)).known
    assert [(one.case, one.code) for one in found] == [(a, b) for a in "ab" for b in "cd"]
    assert {one.reason for one in found} == {"r"}


def test_variant_is_the_server_with_more_options(tmp_path):
    text = FULL + """
[[variants]]
name = "v"
options = ["-a", "-b"]
[variants.features]
migration = false
"""
    found = load_profile(write(tmp_path, text.replace('sessions =', 'prefix = "/usr"\nsessions =')))
    assert str(found.prefix) == "/usr" and found.varied(found.variants[0]).prefix == found.prefix
    varied = found.varied(found.variants[0])
    assert varied.argv == ("srv", "{socket}", "-a", "-b")
    assert varied.features == {"dma_maps": False, "migration": False}
    assert not varied.variants and varied.known == found.known


def test_dialect_is_a_feature_that_can_be_told(tmp_path):
    found = load_profile(write(tmp_path, GOOD + "[features]\nviommu = true\ndma_maps = true\n"))
    assert found.speaking("poc").features == {"poc": True, "viommu": False, "dma_maps": True}
    assert found.speaking("poc").speaking("native").features["poc"] is False
    assert found.speaking("native").features["viommu"] is True


def test_server_that_runs_already_has_no_variants(tmp_path):
    text = FULL + '[[variants]]\nname = "v"\noptions = "-a"'
    assert not choose_profile(str(write(tmp_path, text)), None, "/run/s").variants


def test_device_may_be_a_word(tmp_path):
    assert load_profile(write(tmp_path, GOOD + 'device = "vdma"')).device == "vdma"


def test_what_is_left_out_takes_its_default(tmp_path):
    found = load_profile(write(tmp_path, GOOD))
    assert (found.device, found.sessions, found.store, found.known) == ("any", None, None, ())


TARGETS = sorted((ROOT / "cases/targets").glob("*.toml"))


@pytest.mark.parametrize("path", TARGETS, ids=lambda path: path.stem)
def test_target_files_of_this_tree_are_good(path):
    assert load_profile(path).name == path.stem


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (GOOD + "colour = 1", "colour"),
        (GOOD.replace("schema = 1", "schema = 2"), "schema"),
        (GOOD.replace('name = "x"', ""), "name"),
        (GOOD.replace('name = "x"', 'name = "a/b"'), "name"),
        (GOOD.replace("{socket}", "s"), "argv"),
        (GOOD + 'socket = "/s"', "socket"),
        (GOOD + 'sessions = "few"', "sessions"),
        (GOOD + 'device = "disk"', "device"),
        (GOOD + '[device]\nkind = "disk"', "kind"),
        (GOOD + "[features]\nluck = true", "luck"),
        (GOOD + "[features]\ndma_maps = 1", "dma_maps"),
        (GOOD + '[readings]\nZ9 = "strict"', "Z9"),
        (GOOD + '[readings]\nD1 = "loose"', "D1"),
        (GOOD + "[readings]\nD1 = true", "D1"),
        (GOOD + "[device]\nstore = {region = 1}", "width"),
        (GOOD + "[device]\nshop = 1", "shop"),
        (GOOD + "[device]\nstore = {region = 1, offset = 0, width = 3}", "width"),
        (GOOD + '[[known]]\ncase = "a"\ncode = "b"', "reason"),
        (GOOD + '[[known]]\ncase = []\ncode = "b"\nreason = "c"', "case"),
        (GOOD + '[[known]]\ncase = "a"\ncode = [1]\nreason = "c"', "code"),
        (GOOD + '[[known]]\ncase = "a"\ncode = "b"\nreason = "c"\nwhen = "d"', "when"),
        (GOOD + '[env]\nA = 1', "A"),
        (GOOD + "prefix = 1", "prefix"),
        (GOOD + '[[variants]]\noptions = ["a"]', "name"),
        (GOOD + '[[variants]]\nname = "v"\noptions = []', "options"),
        (GOOD + '[[variants]]\nname = "v"\noptions = "a"\nargv = ["b"]', "argv"),
        (GOOD + '[[variants]]\nname = "v"\noptions = "a"\nfeatures = {luck = true}', "luck"),
        (BY_SOCKET + '[[variants]]\nname = "v"\noptions = "a"', "argv"),
        ("schema =", "value"),
    ],
    ids=lambda value: value if len(value) < 12 else "file",
)
def test_complaint_names_file_and_key(tmp_path, text, key):
    with pytest.raises(ProfileError) as caught:
        load_profile(write(tmp_path, text))
    assert "x.toml" in str(caught.value) and key in str(caught.value)


def test_command_alone_makes_a_profile():
    found = choose_profile(None, "./srv --socket '{socket}' 'a b'", None)
    assert found.argv == ("./srv", "--socket", "{socket}", "a b")
    assert (found.name, found.sessions) == ("server", None)


def test_socket_alone_makes_a_profile():
    found = choose_profile(None, None, "/run/s")
    assert (found.name, found.socket, found.argv) == ("socket", "/run/s", ())


def test_command_with_a_file_replaces_how_it_is_started_only(tmp_path):
    found = choose_profile(str(write(tmp_path, FULL)), "other {socket}", None)
    assert found.argv == ("other", "{socket}")
    assert found.known and found.device == "vdma" and found.name == "x"


@pytest.mark.parametrize(
    "options",
    [(None, None, None), (None, "srv", None), (None, "srv {socket}", "/s"), ("/none.toml",) * 3],
    ids=["nothing", "no-placeholder", "two-ways", "no-file"],
)
def test_options_that_name_no_server_are_refused(options):
    with pytest.raises(ProfileError):
        choose_profile(*options)


# ---- readings ----


def test_readings_of_a_file_arrive(tmp_path):
    text = GOOD + '[readings]\nD1 = "strict"\nL1 = "lenient"'
    assert load_profile(write(tmp_path, text)).readings == {"D1": "strict", "L1": "lenient"}
    assert load_profile(write(tmp_path, GOOD)).readings == {}


@pytest.mark.parametrize("needed", ["W1", "W2", "D1", "M1", "L1", "L3", "I4"])
def test_ambiguities_with_servers_on_both_sides_have_a_switch(needed):
    assert READINGS[needed]


def case(*readings, level="MUST"):
    return Case("dma_map/x", "x", ("DMA-MAP-005",), level, "DMA-MAP", (), False, readings)


@pytest.mark.parametrize(
    ("chosen", "level"),
    [({}, "UNSPECIFIED"), ({"D1": "lenient", "D2": "strict"}, "UNSPECIFIED"),
     ({"D1": "strict"}, "UNSPECIFIED"), ({"D1": "strict", "D2": "strict"}, "MUST")],
    ids=["none", "one-lenient", "one-missing", "all-strict"],
)
def test_strict_case_is_a_must_where_all_its_readings_are_strict(chosen, level):
    assert case("D1", "D2").read_by(chosen).level == level
    assert case(level="SHOULD").read_by(chosen).level == "SHOULD"


def test_reading_decides_over_the_requirements_of_its_case_only():
    read = case("D1").read_by({})
    assert read.level_of("DMA-MAP-005") == "UNSPECIFIED"
    assert read.level_of("HDR-REPLY-001") == case().level_of("DMA-MAP-005") == ""


STRICT_CASE = """
from vuc import reading

@covers("INFO-DEV-001")
@reading("D1")
def test_strict(session):
    session.call("DEVICE_GET_INFO")
    assert False, "read otherwise"
"""


@pytest.mark.parametrize(
    ("chosen", "verdict", "exit_code"),
    [("", "DEVIATES", 0), ('D1 = "lenient"', "DEVIATES", 0), ('D1 = "strict"', "FAIL", 1)],
    ids=["not-named", "lenient", "strict"],
)
def test_failure_of_a_strict_case_counts_by_the_target_file(tmp_path, chosen, verdict, exit_code):
    finished = Suite(tmp_path, STRICT_CASE).run(extra=f"[readings]\n{chosen}")
    assert (finished.words()["strict"], finished.exit_code) == (verdict, exit_code)
    assert finished.report["readings"] == tomllib.loads(chosen)
    assert "strict reading D1: a mapping" in finished.output or verdict != "FAIL"
