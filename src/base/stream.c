/* stream.c - see stream.h */
#include "base/stream.h"

#include "base/check.h"

#include <stdint.h>
#include <unistd.h>

void
stream_open(struct stream *stream, int fd)
{
	*stream = (struct stream){ .fd = fd };
}

void
stream_close(struct stream *stream)
{
	if (stream->layer != NULL)
		stream->layer->end(stream);
	if (stream->fd >= 0)
		(void)close(stream->fd);
	*stream = (struct stream){ .fd = -1 };
}

void
stream_push(struct stream *stream, const struct stream_layer *layer, void *state)
{
	CHECK(stream->fd >= 0 && stream->layer == NULL);
	stream->layer = layer;
	stream->state = state;
}

ssize_t
stream_read(struct stream *stream, void *bytes, size_t size)
{
	return stream->layer == NULL ? read(stream->fd, bytes, size)
				     : stream->layer->read(stream, bytes, size);
}

ssize_t
stream_writev(struct stream *stream, const struct iovec *parts, int count)
{
	return stream->layer == NULL ? writev(stream->fd, parts, count)
				     : stream->layer->writev(stream, parts, count);
}

ssize_t
stream_write(struct stream *stream, const void *bytes, size_t size)
{
	const struct iovec part = { (void *)(uintptr_t)bytes, size };

	return stream_writev(stream, &part, 1);
}

int
stream_wants(const struct stream *stream)
{
	return stream->layer == NULL ? 0 : stream->layer->wants(stream);
}
