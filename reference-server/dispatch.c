/* SPDX-License-Identifier: BSD-3-Clause */
/* dispatch.c - see dispatch.h. */
#include "dispatch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fault.h"
#include "log.h"

static const struct dispatch_command *dispatch_find(const struct dispatch *dispatch,
						    uint16_t number)
{
	if (number >= dispatch->count || !dispatch->commands[number].name)
		return NULL;
	return &dispatch->commands[number];
}

static int dispatch_check(const struct dispatch *dispatch, const struct msg *msg,
			  const struct dispatch_command *command)
{
	if (msg->fds_lost && !fault_on(FAULT_lost_fds_go_unnoticed))
		return -EMFILE;
	if ((msg->header.flags & WIRE_TYPE_MASK) != WIRE_TYPE_COMMAND &&
	    !fault_on(FAULT_type_is_ignored))
		return -EINVAL;
	if (!command)
		return -ENOSYS;
	if (!command->handler || (command->phase != dispatch->session->phase &&
				  !fault_on(FAULT_phase_is_ignored)))
		return -EINVAL;
	if (msg->size < command->min_size || msg->size > command->max_size)
		return -EINVAL;
	if (msg->count > command->max_fds || msg->count > dispatch->max_msg_fds)
		return -EINVAL;
	return 0;
}

static void dispatch_answer(struct session_reply *reply, const struct msg *msg, int error)
{
	struct wire_header header = {
		.id = msg->header.id,
		.command = msg->header.command,
		.flags = WIRE_TYPE_REPLY,
	};
	bool silent = msg->header.flags & WIRE_NO_REPLY;

	if (fault_on(FAULT_id_is_a_byte))
		header.id &= 0xff;
	if (fault_on(FAULT_id_of_the_first_in_the_queue) && reply->start)
		memcpy(&header.id, transport_at(reply->transport, 0), sizeof(header.id));
	if (fault_on(error ? FAULT_no_reply_error_is_sent : FAULT_no_reply_success_is_sent))
		silent = false;
	if (silent) {
		session_reply_drop(reply);
		return;
	}
	if (error) {
		session_reply_clear(reply);
		header.flags |= fault_on(FAULT_error_bit_is_forgotten) ? 0 : WIRE_ERROR;
		header.error = (uint32_t)(fault_on(FAULT_errno_is_negative) ? error : -error);
		if (fault_on(FAULT_error_reply_with_body))
			session_reply_put(reply, msg->body, msg->size);
	}
	session_reply_commit(reply, header);
	if (error && fault_on(FAULT_errors_are_sent_twice)) {
		session_reply_begin(reply, reply->session);
		session_reply_commit(reply, header);
	}
}

void dispatch_resume(const struct dispatch *dispatch)
{
	struct msg *msg = dispatch->session->deferred;

	dispatch->session->deferred = NULL;
	dispatch_message(dispatch, msg);
}

/* Whether the message was a reply; then it is dealt with. */
static bool dispatch_reply(const struct dispatch *dispatch, struct msg *msg, bool twin)
{
	if ((msg->header.flags & WIRE_TYPE_MASK) != WIRE_TYPE_REPLY)
		return false;
	session_take_reply(dispatch->session, twin, msg);
	if (!twin && fault_on(FAULT_replies_are_answered))
		return false;
	msg_free(msg);
	return true;
}

void dispatch_twin(const struct dispatch *dispatch, struct msg *msg)
{
	struct session_reply reply;

	if (dispatch_reply(dispatch, msg, true))
		return;
	session_reply_begin_twin(&reply, dispatch->session);
	dispatch_answer(&reply, msg, -EINVAL);
	msg_free(msg);
}

void dispatch_message(const struct dispatch *dispatch, struct msg *msg)
{
	const struct dispatch_command *command = dispatch_find(dispatch, msg->header.command);
	struct session_reply reply;
	int error;

	if (dispatch_reply(dispatch, msg, false))
		return;
	for (volatile int i = 0; fault_on(FAULT_command_costs_a_sweep) && i < 4096; i++)
		continue;
	if (msg->count > dispatch->max_msg_fds && fault_on(FAULT_surplus_fds_crash))
		abort();
	if (command && msg->count > command->max_fds && fault_on(FAULT_surplus_fds_stay_open))
		msg->count = command->max_fds;
	session_reply_begin(&reply, dispatch->session);
	error = dispatch_check(dispatch, msg, command);
	if (!error)
		error = command->handler(dispatch->owners[command->owner], msg, &reply);
	if (!error)
		error = reply.error;
	if (error == -EINPROGRESS) {
		session_reply_drop(&reply);
		dispatch->session->deferred = msg;
		return;
	}
	if (error) {
		log_debug("%s (%u) refused: %s", command ? command->name : "unknown command",
			  msg->header.command, strerror(-error));
		session_advance(dispatch->session, SESSION_REFUSED);
		if (!command && fault_on(FAULT_unknown_command_ends_the_session))
			session_advance(dispatch->session, SESSION_BROKEN);
	}
	dispatch_answer(&reply, msg, error);
	if (error && fault_on(FAULT_refusals_forget_a_record))
		fault_forget(512);
	if (error && fault_on(FAULT_refused_fds_stay_open))
		msg->count = 0;
	msg_free(msg);
}
