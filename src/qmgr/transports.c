/* transports.c - see transports.h */
#include "qmgr/transports.h"

#include "base/mem.h"
#include "base/num.h"
#include "message/dsn.h"
#include "qmgr/core_priv.h"
#include "qmgr/site_settings.h"

enum { DESTINATIONS_MAX = 100000 };

/* What one destination may have of the active queue. */
enum { ACTIVE_PARTS = 5 };

/* A dead site is probed after 10 s, then ever more rarely, but at least every 5 minutes. */
enum { PROBE_FIRST_S = 10, PROBE_MAX_S = 300 };

static void
message_done(void *ctx, struct sched_message *message)
{
	(void)ctx;
	done_check(message->owner);
}

uint64_t
transports_probe_s(const struct config *config)
{
	return num_min_u64(
		PROBE_FIRST_S, config_time_s(config, NULL, PARAM_MINIMAL_BACKOFF_TIME));
}

static struct sched_options
options_of(struct core *core)
{
	const struct config *config = core->config;
	uint64_t min_s = config_time_s(config, NULL, PARAM_MINIMAL_BACKOFF_TIME);
	uint64_t max_s = config_time_s(config, NULL, PARAM_MAXIMAL_BACKOFF_TIME);
	uint64_t active_max = config_int(config, NULL, PARAM_QMGR_MESSAGE_ACTIVE_LIMIT);
	uint64_t clog_s = config_time_s(config, NULL, PARAM_QMGR_CLOG_WARN_TIME);
	bool tells_clogs = clog_s > 0 && config_bool(config, NULL, PARAM_HELPFUL_WARNINGS);

	return (struct sched_options){
		.clog_max = tells_clogs ? (uint32_t)(active_max / ACTIVE_PARTS) : 0,
		.clog_ns = clog_s * NS_PER_S,
		.destination_max = DESTINATIONS_MAX,
		.is_adaptive =
			config_enum(config, NULL, PARAM_SCHEDULER_CONCURRENCY_POLICY) == 1,
		.probe_first_ns = transports_probe_s(config) * NS_PER_S,
		.probe_max_ns = num_min_u64(PROBE_MAX_S, num_max_u64(min_s, max_s)) * NS_PER_S,
		.seed = core->epoch,
		.dead_ns = min_s * NS_PER_S,
		.transport_dead_ns =
			config_time_s(config, NULL, PARAM_TRANSPORT_RETRY_TIME) * NS_PER_S,
		.settings = site_settings,
		.message_done = message_done,
		.ctx = core,
	};
}

/* The configuration has checked its range; a bad text cannot get here. */
static struct window_feedback
feedback_of(const struct config *config, const struct config_service *service, enum param_id id)
{
	struct window_feedback feedback = { .value = WINDOW_UNIT };

	if (window_feedback_parse(config_transport_str(config, service, id), &feedback) != ERR_OK)
		feedback = (struct window_feedback){ .value = WINDOW_UNIT };
	return feedback;
}

/* Z41: what a slow site cannot have more of. Classic has no such bound, but the warning (W21). */
static uint32_t
share_of(const struct config *config, const struct config_service *service)
{
	uint64_t share = config_transport_int(
		config, service, PARAM_DEFAULT_DESTINATION_ACTIVE_LIMIT);

	if (config_enum(config, NULL, PARAM_SCHEDULER_CONCURRENCY_POLICY) == 0)
		return 0;
	if (share == 0)
		share = num_min_u64(config_int(config, NULL, PARAM_QMGR_MESSAGE_ACTIVE_LIMIT),
				config_int(config, NULL, PARAM_QMGR_MESSAGE_RECIPIENT_LIMIT)) /
			ACTIVE_PARTS;
	return (uint32_t)num_max_u64(share, 1);
}

/* Empty: no limit. The configuration has checked it. */
static uint64_t
rate_of(const struct config *config, const struct config_service *service, enum param_id id)
{
	uint64_t ns;

	return num_parse_rate(config_transport_str(config, service, id), &ns) == ERR_OK ? ns : 0;
}

/* Work is one frame, however long its addresses are. */
static uint32_t
recipient_max(uint32_t wanted)
{
	return wanted == 0 || wanted > IPC_WORK_RECIPIENTS_MAX ? IPC_WORK_RECIPIENTS_MAX : wanted;
}

/* R52: a window for each user makes sense where the receiver is the user, not a site. */
static bool
has_recipient_queues(const struct config *config, const struct config_service *service)
{
	bool is_local = service->command == CONFIG_COMMAND_LOCAL ||
			service->command == CONFIG_COMMAND_PIPE;

	switch (config_transport_enum(
		config, service, PARAM_DEFAULT_DESTINATION_RECIPIENT_QUEUES)) {
	case CONFIG_QUEUES_NO:
		return false;
	case CONFIG_QUEUES_YES:
		return true;
	default:
		return is_local ||
		       config_enum(config, NULL, PARAM_SCHEDULER_CONCURRENCY_POLICY) == 0;
	}
}

static struct sched_limits
limits_of(const struct config *config, const struct config_service *service)
{
#define LIMIT(id) ((uint32_t)config_transport_int(config, service, PARAM_##id))
#define DELAY(id) (config_transport_time_s(config, service, PARAM_##id) * NS_PER_S)
	return (struct sched_limits){
		.recipient_max = recipient_max(LIMIT(DEFAULT_DESTINATION_RECIPIENT_LIMIT)),
		.has_recipient_queues = has_recipient_queues(config, service),
		.session_max = service->process_limit,
		.rate_delay_ns = DELAY(DEFAULT_DESTINATION_RATE_DELAY),
		.rate_ns = rate_of(config, service, PARAM_DEFAULT_DESTINATION_RATE_LIMIT),
		.recipient_rate_ns = rate_of(
			config, service, PARAM_DEFAULT_DESTINATION_RECIPIENT_RATE_LIMIT),
		.transport_rate_delay_ns = DELAY(DEFAULT_TRANSPORT_RATE_DELAY),
		.share_max = share_of(config, service),
		.slots = {
			.cost = LIMIT(DEFAULT_DELIVERY_SLOT_COST),
			.loan = LIMIT(DEFAULT_DELIVERY_SLOT_LOAN),
			.discount = LIMIT(DEFAULT_DELIVERY_SLOT_DISCOUNT),
			.min = LIMIT(DEFAULT_MINIMUM_DELIVERY_SLOTS),
		},
		.window = {
			.initial = LIMIT(INITIAL_DESTINATION_CONCURRENCY),
			.limit_max = LIMIT(DEFAULT_DESTINATION_CONCURRENCY_LIMIT),
			.cohort_limit =
				LIMIT(DEFAULT_DESTINATION_CONCURRENCY_FAILED_COHORT_LIMIT),
			.positive = feedback_of(config, service,
				PARAM_DEFAULT_DESTINATION_CONCURRENCY_POSITIVE_FEEDBACK),
			.negative = feedback_of(config, service,
				PARAM_DEFAULT_DESTINATION_CONCURRENCY_NEGATIVE_FEEDBACK),
		},
	};
#undef LIMIT
#undef DELAY
}

/* One suspect is tried at a time; others never wait with it. */
static void
limit_to_one(struct sched_limits *limits)
{
	limits->session_max = 1;
	limits->share_max = 0;
	limits->window.initial = 1;
	limits->window.limit_max = 1;
}

static enum transport_kind
kind_of(const struct config_service *service)
{
	if (service == NULL)
		return TRANSPORT_MISSING;
	switch (service->command) {
	case CONFIG_COMMAND_SMTP:
	case CONFIG_COMMAND_LMTP:
		return TRANSPORT_SMTP;
	case CONFIG_COMMAND_LOCAL:
	case CONFIG_COMMAND_PIPE:
		return TRANSPORT_LOCAL;
	case CONFIG_COMMAND_ERROR:
		return TRANSPORT_ERROR;
	case CONFIG_COMMAND_RETRY:
		return TRANSPORT_RETRY;
	case CONFIG_COMMAND_DISCARD:
		return TRANSPORT_DISCARD;
	case CONFIG_COMMAND_SMTPD:
	case CONFIG_COMMAND_PICKUP:
	case CONFIG_COMMAND_COUNT:
		return TRANSPORT_MISSING;
	}
	return TRANSPORT_MISSING;
}

/* Everything that the configuration says about a transport, now. */
static void
transport_update(struct core *core, struct transport *transport)
{
	const struct config *config = core->config;
	struct slice name = slice_str(transport->name);
	const struct config_service *service = config_transport_find(config, name);
	bool is_lmtp = service != NULL && service->command == CONFIG_COMMAND_LMTP;

	transport->kind = kind_of(service);
	transport->protocol = transport->kind == TRANSPORT_LOCAL ? IPC_PROTOCOL_LOCAL
			      : is_lmtp				 ? IPC_PROTOCOL_LMTP
								 : IPC_PROTOCOL_SMTP;
	transport->port = (uint16_t)config_int(
		config, service, is_lmtp ? PARAM_LMTP_TCP_PORT : PARAM_SMTP_TCP_PORT);
	transport->use_mx = !is_lmtp;
	transport->is_deferred = config_list_match(config, NULL, PARAM_DEFER_TRANSPORTS, name);
	if (transport->kind == TRANSPORT_SMTP || transport->kind == TRANSPORT_LOCAL) {
		struct sched_limits limits = limits_of(config, service);

		feedback_log_values(core, name, &limits.window);
		if (transport->is_solo)
			limit_to_one(&limits);
		transport->sched = sched_transport_set(
			core->sched, slice_str(transport->key), &limits, transport);
	}
}

void
transports_open(struct core *core)
{
	struct sched_options options = options_of(core);

	core->sched = sched_new(&options);
}

void
transports_update(struct core *core)
{
	struct sched_options options = options_of(core);
	struct transport *transport, *next;

	sched_set_options(core->sched, &options);
	HASH_ITER(hh, core->transports, transport, next)
	{
		transport_update(core, transport);
	}
}

void
transports_close(struct core *core)
{
	struct transport *transport, *next;

	HASH_ITER(hh, core->transports, transport, next)
	{
		HASH_DELETE(hh, core->transports, transport);
		mem_free(transport->key);
		mem_free(transport->name);
		mem_free(transport);
	}
	sched_free(core->sched);
}

static struct transport *
get(struct core *core, struct slice key, struct slice name, bool is_solo)
{
	struct transport *transport;

	HASH_FIND(hh, core->transports, key.ptr, key.len, transport);
	if (transport != NULL)
		return transport;
	transport = mem_new(sizeof(*transport));
	transport->key = mem_strndup((const char *)key.ptr, key.len);
	transport->name = mem_strndup((const char *)name.ptr, name.len);
	transport->is_solo = is_solo;
	HASH_ADD_KEYPTR(hh, core->transports, transport->key, key.len, transport);
	transport_update(core, transport);
	return transport;
}

struct transport *
transport_get(struct core *core, struct slice name)
{
	return get(core, name, name, false);
}

struct transport *
transport_get_solo(struct core *core, struct slice name)
{
	struct transport *transport;
	struct buf key;

	buf_init(&key, 0);
	buf_add(&key, name);
	buf_add_str(&key, " (suspects)");
	transport = get(core, buf_slice(&key), name, true);
	buf_done(&key);
	return transport;
}

void
transport_split_reason(
	struct slice nexthop, const char *standard, struct slice *ret_dsn, struct slice *ret_text)
{
	size_t len = dsn_status_length(nexthop);

	*ret_dsn = len > 0 ? slice_head(nexthop, len) : slice_str(standard);
	*ret_text = len > 0 ? slice_trim(slice_from(nexthop, len)) : nexthop;
	if (ret_text->len == 0)
		*ret_text = SLICE_LIT("mail for this destination is not delivered");
}
