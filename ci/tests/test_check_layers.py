# SPDX-License-Identifier: BSD-3-Clause
"""check_layers is seen to fail: each rule has a small tree that breaks it and nothing else."""

from pathlib import Path

import check_layers
import pytest

LAYERS = """
# two flows, a package, one shared header
flow server: log, fault -> wire -> dma
    -> main
flow harness: wire -> span -> model -> main
flow harness/vuc: _abi -> program -> plugin
shared: harness/wire.h
system: stdio.h sys/*
library json-c/*: server/dma
library cmocka.h: server/tests harness/tests
"""

GOOD = {
    "harness/wire.h": "#include <stdio.h>\n",
    "harness/span.h": "",
    "harness/span.c": '#include "span.h"\n#include "wire.h"\n#include <sys/stat.h>\n',
    "harness/model.h": '#include "span.h"\n',
    "harness/model_dma.c": '#include "model.h"\n',
    "harness/main.c": '#include "model.h"\n',
    "harness/tests/test_span.c": '#include <cmocka.h>\n#include "model.h"\n',
    "harness/vuc/__init__.py": "from vuc.plugin import x\n",
    "harness/vuc/_abi.py": "import ctypes\n",
    "harness/vuc/program.py": "from . import _abi\nfrom vuc._abi import y\n",
    "server/log.h": "",
    "server/fault.c": '#include "log.h"\n',
    "server/dma.c": '#include "wire.h"\n#include "log.h"\n#include <json-c/json.h>\n',
    "server/main.c": '#  include "log.h"\n',
    "server/tests/test_log.c": '#include <cmocka.h>\n#include "dma_test.h"\n',
    "server/tests/dma_test.h": "",
    "harness/tests/test_x.py": "",
}

# what breaks it: file, text, the line of the violation, words of the message
BAD = {
    "right of it": ("harness/span.c", '\n#include "model.h"\n', 2, "span includes model"),
    "indented": ("harness/span.c", '\t#  include "model.h"\n', 1, "span includes model"),
    "wire too low": ("server/log.c", '#include "wire.h"\n', 1, "log includes wire"),
    "other flow": ("server/dma.c", '#include "span.h"\n', 1, "belongs to another flow"),
    "other flow by path": ("server/dma.c", '#include "../harness/span.h"\n', 1, "another flow"),
    "test of other flow": ("server/tests/test_dma.c", '#include "span.h"\n', 1, "another flow"),
    "test header in module": ("server/dma.c", '#include "tests/dma_test.h"\n', 1, "another flow"),
    "no such header": ("server/dma.c", '#include "nothing.h"\n', 1, "is no header of server"),
    "library elsewhere": ("server/fault.c", "#include <json-c/json.h>\n", 1, "server/dma only"),
    "library quoted": ("server/fault.c", '#include "json-c/json.h"\n', 1, "server/dma only"),
    "cmocka in module": ("harness/span.c", "#include <cmocka.h>\n", 1, "harness/tests only"),
    "unknown library": ("harness/span.c", "#include <curl/curl.h>\n", 1, "neither the C library"),
    "unknown file": ("harness/extra.c", "", 1, "stands in no flow"),
    "unknown module": ("harness/vuc/extra.py", "", 1, "stands in no flow"),
    "unknown test": ("server/tests/test_extra.c", "", 1, "no module of server"),
    "test never built": ("server/tests/dma.c", "", 1, "never built"),
    "same name": ("harness/log.h", "", 1, "shares its name with server/log.h"),
    "same test name": ("harness/tests/test_log.c", "", 1, "shares its name"),
    "same name in fuzz": ("fuzz/span.c", "", 1, "shares its name with harness/span.c"),
    "same Python test": ("server/tests/test_x.py", "", 1, "with harness/tests/test_x.py"),
    "import": ("harness/vuc/_abi.py", "\nimport vuc.program\n", 2, "_abi imports program"),
    "import from": ("harness/vuc/_abi.py", "from vuc.program import x\n", 1, "imports program"),
    "import dot": ("harness/vuc/_abi.py", "from . import program\n", 1, "_abi imports program"),
    "import dot from": ("harness/vuc/_abi.py", "from .program import x\n", 1, "imports program"),
    "import in function": (
        "harness/vuc/_abi.py",
        "def f():\n    from vuc import program\n",
        2,
        "_abi imports program",
    ),
    "import the package": ("harness/vuc/program.py", "import vuc\n", 1, "the package vuc itself"),
}


def violations(root: Path, changes: dict[str, str]) -> list[str]:
    """What the checker says of the good tree with some files replaced or added."""
    for name, text in (GOOD | changes).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    checker = check_layers.Checker(root, check_layers.read_layers(LAYERS))
    checker.run()
    return checker.errors


def test_good_tree_has_no_violation(tmp_path):
    assert violations(tmp_path, {}) == []


@pytest.mark.parametrize("name", BAD)
def test_rule_is_seen_to_fail(tmp_path, name):
    path, text, line, words = BAD[name]
    errors = violations(tmp_path, {path: text})
    assert [e for e in errors if e.startswith(f"{path}:{line}: ") and words in e], errors


def test_layers_that_cannot_be_read_are_refused():
    with pytest.raises(check_layers.BadLayers):
        check_layers.read_layers("flows server: a -> b\n")


def test_the_layers_of_the_project_can_be_read():
    text = (Path(check_layers.__file__).parent / "layers.txt").read_text(encoding="utf-8")
    layers = check_layers.read_layers(text)
    assert layers.flows["reference-server"][0] == "fault"
    assert layers.flows["reference-server"][-1] == layers.flows["harness"][-1] == "main"


def test_command_prints_violations_and_fails(tmp_path, capsys):
    (tmp_path / "ci").mkdir()
    (tmp_path / "ci/layers.txt").write_text(LAYERS, encoding="utf-8")
    violations(tmp_path, {})
    assert check_layers.main([str(tmp_path)]) == 0
    violations(tmp_path, {"harness/extra.c": ""})
    assert check_layers.main([str(tmp_path)]) == 1
    assert "harness/extra.c:1: " in capsys.readouterr().out
