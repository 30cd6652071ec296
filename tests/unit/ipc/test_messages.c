/*
 * test_messages.c - unit tests of ipc/messages
 *
 * Goal: every message of the table comes back as it was sent; every truncation and every left-over byte
 * is refused; lists end cleanly. Method: each message filled with a pattern by its own table row.
 */
#include "ipc/messages.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* Gives each field of each message a value of its own. */
static void
message_fill(uint16_t type, union ipc_any *any)
{
	uint64_t next = 0x0102030405060700;

	memset(any, 0, sizeof(*any));
	switch (type) {
#define IPC_MESSAGE(name, number, meaning)                                                          \
	case number: {                                                                              \
		struct ipc_##name *m = &any->name;                                                  \
		(void)m;
#define IPC_U8(field, meaning) m->field = (uint8_t)++next;
#define IPC_U16(field, meaning) m->field = (uint16_t)++next;
#define IPC_U32(field, meaning) m->field = (uint32_t)++next;
#define IPC_U64(field, meaning) m->field = ++next;
#define IPC_BYTES(field, meaning) m->field = SLICE_LIT("bytes of " #field);
#define IPC_FD(meaning)
#define IPC_END(name)                                                                               \
	break;                                                                                      \
	}
#include "ipc/messages.def"
#undef IPC_MESSAGE
#undef IPC_U8
#undef IPC_U16
#undef IPC_U32
#undef IPC_U64
#undef IPC_BYTES
#undef IPC_END
	default:
		break;
	}
}

static bool
message_is_equal(uint16_t type, const union ipc_any *a, const union ipc_any *b)
{
	bool equal = true;

	switch (type) {
#define IPC_MESSAGE(name, number, meaning)                                                          \
	case number: {                                                                              \
		const struct ipc_##name *x = &a->name, *y = &b->name;                               \
		(void)x;                                                                            \
		(void)y;
#define IPC_U8(field, meaning) equal &= x->field == y->field;
#define IPC_U16(field, meaning) equal &= x->field == y->field;
#define IPC_U32(field, meaning) equal &= x->field == y->field;
#define IPC_U64(field, meaning) equal &= x->field == y->field;
#define IPC_BYTES(field, meaning) equal &= slice_equal(x->field, y->field);
#define IPC_END(name)                                                                               \
	break;                                                                                      \
	}
#include "ipc/messages.def"
	default:
		break;
	}
	return equal;
}

static const uint16_t all_types[] = {
#undef IPC_MESSAGE
#undef IPC_U8
#undef IPC_U16
#undef IPC_U32
#undef IPC_U64
#undef IPC_BYTES
#undef IPC_FD
#undef IPC_END
#define IPC_MESSAGE(name, number, meaning) number,
#define IPC_U8(field, meaning)
#define IPC_U16(field, meaning)
#define IPC_U32(field, meaning)
#define IPC_U64(field, meaning)
#define IPC_BYTES(field, meaning)
#define IPC_FD(meaning)
#define IPC_END(name)
#include "ipc/messages.def"
};

enum { ALL_COUNT = sizeof(all_types) / sizeof(all_types[0]) };

/* rules: Y2 Y3 */
static void
test_decode__every_message__comes_back(void **state)
{
	(void)state;
	for (size_t i = 0; i < ALL_COUNT; i++) {
		union ipc_any sent, got;
		struct buf buf;

		message_fill(all_types[i], &sent);
		buf_init(&buf, 0);
		ipc_encode(&buf, (enum ipc_type)all_types[i], false, &sent);
		assert_int_equal(wire_load_u32(buf.ptr), buf.len - IPC_HEADER_SIZE);
		assert_int_equal(wire_load_u16(buf.ptr + 4), all_types[i]);
		assert_int_equal(ipc_decode(all_types[i],
					 slice_from(buf_slice(&buf), IPC_HEADER_SIZE), &got),
			ERR_OK);
		assert_true(message_is_equal(all_types[i], &sent, &got));
		assert_string_not_equal(ipc_type_name(all_types[i]), "unknown");
		buf_done(&buf);
	}
}

/* rules: Y4 */
static void
test_decode__truncated_or_too_long__is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < ALL_COUNT; i++) {
		union ipc_any any;
		struct buf buf;
		struct slice payload;

		message_fill(all_types[i], &any);
		buf_init(&buf, 0);
		ipc_encode(&buf, (enum ipc_type)all_types[i], false, &any);
		payload = slice_from(buf_slice(&buf), IPC_HEADER_SIZE);
		for (size_t len = 0; len < payload.len; len++)
			assert_int_equal(
				ipc_decode(all_types[i], slice_head(payload, len), &any), ERR_SYNTAX);
		buf_add(&buf, SLICE_LIT("x"));
		payload = slice_from(buf_slice(&buf), IPC_HEADER_SIZE);
		assert_int_equal(ipc_decode(all_types[i], payload, &any), ERR_SYNTAX);
		buf_done(&buf);
	}
}

static void
test_decode__unknown_type__is_told(void **state)
{
	union ipc_any any;

	(void)state;
	assert_int_equal(ipc_decode(0, slice_make(NULL, 0), &any), ERR_NOTFOUND);
	assert_int_equal(ipc_decode(65535, slice_make(NULL, 0), &any), ERR_NOTFOUND);
	assert_string_equal(ipc_type_name(65535), "unknown");
	assert_false(ipc_type_has_fd(65535));
	assert_true(ipc_type_has_fd(IPC_TYPE_work));
	assert_false(ipc_type_has_fd(IPC_TYPE_result));
}

/* rules: Y7 */
static void
test_outcomes__put_and_cut__every_truncation_is_refused(void **state)
{
	struct ipc_outcome sent = { .number = 7, .kind = IPC_OUTCOME_BOUNCED, .dsn_passed = 1,
		.dsn = SLICE_LIT("5.1.1"), .reason = SLICE_LIT("no"), .remote_mta = SLICE_LIT("h"),
		.diagnostic = SLICE_LIT("550 no") };
	struct ipc_outcome got;
	struct buf list;
	struct slice rest;

	(void)state;
	buf_init(&list, 0);
	ipc_outcome_put(&list, &sent);
	for (size_t len = 1; len < list.len; len++) {
		rest = slice_head(buf_slice(&list), len);
		assert_int_equal(ipc_outcome_next(&rest, &got), ERR_SYNTAX);
	}
	ipc_outcome_put(&list, &sent);
	rest = buf_slice(&list);
	assert_int_equal(ipc_outcome_next(&rest, &got), ERR_OK);
	assert_int_equal(ipc_outcome_next(&rest, &got), ERR_OK);
	assert_int_equal(got.number, 7);
	assert_true(slice_equal_str(got.diagnostic, "550 no"));
	assert_int_equal(ipc_outcome_next(&rest, &got), ERR_NOTFOUND);
	list.ptr[4] = 3; /* a kind that does not exist */
	rest = buf_slice(&list);
	assert_int_equal(ipc_outcome_next(&rest, &got), ERR_SYNTAX);
	buf_done(&list);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decode__every_message__comes_back),
		cmocka_unit_test(test_decode__truncated_or_too_long__is_refused),
		cmocka_unit_test(test_decode__unknown_type__is_told),
		cmocka_unit_test(test_outcomes__put_and_cut__every_truncation_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
