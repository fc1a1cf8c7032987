/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * adapter.h - how a server library gets into the same process as our drivers.
 *
 * Whoever has a vfio-user server as a library writes one file with adapter_get(), and links it
 * with the entries of this folder: then the engines see the library's coverage, its sanitizers
 * speak, and a finding can be replayed in one process. The clients are ours and talk over a
 * connected stream socket each, which the library sees as it sees any other. An example for the
 * reference server is adapter_reference.c.
 *
 * It is connect() and step(), and no call that serves a descriptor until its client leaves: so the
 * driver decides when the server has its turn, several clients can be there at a time, and a
 * library that makes its sockets by itself fits in, too.
 *
 * The driver calls all functions from one thread, one after the other, unless the adapter says that
 * the library waits for its clients inside a step (ADAPTER_WAITS): then step() is called again and
 * again from a thread of its own, and connect() from another meanwhile.
 */
#ifndef ADAPTER_H
#define ADAPTER_H

#include <stddef.h>
#include <stdint.h>

/* Changes with anything below; members are only added at the end. */
#define ADAPTER_VERSION 1

enum adapter_flag {
	ADAPTER_WAITS = 1,	/* step() may wait for a client */
};

struct adapter_options {
	uint32_t size;		/* of this structure, as the driver knows it */
	uint32_t connections;	/* at a time that the driver would like; one will do */
};

struct adapter {
	uint32_t version;	/* ADAPTER_VERSION */
	uint32_t size;		/* of this structure, as the adapter knows it */
	const char *name;
	uint32_t flags;		/* enum adapter_flag */

	/* Makes a server, without clients. 0 and *state, or -errno. */
	int (*start)(const struct adapter_options *options, void **state);

	/*
	 * A new client: its end of a connection to the server, the caller's from now on. The server
	 * may have to be stepped before it knows of it. -EBUSY when it takes no more clients.
	 */
	int (*connect)(void *state);

	/*
	 * Does what can be done and returns: 0, or -errno when the server cannot go on. `ms`
	 * milliseconds have passed since the last call, for servers that keep no time of their own;
	 * with ADAPTER_WAITS it is how long to wait, at most, for a client to say something.
	 */
	int (*step)(void *state, uint64_t ms);

	/*
	 * All clients have closed their connections. Brings the server to the state in which it
	 * started, as far as that is possible, so that an input means the same again. 0; -EUCLEAN
	 * if something of the clients is left, which goes as text into `text`; -errno. NULL: none.
	 */
	int (*renew)(void *state, char *text, size_t size);

	/*
	 * Ends the server, which has no clients, when the process exits; step() is not called any
	 * more. A finding ends the process without it. NULL: nothing has to be ended.
	 */
	void (*stop)(void *state);
};

/* The one that is linked. */
const struct adapter *adapter_get(void);

#endif
