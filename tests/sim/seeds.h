/*
 * seeds.h - the common main() of the simulations: many seeds, planted bugs, the command that repeats
 *
 * usage: PROGRAM [--seed N] [--count M] [--jobs J] [--plant NAME] [--log 1]
 *
 * Seeds run in child processes of SEEDS_CHUNK each, as a simulated crash frees nothing; J of them at
 * a time. A failing seed, also one in which an assertion trips, prints what is wrong and the one
 * command that repeats it. With --plant a deliberate bug (tests/sim/mutants) is switched on, and the
 * exit code is 0 only if a seed finds it.
 */
#ifndef OSTLER_TESTS_SIM_SEEDS_H
#define OSTLER_TESTS_SIM_SEEDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SEEDS_CHUNK = 100, SEEDS_JOBS_MAX = 64 };

struct seeds_plant {
	const char *name;
	unsigned bit;
};

struct seeds_program {
	/* One history; returns what is wrong, or NULL. Says what happens if `log`. */
	const char *(*run)(uint64_t seed, unsigned planted, bool log);
	const struct seeds_plant *plants;
	size_t plant_count;
};

/* Returns the exit code of main(). */
int seeds_main(int argc, char **argv, const struct seeds_program *program);

#endif
