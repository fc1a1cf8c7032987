# SPDX-License-Identifier: BSD-3-Clause
"""What fuzz/adapter_link.c promises to who writes an adapter (fuzz/adapter.h): a server that is
started is stopped, when no step runs any more, and a structure of another size may do.
"""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
LINKED = ("account_process", "adapter_link", "driver", "fuzz_session", "input", "replay", "runner")
LIMIT = 60  # seconds for one command

ADAPTER = """\
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "adapter.h"

static _Atomic int steps;

static int begin(const struct adapter_options *options, void **state)
{
	(void)options;
	*state = NULL;
	puts("started");
	return 0;
}

static int dial(void *state)
{
	int pair[2];

	(void)state;
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		return -errno;
	close(pair[1]);
	return pair[0];
}

static int step(void *state, uint64_t ms)
{
	(void)state;
	steps++;
	usleep((unsigned int)ms * (FLAGS ? 1000 : 0));
	steps--;
	return 0;
}

static void stop(void *state)
{
	(void)state;
	printf("stopped, %d steps\\n", steps);
}

const struct adapter *adapter_get(void)
{
	static const struct adapter adapter = {
		.version = ADAPTER_VERSION, .size = SIZE, .name = "nobody", .flags = FLAGS,
		.start = begin, .connect = dial, .step = step, .stop = stop,
	};

	return &adapter;
}
"""


def run_with(folder, flags, size):
    """Exit status and output of an empty program's run on an adapter."""
    source, binary, program = folder / "adapter.c", folder / "entry", folder / "empty.prog"
    source.write_text(ADAPTER, encoding="utf-8")
    program.write_text("# nothing\n", encoding="utf-8")
    judge = [path for path in sorted((ROOT / "build/obj/plain/harness").glob("*.o"))
             if not path.name.startswith("main")]  # fmt: skip
    subprocess.run(
        ["gcc", "-std=c11", "-D_GNU_SOURCE", "-pthread", f"-DFLAGS={flags}", f"-DSIZE={size}",
         *(f"-I{ROOT / name}" for name in ("fuzz", "harness", "reference-server")), source,
         *(ROOT / f"fuzz/{name}.c" for name in LINKED), *judge,
         ROOT / "build/obj/plain/build/register.o", "-ljson-c", "-o", binary],
        check=True, timeout=LIMIT,
    )  # fmt: skip
    done = subprocess.run([binary, program], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=LIMIT, check=False)  # fmt: skip
    return done.returncode, done.stdout


@pytest.mark.parametrize("flags, size", [
    ("0", "sizeof(adapter)"),
    ("ADAPTER_WAITS", "sizeof(adapter) + 64"),
])  # fmt: skip
def test_server_is_stopped_when_the_process_ends(flags, size, tmp_path):
    status, text = run_with(tmp_path, flags, size)
    assert status == 0 and text.splitlines()[-1] == "stopped, 0 steps", text


def test_adapter_without_all_that_is_called_is_refused(tmp_path):
    status, text = run_with(tmp_path, "0", "offsetof(struct adapter, stop)")
    assert status == 3 and "started" not in text, text
