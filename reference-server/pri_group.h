/* SPDX-License-Identifier: BSD-3-Clause */
/* pri_group.h - groups, for the files of pri.h that share them; and the poc dialect. */
#ifndef PRI_GROUP_H
#define PRI_GROUP_H

#include "pri.h"

/* Tells who waits for the group, if somebody does. */
void pri_tell(struct pri *pri, struct pri_group *group, int result);

/* The group is over: its credit and its index are free. */
void pri_free(struct pri *pri, struct pri_group *group);

/* Sends a request of one page: 0; -EAGAIN, -ENOTCONN or -ENOMEM. */
int pri_poc_post(struct pri *pri, const struct pri_request *request);

#endif
