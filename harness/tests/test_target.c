/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_target.c - targets that exit, crash, hang, hide behind a shell or never listen. The servers
 * are this program itself, started with the name of a role. Descriptors and children are counted
 * around every test.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "listener.h"
#include "stacks.h"
#include "target.h"

#define LONG_MS 20000
#define SHORT_MS 30

static char self[PATH_MAX], directory[] = "/tmp/test_target.XXXXXX";
static char sock[64], logfile[64], command[3 * PATH_MAX];

/* ---- roles ---- */

static void serve_until_killed(void)
{
	for (;;)
		pause();
}

/* listen PATH [DESCRIPTORS [ignore|late|group]] */
static void serve(int argc, char **argv)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), i, signo;
	sigset_t usr1;

	printf("starting\n");
	fflush(stdout);
	for (i = 0; argc > 3 && i < strtol(argv[3], NULL, 10); i++) {
		if (open("/dev/null", O_RDONLY) < 0)
			exit(20);
	}
	if (argc > 4 && strcmp(argv[4], "ignore") == 0)
		signal(SIGTERM, SIG_IGN);
	if (argc > 4 && strcmp(argv[4], "group") == 0)
		setpgid(0, 0);
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	sigprocmask(SIG_BLOCK, &usr1, NULL);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", argv[2]);
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		exit(21);
	if (argc > 4 && strcmp(argv[4], "late") == 0)
		sigwait(&usr1, &signo);
	if (listen(fd, 1) < 0)
		exit(22);
	serve_until_killed();
}

static void crash(void)
{
	const struct rlimit no_core = { 0, 0 };

	setrlimit(RLIMIT_CORE, &no_core);
	signal(SIGSEGV, SIG_DFL);
	raise(SIGSEGV);
}

static int play(int argc, char **argv)
{
	if (strcmp(argv[1], "listen") == 0)
		serve(argc, argv);
	else if (strcmp(argv[1], "crash") == 0)
		crash();
	else
		serve_until_killed();
	return 0;
}

/* ---- fixtures ---- */

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
	unlink(logfile);
	unlink(sock);
	return 0;
}

static int after(void **state)
{
	int64_t count = *(int64_t *)*state;

	free(*state);
	return fds() == count && waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD ? 0 : -1;
}

static struct target *start(const char *const *argv)
{
	struct target_start what = {
		.argv = argv, .socket_path = sock, .log_path = logfile, .limit_nofile = -1,
	};
	struct target *target;

	assert_int_equal(target_start(&what, &target), 0);
	return target;
}

static struct target *start_shell(const char *script)
{
	const char *const argv[] = { "sh", "-c", script, NULL };

	return start(argv);
}

static struct target *start_listening(const char *descriptors, const char *how)
{
	const char *const argv[] = { self, "listen", sock, descriptors, how, NULL };
	struct target *target = start(argv);

	assert_int_equal(target_wait_ready(target, LONG_MS), 0);
	return target;
}

static void assert_state(struct target *target, uint32_t phase, int status)
{
	struct target_state state;

	assert_int_equal(target_state(target, &state), 0);
	assert_int_equal(state.phase, phase);
	assert_int_equal(state.status, status);
}

static void assert_log(const char *expected)
{
	char text[1024];
	int fd = open(logfile, O_RDONLY);
	ssize_t n = read(fd, text, sizeof(text) - 1);

	close(fd);
	assert_true(n >= 0);
	text[n] = '\0';
	assert_string_equal(text, expected);
}

static void assert_dead(pid_t pid)
{
	struct proc_stat stat;

	assert_true(proc_stat(pid, &stat) == -ESRCH || stat.state == 'Z' || stat.state == 'X');
}

static void run_shell(const char *script)
{
	struct target *target = start_shell(script);

	assert_int_equal(target_wait_exit(target, LONG_MS), 0);
	target_free(target);
}

/* ---- how it ends ---- */

static void exit_status_is_told(void **state)
{
	struct target *target = start_shell("exit 7");
	struct proc_resources resources;
	struct target_state end;

	(void)state;
	assert_int_equal(target_wait_ready(target, LONG_MS), -ESRCH);
	assert_int_equal(target_wait_exit(target, LONG_MS), 0);
	assert_int_equal(target_wait_exit(target, 0), 0);
	assert_state(target, TARGET_EXITED, 7);
	assert_int_equal(target_resources(target, &resources), -ESRCH);
	assert_int_equal(target_signal(target, SIGTERM), -ESRCH);
	assert_int_equal(target_stop(target, LONG_MS, &end), 0);
	assert_int_equal(end.phase, TARGET_EXITED);
	assert_state(target, TARGET_EXITED, 7);
	assert_int_equal(target_signal(target, SIGTERM), -ESRCH);
	assert_int_equal(target_wait_ready(target, 0), -ESRCH);
	target_free(target);
}

static void killing_signal_is_told(void **state)
{
	const char *const argv[] = { self, "crash", NULL };
	struct target *target = start(argv);

	(void)state;
	assert_int_equal(target_wait_exit(target, LONG_MS), 0);
	assert_state(target, TARGET_KILLED, SIGSEGV);
	target_free(target);
	target_free(NULL);
}

static void what_can_not_be_executed_is_an_error(void **state)
{
	const char *argv[] = { "/nonexistent/server", NULL };
	struct target_start what = { .argv = argv, .limit_nofile = -1 };
	const int32_t closed = 1000, standard = 1;
	struct target *target;

	(void)state;
	assert_int_equal(target_start(&what, &target), -ENOENT);
	/* A PATH of others may hold folders that we may not search, which is another error. */
	setenv("PATH", "/usr/bin:/bin", 1);
	argv[0] = "no-such-server-in-the-path";
	assert_int_equal(target_start(&what, &target), -ENOENT);
	argv[0] = "/dev/null";
	assert_int_equal(target_start(&what, &target), -EACCES);
	argv[0] = "true";
	what.log_path = "/nonexistent/log";
	assert_int_equal(target_start(&what, &target), -ENOENT);
	what.log_path = NULL;
	what.nfds = 1;
	what.fds = &closed;
	assert_int_equal(target_start(&what, &target), -EBADF);
	what.fds = &standard;
	assert_int_equal(target_start(&what, &target), -EINVAL);
	argv[0] = NULL;
	assert_int_equal(target_start(&what, &target), -EINVAL);
}

static void one_that_ignores_sigterm_is_killed(void **state)
{
	struct target *target = start_listening("0", "ignore");
	struct target_state end;

	(void)state;
	assert_int_equal(target_signal(target, SIGTERM), 0);
	assert_int_equal(target_wait_exit(target, SHORT_MS), -ETIMEDOUT);
	assert_int_equal(target_stop(target, SHORT_MS, &end), 0);
	assert_int_equal(end.phase, TARGET_KILLED);
	assert_int_equal(end.status, SIGKILL);
	target_free(target);
}

/* ---- readiness ---- */

static void one_that_never_listens_times_out(void **state)
{
	const char *const argv[] = { self, "pause", NULL };
	struct target *target = start(argv);

	(void)state;
	assert_int_equal(target_wait_ready(target, 0), -ETIMEDOUT);
	assert_int_equal(target_wait_ready(target, SHORT_MS), -ETIMEDOUT);
	assert_state(target, TARGET_RUNNING, 0);
	target_free(target);
}

static void ready_means_listening(void **state)
{
	struct target *target = start_listening("0", "");
	struct target_state now, end;

	(void)state;
	assert_int_equal(target_state(target, &now), 0);
	assert_int_equal(now.phase, TARGET_RUNNING);
	assert_int_equal(now.pid, listener_find(sock, 0));
	assert_int_equal(now.sanitizer, 0);
	assert_int_equal(target_wait_exit(target, 0), -ETIMEDOUT);
	assert_log("starting\n");
	assert_int_equal(target_stop(target, LONG_MS, &end), 0);
	assert_int_equal(end.phase, TARGET_KILLED);
	assert_int_equal(end.status, SIGTERM);
	assert_int_equal(end.pid, now.pid);
	assert_int_equal(access(sock, F_OK), 0);
	target_free(target);
	assert_int_equal(access(sock, F_OK), -1);
}

static void bound_is_not_ready(void **state)
{
	const char *const argv[] = { self, "listen", sock, "0", "late", NULL };
	struct target *target = start(argv);

	(void)state;
	while (access(sock, F_OK) < 0)
		assert_int_equal(target_wait_ready(target, SHORT_MS), -ETIMEDOUT);
	assert_int_equal(target_wait_ready(target, SHORT_MS), -ETIMEDOUT);
	assert_int_equal(target_signal(target, SIGUSR1), 0);
	assert_int_equal(target_wait_ready(target, LONG_MS), 0);
	target_free(target);
}

static void listener_of_somebody_else_does_not_count(void **state)
{
	struct target *first = start_listening("0", "");
	const char *const argv[] = { self, "pause", NULL };
	struct target *second = start(argv);

	(void)state;
	assert_int_equal(target_wait_ready(second, SHORT_MS), -ETIMEDOUT);
	target_free(second);
	assert_int_equal(access(sock, F_OK), 0);
	assert_state(first, TARGET_RUNNING, 0);
	target_free(first);
}

static void directory_may_come_later(void **state)
{
	const char *const argv[] = { "sh", "-c", command, NULL };
	struct target_start what = { .argv = argv, .socket_path = "new/s", .limit_nofile = -1 };
	struct target *target;

	(void)state;
	snprintf(command, sizeof(command), "mkdir new && exec %s listen new/s", self);
	assert_int_equal(target_start(&what, &target), 0);
	assert_int_equal(target_wait_ready(target, LONG_MS), 0);
	target_free(target);
	assert_int_equal(rmdir("new"), 0);
}

static void without_a_path_it_is_ready_while_it_lives(void **state)
{
	const char *const argv[] = { "cat", "/dev/zero", NULL };
	struct target_start what = { .argv = argv, .limit_nofile = -1 };
	struct target *target;

	(void)state;
	assert_int_equal(target_start(&what, &target), 0);
	assert_int_equal(target_wait_ready(target, 0), 0);
	assert_int_equal(target_signal(target, SIGKILL), 0);
	assert_int_equal(target_wait_exit(target, LONG_MS), 0);
	assert_int_equal(target_wait_ready(target, 0), -ESRCH);
	assert_state(target, TARGET_KILLED, SIGKILL);
	target_free(target);
}

/* ---- wrappers ---- */

static void shell_passes_on_how_its_server_ended(void **state)
{
	struct target_state now, end;
	struct target *target;

	(void)state;
	snprintf(command, sizeof(command), "%s listen %s; exit $?", self, sock);
	target = start_shell(command);
	assert_int_equal(target_wait_ready(target, LONG_MS), 0);
	assert_int_equal(target_state(target, &now), 0);
	assert_int_equal(now.pid, listener_find(sock, 0));
	assert_int_equal(target_signal(target, SIGUSR2), 0);
	assert_int_equal(target_wait_exit(target, LONG_MS), 0);
	assert_state(target, TARGET_KILLED, SIGUSR2);
	assert_int_equal(target_stop(target, LONG_MS, &end), 0);
	assert_int_equal(end.pid, now.pid);
	target_free(target);
}

static void wrapper_that_lives_on_does_not_hide_a_death(void **state)
{
	struct target_state end;
	struct target *target;

	(void)state;
	snprintf(command, sizeof(command), "%s listen %s; exec %s pause", self, sock, self);
	target = start_shell(command);
	assert_int_equal(target_wait_ready(target, LONG_MS), 0);
	assert_int_equal(target_signal(target, SIGKILL), 0);
	assert_int_equal(target_wait_exit(target, LONG_MS), 0);
	assert_state(target, TARGET_GONE, 0);
	assert_int_equal(target_signal(target, SIGTERM), -ESRCH);
	assert_int_equal(target_wait_ready(target, LONG_MS), -ESRCH);
	assert_int_equal(target_stop(target, LONG_MS, &end), 0);
	assert_int_equal(end.phase, TARGET_GONE);
	target_free(target);
}

/* Even if the server has moved to a process group of its own. */
static void free_kills_wrapper_and_server(void **state)
{
	struct target_state now;
	struct target *target;

	(void)state;
	snprintf(command, sizeof(command), "%s listen %s 0 group; exit 1", self, sock);
	target = start_shell(command);
	assert_int_equal(target_wait_ready(target, LONG_MS), 0);
	assert_int_equal(target_state(target, &now), 0);
	target_free(target);
	assert_dead(now.pid);
	assert_int_equal(listener_find(sock, 0), -ENOENT);
	assert_int_equal(access(sock, F_OK), -1);
}

static void log_is_appended(void **state)
{
	(void)state;
	run_shell("echo out; echo err >&2; cat");
	run_shell("echo again");
	assert_log("out\nerr\nagain\n");
}

/* ---- what it shows ---- */

static uint32_t sanitizer_after(const char *script)
{
	struct target *target = start_shell(script);
	struct target_state now;

	assert_int_equal(target_wait_exit(target, LONG_MS), 0);
	assert_int_equal(target_state(target, &now), 0);
	assert_int_equal(target_stop(target, LONG_MS, &now), 0);
	target_free(target);
	return now.sanitizer;
}

static void sanitizer_report_of_this_run_is_told(void **state)
{
	(void)state;
	assert_int_equal(sanitizer_after("echo '==1==ERROR: AddressSanitizer: SEGV' >&2"), 1);
	assert_int_equal(sanitizer_after("echo \"thread 'main' panicked at src/x.rs\""), 0);
}

static void stacks_are_shown(void **state)
{
	struct target *target = start_listening("0", "");
	char text[65536], cut[10];
	struct target_state now;

	(void)state;
	assert_true(target_stacks(target, text, sizeof(text)) > 0);
	assert_non_null(strstr(text, "pause"));
	assert_int_equal(target_stacks(target, cut, sizeof(cut)), sizeof(cut) - 1);
	assert_int_equal(target_stacks(target, text, 0), -EINVAL);
	assert_int_equal(target_state(target, &now), 0);
	assert_true(proc_stacks(now.pid, text, sizeof(text)) > 0);
	assert_non_null(strstr(text, "S (sleeping)"));
	assert_int_equal(proc_stacks(now.pid, cut, sizeof(cut)), sizeof(cut) - 1);
	target_stop(target, LONG_MS, NULL);
	assert_int_equal(target_stacks(target, text, sizeof(text)), -ESRCH);
	assert_int_equal(stacks_collect(now.pid, text, sizeof(text)), -ESRCH);
	target_free(target);
}

static struct proc_resources resources_of(const char *descriptors)
{
	struct target *target = start_listening(descriptors, "");
	struct proc_resources resources;

	assert_int_equal(target_resources(target, &resources), 0);
	target_free(target);
	return resources;
}

static void resources_are_counted(void **state)
{
	struct proc_resources few = resources_of("0"), many = resources_of("20");

	(void)state;
	assert_int_equal(few.fds, 4);
	assert_int_equal(many.fds, 24);
	assert_int_equal(few.threads, 1);
	assert_true(few.vmas > 5);
	assert_true(few.rss_anon_kib > 0 && few.rss_file_kib > 0 && few.page_tables_kib > 0);
	assert_true(few.rss_shmem_kib >= 0 && few.cpu_ms >= 0);
}

/* ---- attached ---- */

static void attached_target_is_left_alone(void **state)
{
	struct target *server = start_listening("0", ""), *target;
	struct proc_resources resources;
	struct target_state now, end;

	(void)state;
	assert_int_equal(target_attach("./s", &target), 0);	/* the same file by another name */
	assert_int_equal(target_wait_ready(target, 0), 0);
	assert_int_equal(target_state(target, &now), 0);
	assert_int_equal(now.phase, TARGET_RUNNING);
	assert_int_equal(now.pid, listener_find(sock, 0));
	assert_int_equal(target_resources(target, &resources), 0);
	assert_int_equal(target_stop(target, 0, &end), -ENOTSUP);
	assert_int_equal(target_wait_exit(target, 0), -ETIMEDOUT);
	target_free(target);
	assert_state(server, TARGET_RUNNING, 0);
	assert_int_equal(target_attach(sock, &target), 0);
	target_free(server);
	assert_int_equal(target_wait_exit(target, LONG_MS), 0);
	assert_state(target, TARGET_GONE, 0);
	assert_int_equal(target_wait_ready(target, LONG_MS), -ESRCH);
	target_free(target);
}

static void attached_without_a_process_is_unknown(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct proc_resources resources;
	struct target *target;

	(void)state;
	assert_int_equal(target_attach(sock, &target), -ENOENT);
	assert_int_equal(target_attach("/dev/null", &target), -ENOTSOCK);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", sock);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(target_attach(sock, &target), 0);
	assert_state(target, TARGET_UNKNOWN, 0);
	assert_int_equal(target_wait_ready(target, SHORT_MS), -ETIMEDOUT);
	assert_int_equal(target_wait_exit(target, SHORT_MS), -ENOTSUP);
	assert_int_equal(target_resources(target, &resources), -ENOTSUP);
	assert_int_equal(target_signal(target, SIGTERM), -ENOTSUP);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(target_wait_ready(target, LONG_MS), 0);
	close(fd);
	target_free(target);
	assert_int_equal(access(sock, F_OK), 0);
}

#define COUNTED(test) cmocka_unit_test_setup_teardown(test, before, after)

static int run(void)
{
	const struct CMUnitTest tests[] = {
		COUNTED(exit_status_is_told),
		COUNTED(killing_signal_is_told),
		COUNTED(what_can_not_be_executed_is_an_error),
		COUNTED(one_that_ignores_sigterm_is_killed),
		COUNTED(one_that_never_listens_times_out),
		COUNTED(ready_means_listening),
		COUNTED(bound_is_not_ready),
		COUNTED(listener_of_somebody_else_does_not_count),
		COUNTED(directory_may_come_later),
		COUNTED(without_a_path_it_is_ready_while_it_lives),
		COUNTED(shell_passes_on_how_its_server_ended),
		COUNTED(wrapper_that_lives_on_does_not_hide_a_death),
		COUNTED(free_kills_wrapper_and_server),
		COUNTED(log_is_appended),
		COUNTED(sanitizer_report_of_this_run_is_told),
		COUNTED(stacks_are_shown),
		COUNTED(resources_are_counted),
		COUNTED(attached_target_is_left_alone),
		COUNTED(attached_without_a_process_is_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(int argc, char **argv)
{
	int ret;

	if (argc > 1)
		return play(argc, argv);
	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0 || !mkdtemp(directory) ||
	    chdir(directory) < 0)
		return 2;
	snprintf(sock, sizeof(sock), "%s/s", directory);
	snprintf(logfile, sizeof(logfile), "%s/log", directory);
	ret = run();
	unlink(sock);
	unlink(logfile);
	return rmdir(directory) < 0 ? 2 : ret;
}
