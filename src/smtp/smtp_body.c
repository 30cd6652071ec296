/*
 * smtp_body.c - what goes into the socket: commands, then the content as it is, or stuffed
 *
 * Content that needs no change goes out with one writev() straight from the work's memory, behind
 * the commands. Stuffed and large content pass through a piece of bounded size (smtp_text.h).
 */
#include "base/check.h"
#include "smtp/smtp_worker.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define END SLICE_LIT(".\r\n")

bool
body_is_corrupt(struct smtp_session *session)
{
	const struct work *work = session->current;

	if (work->fd >= 0)
		return session->file_at == work->ipc.content_length &&
		       hash_stream_value(session->file_hash) != work->ipc.content_hash;
	return work->ipc.content.len != work->ipc.content_length ||
	       hash_bytes(work->ipc.content) != work->ipc.content_hash;
}

void
body_begin(struct smtp_session *session)
{
	buf_clear(&session->piece);
	session->piece_at = session->body_at = 0;
	session->file_at = 0;
	session->text = (struct smtp_text){ 0 };
	session->body_prepared = false;
	if (session->current->fd >= 0) {
		if (session->file_hash == NULL)
			session->file_hash = hash_stream_new();
		hash_stream_reset(session->file_hash);
	}
}

/* The next bytes of a large file into the piece. */
static enum err
read_piece(struct smtp_session *session)
{
	static uint8_t bytes[SMTP_PIECE];
	struct work *work = session->current;
	ssize_t got = pread(work->fd, bytes, sizeof(bytes), (off_t)session->file_at);

	buf_clear(&session->piece);
	session->piece_at = 0;
	if (got <= 0)
		return ERR_CORRUPT;
	struct slice part = slice_make(bytes, (size_t)got);

	hash_stream_add(session->file_hash, part);
	if (session->file_at == 0)
		smtp_text_stuff(&session->text, &session->piece, work->ipc.head);
	session->file_at += part.len;
	smtp_text_stuff(&session->text, &session->piece, part);
	if (session->file_at < work->ipc.content_length)
		return ERR_OK;
	if (body_is_corrupt(session) || session->file_at > work->ipc.content_length)
		return ERR_CORRUPT;
	smtp_text_end(&session->text, &session->piece);
	buf_add(&session->piece, END);
	return ERR_OK;
}

/* Once per work: what is stuffed is made here, whole (it is at most 128 KiB). */
static void
prepare(struct smtp_session *session)
{
	struct work *work = session->current;

	if (session->body_prepared)
		return;
	session->body_prepared = true;
	if (work->fd >= 0)
		return;
	/* Who says that no line begins with a dot need not be right. */
	if (!work->ipc.dotted && smtp_text_is_clean(work->ipc.head) &&
		smtp_text_is_clean(work->ipc.content))
		return;
	work->ipc.dotted = 1;
	smtp_text_stuff(&session->text, &session->piece, work->ipc.head);
	smtp_text_stuff(&session->text, &session->piece, work->ipc.content);
	smtp_text_end(&session->text, &session->piece);
	buf_add(&session->piece, END);
}

/* What is left to be written, in at most four parts. */
static int
gather(struct smtp_session *session, struct iovec parts[4])
{
	const struct work *work = session->current;
	int count = 0;

	if (session->proto.out.len > 0)
		parts[count++] = (struct iovec){ session->proto.out.ptr, session->proto.out.len };
	if (!session->proto.wants_body)
		return count;
	if (work->fd >= 0 || work->ipc.dotted) {
		struct slice rest = slice_from(buf_slice(&session->piece), session->piece_at);

		if (rest.len > 0)
			parts[count++] = (struct iovec){ (void *)(uintptr_t)rest.ptr, rest.len };
		return count;
	}
	const struct slice whole[3] = { work->ipc.head, work->ipc.content, END };
	size_t skip = session->body_at;

	for (int i = 0; i < 3; i++) {
		struct slice rest = slice_from(whole[i], skip);

		skip = skip > whole[i].len ? skip - whole[i].len : 0;
		if (rest.len > 0)
			parts[count++] = (struct iovec){ (void *)(uintptr_t)rest.ptr, rest.len };
	}
	return count;
}

static void
advance(struct smtp_session *session, size_t written)
{
	size_t commands = session->proto.out.len < written ? session->proto.out.len : written;

	buf_consume(&session->proto.out, commands);
	written -= commands;
	if (session->current == NULL || !session->proto.wants_body)
		return;
	if (session->current->fd >= 0 || session->current->ipc.dotted)
		session->piece_at += written;
	else
		session->body_at += written;
}

/* Whether the content is out, with its end. */
static bool
body_is_out(const struct smtp_session *session)
{
	const struct work *work = session->current;

	if (session->proto.out.len > 0)
		return false;
	if (work->fd >= 0)
		return session->file_at == work->ipc.content_length &&
		       session->piece_at == session->piece.len;
	if (work->ipc.dotted)
		return session->piece_at == session->piece.len;
	return session->body_at == work->ipc.head.len + work->ipc.content.len + END.len;
}

enum err
body_write(struct smtp_session *session)
{
	struct iovec parts[4];

	for (;;) {
		struct smtp_proto *proto = &session->proto;
		ssize_t written;
		int count;

		if (proto->wants_body) {
			struct work *work = session->current;

			prepare(session);
			if (body_is_out(session)) {
				smtp_proto_body_sent(proto);
				continue;
			}
			if (work->fd >= 0 && session->piece_at == session->piece.len) {
				enum err err = read_piece(session);

				if (err != ERR_OK)
					return err;
			}
		}
		count = gather(session, parts);
		if (count == 0)
			return ERR_OK;
		written = stream_writev(&session->stream, parts, count);
		if (written < 0 && (errno == EAGAIN || errno == EINTR))
			return ERR_AGAIN;
		if (written < 0)
			return ERR_IO;
		advance(session, (size_t)written);
	}
}
