/*
 * test_wire.c - unit tests of base/wire
 *
 * Goal: what is put is got back; a reader that runs past its bytes fails for good and never reads
 * beyond them; left-over bytes are noticed. Method: hand-made values and every possible truncation.
 */
#include "base/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void
wire_fill(struct buf *buf)
{
	buf_init(buf, 0);
	wire_put_u8(buf, 0xab);
	wire_put_u16(buf, 0xbeef);
	wire_put_u32(buf, 0xdeadbeefu);
	wire_put_u64(buf, UINT64_C(0x0123456789abcdef));
	wire_put_bytes(buf, SLICE_LIT("hello"));
}

static void
test_get__what_was_put__comes_back(void **state)
{
	struct buf buf;
	struct wire_reader reader;

	(void)state;
	wire_fill(&buf);
	reader = wire_reader(buf_slice(&buf));
	assert_int_equal(wire_get_u8(&reader), 0xab);
	assert_int_equal(wire_get_u16(&reader), 0xbeef);
	assert_int_equal(wire_get_u32(&reader), 0xdeadbeefu);
	assert_true(wire_get_u64(&reader) == UINT64_C(0x0123456789abcdef));
	assert_true(slice_equal_str(wire_get_bytes(&reader), "hello"));
	assert_int_equal(wire_done(&reader), ERR_OK);
	buf_done(&buf);
}

static void
test_get__every_truncation__fails_and_stays_failed(void **state)
{
	struct buf buf;

	(void)state;
	wire_fill(&buf);
	for (size_t len = 0; len < buf.len; len++) {
		struct wire_reader reader = wire_reader(slice_head(buf_slice(&buf), len));

		(void)wire_get_u8(&reader);
		(void)wire_get_u16(&reader);
		(void)wire_get_u32(&reader);
		(void)wire_get_u64(&reader);
		assert_int_equal(wire_get_bytes(&reader).len, 0);
		assert_int_equal(wire_done(&reader), ERR_SYNTAX);
		assert_int_equal(wire_get_u64(&reader), 0);
	}
	buf_done(&buf);
}

static void
test_done__left_over_byte__is_an_error(void **state)
{
	struct wire_reader reader = wire_reader(SLICE_LIT("xy"));

	(void)state;
	assert_int_equal(wire_get_u8(&reader), 'x');
	assert_int_equal(wire_done(&reader), ERR_SYNTAX);
}

static void
test_varint__every_length__comes_back(void **state)
{
	(void)state;
	for (unsigned bits = 0; bits <= 64; bits++) {
		uint64_t value = bits == 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1;
		struct wire_reader reader;
		struct buf buf;

		buf_init(&buf, 0);
		wire_put_varint(&buf, value);
		assert_int_equal(buf.len, bits == 0 ? 1 : (bits + 6) / 7);
		reader = wire_reader(buf_slice(&buf));
		assert_true(wire_get_varint(&reader) == value);
		assert_int_equal(wire_done(&reader), ERR_OK);
		reader = wire_reader(slice_head(buf_slice(&buf), buf.len - 1));
		assert_true(wire_get_varint(&reader) == 0);
		assert_int_equal(wire_done(&reader), ERR_SYNTAX);
		buf_done(&buf);
	}
}

static void
test_varint__too_long__is_refused(void **state)
{
	static const char *const bad[] = { "\x80\x00", "\xff\x80\x00",
		"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
		"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01" };
	static const size_t lengths[] = { 2, 3, 10, 11 };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct wire_reader reader =
			wire_reader(slice_make((const uint8_t *)bad[i], lengths[i]));

		assert_true(wire_get_varint(&reader) == 0);
		assert_true(reader.failed);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_get__what_was_put__comes_back),
		cmocka_unit_test(test_get__every_truncation__fails_and_stays_failed),
		cmocka_unit_test(test_varint__every_length__comes_back),
		cmocka_unit_test(test_varint__too_long__is_refused),
		cmocka_unit_test(test_done__left_over_byte__is_an_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
