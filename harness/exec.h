/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * exec.h - runs a program on a server, judged by a model per connection.
 *
 * How messages travel is the link's: sockets (exec_sockets) or, in the fuzzers, memory. What is
 * sent and what comes is shown to the envelope checker and to the model in the order of the
 * stream. A run ends at the last step, or at the first finding when asked to.
 *
 * Between two barriers, lanes run side by side where the link allows it, each in a thread. Their
 * steps have no order but what barriers give; what the run does with its connections is done under
 * one lock, which is free while a lane waits. So what goes out on a connection are whole messages
 * in one order, in which who judges gets them, and what is judged holds in any order. What depends
 * on the order is not judged: AWAIT for silence, and CHECK of a file that another lane alters.
 */
#ifndef EXEC_H
#define EXEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client.h"
#include "model.h"
#include "program.h"
#include "verdict.h"

/*
 * How messages travel. `connection` is below PROGRAM_CONNECTIONS; times are milliseconds. Results
 * as those of client.h: send 0, -EPIPE, -ETIMEDOUT; recv 1 and a message, 0 at the end, -ETIMEDOUT
 * when nothing came, -EPROTO when framing is lost. With a twin socket `channel` is CLIENT_CHANNELS:
 * whatever comes first on either, and the end is that of the main one.
 */
struct exec_link_ops {
	int (*connect)(void *link, uint32_t connection);
	void (*disconnect)(void *link, uint32_t connection);
	void (*shutdown)(void *link, uint32_t connection);
	int (*send)(void *link, uint32_t connection, const struct client_send *what);
	int (*recv)(void *link, uint32_t connection, uint32_t channel, int timeout_ms,
		    struct message **out);
	int (*adopt_twin)(void *link, uint32_t connection, int fd);	/* fd is the link's */
	int (*socket)(void *link, uint32_t connection);	/* for PROGRAM_SELF; still the link's */
	int (*tick)(void *link, uint64_t ms);
	/*
	 * The descriptors, -1 for none, that become readable when something may have come. Waiting
	 * for them, and tick, may happen in a thread beside whatever else the link does. NULL: this
	 * link is of one thread, and lanes take their turns in the order of the steps.
	 */
	void (*watch)(void *link, uint32_t connection, int fd[CLIENT_CHANNELS]);
};

struct exec_link {
	const struct exec_link_ops *ops;
	void *state;
};

struct exec_options {
	struct model_options model;	/* `fresh`: each run begins with devices as they start */
	bool shared;		/* connections may reach one device, and change it for each other */
	/*
	 * When to give up a reply that has to come, and how long to look for one that need not; 0
	 * for a link that knows at once that nothing will come.
	 */
	int32_t long_ms;
	int32_t short_ms;
	uint32_t answers;	/* so many requests of the server are answered in a run; 0 = all */
	bool stop;		/* at the first finding */
	bool keep;		/* descriptors: see arena.h */
	bool guard;		/* canaries where something was unmapped: see exec_guard.c */
};

/* A finding and where it belongs: the step that sent the command; the last one, if none did. */
struct exec_finding {
	struct model_finding what;
	uint32_t step;
	uint32_t connection;
};

#define EXEC_FINDINGS 64	/* that are kept; all are counted */

struct exec;

/*
 * Something that runs programs, one after the other, each from the beginning: with connections,
 * models and descriptors of its own. `link` and `options` are copied; the link's state stays the
 * caller's. 0 and *out, to be freed by exec_free; -ENOMEM.
 */
int exec_new(const struct exec_link *link, const struct exec_options *options, struct exec **out);
void exec_free(struct exec *exec);

/*
 * Tells `verdict` of all that happens from now on; it stays the caller's. NULL = nobody, which is
 * the default and costs nothing.
 */
void exec_tell(struct exec *exec, struct verdict *verdict);

/* Makes a run that is under way end at the next step; may be called by a signal handler. */
void exec_interrupt(struct exec *exec);

/*
 * Runs a program that program_fix has seen. Connection 0 is made at the beginning; at the end all
 * that has to be answered is waited for and all connections are closed. Returns the number of
 * findings; -errno when this side could not do its part (connection 0 not made: what connect
 * said; -ENOMEM, -EMFILE), which says nothing about the server.
 */
int64_t exec_run(struct exec *exec, const struct program *program);

/* Number of findings of the last run; fills *out with number `index` if it was kept. */
uint32_t exec_findings(const struct exec *exec, uint32_t index, struct exec_finding *out);

/* A server did not answer in time, though the connection stayed (long_ms), in the last run. */
bool exec_hung(const struct exec *exec);

/* The step at which the server first left or did not answer in the last run, else the last one. */
uint32_t exec_stuck(const struct exec *exec);

/* Messages that were sent and that were received in the last run. */
void exec_counts(const struct exec *exec, uint64_t *sent, uint64_t *received);

/* The link over sockets: each connection a client of the server at `path`. */
struct exec_sockets;

/* 0 and *out, to be freed by exec_sockets_free when no exec uses it any more; -ENOMEM. */
int exec_sockets_new(const char *path, int timeout_ms, struct exec_sockets **out);
/* The same, where each connection is a socket that `dial` has connected, or -errno. */
int exec_sockets_dialled(int (*dial)(void *arg), void *arg, struct exec_sockets **out);
void exec_sockets_free(struct exec_sockets *sockets);
struct exec_link exec_sockets_link(struct exec_sockets *sockets);

#endif
