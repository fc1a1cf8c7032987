/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * threaded.c - link.h with the reference server in this process, its loop in a thread, and threads
 * for the DMA of each device; over sockets and in real time.
 *
 * Each program has a server of its own, from its first connection to link_renew(), which stops it.
 * Then its accounts are compared with those that it began with, and every THREADED_CENSUS programs
 * those of the process.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "account.h"
#include "account_process.h"
#include "clock.h"
#include "link.h"

#define THREADED_DMA 3u
#define THREADED_CENSUS 256u
#define THREADED_FDS 96u	/* descriptors in which a leak is looked for after each program */
#define THREADED_MS 2000	/* that the client may take to answer */

void __asan_on_error(void);

static struct threaded {
	struct server *server;	/* NULL: none runs */
	struct sockaddr_un address;
	socklen_t address_size;
	int stop;		/* eventfd */
	pthread_t thread;
	int result;		/* of server_run() */
	struct exec_sockets *sockets;
	struct account before;
	struct account_process process;
	unsigned int programs;
} threaded;

/*
 * While a report is written the time of the server stands still: it would interrupt the thread that
 * does so, which does not come back from its DMA.
 */
void __asan_on_error(void)
{
	clock_hold(clock_now());
}

static void threaded_account(struct account *out)
{
	*out = (struct account){ .value[ACCOUNT_MESSAGE_FDS] = msg_owned() };
	for (uint32_t i = 0; i < PROGRAM_CONNECTIONS; i++)
		account_add(server_instance(threaded.server, i), out);
}

/* A listening socket; without a path the kernel chooses an abstract name. */
static int threaded_listen(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int error;

	threaded.address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	threaded.address_size = sizeof(threaded.address);
	if (fd >= 0 && !bind(fd, (struct sockaddr *)&threaded.address, sizeof(sa_family_t)) &&
	    !listen(fd, PROGRAM_CONNECTIONS) &&
	    !getsockname(fd, (struct sockaddr *)&threaded.address, &threaded.address_size))
		return fd;
	error = -errno;
	if (fd >= 0)
		close(fd);
	return error;
}

static void *threaded_serve(void *arg)
{
	(void)arg;
	threaded.result = server_run(threaded.server, threaded.stop);
	return NULL;
}

static int threaded_start(void)
{
	struct server_options options = inproc_options;
	int error;

	options.fd = threaded_listen();
	options.devices = PROGRAM_CONNECTIONS;
	options.dma_threads = THREADED_DMA;
	options.t_dma = THREADED_MS;
	if (options.fd < 0)
		return options.fd;
	error = server_open(&threaded.server, &options);
	if (error)
		return error;
	threaded_account(&threaded.before);
	error = -pthread_create(&threaded.thread, NULL, threaded_serve, NULL);
	if (!error)
		return 0;
	server_close(threaded.server);
	threaded.server = NULL;
	return error;
}

/* A client of the server, which is started for the first one of a program. */
static int threaded_dial(void *arg)
{
	int fd, error = threaded.server ? 0 : threaded_start();

	(void)arg;
	if (error)
		return error;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (!connect(fd, (struct sockaddr *)&threaded.address, threaded.address_size))
		return fd;
	error = -errno;
	close(fd);
	return error;
}

static int threaded_open(void)
{
	int error = inproc_select_fault();

	/* Interrupts may be pipes that nobody reads. */
	signal(SIGPIPE, SIG_IGN);
	threaded.stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (threaded.stop < 0)
		return -errno;
	if (!error)
		error = exec_sockets_dialled(threaded_dial, NULL, &threaded.sockets);
	return error ? error : account_process(&threaded.process);
}

int link_open(struct exec_link *out)
{
	int error = threaded.sockets ? 0 : threaded_open();

	if (!error)
		*out = exec_sockets_link(threaded.sockets);
	return error;
}

/* What of the process is more than it was. */
static int threaded_look(char *text, size_t size)
{
	bool census = ++threaded.programs % THREADED_CENSUS == 0;
	bool same;

	if (!census && account_new_fd(&threaded.process, THREADED_FDS) < 0)
		return 0;
	same = account_same_process(&threaded.process, text, size);
	account_process(&threaded.process);
	return same ? 0 : -EAGAIN;
}

uint64_t link_readings(void)
{
	return UINT64_MAX;
}

int link_renew(struct link_left *left)
{
	uint64_t number = 1;
	struct account after;
	int error;

	if (!threaded.server)
		return 0;
	(void)!write(threaded.stop, &number, sizeof(number));
	error = -pthread_join(threaded.thread, NULL);
	(void)!read(threaded.stop, &number, sizeof(number));
	if (error || threaded.result) {
		left->rule = NULL;
		snprintf(left->text, sizeof(left->text), "the server has ended: %s",
			 strerror(error ? -error : -threaded.result));
		return -EUCLEAN;
	}
	threaded_account(&after);
	server_close(threaded.server);
	threaded.server = NULL;
	left->rule = &account_anything;
	if (account_equal(&threaded.before, &after, left->text, sizeof(left->text)))
		return threaded_look(left->text, sizeof(left->text));
	left->rule = account_rule(&threaded.before, &after);
	return -EUCLEAN;
}
