/* SPDX-License-Identifier: BSD-3-Clause */
/* main_explain.c - `vuc explain`: what the words of a report mean. */
#include <string.h>
#include <strings.h>

#include "main.h"

static const char main_explain_help[] =
	"usage: vuc explain [ID | PREFIX | CODE]...\n"
	"Says what a requirement of the register holds (DMA-UNMAP-004, or all of DMA-UNMAP),\n"
	"and what a failure code means (reply.missing). Without a word it lists the codes.\n";

static void main_explain_clause(const struct verdict_clause *clause)
{
	printf("%s: level %s, \"%s\" of the specification\n    %s\n", clause->id, clause->level,
	       clause->heading, clause->text);
}

static void main_explain_codes(void)
{
	const char *code;

	for (size_t i = 0; (code = verdict_code_at(i)); i++)
		printf("%-26s%s\n", code, verdict_code(code));
}

static int main_explain_one(const char *word)
{
	const char *meaning = verdict_code(word);
	size_t found = 0;

	if (meaning) {
		printf("%s: %s\n", word, meaning);
		return MAIN_PASS;
	}
	for (size_t i = 0; i < verdict_nclauses; i++) {
		const struct verdict_clause *clause = &verdict_clauses[i];
		size_t length = strlen(word);

		if (strncasecmp(clause->id, word, length) != 0 ||
		    (clause->id[length] && clause->id[length] != '-'))
			continue;
		main_explain_clause(clause);
		found++;
	}
	return found ? MAIN_PASS : main_error("%s is no requirement and no code", word);
}

int main_explain(const struct main_call *call)
{
	int result = MAIN_PASS;

	if (call->argc > 1 && strcmp(call->argv[1], "--help") == 0) {
		fputs(main_explain_help, stdout);
		return MAIN_PASS;
	}
	if (call->argc == 1)
		main_explain_codes();
	for (int i = 1; i < call->argc; i++) {
		int one = main_explain_one(call->argv[i]);

		result = one ? one : result;
	}
	return result;
}
