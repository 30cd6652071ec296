/* feedback.c - destination_concurrency_feedback_debug: what a window is made of (rule W18) */
#include "qmgr/core_priv.h"

#include <stdio.h>

enum { NUMBER_SIZE = 32 };

static bool
is_wanted(const struct core *core)
{
	return config_bool(core->config, NULL, PARAM_DESTINATION_CONCURRENCY_FEEDBACK_DEBUG);
}

static const char *
format(char text[NUMBER_SIZE], double millionths)
{
	(void)snprintf(text, NUMBER_SIZE, "%g", millionths / WINDOW_UNIT);
	return text;
}

void
feedback_log(struct core *core, const struct sched_destination *destination)
{
	char success[NUMBER_SIZE], failure[NUMBER_SIZE], cohorts[NUMBER_SIZE];
	struct sched_status status;

	if (!is_wanted(core))
		return;
	sched_destination_status(destination, &status);
	log_event(core->log, EV_qmgr_feedback, LOG_S(sched_transport_name(status.transport)),
		LOG_S(status.name), LOG_U(status.limit_max), LOG_U(status.limit),
		LOG_Z(format(success, (double)status.success)),
		LOG_Z(format(failure, (double)status.failure)),
		LOG_Z(format(cohorts, (double)status.cohorts)));
}

static void
log_value(struct core *core, struct slice transport, const char *which,
	const struct window_feedback *feedback, uint32_t initial)
{
	char value[NUMBER_SIZE];
	double at = feedback->per_window ? (double)feedback->value / initial : feedback->value;

	log_event(core->log, EV_qmgr_feedback_value, LOG_S(transport), LOG_Z(which),
		LOG_U(feedback->per_window), LOG_U(initial), LOG_Z(format(value, at)));
}

void
feedback_log_values(struct core *core, struct slice transport, const struct window_options *options)
{
	if (!is_wanted(core))
		return;
	log_value(core, transport, "positive", &options->positive, options->initial);
	log_value(core, transport, "negative", &options->negative, options->initial);
}
