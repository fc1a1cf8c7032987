# SPDX-License-Identifier: BSD-3-Clause
"""ci/oss-fuzz/build.sh does what OSS-Fuzz and ClusterFuzzLite expect of it, with the variables that
their images set, on a copy of the tree. One entry is built, as that takes long enough; with
OSS_FUZZ=all in the environment all are.
"""

import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = Path("ci/oss-fuzz/build.sh")
ALL = os.environ.get("OSS_FUZZ") == "all"
LIMIT = 1800 if ALL else 300  # seconds to build
# As the base image has them, with the sanitizer's.
FLAGS = ("-O1 -fno-omit-frame-pointer -gline-tables-only -Wno-unknown-warning-option "
         "-DFUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION -fsanitize=address "
         "-fsanitize-address-use-after-scope -fsanitize=fuzzer-no-link")

pytestmark = pytest.mark.skipif(not shutil.which("clang"), reason="clang is not installed")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The folders of an image: sources in src/vuc, out, work; build.sh is beside the sources."""
    folder = tmp_path_factory.mktemp("oss-fuzz")
    for name in ("src", "out", "work"):
        (folder / name).mkdir()
    shutil.copytree(ROOT, folder / "src/vuc", symlinks=True,
                    ignore=shutil.ignore_patterns("build", ".git", "__pycache__", ".*_cache"))
    shutil.copy(ROOT / BUILD, folder / "src/build.sh")
    return folder


def build(place, **words):
    """Runs build.sh as the image does: a copy of it, started in the sources."""
    variables = {
        "SRC": place / "src", "OUT": place / "out", "WORK": place / "work", "CC": "clang",
        "CXX": "clang++", "CFLAGS": FLAGS, "CXXFLAGS": f"{FLAGS} -stdlib=libstdc++",
        "SANITIZER": "address", "ARCHITECTURE": "x86_64", "FUZZING_ENGINE": "libfuzzer",
        "FUZZING_LANGUAGE": "c", "LIB_FUZZING_ENGINE": "-fsanitize=fuzzer",
        "PATH": os.environ["PATH"], "HOME": place, **words,
    }  # fmt: skip
    return subprocess.run(
        ["bash", place / "src/build.sh"], cwd=place / "src/vuc", text=True, check=False,
        env={name: str(value) for name, value in variables.items()}, timeout=LIMIT,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def test_what_is_built_is_complete_and_runs(place):
    chosen = {} if ALL else {"FUZZERS": "session", "VUC": ROOT / "build/vuc"}
    done = build(place, **chosen)
    assert done.returncode == 0, done.stdout[-4000:]
    names = [path.stem for path in (ROOT / "fuzz").glob("fuzz_*.c")] if ALL else ["fuzz_session"]
    assert {path.name for path in (place / "out").iterdir()} == {
        f"{name}{end}" for name in names for end in ("", ".options", "_seed_corpus.zip")}
    for name in names:
        text = (place / f"out/{name}.options").read_text(encoding="utf-8")
        assert text == "[libfuzzer]\nmax_len = 2048\ntimeout = 25\n"
        seeds = place / "seeds" / name
        with zipfile.ZipFile(place / f"out/{name}_seed_corpus.zip") as archive:
            archive.extractall(seeds)
        some = sorted(seeds.iterdir())[:5]
        run = subprocess.run([place / "out" / name, *some], text=True, check=False, timeout=LIMIT,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
        assert run.returncode == 0, run.stdout[-4000:]
        assert some and run.stdout.count("Executed ") == len(some)
    assert len(list((place / "seeds" / "fuzz_session").iterdir())) > len(
        list((ROOT / "corpus/regress").glob("*.prog")))
    # What runs it elsewhere has no json-c.
    linked = subprocess.run(["ldd", place / "out/fuzz_session"], capture_output=True, text=True,
                            check=True)  # fmt: skip
    assert "json" not in linked.stdout


def test_architecture_without_the_room_is_refused(place):
    done = build(place, ARCHITECTURE="i386", OUT=place / "absent")
    assert done.returncode == 2
    assert "not for i386" in done.stdout


@pytest.mark.parametrize("name", ["OUT", "WORK"])
def test_place_for_what_is_built_has_to_be_named(place, name):
    done = build(place, **{name: ""})
    assert done.returncode != 0
    assert f"{name}: is where" in done.stdout


def test_image_without_a_repository_says_what_is_missing():
    lines = (ROOT / "ci/oss-fuzz/Dockerfile").read_text(encoding="utf-8").splitlines()
    check = next(line for line in lines if line.startswith("RUN test"))
    assert lines.index(check) < next(i for i, line in enumerate(lines) if "git clone" in line)
    for repository, status in (("", 1), ("https://example.org/vuc", 0)):
        done = subprocess.run(["sh", "-c", check.removeprefix("RUN ")], text=True, check=False,
                              env={"repository": repository}, capture_output=True)  # fmt: skip
        assert done.returncode == status
        assert ("--build-arg repository=URL" in done.stdout) == bool(status)
