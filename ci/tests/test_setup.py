# SPDX-License-Identifier: BSD-3-Clause
"""ci/setup.sh with a PATH of its own, on which nothing that it looks for is installed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = "bash sh id grep sed cut sort cat mkdir dirname env flock".split()
SETUP = Path(__file__).resolve().parent.parent / "setup.sh"
PACKAGES = "gcc libc6-dev libjson-c-dev make pkg-config"


@pytest.fixture
def machine(tmp_path):
    """A copy of the script, and a function that runs it as if on another machine."""
    (tmp_path / "ci").mkdir()
    shutil.copy(SETUP, tmp_path / "ci")
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in TOOLS:
        if found := shutil.which(name):
            (tools / name).symlink_to(found)

    def run(*needs, user=0, ci="", distribution="debian", answers=None):
        scripts = {"id": f"echo {user}", "sudo": 'exec "$@"', "apt-cache": "exit 1"}
        scripts["apt-get"] = 'echo "apt-get $*" >&2; exit ' + ("100" if answers == "fail" else "0")
        for name, text in scripts.items():
            (tools / name).unlink(missing_ok=True)
            (tools / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
            (tools / name).chmod(0o755)
        (tmp_path / "os-release").write_text(f"ID={distribution}\n", encoding="utf-8")
        environment = {
            "PATH": str(tools), "CI": ci, "PYTHON": sys.executable,
            "VUC_OS_RELEASE": str(tmp_path / "os-release"),
        }  # fmt: skip
        command = ["bash", str(tmp_path / "ci/setup.sh"), *needs]
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
        return done.returncode, done.stderr

    return run


def test_without_root_and_terminal_the_command_is_printed(machine):
    status, text = machine("run", user=1000)
    assert status == 2
    assert f"  sudo apt-get install --no-install-recommends -y {PACKAGES}\n" in text
    assert "apt-get update" not in text


@pytest.mark.parametrize("who", [{"user": 0}, {"user": 1000, "ci": "true"}])
def test_root_and_ci_install_after_a_refresh(machine, who):
    status, text = machine("run", **who)
    update, install = text.index("apt-get update"), text.index("apt-get install")
    assert update < install and f"-y {PACKAGES}\n" in text
    assert status == 2 and "still missing" in text  # this apt-get installs nothing


def test_failing_packages_fail_the_set_up(machine):
    status, text = machine("run", answers="fail")
    assert status == 2 and "failed: apt-get install" in text


def test_another_distribution_gets_a_list_in_words(machine):
    status, text = machine("run", "test", distribution="fedora")
    assert status == 2 and "json-c with headers" in text and "cmocka with headers" in text
    assert "apt-get" not in text


def test_unknown_needs_and_none_are_refused(machine):
    assert machine("everything")[0] == 2
    assert machine()[0] == 2


def test_nothing_missing_is_silent_and_names_the_interpreter(tmp_path):
    """The machine that runs the tests has what `run` needs: the build came first."""
    (tmp_path / "ci").mkdir()
    shutil.copy(SETUP, tmp_path / "ci")
    command = ["bash", str(tmp_path / "ci/setup.sh"), "run"]
    environment = os.environ | {"PYTHON": sys.executable}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""
    assert (tmp_path / "build/python").read_text(encoding="utf-8") == f"{sys.executable}\n"
