/*
 * test_log.c - unit tests of base/log
 *
 * Goal: one event is one harmless line, whatever bytes came from outside. Method: hostile fields.
 */
#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

struct world {
	struct log log;
	char text[LOG_LINE_MAX + 1];
};

static void
world_line(struct log *log, enum log_event_id id, enum log_level level, struct slice text)
{
	struct world *world = (struct world *)log;

	(void)id;
	(void)level;
	memcpy(world->text, text.ptr, text.len);
	world->text[text.len] = '\0';
}

static void
test_event__hostile_bytes__become_question_marks(void **state)
{
	struct world world = { .log.line = world_line };

	(void)state;
	log_event(&world.log, EV_role_fault, LOG_S(SLICE_LIT("a\r\nb\x1b[0m\x00 \xff\xe2\x80\xaezZ")));
	assert_string_equal(world.text, "a??b?[0m? ??zZ");
	assert_int_equal(world.log.counts[EV_role_fault], 1);
}

static void
test_event__valid_utf8__is_kept(void **state)
{
	struct world world = { .log.line = world_line };

	(void)state;
	log_event(&world.log, EV_role_fault, LOG_Z("gr\xc3\xbc\xc3\x9f"));
	assert_string_equal(world.text, "gr\xc3\xbc\xc3\x9f");
}

static void
test_event__endless_field__is_cut(void **state)
{
	static uint8_t many[100000];
	struct world world = { .log.line = world_line };

	(void)state;
	memset(many, 'x', sizeof(many));
	log_event(&world.log, EV_role_fault, LOG_S(slice_make(many, sizeof(many))));
	assert_int_equal(strlen(world.text), LOG_FIELD_MAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_event__hostile_bytes__become_question_marks),
		cmocka_unit_test(test_event__valid_utf8__is_kept),
		cmocka_unit_test(test_event__endless_field__is_cut),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
