/* SPDX-License-Identifier: BSD-3-Clause */
/* exec_judge.c - what is wrong with what came, and whose fault it is; see exec_state.h. */
#include "exec_state.h"

#include <stdio.h>
#include <string.h>

#include "schema.h"
#include "wire.h"

/*
 * Is it what a server shows that does not put pieces together, whatever command they are of? It
 * refuses the message, or takes the rest of it for others from then on.
 */
static bool exec_is_of_pieces(const struct exec *exec, uint32_t index,
			      const struct model_finding *finding, uint32_t step)
{
	static const char *const codes[] = { "reply.closed", "reply.missing",
					     "envelope.unexpected-reply" };
	const struct program *program = exec->program;

	if (!exec->connection[index].divided)
		return false;
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (strcmp(finding->code, codes[i]) == 0)
			return true;
	return strcmp(finding->code, "reply.unexpected-error") == 0 && step < program->count &&
	       program->step[step].npieces;
}

void exec_blame(struct exec *exec, uint32_t index, const struct model_finding *finding,
		uint32_t step)
{
	struct model_finding found = *finding;
	uint32_t number = exec->findings++;

	if (exec_is_of_pieces(exec, index, finding, step)) {
		found.command = 0;
		snprintf(found.requirement, sizeof(found.requirement), "CONN-SOCK-002");
	}
	if (number < EXEC_FINDINGS)
		exec->kept[number] = (struct exec_finding){ found, step, index };
	if (exec->verdict)
		verdict_found(exec->verdict, step, &found);
}

void exec_blame_text(struct exec *exec, uint32_t index, const char *code, const char *text)
{
	struct model_finding finding;

	verdict_finding(&finding, code, "", 0, text);
	exec_blame(exec, index, &finding, exec->step);
}

uint32_t exec_step_of(const struct exec *exec, uint32_t index, uint16_t id)
{
	const struct exec_connection *c = &exec->connection[index];

	return c->origin[id].run == exec->run ? c->origin[id].step : exec->step;
}

void exec_check_envelope(struct exec *exec, uint32_t index, const struct message *message,
			 uint32_t step)
{
	struct exec_connection *c = &exec->connection[index];
	/* A number that is no command may be anything: what it is does not tell findings apart. */
	uint16_t command = schema_command(message->command) ? message->command : 0;
	struct envelope_violation violation = { .code = "" };
	struct model_finding finding;

	if (c->broke)
		return;
	envelope_received(c->envelope, message);
	while (envelope_violations(c->envelope, c->envelope_taken, &violation) >
	       c->envelope_taken) {
		if (c->envelope_taken++ >= ENVELOPE_KEPT)
			continue;
		verdict_finding(&finding, violation.code, violation.requirement, command,
				violation.text);
		exec_blame(exec, index, &finding, step);
	}
}

/* A program may say of a command that it need not be answered, which a model does not know. */
static bool exec_pardons(const struct exec *exec, const struct model_finding *finding,
			 uint32_t step)
{
	return step < exec->program->count &&
	       exec->program->step[step].properties & PROGRAM_MAYBE &&
	       strcmp(finding->code, "reply.missing") == 0;
}

void exec_take(struct exec *exec, uint32_t index)
{
	struct exec_connection *c = &exec->connection[index];
	struct model_finding finding = { .code = "" };

	while (model_findings(c->model, c->model_taken, &finding) > c->model_taken) {
		uint32_t step = exec_step_of(exec, index, finding.id);

		if (c->model_taken++ < MODEL_KEPT && !exec_pardons(exec, &finding, step))
			exec_blame(exec, index, &finding, step);
	}
}

static void exec_expect_errno(struct exec *exec, uint32_t index, const struct exec_asked *asked,
			      const struct message *message)
{
	const struct program_step *step = &exec->program->step[asked->step];
	struct model_finding finding;
	char text[120];

	if (!step->expect_errno || message->error == step->expect_errno)
		return;
	snprintf(text, sizeof(text), "the program expects error %u; came: error %u",
		 step->expect_errno, message->error);
	verdict_finding(&finding, "reply.errno", "", asked->command, text);
	exec_blame(exec, index, &finding, asked->step);
}

void exec_expect(struct exec *exec, uint32_t index, const struct exec_asked *asked,
		 const struct message *message)
{
	static const char *const wanted[] = {
		[PROGRAM_OK] = "a success",
		[PROGRAM_ERROR] = "an error",
		[PROGRAM_SILENCE] = "no reply",
	};
	enum program_expect expect = exec->program->step[asked->step].expect;
	bool error = message->flags & WIRE_ERROR;
	const char *code = "reply.unexpected";
	struct model_finding finding;
	char text[120];

	if (expect == PROGRAM_ERROR && error)
		exec_expect_errno(exec, index, asked, message);
	/* A connection may be closed with or without a reply before. */
	if (expect == PROGRAM_ANYTHING || expect == PROGRAM_CLOSED ||
	    (expect == PROGRAM_OK && !error) || (expect == PROGRAM_ERROR && error))
		return;
	if (expect == PROGRAM_OK)
		code = "reply.unexpected-error";
	else if (expect == PROGRAM_ERROR)
		code = "reply.unexpected-success";
	if (error)
		snprintf(text, sizeof(text), "the program expects %s; came: error %u",
			 wanted[expect], message->error);
	else
		snprintf(text, sizeof(text), "the program expects %s; came: success",
			 wanted[expect]);
	verdict_finding(&finding, code, "", asked->command, text);
	exec_blame(exec, index, &finding, asked->step);
}

void exec_expect_end(struct exec *exec, uint32_t index)
{
	struct exec_connection *c = &exec->connection[index];

	for (size_t i = c->head; i < c->count; i++) {
		struct exec_asked *asked = &c->asked[i];
		enum program_expect expect = exec->program->step[asked->step].expect;
		struct model_finding finding;

		if (asked->done || asked->aside || expect == PROGRAM_ANYTHING ||
		    expect == PROGRAM_CLOSED)
			continue;
		verdict_finding(&finding, "reply.closed", "", asked->command,
				"the program expects that the connection stays; it was closed");
		exec_blame(exec, index, &finding, asked->step);
	}
}
