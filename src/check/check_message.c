/*
 * check_message.c - reads every message: envelope, recipients, state, content (see check_priv.h)
 */
#include "check/check_priv.h"

#include "base/hash_parts.h"
#include "base/mem.h"
#include "message/envelope.h"
#include "message/recipient_list.h"
#include "message/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { CHECK_LOADING_MAX = 16, CHECK_PIECE = 1024 * 1024 };

static const char check_newer[] = "its envelope needs a newer release";

/* --- one message ---------------------------------------- */

static const char *
check_state(const struct store_view *view, uint32_t count)
{
	const char *why = NULL;
	struct state state;
	enum err err = view->state.len > 0 ? state_decode(view->state, count, &state)
					   : state_init(&state, count);

	if (err < 0)
		return "its state is not readable";
	for (size_t i = 0; i < view->result_count && why == NULL; i++)
		if (state_apply(&state, view->results[i]) < 0)
			why = "a result of it is not readable";
	state_done(&state);
	return why;
}

static const char *
check_large_sums(struct check *check, const struct store_view *view,
	const struct hash_parts *parts, const struct hash_stream *whole)
{
	char text[HASH_DAMAGE_TEXT];
	struct hash_damage damage;

	if (!hash_parts_match(parts, view->content_parts, view->content_length, &damage)) {
		(void)snprintf(check->where, sizeof(check->where),
			"%s of the file of its content are not what was written",
			hash_damage_format(&damage, text));
		return parts->length != view->content_length
			? "the file of its content has another length"
			: check->where;
	}
	return hash_stream_value(whole) != view->content_hash
		? "the file of its content has another checksum"
		: NULL;
}

static const char *
check_large_file(struct check *check, const struct store_view *view, int fd)
{
	struct hash_stream *whole = hash_stream_new();
	uint8_t *piece = mem_array(CHECK_PIECE, 1);
	struct hash_parts parts;
	const char *why;
	ssize_t got;

	hash_parts_init(&parts);
	while ((got = read(fd, piece, CHECK_PIECE)) > 0) {
		hash_stream_add(whole, slice_make(piece, (size_t)got));
		hash_parts_add(&parts, slice_make(piece, (size_t)got));
	}
	hash_parts_end(&parts);
	why = got < 0 ? "the file of its content cannot be read"
		      : check_large_sums(check, view, &parts, whole);
	hash_parts_done(&parts);
	hash_stream_free(whole);
	mem_free(piece);
	return why;
}

static const char *
check_large(struct check *check, const struct store_view *view)
{
	char name[STORE_LARGE_NAME_SIZE];
	const char *why = NULL;
	struct check_large *large;
	int fd;

	HASH_FIND(hh, check->larges, &view->large, sizeof(view->large), large);
	if (large == NULL) {
		large = MEM_NEW(struct check_large);
		large->number = view->large;
		HASH_ADD(hh, check->larges, number, sizeof(large->number), large);
	}
	store_large_name(view->large, name);
	fd = openat(check->large_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? "the file of its content is not there"
				       : "the file of its content cannot be read";
	why = check_large_file(check, view, fd);
	(void)close(fd);
	return why;
}

/* Why a message cannot be delivered; NULL: it can. */
static const char *
check_view(struct check *check, const struct store_view *view, struct slice body)
{
	struct envelope envelope;
	enum err err = envelope_decode(view->envelope, &envelope);
	const char *why = NULL;
	uint32_t count;

	/* Its file is its own whatever else is wrong. */
	if (view->large != 0)
		why = check_large(check, view);
	else if (body.len != view->content_length || hash_bytes(body) != view->content_hash)
		why = "its content is not what was accepted";
	if (err == ERR_VERSION)
		return check_newer;
	if (err < 0)
		return "its envelope is not readable";
	if (recipient_list_check(view->recipients, &count) < 0 || count == 0)
		return "its list of recipients is not readable";
	return why != NULL ? why : check_state(view, count);
}

/* --- what is set aside ---------------------------------------- */

static void
check_pinned(struct check *check, store_ref ref)
{
	struct slice body = slice_make(NULL, 0);
	struct store_view view;
	struct buf records;
	const char *why;
	uint64_t id;

	store_view(check->store, ref, &view);
	if (view.large == 0)
		(void)!store_body(check->store, ref, &body);
	why = check_view(check, &view, body);
	id = view.queue_id;
	check->message_count++;
	check->message_bytes += view.content_length;
	buf_init(&records, 0);
	if (why != NULL && why != check_newer)
		store_records(check->store, ref, &records);
	store_unpin(check->store, ref);
	if (why == check_newer)
		findings_add(&check->findings, FINDING_ADVICE, NULL, FINDING_NO_OFFSET, id, why,
			"start a newer release; this one keeps it");
	else if (why != NULL)
		store_set_aside(check->store, ref, buf_slice(&records), why);
	buf_done(&records);
}

/* --- all ---------------------------------------- */

static void
check_failed(struct check *check, store_ref ref, enum err err)
{
	struct store_info info;

	if (err != ERR_IO)
		return; /* it ended, or the store sets it aside */
	store_info(check->store, ref, &info);
	findings_add(&check->findings, FINDING_ADVICE, NULL, FINDING_NO_OFFSET, info.queue_id,
		"the disk does not give it back", "see the kernel's log; try again");
}

static void
check_body_loaded(void *ctx, store_ref ref, enum err err)
{
	struct check *check = ctx;

	check->loading--;
	if (err == ERR_OK)
		check_pinned(check, ref);
	else
		check_failed(check, ref, err);
}

static void
check_loaded(void *ctx, store_ref ref, enum err err)
{
	struct check *check = ctx;
	struct store_view view;
	struct slice body;

	check->loading--;
	if (err < 0) {
		check_failed(check, ref, err);
		return;
	}
	store_view(check->store, ref, &view);
	if (view.large == 0 && store_body(check->store, ref, &body) == ERR_AGAIN) {
		check->loading++;
		store_load_body(check->store, ref, check_body_loaded, check);
		return;
	}
	check_pinned(check, ref);
}

bool
check_messages(struct check *check)
{
	while (!check->has_all && check->loading < CHECK_LOADING_MAX) {
		check->next = store_next(check->store, check->next);
		check->has_all = check->next == 0;
		if (check->has_all)
			break;
		check->loading++;
		store_load(check->store, check->next, check_loaded, check);
	}
	check_progress(check, "messages", check->message_count, store_count(check->store));
	return check->has_all && check->loading == 0;
}
