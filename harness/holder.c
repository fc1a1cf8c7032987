/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * holder.c - a forked process that takes commands through a socket pair.
 */
#include "holder.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "launch.h"

#define HOLDER_TIMEOUT_MS 5000
#define HOLDER_FD 3	/* where the child has its socket */

union holder_control {
	struct cmsghdr header;
	char room[CMSG_SPACE(sizeof(int))];
};

/* ---- the child of a program that may have threads: nothing but system calls ---- */

/* One command byte, and the descriptor that came along or -1. 0 at the end. */
static ssize_t holder_receive(int socket, char *command, int *fd)
{
	union holder_control control = { .room = "" };
	struct iovec piece = { .iov_base = command, .iov_len = 1 };
	struct msghdr message = {
		.msg_iov = &piece, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *header;
	ssize_t n = recvmsg(socket, &message, 0);

	*fd = -1;
	header = CMSG_FIRSTHDR(&message);
	if (n > 0 && header && header->cmsg_type == SCM_RIGHTS)
		memcpy(fd, CMSG_DATA(header), sizeof(*fd));
	return n;
}

static void holder_serve(int socket)
{
	void *map = MAP_FAILED;
	int held = -1, fd, ret = -1;
	char command;

	while (holder_receive(socket, &command, &fd) > 0) {
		switch ((enum holder_command)command) {
		case HOLDER_TAKE:
			held = fd;
			ret = held < 0 ? -1 : 0;
			break;
		case HOLDER_MAP:
			map = mmap(NULL, HOLDER_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, held, 0);
			ret = map == MAP_FAILED ? -1 : 0;
			break;
		case HOLDER_CLOSE:
			ret = close(held);
			break;
		case HOLDER_UNMAP:
			ret = munmap(map, HOLDER_SIZE);
			break;
		}
		command = ret ? 1 : 0;
		if (write(socket, &command, 1) != 1)
			break;
	}
}

static void holder_child(int socket)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* It must hold nothing of ours, least of all what another part of us asks about. */
	if (dup2(socket, HOLDER_FD) < 0 ||
	    syscall(SYS_close_range, HOLDER_FD + 1, ~0U, 0) < 0)
		_exit(1);
	holder_serve(HOLDER_FD);
	_exit(0);
}

/* ---- our side ---- */

int holder_start(struct holder *holder)
{
	sigset_t all, before;
	int ends[2], ret = 0;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	/* The child keeps all signals blocked, as our handlers are not for it to run. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	holder->pid = fork();
	if (holder->pid == 0)
		holder_child(ends[1]);
	if (holder->pid < 0)
		ret = -errno;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	close(ends[1]);
	if (ret)
		close(ends[0]);
	else
		holder->socket = ends[0];
	return ret;
}

void holder_end(struct holder *holder)
{
	close(holder->socket);
	kill(holder->pid, SIGKILL);
	launch_reap(holder->pid);
}

int holder_command(const struct holder *holder, enum holder_command command, int fd)
{
	union holder_control control = { .room = "" };
	char byte = (char)command;
	struct iovec piece = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };
	int ret;

	if (fd >= 0) {
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	}
	if (sendmsg(holder->socket, &message, MSG_NOSIGNAL) < 0)
		return -errno;
	ret = launch_wait(holder->socket, HOLDER_TIMEOUT_MS);
	if (ret)
		return ret;
	if (read(holder->socket, &byte, 1) != 1)
		return -EPIPE;
	return byte ? -EIO : 0;
}
