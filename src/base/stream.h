/*
 * stream.h - the bytes of a connection: a socket, and a slot for a layer above it (TLS)
 *
 * Readers and writers of smtpd and smtp go through here, so that a layer can be put in after the
 * conversation has begun (STARTTLS) and neither of them knows. Without a layer a call is the
 * system call.
 *
 * Ownership: the struct is embedded; stream_close() closes the socket and ends the layer.
 * Errors:    as read(2) and writev(2): -1 with errno; EAGAIN: not now. What a layer needs beyond
 *            what its user waits for is in stream_wants().
 * Threads:   that of its owner.
 */
#ifndef OSTLER_BASE_STREAM_H
#define OSTLER_BASE_STREAM_H

#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

struct stream;

struct stream_layer {
	ssize_t (*read)(struct stream *stream, void *bytes, size_t size);
	ssize_t (*writev)(struct stream *stream, const struct iovec *parts, int count);
	int (*wants)(const struct stream *stream); /* LOOP_READ, LOOP_WRITE */
	void (*end)(struct stream *stream);        /* frees its state; the socket stays open */
};

struct stream {
	int fd;                          /* -1: closed */
	const struct stream_layer *layer; /* NULL: plain */
	void *state;                     /* the layer's */
};

void stream_open(struct stream *stream, int fd);
void stream_close(struct stream *stream); /* idempotent */

/* From the next byte on; CHECKs that there is no layer yet. */
void stream_push(struct stream *stream, const struct stream_layer *layer, void *state);

ssize_t stream_read(struct stream *stream, void *bytes, size_t size);
ssize_t stream_writev(struct stream *stream, const struct iovec *parts, int count);
ssize_t stream_write(struct stream *stream, const void *bytes, size_t size);
int stream_wants(const struct stream *stream);

#endif
