/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * explore_judge.h - shows the model of the harness (model.h, and envelope.h) what goes over the
 * sockets of the explored client, and takes what it finds for violations: explore_violation().
 *
 * The watch (explore_watch.h) knows the scenario, and so what has to come; the model knows the
 * protocol, and so what each message has to look like.
 */
#ifndef EXPLORE_JUDGE_H
#define EXPLORE_JUDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "message.h"

/* A new connection, which will have a twin socket or not. The model is made once. */
void judge_begin(bool twin);

/* So many bytes go out; `file`: and with the first of them the file of memory. */
void judge_sends(uint32_t channel, const void *bytes, size_t size, bool file);

/* This came. */
void judge_came(const struct message *message);

/* Time has passed. */
void judge_passed(void);

#endif
