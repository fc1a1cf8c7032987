/* SPDX-License-Identifier: BSD-3-Clause */
/* pri_poc.c - see pri.h: page requests in the poc dialect, one at a time. */
#include <errno.h>

#include "fault.h"
#include "pri_group.h"

/* Nothing depends on it: not whether it comes, nor what it says. */
static void poc_acknowledged(struct session_request *request, int error, const struct msg *msg)
{
	struct pri *pri = request->owner;

	(void)msg;
	pri->failed = pri->failed || (error && fault_on(FAULT_poc_error_reply_is_final));
}

static uint32_t poc_pasid(uint32_t space)
{
	return space ? space - 1 : WIRE_POC_NO_PASID;
}

int pri_poc_post(struct pri *pri, const struct pri_request *request)
{
	const struct wire_page_range *range = &request->range[0];
	const struct wire_dma_access head = { range->address, range->size };
	const uint32_t tail[] = { range->perm, poc_pasid(request->space) };

	_Static_assert(sizeof(head) + sizeof(tail) == sizeof(struct wire_poc_page),
		       "a page request has both parts");
	session_give_up(pri->session, &pri->poc);
	pri->poc = (struct session_request){
		.command = WIRE_POC_PAGE_REQUEST,
		.answered = poc_acknowledged,
		.owner = pri,
	};
	return session_send(pri->session, &pri->poc, &head, tail, sizeof(tail));
}

/* The one group that there may be, or NULL. */
static struct pri_group *poc_group(struct pri *pri)
{
	for (uint32_t i = 0; i < PRI_CAPACITY; i++) {
		if (pri->group[i].state != PRI_FREE)
			return &pri->group[i];
	}
	return NULL;
}

static int poc_complete(struct pri *pri, const struct wire_poc_page *page)
{
	struct pri_group *group = poc_group(pri);
	uint32_t wanted;

	if (!group)
		return -ENOENT;
	if (page->address != group->asked.address || page->count != group->asked.size ||
	    page->pasid != poc_pasid(group->space)) {
		if (fault_on(FAULT_poc_wrong_completion_ends_it))
			pri_tell(pri, group, -EIO);
		return -EINVAL;
	}
	wanted = group->asked.perm & ~page->flags;
	if (group->state == PRI_EXPIRED) {
		pri_free(pri, group);
		return -ENOENT;
	}
	pri_tell(pri, group, wanted ? -EFAULT : 0);
	pri_free(pri, group);
	return wanted ? -EACCES : 0;
}

int pri_completion(void *owner, struct msg *msg, struct session_reply *reply)
{
	struct pri *pri = owner;
	struct wire_poc_page page;
	int error = -EINVAL;

	(void)reply;
	if (!pri->known || !pri->session->limits.viommu.poc)
		return -ENOSYS;
	if (msg->size == sizeof(page)) {
		msg_read(msg, &page, sizeof(page));
		error = poc_complete(pri, &page);
	}
	pri->ops->responded(pri->owner, !error);
	return error;
}
