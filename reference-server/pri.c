/* SPDX-License-Identifier: BSD-3-Clause */
/* pri.c - see pri.h: groups, credit and responses. */
#include "pri.h"

#include <errno.h>
#include <string.h>

#include "clock.h"
#include "fault.h"
#include "pri_group.h"
#include "pri_marker.h"

void pri_init(struct pri *pri)
{
	memset(pri, 0, sizeof(*pri));
	pri->next_cookie = 1;
	pri->old_cookie = 1;
}

void pri_set_owner(struct pri *pri, const struct pri_ops *ops, void *owner)
{
	pri->ops = ops;
	pri->owner = owner;
}

void pri_attach(struct pri *pri, struct session *session)
{
	if (!fault_on(FAULT_poc_request_is_never_retired)) {
		memset(pri->group, 0, sizeof(pri->group));
		pri->used = 0;
	}
	pri->session = session;
	pri->next_cookie = 1;
	pri->given = 0;
	pri->old_cookie = 1;
	pri->old_given = 0;
	pri->first = NULL;
	pri->last = NULL;
	pri_marker_forget(pri);
}

/* --- credit ----------------------------------------------------------------------------------- */

/* The most pages that may be outstanding. */
static uint32_t pri_limit(const struct pri *pri)
{
	uint32_t limit = pri->session ? pri->session->limits.viommu.page_requests : 0;

	if (fault_on(FAULT_credit_is_the_capacity))
		return PRI_CAPACITY;
	if (limit > pri->control.allocation)
		limit = pri->control.allocation;
	return limit < PRI_CAPACITY ? limit : PRI_CAPACITY;
}

static uint32_t pri_credit(const struct pri *pri)
{
	uint32_t limit = pri_limit(pri);

	return limit > pri->used ? limit - pri->used : 0;
}

bool pri_permits(const struct pri *pri, uint32_t space)
{
	const struct pri_control *control = &pri->control;

	if (!control->ats || !control->pri || !control->master || pri->failed || !pri_limit(pri))
		return false;
	return !space ||
	       (control->pasid && (space - 1) >> pri->session->limits.viommu.pasid_bits == 0);
}

void pri_free(struct pri *pri, struct pri_group *group)
{
	pri->used -= group->pages;
	*group = (struct pri_group){ .state = PRI_FREE };
}

/* --- the queue -------------------------------------------------------------------------------- */

static void pri_enqueue(struct pri *pri, struct pri_request *request)
{
	request->state = PRI_QUEUED;
	request->next = NULL;
	if (pri->first)
		pri->last->next = request;
	else
		pri->first = request;
	pri->last = request;
}

static void pri_dequeue(struct pri *pri, struct pri_request *request)
{
	struct pri_request **link = &pri->first, *before = NULL;

	while (*link != request) {
		before = *link;
		link = &before->next;
	}
	*link = request->next;
	if (pri->last == request)
		pri->last = before;
	request->state = PRI_IDLE;
}

int pri_ask(struct pri *pri, struct pri_request *request)
{
	if (!pri_permits(pri, request->space))
		return -ENOENT;
	pri_enqueue(pri, request);
	return 0;
}

void pri_withdraw(struct pri *pri, struct pri_request *request)
{
	if (request->state == PRI_QUEUED)
		pri_dequeue(pri, request);
	for (uint32_t i = 0; i < PRI_CAPACITY && request->state == PRI_SENT; i++) {
		if (pri->group[i].request == request)
			pri->group[i].request = NULL;
	}
	request->state = PRI_IDLE;
}

/* The first queued request of this space, or of any; NULL: none. */
static struct pri_request *pri_queued(const struct pri *pri, uint32_t space, bool any)
{
	struct pri_request *request = pri->first;

	while (request && !any && request->space != space)
		request = request->next;
	return request;
}

/* Answers the queued requests of a space, or of all. */
static void pri_drop_queue(struct pri *pri, uint32_t space, bool any, int result)
{
	struct pri_request *request;

	while ((request = pri_queued(pri, space, any)) != NULL) {
		pri_dequeue(pri, request);
		pri->ops->answered(pri->owner, request, result);
	}
}

/* --- groups ----------------------------------------------------------------------------------- */

void pri_tell(struct pri *pri, struct pri_group *group, int result)
{
	struct pri_request *request = group->request;

	group->request = NULL;
	if (!request)
		return;
	request->state = PRI_IDLE;
	pri->ops->answered(pri->owner, request, result);
}

/* Retires the groups of a space, or all. */
static void pri_retire(struct pri *pri, uint32_t space, bool any, int result)
{
	for (uint32_t i = 0; i < PRI_CAPACITY; i++) {
		struct pri_group *group = &pri->group[i];

		if (group->state == PRI_FREE || (!any && group->space != space))
			continue;
		pri_tell(pri, group, result);
		if (any && fault_on(FAULT_credit_is_lost_at_a_reset))
			group->pages = 0;
		if (!any || !fault_on(FAULT_poc_request_is_never_retired))
			pri_free(pri, group);
	}
}

/* What was given out so far is known to be old: its responses are nobody's fault. */
static void pri_forget(struct pri *pri)
{
	if (fault_on(FAULT_old_cookies_are_forgotten))
		return;
	if (fault_on(FAULT_cookies_begin_anew))
		pri->next_cookie = 1;
	pri->old_cookie = pri->next_cookie;
	pri->old_given = pri->given;
}

void pri_stop(struct pri *pri)
{
	pri_retire(pri, 0, true, -EIO);
	pri_forget(pri);
}

/* No group is left, and nobody waits. */
static void pri_end(struct pri *pri)
{
	pri_stop(pri);
	pri_drop_queue(pri, 0, true, -EIO);
}

void pri_reset(struct pri *pri)
{
	pri->failed = false;
	pri_end(pri);
}

/* One with that cookie, outstanding or expired, or NULL. */
static struct pri_group *pri_find(struct pri *pri, uint32_t cookie)
{
	for (uint32_t i = 0; i < PRI_CAPACITY; i++) {
		if (pri->group[i].state != PRI_FREE && pri->group[i].cookie == cookie)
			return &pri->group[i];
	}
	return NULL;
}

static uint32_t pri_make_cookie(struct pri *pri)
{
	while (pri->next_cookie == 0 || pri_find(pri, pri->next_cookie))
		pri->next_cookie++;
	pri->given += pri->given < UINT32_MAX;
	return pri->next_cookie++;
}

/* Cuts the ranges to so many pages; the pages that are left. */
static uint32_t pri_cut(struct pri_request *request, uint32_t credit)
{
	uint32_t pages = 0;

	for (uint32_t i = 0; i < request->count; i++) {
		uint32_t left = credit - pages, wanted = request->range[i].size / PRI_PAGE;

		if (wanted > left)
			request->range[i].size = left * PRI_PAGE;
		pages += wanted < left ? wanted : left;
		if (pages == credit)
			request->count = i + 1;
	}
	return pages;
}

/* Puts the message of a group into the channel. 0, -ENOTCONN or -ENOMEM. */
static int pri_post(struct pri *pri, const struct pri_request *request, uint32_t prgi)
{
	struct {
		struct wire_page_request head;
		struct wire_page_range range[PRI_RANGES];
	} WIRE_PACKED body = {
		.head = {
			.cookie = request->cookie,
			.prgi = (uint16_t)prgi,
			.nr = (uint16_t)request->count,
		},
	};

	if (pri->session->limits.viommu.poc)
		return pri_poc_post(pri, request);
	if (request->space)
		body.head.attr = WIRE_ATTR_PASID_VALID |
				 (request->space - 1) << WIRE_ATTR_PASID_SHIFT;
	if (request->translate_only)
		body.head.attr |= WIRE_PAGE_TRANSLATE_ONLY;
	memcpy(body.range, request->range, request->count * sizeof(body.range[0]));
	return session_post(pri->session, WIRE_PAGE_REQUEST, &body,
			    sizeof(body.head) + request->count * sizeof(body.range[0]), NULL);
}

/* Sends the first of the queue, for which there is credit. False: it has to wait. */
static bool pri_send(struct pri *pri)
{
	struct pri_request *request = pri->first;
	uint32_t prgi = 0, pages = pri_cut(request, pri_credit(pri));

	while (pri->group[prgi].state != PRI_FREE)
		prgi++;
	request->cookie = pri_make_cookie(pri);
	if (pri_post(pri, request, prgi))
		return false;
	pri_dequeue(pri, request);
	request->state = PRI_SENT;
	pri->group[prgi] = (struct pri_group){
		.state = PRI_OUTSTANDING,
		.cookie = request->cookie,
		.space = request->space,
		.pages = pages,
		.asked = request->range[0],
		.deadline = request->timeout ? clock_now() + request->timeout : CLOCK_NEVER,
		.request = request,
	};
	pri->used += pages;
	pri->ops->sent(pri->owner, request);
	return true;
}

/* Answers the queued requests that may not be sent any more, whatever they wait for. */
static void pri_drop_forbidden(struct pri *pri)
{
	struct pri_request *request = pri->first;

	while (request) {
		if (pri_permits(pri, request->space)) {
			request = request->next;
			continue;
		}
		pri_dequeue(pri, request);
		pri->ops->answered(pri->owner, request, -ENOENT);
		request = pri->first;
	}
}

void pri_flush(struct pri *pri)
{
	if (!pri->session)
		return;
	pri_drop_forbidden(pri);
	pri_marker_flush(pri);
	while (!pri->owed_count && pri->first && pri_credit(pri) && pri_send(pri))
		continue;
}

uint64_t pri_expire(struct pri *pri, uint64_t now)
{
	uint64_t next = CLOCK_NEVER;

	for (uint32_t i = 0; i < PRI_CAPACITY && pri->used; i++) {
		struct pri_group *group = &pri->group[i];

		if (group->state != PRI_OUTSTANDING || group->deadline == CLOCK_NEVER)
			continue;
		if (group->deadline > now) {
			next = group->deadline < next ? group->deadline : next;
			continue;
		}
		group->state = PRI_EXPIRED;
		pri->used -= fault_on(FAULT_time_out_returns_credit) ? group->pages : 0;
		pri_tell(pri, group, -ETIMEDOUT);
	}
	return next;
}

/* --- the device's registers ------------------------------------------------------------------- */

void pri_set_control(struct pri *pri, const struct pri_control *control)
{
	pri->control = *control;
}

uint16_t pri_status(const struct pri *pri)
{
	bool stopped = !pri->control.pri && !pri->used;

	return (uint16_t)(pri->status | (stopped ? WIRE_PCI_PRI_STOPPED : 0));
}

void pri_set_status(struct pri *pri, uint16_t status)
{
	pri->status = status & (WIRE_PCI_PRI_RF | WIRE_PCI_PRI_UPRGI);
}

/* --- markers and responses -------------------------------------------------------------------- */

int pri_end_pasid(struct pri *pri, uint32_t pasid, struct session_reply *reply)
{
	int error = pri_marker_post(pri, pasid, reply);

	if (!fault_on(FAULT_all_spares_groups))
		pri_retire(pri, pasid + 1, false, -ECANCELED);
	if (!fault_on(FAULT_all_spares_who_has_no_credit))
		pri_drop_queue(pri, pasid + 1, false, -ECANCELED);
	return error;
}

/* Whether a cookie was given out before groups were last retired. */
static bool pri_is_old(const struct pri *pri, uint32_t cookie)
{
	uint32_t age = pri->old_cookie - cookie;

	return age >= 1 && age <= pri->old_given;
}

/* A response that no outstanding group expects. */
static int pri_refuse(struct pri *pri, struct pri_group *group, uint32_t cookie)
{
	if (group)
		pri_free(pri, group);
	if (pri->control.pri && !(pri->status & WIRE_PCI_PRI_RF) && !pri_is_old(pri, cookie))
		pri->status |= WIRE_PCI_PRI_UPRGI;
	return -ENOENT;
}

static int pri_respond(struct pri *pri, const struct wire_page_response *response)
{
	struct pri_group *group = pri_find(pri, response->cookie);

	if (response->reserved || (response->code != WIRE_PAGE_SUCCESS &&
				   response->code != WIRE_PAGE_INVALID &&
				   response->code != WIRE_PAGE_FAILURE))
		return -EINVAL;
	if (group && fault_on(FAULT_response_is_for_the_first_prgi))
		for (group = pri->group; group->state == PRI_FREE;)
			group++;
	if (!group || (group->state != PRI_OUTSTANDING && !fault_on(FAULT_late_response_is_taken)))
		return pri_refuse(pri, group, response->cookie);
	if (response->code == WIRE_PAGE_FAILURE) {
		pri->status |= WIRE_PCI_PRI_RF;
		pri->failed = true;
		pri_end(pri);
		return 0;
	}
	pri_tell(pri, group, response->code == WIRE_PAGE_SUCCESS ? 0 : -EFAULT);
	pri_free(pri, group);
	return 0;
}

int pri_response(void *owner, struct msg *msg, struct session_reply *reply)
{
	struct pri *pri = owner;
	const struct session_viommu *viommu = &pri->session->limits.viommu;
	struct wire_page_response response;
	int error = -EINVAL;

	(void)reply;
	if (!pri->known)
		return -ENOSYS;
	if (!viommu->version || !viommu->page_requests)
		return -ENOTSUP;
	if (msg->size == sizeof(response)) {
		msg_read(msg, &response, sizeof(response));
		error = pri_respond(pri, &response);
	}
	pri->ops->responded(pri->owner, !error);
	return error;
}
