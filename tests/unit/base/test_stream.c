/*
 * test_stream.c - unit tests of base/stream
 *
 * Goal: plain bytes pass as they are; a layer put in later sees all that follows, and is ended once.
 * Method: a socket pair; a layer that turns letters into capitals.
 */
#include "base/stream.h"

#include <ctype.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static ssize_t
loud_read(struct stream *stream, void *bytes, size_t size)
{
	ssize_t got = read(stream->fd, bytes, size);

	for (ssize_t i = 0; i < got; i++)
		((char *)bytes)[i] = (char)toupper(((char *)bytes)[i]);
	return got;
}

static ssize_t
loud_writev(struct stream *stream, const struct iovec *parts, int count)
{
	(void)count;
	return write(stream->fd, "LOUD", 4) == 4 ? (ssize_t)parts[0].iov_len : -1;
}

static int
loud_wants(const struct stream *stream)
{
	(void)stream;
	return 2;
}

static void
loud_end(struct stream *stream)
{
	++*(int *)stream->state;
}

static const struct stream_layer loud = { loud_read, loud_writev, loud_wants, loud_end };

static void
test_stream__plain_then_layered(void **state)
{
	struct stream stream;
	char bytes[16] = "";
	int pair[2], ended = 0;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	stream_open(&stream, pair[0]);
	assert_int_equal(stream_read(&stream, bytes, sizeof(bytes)), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(stream_wants(&stream), 0);
	assert_int_equal(write(pair[1], "abc", 3), 3);
	assert_int_equal(stream_read(&stream, bytes, sizeof(bytes)), 3);
	assert_memory_equal(bytes, "abc", 3);
	assert_int_equal(stream_write(&stream, "x", 1), 1);
	stream_push(&stream, &loud, &ended);
	assert_int_equal(write(pair[1], "abc", 3), 3);
	assert_int_equal(stream_read(&stream, bytes, sizeof(bytes)), 3);
	assert_memory_equal(bytes, "ABC", 3);
	assert_int_equal(stream_write(&stream, "yy", 2), 2);
	assert_int_equal(read(pair[1], bytes, sizeof(bytes)), 5);
	assert_memory_equal(bytes, "xLOUD", 5);
	assert_int_equal(stream_wants(&stream), 2);
	stream_close(&stream);
	stream_close(&stream);
	assert_int_equal(ended, 1);
	assert_int_equal(read(pair[1], bytes, sizeof(bytes)), 0);
	(void)close(pair[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_stream__plain_then_layered) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
