/* SPDX-License-Identifier: BSD-3-Clause */
/* exec_fixture.h - an exec over a server in memory, and what is asked of it. */
#ifndef EXEC_FIXTURE_H
#define EXEC_FIXTURE_H

#include "fake_link.h"

struct fixture {
	struct fake fake;
	struct exec *exec;
	struct program *program;
	struct exec_options options;
};

static inline int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	f->fake.twin = -1;
	f->program = calloc(1, sizeof(*f->program));
	*state = f;
	return f->program ? 0 : -1;
}

static inline int tear_down(void **state)
{
	struct fixture *f = *state;

	exec_free(f->exec);
	if (f->fake.twin >= 0)
		close(f->fake.twin);
	free(f->program);
	free(f);
	return 0;
}

/* Runs a program; the number of findings. */
static inline int64_t run(struct fixture *f, const char *text)
{
	const struct exec_link link = { &fake_ops, &f->fake };
	struct text_error error;

	if (text_parse(f->program, text, strlen(text), &error))
		fail_msg("line %u: %s", error.line, error.text);
	if (!f->exec)
		assert_int_equal(exec_new(&link, &f->options, &f->exec), 0);
	f->fake.sends = 0;
	return exec_run(f->exec, f->program);
}

static inline void assert_found(struct fixture *f, uint32_t index, const char *code, uint32_t step)
{
	struct exec_finding finding = { .what.code = "none" };

	assert_true(exec_findings(f->exec, index, &finding) > index);
	assert_string_equal(finding.what.code, code);
	assert_int_equal(finding.step, step);
}

static inline struct wire_header sent(const struct fixture *f, uint32_t index)
{
	struct wire_header header;

	assert_true(f->fake.sends > index);
	memcpy(&header, f->fake.send[index].bytes, sizeof(header));
	return header;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
