/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * main.c - a server on libvfio-user with the test device; see port.h.
 *
 *	vdma --socket-path=PATH [--verbose]
 *
 * It serves one client after the other and ends by SIGTERM.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "log.h"
#include "port.h"

static volatile sig_atomic_t vdma_ended;
static volatile sig_atomic_t vdma_inside;	/* a call that may wait */
static const char *vdma_path;
static int vdma_wakeup;		/* an eventfd: SIGTERM ends a wait */

static void vdma_serve(void)
{
	while (!vdma_ended) {
		if (vdma_wait(vdma_wakeup, -1)) {
			vdma_inside = 1;
			if (vdma_ended)
				return;
			vdma_step();
			vdma_inside = 0;
		}
		vdma_settle();
	}
}

/* The library may wait for a client that says nothing: then nothing is left to be tidied up. */
static void vdma_end(int number)
{
	const uint64_t one = 1;
	int saved = errno;

	(void)number;
	if (vdma_inside) {
		unlink(vdma_path);
		_exit(0);
	}
	vdma_ended = 1;
	if (write(vdma_wakeup, &one, sizeof(one)) < 0)
		_exit(0);
	errno = saved;
}

/* A reader of an interrupt that has gone is no end. */
static int vdma_handle_signals(void)
{
	struct sigaction end = { .sa_handler = vdma_end };

	signal(SIGPIPE, SIG_IGN);
	vdma_wakeup = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return vdma_wakeup < 0 || sigaction(SIGTERM, &end, NULL) ? -errno : 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "socket-path", required_argument, NULL, 's' },
		{ "verbose", no_argument, NULL, 'v' },
		{ NULL, 0, NULL, 0 },
	};
	bool verbose = false;
	int option, error;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == '?')
			return 2;
		if (option == 's')
			vdma_path = optarg;
		verbose |= option == 'v';
	}
	if (!vdma_path || optind < argc) {
		fprintf(stderr, "usage: %s --socket-path=PATH [--verbose]\n", argv[0]);
		return 2;
	}
	log_verbose(verbose);
	error = vdma_handle_signals();
	if (!error)
		error = vdma_open(vdma_path, verbose);
	if (error)
		log_info("%s: %s", vdma_path, strerror(-error));
	else
		vdma_serve();
	vdma_close();
	return error ? 1 : 0;
}
