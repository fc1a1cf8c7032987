/* SPDX-License-Identifier: BSD-3-Clause */
/* main_fuzz_find.c - what `vuc fuzz` has found: seen again, made small, kept once. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "main_fuzz.h"
#include "minimize.h"

#define MAIN_FUZZ_AGAIN_MS 10	/* for what need not come, where it is waited for every time */
#define MAIN_FUZZ_LISTED 12	/* steps, on the console; a longer program is in its report only */
#define MAIN_FUZZ_PLACE 80	/* bytes of where a server fell */

/* A finding that is looked for, on fresh servers. */
struct main_fuzz_hunt {
	struct main_fuzz *fuzz;
	struct main_server server;
	const char *wanted;
	bool dead;
	struct deadline end;
	struct verdict *verdict;	/* of the last run that was kept, or NULL */
	uint32_t shown;
};

double main_fuzz_seconds(const struct main_fuzz *fuzz)
{
	return (double)(deadline_in(0).at_ns - fuzz->begin_ns - fuzz->aside_ns) / 1e9;
}

bool main_fuzz_dead(const struct verdict *verdict, struct model_finding *out)
{
	uint32_t count = verdict_findings(verdict, UINT32_MAX, NULL);

	*out = (struct model_finding){ .code = "" };
	for (uint32_t i = 0; i < count; i++) {
		verdict_findings(verdict, i, out);
		if (verdict_ends(out->code))
			return true;
	}
	return false;
}

/*
 * Where it fell by its own words: a function, or a place in the source; "" if it says nothing. Of
 * what is too long the end, as paths differ there.
 */
static void main_fuzz_place(const char *text, char *place, size_t size)
{
	static const struct {
		const char *mark;
		const char *before;	/* the place itself, behind the mark on the same line */
		const char *end;
	} words[] = {
		{ "SUMMARY: ", " in ", "\n" },
		{ "panicked at ", "", "\n" },
		{ "Assertion `", "", "'\n" },
	};

	*place = '\0';
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		const char *at = strstr(text, words[i].mark), *inner;
		size_t length;

		if (!at)
			continue;
		at += strlen(words[i].mark);
		inner = strstr(at, words[i].before);
		if (inner && inner < at + strcspn(at, "\n"))
			at = inner + strlen(words[i].before);
		length = strcspn(at, words[i].end);
		while (length && at[length - 1] == ':')
			length--;
		if (length >= size) {
			at += length - (size - 1);
			length = size - 1;
		}
		snprintf(place, size, "%.*s", (int)length, at);
		return;
	}
}

void main_fuzz_death(const struct verdict *verdict, const struct model_finding *finding,
		     uint16_t command, char *name, size_t size)
{
	struct model_finding named = *finding;
	char place[MAIN_FUZZ_PLACE];
	char *text = NULL;
	size_t length;
	FILE *stream = open_memstream(&text, &length);

	if (stream) {
		verdict_print(verdict, true, stream);
		fclose(stream);
	}
	main_fuzz_place(text ? text : "", place, sizeof(place));
	free(text);
	named.command = command;
	verdict_signature(&named, name, size);
	if (*place)
		snprintf(name, size, "%s - %s", finding->code, place);
}

static bool main_fuzz_is_leak(const char *name)
{
	return strncmp(name, "server.leak-fds", 15) == 0;
}

/* Does a verdict have what is looked for? Of a death, or a leak, the code has to be the same. */
static bool main_fuzz_matches(const struct main_fuzz_hunt *hunt, const struct verdict *verdict)
{
	uint32_t count = verdict_findings(verdict, UINT32_MAX, NULL);
	struct model_finding finding;
	char name[MAIN_FUZZ_NAME];

	if (hunt->dead) {
		size_t code = strcspn(hunt->wanted, " ");

		return main_fuzz_dead(verdict, &finding) && strlen(finding.code) == code &&
		       strncmp(finding.code, hunt->wanted, code) == 0;
	}
	finding = (struct model_finding){ .code = "" };
	for (uint32_t i = 0; i < count; i++) {
		verdict_findings(verdict, i, &finding);
		verdict_signature(&finding, name, sizeof(name));
		if (strcmp(name, hunt->wanted) == 0 ||
		    (main_fuzz_is_leak(name) && main_fuzz_is_leak(hunt->wanted)))
			return true;
	}
	return false;
}

/* The name of the leak that a verdict has. */
static void main_fuzz_leak_name(const struct verdict *verdict, char *name, size_t size)
{
	uint32_t count = verdict_findings(verdict, UINT32_MAX, NULL);
	struct model_finding finding = { .code = "" };

	for (uint32_t i = 0; i < count; i++) {
		verdict_findings(verdict, i, &finding);
		if (main_fuzz_is_leak(finding.code))
			verdict_signature(&finding, name, size);
	}
}

/* One run; with `keep` its verdict stays, of those that show it the last, else any. */
static int main_fuzz_try(struct main_fuzz_hunt *hunt, const struct program *program, bool keep)
{
	struct verdict *verdict;
	bool matches;

	if (hunt->fuzz->server.interrupted)
		return -EINTR;
	if (verdict_new(program, hunt->server.gate, &verdict))
		return -ENOMEM;
	main_server_run(&hunt->server, program, verdict);
	matches = main_fuzz_matches(hunt, verdict);
	if (keep && (matches || !hunt->shown)) {
		verdict_free(hunt->verdict);
		hunt->verdict = verdict;
	} else {
		verdict_free(verdict);
	}
	return matches;
}

static int main_fuzz_shows(void *arg, const struct program *program)
{
	struct main_fuzz_hunt *hunt = arg;

	return deadline_left_ms(hunt->end) ? main_fuzz_try(hunt, program, false) : -ETIMEDOUT;
}

/* The runs until the first that shows it, or 0 if none of them does. */
static uint32_t main_fuzz_first(struct main_fuzz_hunt *hunt, const struct program *program)
{
	for (uint32_t run = 1; run <= MAIN_FUZZ_RUNS; run++)
		if (main_fuzz_try(hunt, program, false) > 0)
			return run;
	return 0;
}

/* A signature as the name of a folder. */
static void main_fuzz_folder(const char *signature, char *folder)
{
	size_t n = 0;

	for (; *signature && n < MAIN_FUZZ_NAME - 1; signature++) {
		bool plain = isalnum((unsigned char)*signature) || strchr("_.+-", *signature);

		if (plain || (n && folder[n - 1] != '-'))
			folder[n++] = plain ? *signature : '-';
	}
	folder[n] = '\0';
}

/* Is there one with that signature from a campaign before? */
static bool main_fuzz_kept(const struct main_fuzz *fuzz, const char *signature)
{
	char folder[MAIN_FUZZ_NAME], path[PATH_MAX];

	main_fuzz_folder(signature, folder);
	snprintf(path, sizeof(path), "%s/%s", fuzz->findings, folder);
	return access(path, F_OK) == 0;
}

/* What is a suspicion only, until it is shown with all the time that a server may take. */
static bool main_fuzz_suspected(const char *name)
{
	return strncmp(name, "reply.missing", 13) == 0 || strncmp(name, "server.hang", 11) == 0 ||
	       main_fuzz_is_leak(name);
}

/* fuzz->small becomes the program that shows it, as small as it gets in the time that there is. */
static void main_fuzz_shrink(struct main_fuzz_hunt *hunt)
{
	struct main_fuzz *fuzz = hunt->fuzz;
	uint32_t runs = main_fuzz_first(hunt, fuzz->made);
	struct minimize_options options = {
		.shows = main_fuzz_shows,
		.arg = hunt,
		.wanted = 1,
	};
	struct minimize_result result;

	program_copy(fuzz->small, fuzz->made);
	if (!runs && hunt->dead && fuzz->two) {
		/* It may have taken its time to fall over the one before. */
		runs = main_fuzz_first(hunt, fuzz->before);
		if (runs)
			program_copy(fuzz->small, fuzz->before);
	}
	options.runs = runs > 1 ? MAIN_FUZZ_RUNS : 1;
	if (!main_fuzz_kept(fuzz, hunt->wanted))
		hunt->end = deadline_in((int)fuzz->minimize * 1000);
	/* Whatever ends it, the program is one that shows it. */
	if (runs)
		(void)minimize(fuzz->small, &options, &result);
	else if (main_fuzz_suspected(hunt->wanted))
		return;
	for (uint32_t run = 0; run < MAIN_FUZZ_RUNS; run++)
		hunt->shown += main_fuzz_try(hunt, fuzz->small, true) > 0;
}

static struct main_fuzz_find *main_fuzz_lookup(const struct main_fuzz *fuzz, const char *name)
{
	for (size_t i = 0; i < fuzz->nnames; i++)
		if (fuzz->names[i].find && strcmp(fuzz->names[i].name, name) == 0)
			return fuzz->names[i].find;
	return NULL;
}

bool main_fuzz_is_kept(const struct main_fuzz *fuzz, const char *signature)
{
	return main_fuzz_lookup(fuzz, signature) != NULL;
}

/* How often it was looked for in vain. */
static uint32_t main_fuzz_denied(const struct main_fuzz *fuzz, const char *name)
{
	uint32_t count = 0;

	for (size_t i = 0; i < fuzz->nnames; i++)
		count += !fuzz->names[i].find && strcmp(fuzz->names[i].name, name) == 0;
	return count;
}

/* The name leads to that finding from now on; NULL: it was looked for in vain. */
static int main_fuzz_alias(struct main_fuzz *fuzz, const char *name, struct main_fuzz_find *find)
{
	struct main_fuzz_name *names;

	if (find && main_fuzz_lookup(fuzz, name))
		return 0;
	names = realloc(fuzz->names, (fuzz->nnames + 1) * sizeof(*names));
	if (!names)
		return main_error("out of memory");
	fuzz->names = names;
	snprintf(names[fuzz->nnames].name, MAIN_FUZZ_NAME, "%s", name);
	names[fuzz->nnames++].find = find;
	return 0;
}

/* A string of printable ASCII, as JSON. */
static void main_fuzz_string(const char *text, FILE *out)
{
	fputc('"', out);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fputc('\\', out);
		fputc((unsigned char)*text < 0x20 || (unsigned char)*text > 0x7e ? '?' : *text,
		      out);
	}
	fputc('"', out);
}

static void main_fuzz_json(const struct main_fuzz_find *find, FILE *out)
{
	fputs("{\"signature\": ", out);
	main_fuzz_string(find->signature, out);
	fputs(", \"folder\": ", out);
	main_fuzz_string(find->folder, out);
	fprintf(out, ", \"dead\": %s, \"known\": %s, \"program\": %llu, \"seen\": %llu",
		find->dead ? "true" : "false", find->known ? "true" : "false",
		(unsigned long long)find->program, (unsigned long long)find->seen);
	fprintf(out, ", \"shown\": %u, \"runs\": %d, \"steps\": %u, \"after\": %.1f",
		find->shown, MAIN_FUZZ_RUNS, find->steps, find->after);
}

static FILE *main_fuzz_file(const struct main_fuzz *fuzz, const struct main_fuzz_find *find,
			    const char *name)
{
	char path[PATH_MAX];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s/%s", fuzz->findings, find->folder, name);
	file = fopen(path, "w");
	if (!file)
		main_error("%s: %s", path, strerror(errno));
	return file;
}

static int main_fuzz_write(const struct main_fuzz *fuzz, const struct main_fuzz_find *find,
			   const struct verdict *verdict)
{
	char path[PATH_MAX];
	FILE *report = main_fuzz_file(fuzz, find, "report.txt");
	FILE *json = report ? main_fuzz_file(fuzz, find, "finding.json") : NULL;
	bool ok = json;

	if (report) {
		fprintf(report, "# %s\n# in %u of %d runs on a fresh server; program %llu of "
			"seed %llu\n", find->signature, find->shown, MAIN_FUZZ_RUNS,
			(unsigned long long)find->program, (unsigned long long)fuzz->seed);
		if (verdict)
			verdict_print(verdict, false, report);
		ok = fclose(report) == 0 && ok;
	}
	if (json) {
		main_fuzz_json(find, json);
		fprintf(json, ", \"seed\": %llu", (unsigned long long)fuzz->seed);
		fputs(", \"verdict\": ", json);
		if (verdict)
			verdict_json(verdict, find->folder, json);
		else
			fputs("null", json);
		fputs("}\n", json);
		ok = fclose(json) == 0 && ok;
	}
	snprintf(path, sizeof(path), "%s/%s/program.prog", fuzz->findings, find->folder);
	if (!ok)
		return main_error("%s/%s can not be written", fuzz->findings, find->folder);
	return main_save(path, fuzz->small);
}

/* Makes the folder; one that is there already is of a campaign before, and stays as it is. */
static int main_fuzz_keep(struct main_fuzz *fuzz, struct main_fuzz_find *find,
			  const struct verdict *verdict)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", fuzz->findings, find->folder);
	find->known = mkdir(path, 0777) && errno == EEXIST;
	printf("%s  %s  (in %u of %d runs, %u steps)\n", find->known ? "known" : "new  ",
	       find->signature, find->shown, MAIN_FUZZ_RUNS, find->steps);
	if (!find->known && verdict) {
		verdict_print(verdict, find->steps > MAIN_FUZZ_LISTED, stdout);
		printf("kept in %s (corpus/README.md: how a program is read)\n\n", path);
	}
	fflush(stdout);
	return find->known ? 0 : main_fuzz_write(fuzz, find, verdict);
}

/* The command of the last message, to which a server that died in the end most likely fell. */
static uint16_t main_fuzz_last(const struct program *program)
{
	for (uint32_t i = program->count; i-- > 0;)
		if (program->step[i].op == PROGRAM_SEND)
			return program->step[i].command;
	return 0;
}

/* Under the name that it has now that it is small. */
static int main_fuzz_enter(struct main_fuzz *fuzz, struct main_fuzz_hunt *hunt)
{
	char name[MAIN_FUZZ_NAME];
	struct model_finding finding;
	struct main_fuzz_find *find;

	snprintf(name, sizeof(name), "%s", hunt->wanted);
	if (hunt->dead && hunt->shown && main_fuzz_dead(hunt->verdict, &finding))
		main_fuzz_death(hunt->verdict, &finding, main_fuzz_last(fuzz->small), name,
				sizeof(name));
	else if (hunt->shown && main_fuzz_is_leak(name))
		main_fuzz_leak_name(hunt->verdict, name, sizeof(name));
	find = main_fuzz_lookup(fuzz, name);
	if (!find) {
		find = fuzz->nfinds < MAIN_FUZZ_FINDS ? calloc(1, sizeof(*find)) : NULL;
		if (!find)
			return main_error("no room for another finding");
		fuzz->find[fuzz->nfinds++] = find;
		snprintf(find->signature, sizeof(find->signature), "%s", name);
		main_fuzz_folder(name, find->folder);
		find->dead = hunt->dead;
		find->program = fuzz->number - 1;
		find->shown = hunt->shown;
		find->steps = fuzz->small->count;
		find->after = main_fuzz_seconds(fuzz);
		if (main_fuzz_alias(fuzz, name, find) ||
		    main_fuzz_keep(fuzz, find, hunt->verdict))
			return MAIN_USAGE;
	}
	find->seen++;
	return main_fuzz_alias(fuzz, hunt->wanted, find);
}

int main_fuzz_found(struct main_fuzz *fuzz, const char *signature, bool dead)
{
	struct main_fuzz_find *find = main_fuzz_lookup(fuzz, signature);
	struct main_fuzz_hunt hunt = {
		.fuzz = fuzz,
		.server = fuzz->server,
		.wanted = signature,
		.dead = dead,
	};
	int64_t begin = deadline_in(0).at_ns;
	int error;

	if (find) {
		find->seen++;
		return 0;
	}
	if (main_fuzz_denied(fuzz, signature) >= MAIN_FUZZ_RUNS)
		return 0;
	hunt.server.options.short_ms = MAIN_FUZZ_AGAIN_MS;
	main_fuzz_shrink(&hunt);
	if (!hunt.shown && main_fuzz_suspected(signature))
		error = main_fuzz_alias(fuzz, signature, NULL);
	else
		error = main_fuzz_enter(fuzz, &hunt);
	verdict_free(hunt.verdict);
	fuzz->aside_ns += deadline_in(0).at_ns - begin;
	return error;
}

int main_fuzz_report(const struct main_fuzz *fuzz, int status)
{
	double seconds = main_fuzz_seconds(fuzz);
	FILE *out = fopen(fuzz->report, "w");

	if (!out)
		return main_error("%s: %s", fuzz->report, strerror(errno));
	fputs("{\"fuzzer\": ", out);
	main_fuzz_string(fuzz->name, out);
	fprintf(out, ", \"engine\": \"sockets\", \"exit\": %d, \"seed\": %llu, \"seconds\": %.1f",
		status, (unsigned long long)fuzz->seed, seconds);
	fprintf(out, ", \"programs\": %llu, \"rate\": %.0f, \"skipped\": %llu, \"restarts\": %llu",
		(unsigned long long)fuzz->number, (double)fuzz->number / seconds,
		(unsigned long long)fuzz->skipped, (unsigned long long)fuzz->restarts);
	fprintf(out, ", \"sent\": %llu, \"received\": %llu, \"findings\": [",
		(unsigned long long)fuzz->sent, (unsigned long long)fuzz->received);
	for (size_t i = 0; i < fuzz->nfinds; i++) {
		fputs(i ? ",\n " : "\n ", out);
		main_fuzz_json(fuzz->find[i], out);
		fputc('}', out);
	}
	fputs("]}\n", out);
	return fclose(out) ? main_error("%s: can not be written", fuzz->report) : 0;
}
