/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_launch.c - what a program inherits and what not, and what is left of one that could not be
 * started. One of the programs is this one, which then shows its descriptors.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proc.h"
#include "launch.h"

#define LONG_MS 20000

static int64_t fds(void)
{
	struct proc_resources resources;

	assert_int_equal(proc_resources(getpid(), &resources), 0);
	return resources.fds;
}

static int before(void **state)
{
	int64_t *count = malloc(sizeof(*count));

	*count = fds();
	*state = count;
	return 0;
}

static int after(void **state)
{
	int64_t count = *(int64_t *)*state;

	free(*state);
	return fds() == count && waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD ? 0 : -1;
}

/* The numbers of the open descriptors, and the limit. */
static int show(void)
{
	struct rlimit limit;
	int fd;

	for (fd = 0; fd < 1024; fd++) {
		if (fcntl(fd, F_GETFD) >= 0)
			printf("%d ", fd);
	}
	getrlimit(RLIMIT_NOFILE, &limit);
	printf("of %d %d", (int)limit.rlim_cur, (int)limit.rlim_max);
	return 0;
}

/* Run to the end and compare what was printed. */
static void assert_prints(struct launch *what, const char *expected)
{
	struct launched child;
	char text[256];
	ssize_t n;

	what->out = memfd_create("out", MFD_CLOEXEC);
	assert_int_equal(launch_start(what, &child), 0);
	assert_int_equal(launch_wait(child.pidfd, LONG_MS), 0);
	assert_int_equal(launch_reap(child.pid), 0);
	n = pread(what->out, text, sizeof(text) - 1, 0);
	close(what->out);
	close(child.pidfd);
	assert_true(n >= 0);
	text[n] = '\0';
	assert_string_equal(text, expected);
}

static void it_inherits_what_it_is_given_and_nothing_else(void **state)
{
	const char *const argv[] = { "/proc/self/exe", "show", NULL };
	int32_t given = fcntl(0, F_DUPFD_CLOEXEC, 77), other = fcntl(0, F_DUPFD, 78);
	struct launch what = { .argv = argv, .fds = &given, .nfds = 1, .limit_nofile = 123 };

	(void)state;
	assert_prints(&what, "0 1 2 77 of 123 123");
	close(given);
	close(other);
}

static void environment_is_extended(void **state)
{
	const char *const argv[] = { "sh", "-c", "echo $LAUNCH_A $LAUNCH_B $LAUNCH_AB", NULL };
	const char *const env[] = { "LAUNCH_A=new", "LAUNCH_AB=more", NULL };
	struct launch what = { .argv = argv, .env = env, .limit_nofile = -1 };

	(void)state;
	setenv("LAUNCH_A", "old", 1);
	setenv("LAUNCH_B", "kept", 1);
	assert_prints(&what, "new kept more\n");
	assert_string_equal(getenv("LAUNCH_A"), "old");
}

/* Signals 32 and 33 are the C library's own and stay as whoever started the test left them. */
static void signals_are_as_new(void **state)
{
	const char *const argv[] = { "sed", "-nE", "s/^(Sig(Blk|Ign):.0{7})[01][08]/\\100/p",
				     "/proc/self/status", NULL };
	struct launch what = { .argv = argv, .limit_nofile = -1 };
	sigset_t mask, saved;

	(void)state;
	sigemptyset(&mask);
	sigaddset(&mask, SIGTERM);
	sigprocmask(SIG_BLOCK, &mask, &saved);
	signal(SIGPIPE, SIG_IGN);
	assert_prints(&what, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
	sigprocmask(SIG_BLOCK, NULL, &mask);
	assert_int_equal(sigismember(&mask, SIGTERM), 1);
	signal(SIGPIPE, SIG_DFL);
	sigprocmask(SIG_SETMASK, &saved, NULL);
}

static void standard_input_is_empty(void **state)
{
	const char *const argv[] = { "cat", NULL };
	struct launch what = { .argv = argv, .limit_nofile = -1 };

	(void)state;
	assert_prints(&what, "");
}

/* Our own standard descriptors may be closed: what we open then takes their numbers. */
static void it_works_without_our_standard_descriptors(void **state)
{
	const char *const argv[] = { "sh", "-c", "echo out; echo error >&2; cat", NULL };
	struct launch what = { .argv = argv, .limit_nofile = -1 };
	int kept[3], fd;

	(void)state;
	for (fd = 0; fd < 3; fd++) {
		kept[fd] = fcntl(fd, F_DUPFD_CLOEXEC, 10);
		close(fd);
	}
	assert_prints(&what, "out\nerror\n");
	for (fd = 0; fd < 3; fd++) {
		dup2(kept[fd], fd);
		close(kept[fd]);
	}
}

static void start_without_descriptors_leaks_nothing(void **state)
{
	const char *const argv[] = { "true", NULL };
	struct launch what = { .argv = argv, .out = 1, .limit_nofile = -1 };
	struct rlimit limit, tight;
	struct launched child;
	int left, ret = -1;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	for (left = 0; ret != 0; left++) {
		tight = limit;
		tight.rlim_cur = (rlim_t)(fds() - 1 + left);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
		ret = launch_start(&what, &child);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
		assert_true(ret == 0 || ret == -EMFILE);
	}
	assert_true(left > 1);
	assert_int_equal(launch_reap(child.pid), 0);
	close(child.pidfd);
}

static void session_is_killed_to_the_last(void **state)
{
	const char *const argv[] = { "sh", "-c", "cat /dev/zero & cat /dev/zero & wait", NULL };
	struct launch what = { .argv = argv, .limit_nofile = -1 };
	struct launched child;
	int status;

	(void)state;
	what.out = open("/dev/null", O_WRONLY | O_CLOEXEC);
	assert_int_equal(launch_start(&what, &child), 0);
	close(what.out);
	assert_int_equal(launch_wait(child.pidfd, 0), -ETIMEDOUT);
	assert_int_equal(launch_kill_session(child.pid, LONG_MS), 0);
	assert_int_equal(launch_wait(child.pidfd, 0), 0);
	status = launch_reap(child.pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	assert_int_equal(launch_reap(child.pid), -ECHILD);
	close(child.pidfd);
}

#define COUNTED(test) cmocka_unit_test_setup_teardown(test, before, after)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		COUNTED(it_inherits_what_it_is_given_and_nothing_else),
		COUNTED(environment_is_extended),
		COUNTED(signals_are_as_new),
		COUNTED(standard_input_is_empty),
		COUNTED(it_works_without_our_standard_descriptors),
		COUNTED(start_without_descriptors_leaks_nothing),
		COUNTED(session_is_killed_to_the_last),
	};

	if (argc > 1 && strcmp(argv[1], "show") == 0)
		return show();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
