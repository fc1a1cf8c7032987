/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pri.h - what the device asks of the client's IOMMU: page requests, and stop markers
 * ("VFIO_USER_PAGE_REQUEST" and "VFIO_USER_PAGE_RESPONSE" of viommu.rst).
 *
 * An operation that misses pages puts a request into the queue. It is sent, as one group, when
 * there is credit for a page of it at least: each page of a group counts until the client has
 * answered. Who asked is told in pri_ops.answered(), once, unless it has withdrawn its request: a
 * group that was sent then goes on without it. A group for which time is over expires: who asked is
 * told, and the group counts until the response comes. A reset or a stop retires all groups, the
 * end of a PASID those of its space; nothing is left of them.
 *
 * Stop markers tell the end of a PASID's space. Those that the client does not read do not pile up:
 * one that has not been written yet stands for all of its PASID, and holds requests back.
 *
 * In the poc dialect there are no cookies and no markers: one page is outstanding at a time, and
 * its completion is known by address, size and PASID.
 *
 * For one thread. Nothing here waits, and the number of groups has a bound.
 */
#ifndef PRI_H
#define PRI_H

#include <stdbool.h>
#include <stdint.h>

#include "dispatch.h"
#include "wire_ext.h"

/* The most pages that can be outstanding, and so the most groups. */
#define PRI_CAPACITY 64u
#define PRI_PAGE 4096u

/* An operation misses memory at two places at the most. */
#define PRI_RANGES 2u

enum pri_state {
	PRI_IDLE,
	PRI_QUEUED,
	PRI_SENT,
};

/* In memory of who asks, which does not move before it was answered or withdrawn. */
struct pri_request {
	uint32_t space;		/* PASID + 1, or 0 */
	bool translate_only;
	uint32_t timeout;	/* ms for the response; 0: any time */
	uint32_t count;		/* of ranges, at least 1; each has pages */
	struct wire_page_range range[PRI_RANGES];
	enum pri_state state;	/* these three are the module's */
	uint32_t cookie;	/* of the last group */
	struct pri_request *next;
};

struct pri_ops {
	/* The request was sent. */
	void (*sent)(void *owner, struct pri_request *request);
	/*
	 * The request is over: 0: look again; -EFAULT: there is no such page; -ETIMEDOUT; -EIO: no
	 * pages can be requested any more, or the interface was reset; -ECANCELED: the space has
	 * ended; -ENOENT: it was not sent, and can not be any more.
	 */
	void (*answered)(void *owner, struct pri_request *request, int result);
	/* A response has come, good or refused. */
	void (*responded)(void *owner, bool good);
};

/* What the configuration space says. */
struct pri_control {
	bool ats;
	bool pri;
	bool pasid;
	bool master;
	uint32_t allocation;
};

enum pri_group_state {
	PRI_FREE,
	PRI_OUTSTANDING,
	PRI_EXPIRED,
};

/* Its place in the array is its Page Request Group Index. */
struct pri_group {
	enum pri_group_state state;
	uint32_t cookie;
	uint32_t space;
	uint32_t pages;
	struct wire_page_range asked;	/* the first, or only one */
	uint64_t deadline;
	struct pri_request *request;	/* NULL: nobody waits for it */
};

struct pri {
	bool known;		/* the extension is offered to clients */
	struct session *session;
	const struct pri_ops *ops;
	void *owner;
	struct pri_control control;
	uint16_t status;	/* WIRE_PCI_PRI_RF, WIRE_PCI_PRI_UPRGI */
	bool failed;		/* the client has said so; until a reset */
	uint32_t used;		/* pages */
	uint32_t next_cookie;
	uint32_t given;		/* cookies given out, or UINT32_MAX */
	uint32_t old_cookie;	/* next_cookie and `given` when groups were last retired */
	uint32_t old_given;
	struct pri_group group[PRI_CAPACITY];
	struct pri_request *first;	/* the queue */
	struct pri_request *last;
	struct session_request poc;	/* the last one in the poc dialect, until its reply */
	uint64_t *owed;		/* markers by PASID, a bit each; NULL until there are some */
	uint32_t owed_count;
};

/* Nothing is outstanding, all is off, and there is no client. */
void pri_init(struct pri *pri);

/* Who asks; `ops` and `owner` outlive the module. */
void pri_set_owner(struct pri *pri, const struct pri_ops *ops, void *owner);

/*
 * The client has come, or with NULL it has gone: nothing is outstanding, and all credit is there.
 * No request is queued or sent. What the device is set to stays.
 */
void pri_attach(struct pri *pri, struct session *session);

/* The configuration space has changed. */
void pri_set_control(struct pri *pri, const struct pri_control *control);

/* Status, with WIRE_PCI_PRI_STOPPED; and what is left of it. */
uint16_t pri_status(const struct pri *pri);
void pri_set_status(struct pri *pri, uint16_t status);

/* The interface is reset: all groups are retired, and requests answered with -EIO. */
void pri_reset(struct pri *pri);

/* The device stops or is reset: all groups are retired; no request is queued or sent. */
void pri_stop(struct pri *pri);

/* Whether a request in this space could be sent, now or when there is credit. */
bool pri_permits(const struct pri *pri, uint32_t space);

/*
 * Queues a request that is idle: pri_flush() sends it. 0, or -ENOENT if it is not permitted.
 * Calls nobody back.
 */
int pri_ask(struct pri *pri, struct pri_request *request);

/* Withdraws a request, if it is not idle; nobody is called back for it any more. */
void pri_withdraw(struct pri *pri, struct pri_request *request);

/*
 * The space of a PASID ends: its groups are retired, its requests answered with -ECANCELED, and a
 * stop marker is sent, if page requests were negotiated. It goes in front of `reply`, which is
 * under construction and empty. 0, or -ENOMEM: no marker can be sent.
 */
int pri_end_pasid(struct pri *pri, uint32_t pasid, struct session_reply *reply);

/* Sends what is queued and has credit, and what could not be sent before. */
void pri_flush(struct pri *pri);

/* Lets groups expire; when the next one will, or CLOCK_NEVER. */
uint64_t pri_expire(struct pri *pri, uint64_t now);

/*
 * Handler of PAGE_RESPONSE. -ENOTSUP if page requests were not negotiated (-ENOSYS where they never
 * are), -EINVAL for a bad form, -ENOENT if no outstanding group has the cookie.
 */
int pri_response(void *owner, struct msg *msg, struct session_reply *reply);

/*
 * Handler of the command that completes a page request in the poc dialect. -ENOSYS where that is
 * not spoken; -ENOENT if nothing is outstanding, -EINVAL if it is something else or for a bad form;
 * -EACCES if a right is missing: then the request is over with -EFAULT.
 */
int pri_completion(void *owner, struct msg *msg, struct session_reply *reply);

#endif
