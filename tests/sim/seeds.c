/*
 * seeds.c - many seeds, in child processes (see seeds.h)
 */
#include "sim/seeds.h"

#include "base/num.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

struct seeds_job {
	pid_t pid;      /* 0: free */
	uint64_t *seed; /* shared with the child: the one under way */
};

struct seeds_run {
	const char *name;
	const struct seeds_program *program;
	uint64_t next, end;
	unsigned planted;
	bool log;
	unsigned jobs_max;
	struct seeds_job jobs[SEEDS_JOBS_MAX];
};

static void
seeds_usage(const char *name, const char *what, const char *text)
{
	(void)fprintf(stderr,
		"%s: %s: %s\nusage: %s [--seed N] [--count M] [--jobs J] [--plant NAME] [--log 1]\n",
		name, what, text, name);
	exit(64);
}

static uint64_t
seeds_number(const char *name, const char *text)
{
	uint64_t value = 0;

	if (num_parse_u64(slice_str(text), 0, UINT64_MAX, &value) < 0)
		seeds_usage(name, "not a number", text);
	return value;
}

static unsigned
seeds_plant_find(const struct seeds_run *run, const char *name)
{
	const struct seeds_program *program = run->program;

	for (size_t i = 0; i < program->plant_count; i++)
		if (strcmp(program->plants[i].name, name) == 0)
			return program->plants[i].bit;
	(void)fprintf(stderr, "%s: there are these plants:", run->name);
	for (size_t i = 0; i < program->plant_count; i++)
		(void)fprintf(stderr, " %s", program->plants[i].name);
	(void)fprintf(stderr, "\n");
	seeds_usage(run->name, "no such plant", name);
	return 0;
}

static void
seeds_options(struct seeds_run *run, int argc, char **argv)
{
	uint64_t count = 1;

	run->next = run->jobs_max = 1;
	for (int i = 1; i < argc; i += 2) {
		if (i + 1 == argc)
			seeds_usage(run->name, "option without a value", argv[i]);
		else if (strcmp(argv[i], "--seed") == 0)
			run->next = seeds_number(run->name, argv[i + 1]);
		else if (strcmp(argv[i], "--count") == 0)
			count = seeds_number(run->name, argv[i + 1]);
		else if (strcmp(argv[i], "--jobs") == 0)
			run->jobs_max = (unsigned)seeds_number(run->name, argv[i + 1]);
		else if (strcmp(argv[i], "--log") == 0)
			run->log = seeds_number(run->name, argv[i + 1]) != 0;
		else if (strcmp(argv[i], "--plant") == 0)
			run->planted = seeds_plant_find(run, argv[i + 1]);
		else
			seeds_usage(run->name, "no such option", argv[i]);
	}
	if (run->jobs_max == 0 || run->jobs_max > SEEDS_JOBS_MAX)
		seeds_usage(run->name, "between 1 and 64", "--jobs");
	run->end = run->next + count;
}

/* True: a seed found something, and has said so. */
static bool
seeds_one(const struct seeds_run *run, uint64_t seed)
{
	const char *bug = run->program->run(seed, run->planted, run->log);

	if (bug == NULL)
		return false;
	printf("seed %llu: %s\n", (unsigned long long)seed, bug);
	if (run->planted == 0)
		printf("repeat with: %s --seed %llu\n", run->name, (unsigned long long)seed);
	return true;
}

static void
seeds_start(struct seeds_run *run, struct seeds_job *job)
{
	uint64_t first = run->next, end = num_min_u64(first + SEEDS_CHUNK, run->end);

	run->next = end;
	(void)fflush(stdout);
	job->pid = fork();
	if (job->pid < 0) {
		perror("fork");
		exit(71);
	}
	if (job->pid > 0)
		return;
	for (*job->seed = first; *job->seed < end; ++*job->seed)
		if (seeds_one(run, *job->seed)) {
			(void)fflush(stdout);
			_exit(1);
		}
	_exit(0);
}

/* Waits for one child; true: it found something. */
static bool
seeds_wait(struct seeds_run *run)
{
	int status;
	pid_t pid = waitpid(-1, &status, 0);

	for (unsigned i = 0; i < run->jobs_max; i++) {
		struct seeds_job *job = &run->jobs[i];

		if (job->pid != pid)
			continue;
		job->pid = 0;
		if (WIFEXITED(status) && WEXITSTATUS(status) <= 1)
			return WEXITSTATUS(status) == 1;
		printf("seed %llu: the process died (%s %d)\n", (unsigned long long)*job->seed,
			WIFSIGNALED(status) ? "signal" : "exit code",
			WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
		if (run->planted == 0)
			printf("repeat with: %s --seed %llu\n", run->name,
				(unsigned long long)*job->seed);
		return true;
	}
	return false;
}

static struct seeds_job *
seeds_free_job(struct seeds_run *run)
{
	for (unsigned i = 0; i < run->jobs_max; i++)
		if (run->jobs[i].pid == 0)
			return &run->jobs[i];
	return NULL;
}

static bool
seeds_busy(const struct seeds_run *run)
{
	for (unsigned i = 0; i < run->jobs_max; i++)
		if (run->jobs[i].pid != 0)
			return true;
	return false;
}

/* Until a seed finds something; what runs beside it comes to its end. */
static bool
seeds_all(struct seeds_run *run)
{
	uint64_t *seeds = mmap(NULL, SEEDS_JOBS_MAX * sizeof(*seeds), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	bool found = false;

	if (seeds == MAP_FAILED) {
		perror("mmap");
		exit(71);
	}
	for (unsigned i = 0; i < run->jobs_max; i++)
		run->jobs[i].seed = &seeds[i];
	while (seeds_busy(run) || (run->next < run->end && !found)) {
		struct seeds_job *job = seeds_free_job(run);

		if (job != NULL && run->next < run->end && !found)
			seeds_start(run, job);
		else
			found |= seeds_wait(run);
	}
	(void)munmap(seeds, SEEDS_JOBS_MAX * sizeof(*seeds));
	return found;
}

int
seeds_main(int argc, char **argv, const struct seeds_program *program)
{
	struct seeds_run run = { .name = argv[0], .program = program };
	uint64_t count;
	bool found;

	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	seeds_options(&run, argc, argv);
	count = run.end - run.next;
	found = count == 1 && run.planted == 0 ? seeds_one(&run, run.next) : seeds_all(&run);
	if (run.planted != 0 && !found)
		printf("%llu seeds, planted bug not found\n", (unsigned long long)count);
	else if (!found)
		printf("%llu seeds, nothing found\n", (unsigned long long)count);
	return found == (run.planted != 0) ? 0 : 1;
}
