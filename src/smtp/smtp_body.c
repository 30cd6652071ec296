/*
 * smtp_body.c - what goes into the socket: commands, then the content as it is, stuffed, or 7-bit
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

/* SURVEY_STEP: of a large file in one turn of the loop, so that other sessions go on. */
enum { SURVEY_STEP = 1024 * 1024 };

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
	body_done(session);
	session->survey_at = 0;
	session->current->job.size =
		session->current->ipc.head.len + session->current->ipc.content_length;
	session->current->job.misfit = NULL;
	if (session->current->fd >= 0) {
		if (session->file_hash == NULL)
			session->file_hash = hash_stream_new();
		hash_stream_reset(session->file_hash);
	}
}

void
body_done(struct smtp_session *session)
{
	downgrade_free(session->downgrade);
	session->downgrade = NULL;
	session->is_surveying = false;
}

/* --- 8-bit content for a host that takes 7 bits ----------------------------------------------- */

static bool
is_survey_needed(const struct smtp_session *session)
{
	const struct smtp_job *job = &session->current->job;

	/* SMTPUTF8 comes with 8BITMIME (RFC 6531 3.1). */
	return job->body_8bit && !job->is_whatif &&
	       !(session->proto.caps & (SMTP_CAP_8BITMIME | SMTP_CAP_SMTPUTF8)) &&
	       !config_bool(session->worker->config, session->service,
		       PARAM_DISABLE_MIME_OUTPUT_CONVERSION);
}

/* Up to SURVEY_STEP bytes of a file; true: that was all. What it lacks is found when it is sent. */
static bool
survey_file(struct smtp_session *session)
{
	static uint8_t bytes[SMTP_PIECE];
	const struct work *work = session->current;

	for (size_t done = 0; done < SURVEY_STEP;) {
		ssize_t got = pread(work->fd, bytes, sizeof(bytes), (off_t)session->survey_at);

		if (got <= 0)
			return true;
		downgrade_survey(session->downgrade, slice_make(bytes, (size_t)got));
		session->survey_at += (uint64_t)got;
		done += (size_t)got;
	}
	return false;
}

bool
body_survey(struct smtp_session *session)
{
	struct work *work = session->current;
	bool is_needed;

	if (session->downgrade == NULL) {
		if (!is_survey_needed(session))
			return true;
		session->downgrade = downgrade_new();
		downgrade_survey(session->downgrade, work->ipc.head);
		if (work->fd < 0)
			downgrade_survey(session->downgrade, work->ipc.content);
	}
	session->is_surveying = work->fd >= 0 && !survey_file(session);
	if (session->is_surveying)
		return false;
	work->job.misfit = downgrade_settle(session->downgrade, &is_needed);
	if (is_needed)
		work->job.size += downgrade_growth(session->downgrade);
	else
		body_done(session);
	return true;
}

/* The next bytes of the content, 7-bit if the host wants that, into the piece. */
static void
put_content(struct smtp_session *session, struct slice bytes)
{
	struct buf converted;

	if (session->downgrade == NULL) {
		smtp_text_stuff(&session->text, &session->piece, bytes);
		return;
	}
	buf_init(&converted, 0);
	downgrade_convert(session->downgrade, bytes, &converted);
	smtp_text_stuff(&session->text, &session->piece, buf_slice(&converted));
	buf_done(&converted);
}

static void
put_end(struct smtp_session *session)
{
	struct buf converted;

	buf_init(&converted, 0);
	if (session->downgrade != NULL)
		downgrade_convert_end(session->downgrade, &converted);
	smtp_text_stuff(&session->text, &session->piece, buf_slice(&converted));
	smtp_text_end(&session->text, &session->piece);
	buf_add(&session->piece, END);
	buf_done(&converted);
}

/* --- pieces ----------------------------------------------------------------------------------- */

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
		put_content(session, work->ipc.head);
	session->file_at += part.len;
	put_content(session, part);
	if (session->file_at < work->ipc.content_length)
		return ERR_OK;
	if (body_is_corrupt(session) || session->file_at > work->ipc.content_length)
		return ERR_CORRUPT;
	put_end(session);
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
	if (session->downgrade == NULL && !work->ipc.dotted && smtp_text_is_clean(work->ipc.head) &&
		smtp_text_is_clean(work->ipc.content))
		return;
	work->ipc.dotted = 1;
	put_content(session, work->ipc.head);
	put_content(session, work->ipc.content);
	put_end(session);
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
