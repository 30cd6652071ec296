/*
 * header.h - a streaming look at a message's content: where its header ends and what is in it
 *
 * smtpd feeds the content (lines ending in CRLF or LF, dots unstuffed) as it arrives, split
 * anywhere. The header ends at its first empty line, or before the first line that is neither a
 * field nor a continuation (then separator_missing is set). Facts of header and body are
 * collected in one pass.
 *
 * Ownership: the struct is embedded; no allocation. Limits: HEADER_MESSAGE_ID_MAX bytes of
 *            Message-ID are kept, a longer one is cut; counts stop at UINT32_MAX.
 * Errors:    none: any bytes are fine. Threads: pure.
 */
#ifndef OSTLER_MESSAGE_HEADER_H
#define OSTLER_MESSAGE_HEADER_H

#include "base/slice.h"

enum { HEADER_NAME_MAX = 64, HEADER_MESSAGE_ID_MAX = 512 };

/* Bits of header.fields: which were seen. */
enum { HEADER_PRIORITY_MAX = 12 };

enum header_field {
	HEADER_FROM = 1,
	HEADER_SENDER = 2,
	HEADER_TO = 4,
	HEADER_CC = 8,
	HEADER_BCC = 16,
	HEADER_DATE = 32,
	HEADER_SUBJECT = 64,
	HEADER_MESSAGE_ID = 128,
	HEADER_RECEIVED = 256,
	HEADER_DELIVERED_TO = 512,
	HEADER_RESENT_FROM = 1024,
	HEADER_RESENT_DATE = 2048,
	HEADER_RESENT_MESSAGE_ID = 4096,
	HEADER_RETURN_PATH = 8192,
	HEADER_AUTO_SUBMITTED = 16384,
	HEADER_PRIORITY = 32768,   /* Priority, Precedence, Importance, X-Priority */
	HEADER_OTHER = 1 << 30,
};

enum header_state { HEADER_STATE_NAME, HEADER_STATE_VALUE, HEADER_STATE_BODY };

struct header {
	/* Results so far; head_length only once ended is set. */
	bool ended;
	bool separator_missing;
	bool eight_bit;        /* a byte above 127 anywhere */
	bool header_eight_bit; /* in the header */
	bool dotted;           /* a line starts with a dot */
	uint32_t fields;       /* enum header_field */
	uint32_t hop_count;    /* Received fields */
	uint64_t length;       /* bytes fed */
	uint64_t head_length;  /* where the body begins: behind the empty line, if there is one */
	uint64_t line_longest; /* without its line end */
	size_t priority_len;
	uint8_t priority[HEADER_PRIORITY_MAX]; /* how the first such field begins */
	size_t message_id_len;
	uint8_t message_id[HEADER_MESSAGE_ID_MAX];

	/* How far the scan is. */
	enum header_state state;
	uint32_t field;        /* of the value being read */
	uint64_t line_len;     /* bytes of the line so far */
	uint64_t line_start;   /* its offset */
	bool line_cr;          /* its last byte is CR */
	bool name_bad;         /* the line cannot be a field */
	bool name_blank;       /* blanks between name and colon have begun */
	size_t name_len;
	uint8_t name[HEADER_NAME_MAX];
};

void header_init(struct header *header);
void header_feed(struct header *header, struct slice bytes);

/* At the end of the content; only afterwards are ended and head_length final. */
void header_finish(struct header *header);

/* The first Message-ID's value without blanks at its ends, or empty. */
struct slice header_message_id(const struct header *header);

/*
 * What Priority (RFC 2156), Precedence, Importance or X-Priority say, the first of them, as
 * envelope.priority: urgent is 4 (RFC 6710, appendix B) and counts with may_hurry only, non-urgent
 * or bulk -4; 0: nothing, or what says nothing.
 */
uint8_t header_priority(const struct header *header, bool may_hurry);

#endif
