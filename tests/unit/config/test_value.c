/*
 * test_value.c - unit tests of config/value and of the defaults in params.def (rules T7 to T9)
 *
 * Goal: each default is good by its own rules; texts at both ends of a range are taken, those beyond it are
 * not. Method: a walk over the table; edges.
 */
#include "config/value.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static enum err
parse(enum param_id id, const char *text, uint64_t *ret_number)
{
	struct value_source source = { .param = param_get(id),
		.name = param_get(id)->name,
		.origin = { "main.cf", 1 } };
	struct fault fault;

	if (source.param->type == PARAM_TYPE_TIME)
		source.time_unit = param_time_unit(id);
	return value_parse(&source, slice_str(text), ret_number, &fault);
}

static void
test_params__defaults__are_good(void **state)
{
	uint64_t number;

	(void)state;
	for (unsigned i = 0; i < PARAM_COUNT; i++) {
		const struct param *param = param_get((enum param_id)i);

		assert_int_equal(param_find(slice_str(param->name)), i);
		assert_true(param->meaning[0] != '\0');
		if (strchr(param->text, '$') == NULL
			&& parse((enum param_id)i, param->text, &number) < 0)
			fail_msg("the default of %s is bad", param->name);
	}
	assert_int_equal(param_find(SLICE_LIT("nosuch")), PARAM_COUNT);
	assert_string_equal(param_transport_suffix(PARAM_DEFAULT_DESTINATION_RECIPIENT_LIMIT),
		"destination_recipient_limit");
	assert_string_equal(param_transport_suffix(PARAM_DEFAULT_TRANSPORT_RATE_DELAY),
		"transport_rate_delay");
	assert_null(param_transport_suffix(PARAM_DEFAULT_TRANSPORT));
	assert_null(param_transport_suffix(PARAM_SMTPD_TIMEOUT));
}

/* rules: T20 T21 T23 T24 T27 T28 T29 T30 T35 T36 T37 T38 T39 T40 T41 T42 T48 T49 T50 T59 T60 T61 */
/* rules: T62 T63 T64 T65 T66 T67 T72 T80 T85 T87 T88 T91 W3 */
static void
test_params__defaults__are_postfixs(void **state)
{
	static const char *const defaults[][2] = {
		{ "minimal_backoff_time", "300s" }, { "maximal_backoff_time", "4000s" },
		{ "daemon_timeout", "18000s" }, { "qmgr_daemon_timeout", "1000s" },
		{ "maximal_queue_lifetime", "5d" }, { "bounce_queue_lifetime", "5d" },
		{ "transport_retry_time", "60s" }, { "qmgr_message_active_limit", "20000" },
		{ "qmgr_message_recipient_limit", "20000" },
		{ "default_destination_recipient_limit", "50" },
		{ "local_destination_recipient_limit", "1" },
		{ "initial_destination_concurrency", "5" },
		{ "default_destination_concurrency_limit", "20" },
		{ "local_destination_concurrency_limit", "2" },
		{ "default_destination_concurrency_positive_feedback", "1" },
		{ "default_destination_concurrency_negative_feedback", "1" },
		{ "default_destination_concurrency_failed_cohort_limit", "1" },
		{ "default_destination_rate_delay", "0s" }, { "default_transport_rate_delay", "0s" },
		{ "defer_transports", "" },
		{ "default_process_limit", "100" }, { "duplicate_filter_limit", "1000" },
		{ "enable_original_recipient", "yes" }, { "recipient_delimiter", "" },
		{ "double_bounce_sender", "double-bounce" },
		{ "notify_classes", "resource, software" }, { "bounce_notice_recipient", "postmaster" },
		{ "2bounce_notice_recipient", "postmaster" },
		{ "bounce_size_limit", "50000" }, { "soft_bounce", "no" },
		{ "delay_logging_resolution_limit", "2" },
		{ "empty_address_recipient", "MAILER-DAEMON" }, { "message_size_limit", "10240000" },
		{ "hopcount_limit", "50" }, { "myorigin", "$myhostname" },
		{ "mydestination", "$myhostname, localhost.$mydomain, localhost" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++) {
		enum param_id id = param_find(slice_str(defaults[i][0]));

		if (id == PARAM_COUNT || strcmp(param_get(id)->text, defaults[i][1]) != 0)
			fail_msg("%s", defaults[i][0]);
	}
}

/* rules: T7 T8 */
static void
test_params__edges_of_ranges__are_taken_and_no_more(void **state)
{
	char text[32];
	uint64_t number = 0;

	(void)state;
	for (unsigned i = 0; i < PARAM_COUNT; i++) {
		const struct param *param = param_get((enum param_id)i);
		const char *unit = param->type == PARAM_TYPE_TIME ? "s" : "";

		if (param->type != PARAM_TYPE_TIME && param->type != PARAM_TYPE_INT
			&& param->type != PARAM_TYPE_SIZE)
			continue;
		assert_true(param->max > param->min);
		(void)snprintf(text, sizeof(text), "%llu%s", (unsigned long long)param->max, unit);
		assert_int_equal(parse((enum param_id)i, text, &number), ERR_OK);
		assert_true(number == param->max);
		(void)snprintf(
			text, sizeof(text), "%llu%s", (unsigned long long)param->max + 1, unit);
		assert_int_equal(parse((enum param_id)i, text, &number), ERR_CONFIG);
		(void)snprintf(text, sizeof(text), "%llu%s", (unsigned long long)param->min, unit);
		assert_int_equal(parse((enum param_id)i, text, &number), ERR_OK);
		assert_true(number == param->min);
		if (param->min == 0)
			continue;
		(void)snprintf(
			text, sizeof(text), "%llu%s", (unsigned long long)param->min - 1, unit);
		assert_int_equal(parse((enum param_id)i, text, &number), ERR_CONFIG);
	}
}

/* rules: T7 */
static void
test_value_parse__times__have_units(void **state)
{
	static const struct {
		enum param_id id;
		const char *text;
		uint64_t seconds;
	} good[] = {
		{ PARAM_SMTPD_TIMEOUT, "7", 7 },
		{ PARAM_SMTPD_TIMEOUT, "7s", 7 },
		{ PARAM_SMTPD_TIMEOUT, "7m", 420 },
		{ PARAM_SMTPD_TIMEOUT, "2h", 7200 },
		{ PARAM_SMTPD_TIMEOUT, "10ms", 600 },
		{ PARAM_MAXIMAL_QUEUE_LIFETIME, "5", 432000 },
		{ PARAM_MAXIMAL_QUEUE_LIFETIME, "5days", 432000 },
		{ PARAM_MAXIMAL_QUEUE_LIFETIME, "1w", 604800 },
		{ PARAM_MAXIMAL_QUEUE_LIFETIME, "0", 0 },
	};
	static const char *const bad[] = { "", "s", "x", "-1", "1x", "1 s", "1S", "99999999999999999999",
		"18446744073709551615w" };
	uint64_t number = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(parse(good[i].id, good[i].text, &number), ERR_OK);
		assert_true(number == good[i].seconds);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(parse(PARAM_SMTPD_TIMEOUT, bad[i], &number), ERR_CONFIG);
}

/* rules: T8 T9 */
static void
test_value_parse__other_types__take_their_words_only(void **state)
{
	uint64_t number = 9;

	(void)state;
	assert_int_equal(parse(PARAM_SOFT_BOUNCE, "yEs", &number), ERR_OK);
	assert_int_equal(number, 1);
	assert_int_equal(parse(PARAM_SOFT_BOUNCE, "no", &number), ERR_OK);
	assert_int_equal(number, 0);
	assert_int_equal(parse(PARAM_SOFT_BOUNCE, "", &number), ERR_CONFIG);
	assert_int_equal(parse(PARAM_SOFT_BOUNCE, "true", &number), ERR_CONFIG);
	assert_int_equal(parse(PARAM_HOPCOUNT_LIMIT, "1 0", &number), ERR_CONFIG);
	assert_int_equal(parse(PARAM_HOPCOUNT_LIMIT, "+1", &number), ERR_CONFIG);
	assert_int_equal(parse(PARAM_HOPCOUNT_LIMIT, "0x10", &number), ERR_CONFIG);
	assert_int_equal(parse(PARAM_NOTIFY_CLASSES, "", &number), ERR_OK);
	assert_int_equal(number, 0);
	assert_int_equal(parse(PARAM_NOTIFY_CLASSES, "software,bounce", &number), ERR_OK);
	assert_int_equal(number, 1 << 7 | 1);
}

/* rules: W4 */
static void
test_value_check_feedback__forms__are_those_of_the_scheduler(void **state)
{
	static const char *const good[] = { "1", "0", "0.5", "1/8", "1/concurrency", "0.25 / 1", "1/1" };
	static const char *const bad[] = { "", "2", "1.1", "x", "1/0", "2/1", "-1", "1/x", "0.1234567",
		".5", "1." };
	struct value_source source = { .param = param_get(PARAM_SMTPD_TIMEOUT),
		.name = "x",
		.origin = { "main.cf", 1 } };

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_int_equal(value_check_feedback(&source, slice_str(good[i]), NULL), ERR_OK);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(value_check_feedback(&source, slice_str(bad[i]), NULL), ERR_CONFIG);
}

static void
test_value_check_reactions__bad_entry__is_named(void **state)
{
	static const char *const good[] = { "", ";;", "*try later* => slow 10/min 5m",
		"a => suspend 5d; b => back-off 30 ;" };
	static const char *const bad[] = { "bad", "* => stop 5m", "* => suspend", "* => suspend 6d",
		"=> suspend 5m", "* => slow 5m", "* => slow 10/min", "a => suspend 5m; b => suspend 1y" };
	struct value_source source = { .param = param_get(PARAM_REPLY_REACTIONS),
		.name = "reply_reactions",
		.origin = { "main.cf", 3 } };
	struct fault fault = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_int_equal(value_check_reactions(&source, slice_str(good[i]), NULL), ERR_OK);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(
			value_check_reactions(&source, slice_str(bad[i]), NULL), ERR_CONFIG);
	assert_int_equal(value_check_reactions(&source,
				 SLICE_LIT("a => suspend 5m; b => suspend 1y"), &fault),
		ERR_CONFIG);
	assert_non_null(strstr(fault.text, "line 3: bad entry of reply_reactions: b => suspend 1y"));
}

static void
test_value_check_endpoint__forms__have_a_port(void **state)
{
	static const char *const good[] = { "", "127.0.0.1:25", "[::1]:25", "localhost:0" };
	static const char *const bad[] = { "127.0.0.1", ":25", "::1:25", "[::1:25", "[::1]", "a:65536",
		"a:x", "a:" };
	struct value_source source = { .param = param_get(PARAM_ADMIN_LISTEN),
		.name = "x",
		.origin = { "main.cf", 1 } };

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_int_equal(value_check_endpoint(&source, slice_str(good[i]), NULL), ERR_OK);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(value_check_endpoint(&source, slice_str(bad[i]), NULL), ERR_CONFIG);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_params__defaults__are_good),
		cmocka_unit_test(test_params__defaults__are_postfixs),
		cmocka_unit_test(test_params__edges_of_ranges__are_taken_and_no_more),
		cmocka_unit_test(test_value_parse__times__have_units),
		cmocka_unit_test(test_value_parse__other_types__take_their_words_only),
		cmocka_unit_test(test_value_check_feedback__forms__are_those_of_the_scheduler),
		cmocka_unit_test(test_value_check_reactions__bad_entry__is_named),
		cmocka_unit_test(test_value_check_endpoint__forms__have_a_port),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
