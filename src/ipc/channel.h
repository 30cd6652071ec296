/*
 * channel.h - a socket pair between two roles, carrying frames and descriptors (driver)
 *
 * Stream socket, non-blocking. Frames gather in memory and are written once per loop turn by
 * channel_flush_all(), which a role registers as its last turn hook, behind the flush of its log:
 * so a line always precedes the frame that makes its consequence visible. A descriptor travels
 * with the first byte of its frame.
 *
 * Ownership: the struct is embedded; channel_open() takes the socket, channel_close() closes it.
 *            Descriptors given to channel_send_fd() are borrowed (duplicated until sent); one
 *            handed to the frame callback belongs to it (-1: none).
 * Errors:    a peer that sends nonsense, closes, or leaves more than `pending_max` bytes unread is
 *            closed: closed_fn is called once, from the loop or the flush, never inside
 *            channel_send(). All frames that a peer wrote before it died are delivered first.
 * Callbacks: frame_fn may close the channel.
 * Threads:   the thread of its loop.
 */
#ifndef OSTLER_IPC_CHANNEL_H
#define OSTLER_IPC_CHANNEL_H

#include "base/loop.h"
#include "ipc/messages.h"

#include <sys/queue.h>

enum { CHANNEL_PENDING_MAX = 256 * 1024 * 1024, CHANNEL_IN_FDS_MAX = 64 };

struct channel;
typedef void channel_frame_fn(void *ctx, uint16_t type, struct slice payload, int fd);
typedef void channel_closed_fn(void *ctx);

struct channel_fd {
	size_t at; /* offset of its frame in `out` */
	int fd;
};

struct channel {
	struct loop *loop;
	struct loop_fd watch;
	int fd;
	channel_frame_fn *frame_fn;
	channel_closed_fn *closed_fn;
	void *ctx;
	struct buf in;
	struct buf out;
	size_t out_start; /* bytes of `out` that are sent */
	struct channel_fd *out_fds;
	int out_fd_count, out_fd_cap;
	int in_fds[CHANNEL_IN_FDS_MAX]; /* that came with a frame that is not complete yet */
	int in_fd_count;
	bool is_dirty;
	bool is_paused;
	bool refuses_fds;
	bool is_deaf;   /* the peer takes nothing any more; what it said is still read */
	bool is_failed; /* closed_fn is owed */
	const char *fault;
	bool *gone;     /* set when closed inside a callback */
	TAILQ_ENTRY(channel) dirty_link;
};

void channel_open(struct channel *channel, struct loop *loop, int fd, channel_frame_fn *frame_fn,
	channel_closed_fn *closed_fn, void *ctx);
void channel_close(struct channel *channel); /* idempotent */
bool channel_is_open(const struct channel *channel);
/* Neither open nor failed with closed_fn still to be called. */
bool channel_is_closed(const struct channel *channel);
/* What the peer, or we, did wrong; NULL: nothing, it reached its end. Until channel_close(). */
const char *channel_fault(const struct channel *channel);
/* Delivers what the peer has written so far, before its channel is closed for a better one. */
void channel_drain(struct channel *channel);

/* Queues a frame; on a closed channel it does nothing. `message` is the struct of `type`. */
void channel_send(struct channel *channel, enum ipc_type type, const void *message);
void channel_send_fd(struct channel *channel, enum ipc_type type, const void *message, int fd);

/* For a peer that has no business with them: the kernel drops descriptors that it sends, so it
 * cannot use up ours; a frame that announces one closes the channel. */
void channel_refuse_fds(struct channel *channel);

/* Bytes queued and not yet taken by the kernel. */
size_t channel_pending(const struct channel *channel);

/* Stops and resumes reading (back-pressure). */
void channel_pause(struct channel *channel, bool paused);

/* Writes what all channels of this process have queued. Turn hook; ctx is unused. */
void channel_flush_all(void *ctx);

/* Reads one frame blocking, for the start of a role before its loop; ERR_CLOSED, ERR_SYNTAX,
 * ERR_IO. */
MUST_USE enum err channel_read_blocking(
	int fd, struct buf *frame, uint16_t *ret_type, struct slice *ret_payload, int *ret_fd);

#endif
