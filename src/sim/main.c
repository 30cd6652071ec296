/*
 * main.c - ostler-sim: the scheduler against simulated receivers (docs/man/ostler-sim.1)
 *
 * Exit: 0; 1 if an invariant is broken; 64 (EX_USAGE); 65 (EX_DATAERR) for a bad scenario; 66
 * (EX_NOINPUT) if a file cannot be read; 73 (EX_CANTCREAT) if the picture cannot be written.
 */
#include "base/buf.h"
#include "base/clock.h"
#include "base/num.h"
#include "sim/model.h"
#include "sim/plot.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>

static const char help[] =
	"usage: ostler-sim [--set 'KEY VALUE']... [--plot FILE] [SCENARIO]\n"
	"       ostler-sim --random COUNT [--seed FIRST]\n"
	"\n"
	"Runs the scheduler against simulated receivers and tells how it went.\n"
	"  --set 'LINE'     one more line of the scenario, behind those of the file\n"
	"  --plot FILE      also draws the course as SVG\n"
	"  --random COUNT   so many small scenarios, each drawn from a seed; told when one fails\n"
	"  --seed FIRST     their first seed (1)\n"
	"  --help           this text\n";

enum { EXTRA_MAX = 32, FILE_MAX = 1024 * 1024 };

struct arguments {
	const char *path, *plot;
	const char *extra[EXTRA_MAX];
	size_t extra_count;
	uint64_t random, seed;
};

static int
usage(const char *text, const char *what)
{
	(void)fprintf(stderr, "ostler-sim: %s: %s\n%s", text, what, help);
	return EX_USAGE;
}

static bool
parse(const char *text, uint64_t min, uint64_t max, uint64_t *ret_value)
{
	return num_parse_u64(slice_str(text), min, max, ret_value) == ERR_OK;
}

static int
parse_arguments(int argc, char **argv, struct arguments *ret)
{
	*ret = (struct arguments){ .seed = 1 };
	for (int i = 1; i < argc; i++) {
		const char *word = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
		bool has_value = true;

		if (strncmp(word, "--", 2) != 0) {
			if (ret->path != NULL)
				return usage("one scenario only", word);
			ret->path = word;
			continue;
		}
		if (value == NULL)
			return usage("unknown option, or its value is missing", word);
		if (strcmp(word, "--set") == 0 && ret->extra_count < EXTRA_MAX)
			ret->extra[ret->extra_count++] = value;
		else if (strcmp(word, "--plot") == 0)
			ret->plot = value;
		else if (strcmp(word, "--random") == 0)
			has_value = parse(value, 1, 1000000000, &ret->random);
		else if (strcmp(word, "--seed") == 0)
			has_value = parse(value, 0, UINT64_MAX, &ret->seed);
		else
			return usage("unknown option", word);
		if (!has_value)
			return usage("a number is expected", value);
		i++;
	}
	return 0;
}

static int
read_text(struct scenario *scenario, struct slice text, const char *from)
{
	char error[SCENARIO_ERROR_SIZE];

	if (scenario_read(scenario, text, error) == ERR_OK)
		return 0;
	(void)fprintf(stderr, "ostler-sim: %s: %s\n", from, error);
	return EX_DATAERR;
}

static int
read_file(struct scenario *scenario, const char *path)
{
	FILE *file = fopen(path, "re");
	struct buf text;
	char part[4096];
	size_t len;
	int code;

	if (file == NULL) {
		(void)fprintf(stderr, "ostler-sim: %s: %s\n", path, "cannot be opened");
		return EX_NOINPUT;
	}
	buf_init(&text, FILE_MAX);
	while ((len = fread(part, 1, sizeof(part), file)) > 0)
		buf_add(&text, slice_make(part, len));
	code = ferror(file) != 0 || buf_slice(&text).len >= FILE_MAX
		       ? EX_NOINPUT
		       : read_text(scenario, buf_slice(&text), path);
	if (code == EX_NOINPUT)
		(void)fprintf(stderr, "ostler-sim: %s: cannot be read\n", path);
	(void)fclose(file);
	buf_done(&text);
	return code;
}

/* --- report ----------------------------------------------------------------------------------- */

static double
seconds(uint64_t ns)
{
	return (double)ns / (double)NS_PER_S;
}

static double
percent(uint64_t part, uint64_t whole)
{
	return whole == 0 ? 0 : 100.0 * (double)part / (double)whole;
}

static double
mean_window(const struct course *course)
{
	double sum = 0;

	for (uint32_t i = 0; i < course->count; i++)
		sum += course->points[i].window;
	return course->count == 0 ? 0 : sum / course->count;
}

static void
report(const struct scenario *scenario, const struct model *model, double host_s)
{
	const struct totals *totals = model_totals(model);
	struct rusage usage;

	printf("policy          %s, seed %" PRIu64 "\n",
		scenario->adaptive ? "adaptive" : "classic", scenario->seed);
	printf("messages        %" PRIu64 ", %" PRIu64 " recipients, %" PRIu64 " sites\n",
		totals->messages, totals->recipients, scenario->sites);
	printf("delivered       %" PRIu64 ", expired %" PRIu64 ", given up %" PRIu64 " (%.2f %%)\n",
		totals->delivered, totals->expired, totals->given_up,
		percent(totals->given_up, totals->recipients));
	printf("time            last delivery %.3f s, last end %.3f s; %.1f delivered/s\n",
		seconds(totals->last_delivery_ns), seconds(totals->end_ns),
		totals->last_delivery_ns == 0
			? 0
			: (double)totals->delivered / seconds(totals->last_delivery_ns));
	printf("attempts        %" PRIu64 ", failed %" PRIu64 " (%.2f %%); deferred without one "
	       "%" PRIu64 "; retries %" PRIu64 "\n",
		totals->attempts, totals->failed, percent(totals->failed, totals->attempts),
		totals->suspended, totals->retries);
	printf("concurrency     mean %.2f; window of site 0, mean %.2f\n",
		totals->last_delivery_ns == 0 ? 0
					      : seconds(totals->busy_ns) /
							seconds(totals->last_delivery_ns),
		mean_window(model_course(model)));
	for (uint64_t i = 0; i < scenario->class_count; i++) {
		const struct delays *delays = model_delays(model, i);

		printf("delay           %s: p50 %.3f s, p90 %.3f s, p99 %.3f s, p99.9 %.3f s, max "
		       "%.3f s\n",
			scenario->classes[i].name, seconds(delays_quantile_ns(delays, 500)),
			seconds(delays_quantile_ns(delays, 900)),
			seconds(delays_quantile_ns(delays, 990)),
			seconds(delays_quantile_ns(delays, 999)), seconds(delays->max_ns));
	}
	printf("fairness        Jain's index of the senders' mean delays %.4f\n",
		model_jain(model));
	printf("starvation      at most %" PRIu64 " sessions of others before a site's first "
	       "(%" PRIu64 " destinations)\n",
		totals->starvation, totals->destinations);
	(void)getrusage(RUSAGE_SELF, &usage);
	printf("host            %.2f s, %.0f messages/s, %" PRIu64 " decisions, %.0f decisions/s, "
	       "%ld MiB\n",
		host_s, (double)totals->messages / host_s, totals->decisions,
		(double)totals->decisions / host_s, usage.ru_maxrss / 1024);
	printf("invariants      %s\n",
		model_violation(model) == NULL ? "hold" : model_violation(model));
}

static int
write_plot(const struct model *model, const struct arguments *arguments)
{
	FILE *file = fopen(arguments->plot, "we");
	bool failed = file == NULL;

	if (file != NULL) {
		plot_write(file, model_course(model),
			arguments->path == NULL ? "ostler-sim" : arguments->path);
		failed = ferror(file) != 0;
		failed |= fclose(file) != 0;
	}
	if (failed)
		(void)fprintf(stderr, "ostler-sim: %s: cannot be written\n", arguments->plot);
	return failed ? EX_CANTCREAT : 0;
}

static int
run_one(const struct arguments *arguments)
{
	struct scenario scenario;
	struct model *model;
	struct mono start;
	int code = 0;

	scenario_init(&scenario);
	if (arguments->path != NULL)
		code = read_file(&scenario, arguments->path);
	for (size_t i = 0; i < arguments->extra_count && code == 0; i++)
		code = read_text(&scenario, slice_str(arguments->extra[i]), "--set");
	if (code != 0)
		return code;
	start = clock_read_mono();
	model = model_new(&scenario);
	model_run(model);
	report(&scenario, model, seconds(mono_since_ns(clock_read_mono(), start)) + 1e-9);
	code = model_violation(model) != NULL;
	if (arguments->plot != NULL && code == 0)
		code = write_plot(model, arguments);
	model_free(model);
	return code;
}

static int
run_random(const struct arguments *arguments)
{
	int code = 0;

	for (uint64_t i = 0; i < arguments->random; i++) {
		struct scenario scenario;

		scenario_draw(&scenario, arguments->seed + i);
		struct model *model = model_new(&scenario);

		model_run(model);
		if (model_violation(model) != NULL) {
			printf("seed %" PRIu64 ": %s\n", scenario.seed, model_violation(model));
			code = 1;
		}
		model_free(model);
	}
	printf("%" PRIu64 " scenarios\n", arguments->random);
	return code;
}

int
main(int argc, char **argv)
{
	struct arguments arguments;
	int code;

	if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		(void)fputs(help, stdout);
		return 0;
	}
	code = parse_arguments(argc, argv, &arguments);
	if (code != 0)
		return code;
	return arguments.random > 0 ? run_random(&arguments) : run_one(&arguments);
}
