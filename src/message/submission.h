/*
 * submission.h - mail of this machine's users on its way to pickup: one form for socket and file
 *
 * sendmail writes a submission to the socket (submit_socket) and gets a reply, or, when nobody
 * listens, writes the same bytes to a file in maildrop/. Bytes: magic, u32 length of the head, the
 * head, then pieces of content {u32 length (1 to SUBMISSION_PIECE_MAX), bytes}, a length of 0, u64
 * length of the content and u64 XXH3 of head and content. So a file that was cut off is never taken
 * for whole.
 *
 * A file is written as .tmp-NAME, mode 0644, flushed and renamed to NAME: 32 hexadecimal digits
 * (0-9, A-F), random, so that nobody else can find it (maildrop/ has mode 1733: only pickup may
 * list it). A .tmp- file that has not changed for a day is what a killed sendmail left: pickup may
 * remove it.
 *
 * Addresses are in internal form (message/address.h), sender and recipients may lack a domain:
 * pickup completes them. Everything in a submission comes from a stranger to pickup: the reader
 * checks structure, lengths, addresses and characters, and turns the content into lines that end
 * in CRLF (a lone LF becomes CRLF, a lone CR a blank, a last line gets its end).
 *
 * A submission of `ostler import` has more fields at the end of its head (struct
 * submission_import): what mail that was accepted elsewhere brings along. The reader checks their
 * form; whether the sender may give them is pickup's to decide.
 *
 * Ownership: a read submission's slices point into its reader. Writers append.
 * Limits:    below. Errors: ERR_AGAIN (more bytes are needed), ERR_SYNTAX, ERR_LIMIT,
 *            ERR_VERSION, ERR_CORRUPT (length or hash is wrong), ERR_NOMEM.
 * Threads:   none.
 */
#ifndef OSTLER_MESSAGE_SUBMISSION_H
#define OSTLER_MESSAGE_SUBMISSION_H

#include "base/buf.h"
#include "base/err.h"
#include "base/hash.h"

enum {
	SUBMISSION_HEAD_MAX = 8 * 1024 * 1024,
	SUBMISSION_RECIPIENTS_MAX = 200000,
	SUBMISSION_NAME_LENGTH = 32, /* of a file in maildrop/ */
	SUBMISSION_FULL_NAME_MAX = 255,
	SUBMISSION_PIECE_MAX = 64 * 1024,
	SUBMISSION_REPLY_TEXT_MAX = 1024,
	SUBMISSION_KEY_MAX = 128,
};

enum submission_flags {
	SUBMISSION_8BIT = 1,   /* -B 8BITMIME */
	SUBMISSION_IMPORT = 2, /* submission.import is there */
	SUBMISSION_VERP = 4,   /* submission.verp is there: -XV */
	SUBMISSION_RECORD = 8, /* -v: each delivery is reported */
	SUBMISSION_WHATIF = 16, /* -bv: nothing is delivered, what would be is reported */
	SUBMISSION_FLAGS_ALL = 31,
};

enum submission_import_flags {
	SUBMISSION_IMPORT_HOLD = 1,	/* goes on hold at arrival */
	SUBMISSION_IMPORT_EXACT = 2,	/* no field is added, no alias is expanded */
	SUBMISSION_IMPORT_SMTPUTF8 = 4, /* next hops must speak SMTPUTF8 */
	SUBMISSION_IMPORT_ALL = 7,
};

/* Mail that was accepted elsewhere. */
struct submission_import {
	uint32_t flags;	       /* enum submission_import_flags */
	uint64_t arrival_us;   /* 0: now */
	uint64_t created_us;   /* where its age counts from; 0: arrival */
	struct slice key;      /* visible ASCII, never twice in a queue; 1 to SUBMISSION_KEY_MAX */
	struct slice details;  /* one for each recipient, for submission_detail_next() */
};

/* What belongs to a recipient besides its address. */
struct submission_detail {
	struct slice original; /* before rewriting, internal form; may be empty */
	struct slice orcpt;    /* DSN ORCPT type;address, decoded; may be empty */
};

struct submission {
	uint32_t flags;		/* enum submission_flags */
	struct slice sender;	/* empty: null sender */
	struct slice full_name; /* for a From: field, without control bytes; may be empty */
	uint64_t created_us;	/* wall time at the submitter; not to be believed */
	uint8_t ret;		/* enum dsn_ret */
	struct slice envid;	/* decoded, may be empty */
	uint32_t recipient_count;
	struct slice recipients; /* for submission_recipient_next() */
	struct slice verp;	 /* SUBMISSION_VERP only: two delimiters, else empty */
	struct submission_import import; /* SUBMISSION_IMPORT only, else zeroes */
};

struct submission_recipient {
	struct slice address;
	uint8_t notify; /* enum dsn_notify bits */
};

/* Appends one recipient to a list that becomes submission.recipients. */
MUST_USE enum err submission_put_recipient(
	struct buf *list, const struct submission_recipient *recipient);

/* Cuts the next one off a list; ERR_NOTFOUND at the end. */
MUST_USE enum err submission_recipient_next(
	struct slice *list, struct submission_recipient *ret_recipient);

/* The same for details, which stand in the order of the recipients. */
MUST_USE enum err submission_put_detail(
	struct buf *list, const struct submission_detail *detail);
MUST_USE enum err submission_detail_next(
	struct slice *list, struct submission_detail *ret_detail);

/* Whether this can be the key of an import. */
bool submission_key_is_valid(struct slice key);

/* Writing: head, content in any number of parts, end. */
struct submission_writer {
	struct hash_stream *hash;
	uint64_t length;
};

void submission_writer_init(struct submission_writer *writer);
void submission_writer_done(struct submission_writer *writer);
MUST_USE enum err submission_put_head(
	struct submission_writer *writer, struct buf *bytes, const struct submission *submission);
MUST_USE enum err submission_put_content(
	struct submission_writer *writer, struct buf *bytes, struct slice part);
MUST_USE enum err submission_put_end(struct submission_writer *writer, struct buf *bytes);

/* Reading: any cut of the bytes into parts gives the same. */
enum submission_state {
	SUBMISSION_STATE_MAGIC,	  /* magic and length of the head */
	SUBMISSION_STATE_HEAD,	  /* the head */
	SUBMISSION_STATE_LENGTH,  /* length of a piece */
	SUBMISSION_STATE_CONTENT, /* a piece */
	SUBMISSION_STATE_TRAILER, /* length and hash */
	SUBMISSION_STATE_DONE,
	SUBMISSION_STATE_BAD, /* after an error: nothing is taken any more */
};

struct submission_reader {
	enum submission_state state;
	struct submission submission; /* valid once the state is beyond HEAD */
	uint64_t length;	      /* of the content as given, so far */
	struct buf head;	      /* bytes of what is being gathered; then the head */
	size_t wanted;		      /* bytes until the next state */
	uint8_t small[16];
	size_t small_len;
	bool after_cr; /* the last byte was a CR, which is not yet decided about */
	bool at_line;  /* the content so far ends in CRLF, or is empty */
	struct hash_stream *hash;
};

void submission_reader_init(struct submission_reader *reader);
void submission_reader_done(struct submission_reader *reader);

/*
 * Takes bytes off the front of *rest and appends what they hold of the content, in CRLF, to
 * `content` (at most twice their number + 2). ERR_OK: that was all of it (bytes behind the end
 * stay in *rest); ERR_AGAIN: *rest is used up, more is needed; others are final.
 */
MUST_USE enum err submission_read(
	struct submission_reader *reader, struct slice *rest, struct buf *content);

/* Whether the head is there. */
bool submission_reader_has_head(const struct submission_reader *reader);

/*
 * The reply on the socket, after which pickup closes it: exit code of sysexits.h (0: it is durable,
 * the text is its queue ID; 75: later; others: never) and words for the user. {u32 length of the
 * text, u8 code, text}.
 */
MUST_USE enum err submission_put_reply(struct buf *bytes, uint8_t code, struct slice text);

/* ERR_AGAIN: not all of it is there yet. */
MUST_USE enum err submission_parse_reply(
	struct slice bytes, uint8_t *ret_code, struct slice *ret_text);

/* Whether this can be the name of a finished file in maildrop/. */
bool submission_name_is_valid(struct slice name);

#endif
