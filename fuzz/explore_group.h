/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * explore_group.h - the page requests that have come, and what may become of them; part of the
 * watch (explore_watch.h).
 */
#ifndef EXPLORE_GROUP_H
#define EXPLORE_GROUP_H

#include "explore_watch.h"

/* None has come. */
void group_begin(const struct explore_scenario *scenario);

/* By number; NULL if it has not come. */
const struct watch_group *group_get(uint32_t number);

/* The space that an attribute word names. */
uint32_t group_space(uint32_t attr);

/*
 * A page request with ranges: its cookie is new and there is credit for it, not counting pages that
 * are `crossing`.
 */
void group_take(const struct message *m, uint32_t crossing);

/* The reply to a response: whether that may have set UPRGI. */
bool group_answered(const struct explore_step *step, uint32_t error);

/* Groups of a space, or all, are over; `spared`: a late response is nobody's fault. */
void group_retire(bool any, uint32_t space, bool spared);

/* Groups that the device has given up expire. */
void group_expire(void);

/* Pages that are outstanding; whether a group is that has this cookie. */
uint32_t group_pages(void);
bool group_knows(uint32_t cookie);

/* A slot is started; ALL of a space is sent; its reply has come. */
void group_started(uint32_t slot);
void group_ends(uint32_t space);
void group_ended(uint32_t space);

#endif
