/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * measure.c - how many programs of the generator's own mix run in a second, and what they do.
 *
 *	measure [PROGRAMS [MESSAGES [SEED [with|without]]]]
 *
 * The last word leaves only programs that offer the vIOMMU extension, or only others.
 * Programs are made in advance, a few thousand of them, and run in turns, so that the time is that
 * of running and judging; what making them costs is told beside it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "generate.h"
#include "pack.h"
#include "runner.h"
#include "wire_ext.h"

#define MEASURE_KEPT 2048u

/* A program, packed. */
struct measure_input {
	uint8_t *bytes;
	size_t size;
};

static struct program measure_program;
static uint8_t measure_bytes[PACK_SIZE];
static struct measure_input measure_inputs[MEASURE_KEPT];

static double measure_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static bool measure_offers(const struct program *program)
{
	return memmem(program->bytes, program->nbytes, WIRE_CAP_VIOMMU,
		      sizeof(WIRE_CAP_VIOMMU) - 1);
}

/* Makes one, and keeps it; false without memory. */
static bool measure_make(struct generate *generate, uint32_t messages, const char *which,
			 struct measure_input *out)
{
	int size;

	do
		generate_program(generate, &measure_program, messages);
	while (which && measure_offers(&measure_program) != (strcmp(which, "with") == 0));
	size = pack_program(&measure_program, measure_bytes, sizeof(measure_bytes));
	out->bytes = size > 0 ? malloc((size_t)size) : NULL;
	out->size = size > 0 ? (size_t)size : 0;
	for (size_t i = 0; out->bytes && i < out->size; i++)
		out->bytes[i] = measure_bytes[i];
	return out->bytes;
}

static void measure_print(double seconds, double making)
{
	const struct runner_mix *mix = runner_mix();
	double n = (double)mix->programs;

	printf("%.0f programs/s of CPU time (%.1f us each, %.1f us to make one)\n", n / seconds,
	       seconds / n * 1e6, making * 1e6);
	printf("past VERSION %.1f %%, DMA_MAP with a descriptor %.1f %%, accepted %.1f %%\n",
	       100 * (double)mix->negotiated / n, 100 * (double)mix->passing / n,
	       100 * (double)mix->mapped / n);
	printf("with the vIOMMU extension %.1f %%, page requests %.2f, responses %.2f\n",
	       100 * (double)mix->extended / n, (double)mix->pages / n,
	       (double)mix->responses / n);
	printf("messages sent %.2f, received %.2f, of these errors %.2f, each\n",
	       (double)mix->sent / n, (double)mix->received / n, (double)mix->refused / n);
}

int main(int argc, char **argv)
{
	unsigned long programs = argc > 1 ? strtoul(argv[1], NULL, 10) : 100000;
	unsigned long messages = argc > 2 ? strtoul(argv[2], NULL, 10) : 4;
	struct generate generate;
	double start = measure_seconds(), making;

	generate_seed(&generate, argc > 3 ? strtoull(argv[3], NULL, 10) : 1);
	for (uint32_t i = 0; i < MEASURE_KEPT; i++) {
		if (!measure_make(&generate, (uint32_t)messages, argc > 4 ? argv[4] : NULL,
				  &measure_inputs[i]))
			return 3;
	}
	making = (measure_seconds() - start) / MEASURE_KEPT;
	start = measure_seconds();
	for (unsigned long i = 0; i < programs; i++) {
		const struct measure_input *input = &measure_inputs[i % MEASURE_KEPT];

		pack_parse(&measure_program, input->bytes, input->size);
		runner_run(&measure_program);
	}
	measure_print(measure_seconds() - start, making);
	for (uint32_t i = 0; i < MEASURE_KEPT; i++)
		free(measure_inputs[i].bytes);
	return 0;
}
