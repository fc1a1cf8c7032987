# SPDX-License-Identifier: BSD-3-Clause
"""The register is complete in itself, and a broken one is refused with the place that is wrong."""

import pytest

from vuc.register import (
    FEATURES, LEVELS, REGISTER_PATHS, RegisterError, load_register, register,
)

ROW = """
[[requirement]]
id = "A-B-001"
section = "s"
level = "MUST"
subject = "server"
statement = "t"
check = "c"
errno = []
depends = []
notes = ""
"""


def test_every_requirement_is_read_in_the_order_of_the_specification():
    found = register()
    written = "".join(path.read_text() for path in REGISTER_PATHS)
    assert len(found) == written.count("[[requirement]]") > 300
    assert next(iter(found)) == "CONN-SOCK-001"
    assert found.spec_version == "0.9.2"
    assert {row.level for row in found.values()} == set(LEVELS)


def test_area_is_the_id_without_its_number():
    assert register()["DMA-MAP-005"].area == "DMA-MAP"
    assert register().areas()[:2] == ["CONN-SOCK", "CONN-STALL"]
    assert len(register().areas()) == len(set(register().areas()))


def test_what_the_specification_does_not_say_has_an_origin():
    origins = {row.id: row.origin for row in register().values() if row.origin}
    assert origins["PCI-HDR-001"].startswith("VFIO and PCI practice")
    assert {row.area.partition("-")[0] for row in register().values() if row.origin} == {
        "PCI", "VIO", "LIM", "VE"}


def test_every_dependency_has_a_short_name_and_no_two_are_the_same():
    sentences = {sentence for row in register().values() for sentence in row.depends}
    assert sentences <= set(FEATURES.values())
    assert len(set(FEATURES.values())) == len(FEATURES)


def test_sentences_have_a_subject():
    for row in register().values():
        for text in (row.statement, row.check):
            assert text and text.rstrip().endswith((".", ")", "!", "\"")), row.id
        assert not row.notes or not row.notes[0].islower(), row.id


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (ROW.replace("MUST", "SHALL"), "level 'SHALL'"),
        (ROW.replace('"server"', '"both sides"'), "subject 'both sides'"),
        (ROW.replace('notes = ""\n', ""), "notes"),
        (ROW + 'colour = "red"\n', "colour"),
        (ROW.replace("depends = []", 'depends = ["luck"]'), "luck"),
        (ROW + ROW, "twice"),
        ("[[requirement", "Expected"),
    ],
    ids=["level", "subject", "missing-key", "unknown-key", "dependency", "same-id", "no-toml"],
)
def test_broken_register_is_refused(tmp_path, text, complaint):
    path = tmp_path / "r.toml"
    path.write_text(text)
    with pytest.raises(RegisterError, match=complaint) as caught:
        load_register(path)
    assert "r.toml" in str(caught.value)


def test_files_of_a_register_follow_each_other_and_share_no_id(tmp_path):
    first, second = tmp_path / "first.toml", tmp_path / "second.toml"
    first.write_text(f'spec_version = "1"\n{ROW}')
    second.write_text('spec_version = "2"\n' + ROW.replace("A-B-001", "A-A-001"))
    found = load_register(first, second)
    assert (list(found), found.spec_version) == (["A-B-001", "A-A-001"], "1")
    with pytest.raises(RegisterError, match=r"second\.toml: A-A-001 occurs twice"):
        load_register(second, first, second)
