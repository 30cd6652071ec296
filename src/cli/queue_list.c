/*
 * queue_list.c - the queue as people read it (see queue_list.h)
 */
#include "cli/queue_list.h"

#include "cli/json_text.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <time.h>

enum { QUEUE_LIST_REASON_END = 76 };

static void
queue_list_time(json_int_t seconds, char text[32])
{
	time_t at = (time_t)seconds;
	struct tm tm;

	if (localtime_r(&at, &tm) == NULL || strftime(text, 32, "%a %b %e %H:%M:%S", &tm) == 0)
		text[0] = '\0';
}

/* Why, when it differs from the recipient before. */
static enum err
queue_list_reason(const char *reason, const char *last, struct buf *text)
{
	int padding;

	if (strcmp(reason, last) == 0)
		return ERR_OK;
	if (reason[0] == '\0')
		reason = "reason unavailable";
	padding = QUEUE_LIST_REASON_END - (int)strnlen(reason, QUEUE_LIST_REASON_END);
	return buf_printf(text, "%*s%s)\n", padding, "(", json_text_clean(reason).text);
}

static const char *
queue_list_member_reason(const json_t *recipient)
{
	static const char *const names[] = { "delay_reason", "bounce_reason", "other_reason" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *reason = json_string_value(json_object_get(recipient, names[i]));

		if (reason != NULL)
			return reason;
	}
	return "";
}

static enum err
queue_list_recipients(const json_t *recipients, struct buf *text)
{
	const char *last = "";
	size_t i;
	json_t *recipient;
	enum err err = ERR_OK;

	json_array_foreach(recipients, i, recipient)
	{
		const char *address = json_string_value(json_object_get(recipient, "address"));
		const char *reason = queue_list_member_reason(recipient);

		err = queue_list_reason(reason, last, text);
		last = reason;
		if (err == ERR_OK)
			err = buf_printf(text, "%-17s %8s %-19s %s\n", "", "", "",
				json_text_clean(address != NULL ? address : "").text);
		if (err < 0)
			return err;
	}
	return err;
}

static enum err
queue_list_message(struct queue_list *list, const json_t *message, struct buf *text)
{
	const char *id = json_string_value(json_object_get(message, "queue_id"));
	const char *queue = json_string_value(json_object_get(message, "queue_name"));
	const char *sender = json_string_value(json_object_get(message, "sender"));
	json_int_t size = json_integer_value(json_object_get(message, "message_size"));
	json_int_t more = json_integer_value(json_object_get(message, "more_recipients"));
	char at[32];
	char name[48];
	enum err err;

	if (id == NULL)
		return ERR_OK;
	if (sender == NULL || sender[0] == '\0')
		sender = list->null_sender;
	queue_list_time(json_integer_value(json_object_get(message, "arrival_time")), at);
	(void)snprintf(name, sizeof(name), "%.30s%s%s", json_text_clean(id).text,
		queue != NULL && strcmp(queue, "active") == 0 ? "*"
		: queue != NULL && strcmp(queue, "hold") == 0 ? "!"
							      : "",
		json_is_true(json_object_get(message, "forced_expire")) ? "#" : "");
	if (list->count++ == 0)
		err = buf_printf(text, "%-17s %8s %-19s %s\n", "----Queue ID-----", "--Size--",
			"---Arrival Time----", "--Sender/Recipient------");
	else
		err = buf_append_str(text, "\n");
	list->bytes += size > 0 ? (uint64_t)size : 0;
	if (err == ERR_OK)
		err = buf_printf(text, "%-17s %8" JSON_INTEGER_FORMAT " %19.19s %s\n", name, size,
			at, json_text_clean(sender).text);
	if (err == ERR_OK)
		err = queue_list_recipients(json_object_get(message, "recipients"), text);
	if (err == ERR_OK && more > 0)
		err = buf_printf(text, "%-17s %8s %-19s and %" JSON_INTEGER_FORMAT " more\n", "",
			"", "", more);
	return err;
}

enum err
queue_list_add(struct queue_list *list, struct slice line, struct buf *text)
{
	json_t *message;
	enum err err;

	if (slice_trim(line).len == 0)
		return ERR_OK;
	message = json_loadb((const char *)line.ptr, line.len, 0, NULL);
	if (!json_is_object(message)) {
		json_decref(message);
		return ERR_SYNTAX;
	}
	err = queue_list_message(list, message, text);
	json_decref(message);
	return err;
}

enum err
queue_list_end(const struct queue_list *list, struct buf *text)
{
	if (list->count == 0)
		return buf_append_str(text, "Mail queue is empty\n");
	return buf_printf(text, "\n-- %" PRIu64 " Kbytes in %" PRIu64 " Request%s.\n",
		list->bytes / 1024, list->count, list->count == 1 ? "" : "s");
}
