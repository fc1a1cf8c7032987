/* SPDX-License-Identifier: BSD-3-Clause */
/* Unit tests of verdict: words, gates, signatures, and what a listing holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "text.h"
#include "verdict.h"
#include "wire.h"

static const char text[] =
	"version()\n"
	"dma_unmap(address=0x10000, size=0x1000)\n"
	"device_get_info() (repeat: 100)\n";

struct fixture {
	struct program *program;
	struct verdict *verdict;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct text_error error;

	if (!f)
		return -1;
	*state = f;
	f->program = calloc(1, sizeof(*f->program));
	if (!f->program || text_parse(f->program, text, strlen(text), &error))
		return -1;
	return verdict_new(f->program, VERDICT_MUST, &f->verdict);
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	verdict_free(f->verdict);
	free(f->program);
	free(f);
	return 0;
}

/* The listing, or the JSON; to be freed. */
static char *printed(const struct verdict *verdict, bool json)
{
	char *out = NULL;
	size_t size;
	FILE *file = open_memstream(&out, &size);

	assert_non_null(file);
	if (json)
		verdict_json(verdict, "a \"name\"", file);
	else
		verdict_print(verdict, false, file);
	assert_int_equal(fclose(file), 0);
	return out;
}

static void assert_has(const char *where, const char *what)
{
	if (!strstr(where, what))
		fail_msg("no '%s' in:\n%s", what, where);
}

static struct model_finding finding(const char *code, const char *requirement, uint16_t command)
{
	struct model_finding out;

	verdict_finding(&out, code, requirement, command, "allowed: error; came: success");
	return out;
}

static void every_requirement_has_a_clause(void **state)
{
	const struct verdict_clause *clause = verdict_clause("dma-unmap-003");

	(void)state;
	assert_true(verdict_nclauses > 200);
	assert_non_null(clause);
	assert_string_equal(clause->id, "DMA-UNMAP-003");
	assert_string_equal(clause->level, "MUST");
	assert_has(clause->heading, "VFIO_USER_DMA_UNMAP");
	assert_null(verdict_clause("DMA-UNMAP"));
}

static void codes_have_a_meaning(void **state)
{
	(void)state;
	assert_string_equal(verdict_code("reply.missing"), "no reply came");
	assert_non_null(verdict_code("envelope.flags"));
	assert_null(verdict_code("reply.missin"));
	for (size_t i = 0; verdict_code_at(i); i++)
		assert_non_null(verdict_code(verdict_code_at(i)));
}

static void the_gate_decides_by_level(void **state)
{
	const struct model_finding must = finding("reply.field", "DMA-UNMAP-003", 3);
	const struct model_finding should = finding("reply.field", "HDR-ERR-003", 3);
	const struct model_finding crash = finding("server.crash", "HDR-ERR-003", 0);
	const struct model_finding ours = finding("effect", "", 0);

	(void)state;
	assert_true(verdict_fails(&must, VERDICT_MUST));
	assert_false(verdict_fails(&should, VERDICT_MUST));
	assert_true(verdict_fails(&should, VERDICT_SHOULD));
	assert_true(verdict_fails(&crash, VERDICT_MUST));
	assert_true(verdict_fails(&ours, VERDICT_MUST));
}

static void signatures_are_of_three_parts(void **state)
{
	const struct model_finding named = finding("reply.field", "DMA-UNMAP-003", WIRE_DMA_UNMAP);
	const struct model_finding number = finding("reply.field", "", 999);
	const struct model_finding none = finding("server.crash", "", 0);
	char out[128];

	(void)state;
	verdict_signature(&named, out, sizeof(out));
	assert_string_equal(out, "reply.field DMA-UNMAP-003 dma_unmap");
	verdict_signature(&number, out, sizeof(out));
	assert_string_equal(out, "reply.field - -");
	verdict_signature(&none, out, sizeof(out));
	assert_string_equal(out, "server.crash - -");
}

/* Something came for a step: an error with that number, or a success without payload. */
static void come(struct verdict *verdict, uint32_t step, uint16_t command, uint32_t error)
{
	const struct wire_header header = {
		.id = 1,
		.command = command,
		.msg_size = sizeof(header),
		.flags = WIRE_TYPE_REPLY | (error ? WIRE_ERROR : 0),
		.error = error,
	};
	const struct model_message message = { .header = &header, .body = (const uint8_t *)"" };

	verdict_came(verdict, step, &message);
}

static void a_listing_is_a_program(void **state)
{
	struct fixture *f = *state;
	const struct model_expect expect = {
		.error = true,
		.requirement = "DMA-UNMAP-003",
		.why = "no mapping begins there",
	};
	struct program *again = calloc(1, sizeof(*again));
	struct text_error error;
	char *out;

	assert_non_null(again);
	verdict_allowed(f->verdict, 1, &expect);
	come(f->verdict, 1, WIRE_DMA_UNMAP, 2);
	for (int i = 0; i < 100; i++)
		come(f->verdict, 2, WIRE_DEVICE_RESET, i % 2 ? 22 : 0);
	out = printed(f->verdict, false);
	assert_has(out, "allowed: error (no mapping begins there; DMA-UNMAP-003)");
	assert_has(out, "came:    error ENOENT");
	assert_has(out, "100 messages in all: 50 successes, 50 errors, 0 requests");
	assert_has(out, "verdict: PASS\n");
	*strstr(out, "verdict:") = '\0';
	assert_int_equal(text_parse(again, out, strlen(out), &error), 0);
	assert_true(program_equal(again, f->program));
	assert_int_equal(verdict_word(f->verdict), VERDICT_PASS);
	free(out);
	free(again);
}

static void a_failure_says_what_and_which_clause(void **state)
{
	struct fixture *f = *state;
	const struct model_finding found =
		finding("reply.unexpected-success", "DMA-UNMAP-003", WIRE_DMA_UNMAP);
	char *out;

	verdict_found(f->verdict, 1, &found);
	verdict_found(f->verdict, 1, &found);
	verdict_attach(f->verdict, "What it has written", "panic!");
	assert_int_equal(verdict_word(f->verdict), VERDICT_FAIL);
	out = printed(f->verdict, false);
	assert_has(out, "1. reply.unexpected-success: a success came where an error is due");
	assert_has(out, "   sent      dma_unmap(address=0x10000, size=0x1000)");
	assert_has(out, "   seen      allowed: error; came: success");
	assert_has(out, "   clause    DMA-UNMAP-003, a MUST of the specification");
	assert_has(out, "must match one earlier map exactly");
	assert_has(out, "   and 1 more with this signature");
	assert_has(out, "What it has written:\n\npanic!\n");
	assert_has(out, "verdict: FAIL (2 findings, 1 different)\n");
	free(out);
}

static void below_the_gate_is_no_failure(void **state)
{
	struct fixture *f = *state;
	const struct model_finding found = finding("envelope.errno-on-success", "HDR-ERR-003", 3);

	verdict_found(f->verdict, 1, &found);
	assert_int_equal(verdict_word(f->verdict), VERDICT_DEVIATES);
}

static void a_run_that_was_none_says_why(void **state)
{
	struct fixture *f = *state;
	char *out;

	verdict_none(f->verdict, VERDICT_SKIP, "there is no device");
	assert_int_equal(verdict_word(f->verdict), VERDICT_SKIP);
	assert_string_equal(verdict_why(f->verdict), "there is no device");
	out = printed(f->verdict, false);
	assert_has(out, "verdict: SKIP (there is no device)\n");
	free(out);
}

static void findings_beyond_the_bound_are_counted(void **state)
{
	struct fixture *f = *state;
	const struct model_finding found = finding("reply.field", "DMA-UNMAP-003", 3);
	struct model_finding last = { .code = "untouched" };

	for (int i = 0; i < 1000; i++)
		verdict_found(f->verdict, UINT32_MAX, &found);
	assert_int_equal(verdict_findings(f->verdict, 999, &last), 1000);
	assert_string_equal(last.code, "untouched");
	assert_int_equal(verdict_findings(f->verdict, 0, &last), 1000);
	assert_string_equal(last.code, "reply.field");
}

static void json_has_everything(void **state)
{
	struct fixture *f = *state;
	const struct model_finding found = finding("reply.field", "DMA-UNMAP-003", 3);
	char *out;

	come(f->verdict, 0, WIRE_DEVICE_RESET, 22);
	verdict_found(f->verdict, 1, &found);
	out = printed(f->verdict, true);
	assert_has(out, "{\"program\": \"a \\\"name\\\"\", \"verdict\": \"FAIL\"");
	assert_has(out, "\"signature\": \"reply.field DMA-UNMAP-003 dma_unmap\"");
	assert_has(out, "\"index\": 1, \"line\": 2}");
	assert_has(out, "\"errors\": 1, \"requests\": 0, \"lines\": [\"came:    error EINVAL\"]");
	free(out);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_requirement_has_a_clause),
		cmocka_unit_test(codes_have_a_meaning),
		cmocka_unit_test(the_gate_decides_by_level),
		cmocka_unit_test(signatures_are_of_three_parts),
		TEST(a_listing_is_a_program),
		TEST(a_failure_says_what_and_which_clause),
		TEST(below_the_gate_is_no_failure),
		TEST(a_run_that_was_none_says_why),
		TEST(findings_beyond_the_bound_are_counted),
		TEST(json_has_everything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
