/*
 * log.h - log events: one row in log_events.def is the log line, its metric and its documentation
 *
 * log_event() fills the row's {} places, in order, with fields; every byte that came from outside
 * is made harmless there (control bytes, broken UTF-8 and text-direction marks become '?'), a
 * field is cut at LOG_FIELD_MAX and a line at LOG_LINE_MAX, so one event is always one line.
 * Cores are given a struct log and never know what is behind it: production (log_file.h), a test
 * or the simulator.
 *
 * Ownership: a struct log is embedded by the sink that implements it.
 * Threads:   the thread of the loop that owns it.
 */
#ifndef OSTLER_BASE_LOG_H
#define OSTLER_BASE_LOG_H

#include "base/slice.h"

enum { LOG_LINE_MAX = 2048, LOG_FIELD_MAX = 1024 };

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR, LOG_FATAL, LOG_PANIC };

enum log_event_id {
#define EVENT(name, level, format, meaning) EV_##name,
#include "base/log_events.def"
#undef EVENT
	EV_COUNT
};

struct log {
	/* Takes one line without prefix and newline; borrowed until it returns. */
	void (*line)(
		struct log *log, enum log_event_id id, enum log_level level, struct slice text);
	uint64_t counts[EV_COUNT]; /* how often each event was emitted: the metric */
};

enum log_field_kind { LOG_FIELD_TEXT, LOG_FIELD_U64, LOG_FIELD_I64 };

struct log_field {
	enum log_field_kind kind;
	struct slice text;
	uint64_t number;
};

#define LOG_S(slice) ((struct log_field){ LOG_FIELD_TEXT, (slice), 0 })
#define LOG_Z(text) ((struct log_field){ LOG_FIELD_TEXT, slice_str(text), 0 })
#define LOG_U(value) ((struct log_field){ LOG_FIELD_U64, { NULL, 0 }, (uint64_t)(value) })
#define LOG_I(value) ((struct log_field){ LOG_FIELD_I64, { NULL, 0 }, (uint64_t)(int64_t)(value) })

/* log_event(log, EV_X, LOG_S(id), LOG_U(count), ...): as many fields as the row has places. */
#define log_event(log, id, ...) \
	log_event_fields((log), (id), (const struct log_field[]){ __VA_ARGS__ }, \
		sizeof((const struct log_field[]){ __VA_ARGS__ }) / sizeof(struct log_field))
#define log_event0(log, id) log_event_fields((log), (id), NULL, 0)

void log_event_fields(
	struct log *log, enum log_event_id id, const struct log_field *fields, size_t count);

const char *log_event_name(enum log_event_id id);
const char *log_event_format(enum log_event_id id);
const char *log_event_meaning(enum log_event_id id);
enum log_level log_event_level(enum log_event_id id);

/* "", "warning: ", "error: ", "fatal: ", "panic: " (Postfix's words). */
const char *log_level_prefix(enum log_level level);

/*
 * Copies text so that it can stand in a log line (see above); writes at most `max` bytes, returns
 * how many were written.
 */
size_t log_clean(char *to, size_t max, struct slice text);

/* A log that drops everything (tests, tools). */
void log_init_null(struct log *log);

#endif
