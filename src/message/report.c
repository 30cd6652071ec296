/* report.c - see report.h */
#include "message/report.h"

#include "base/check.h"
#include "message/address.h"
#include "message/dsn.h"
#include "message/report_text.h"
#include "message/xtext.h"

#include <stdio.h>

enum { WRAP_COLUMN = 79, BOUNDARY_SIZE = 512, BOUNDARY_TRIES = 1000 };

/*
 * All writing goes through one struct that remembers the first error, so that the layout below
 * reads straight through.
 */
struct writer {
	const struct report *report;
	struct buf *out;
	enum err err;
	char boundary[BOUNDARY_SIZE];
	bool headers_only;
	bool utf8;            /* what the report itself says is not ASCII only */
	struct slice original; /* what is returned of the content */
	char field_name[64];  /* mail_name as it stands in field names (N46) */
	size_t id_start, id_end; /* Message-ID in `out` */
};

static void
put(struct writer *writer, struct slice bytes)
{
	if (writer->err == ERR_OK)
		writer->err = buf_append(writer->out, bytes);
}

static void
put_str(struct writer *writer, const char *text)
{
	put(writer, slice_str(text));
}

/* Text of a stranger: controls become '?', so that it stays where it was put. */
static void
put_clean(struct writer *writer, struct slice text)
{
	for (size_t i = 0; i < text.len; i++) {
		uint8_t byte = text.ptr[i];

		if (byte < ' ' || byte == 127)
			byte = '?';
		if (writer->err == ERR_OK)
			writer->err = buf_append_byte(writer->out, byte);
	}
}

/* An address as it is written; the null sender by the name that mail from it bears. */
static void
put_address(struct writer *writer, struct slice address)
{
	if (writer->err != ERR_OK)
		return;
	if (address.len == 0) {
		put_str(writer, "MAILER-DAEMON");
		return;
	}
	enum err err = address_format(address, writer->out);

	if (err == ERR_SYNTAX)
		put_clean(writer, address);
	else
		writer->err = err;
}

static bool
is_ascii(struct slice text)
{
	return !address_is_utf8(text);
}

/*
 * Wraps the line that began at `start` at blanks so that it stays within WRAP_COLUMN, with a
 * continuation indent of four blanks (N40, N42), and ends it.
 */
static void
end_wrapped(struct writer *writer, size_t start)
{
	struct buf *out = writer->out;

	while (writer->err == ERR_OK && out->len - start > WRAP_COLUMN) {
		size_t cut = start + WRAP_COLUMN;

		while (cut > start + 8 && out->ptr[cut] != ' ')
			cut--;
		if (out->ptr[cut] != ' ') {
			for (cut = start + WRAP_COLUMN; cut < out->len && out->ptr[cut] != ' ';)
				cut++;
			if (cut == out->len)
				break;
		}
		size_t tail = out->len - cut - 1; /* behind the blank */

		if ((writer->err = buf_reserve(out, 8)) != ERR_OK)
			return;
		memmove(out->ptr + cut + 6, out->ptr + cut + 1, tail);
		memcpy(out->ptr + cut, "\r\n    ", 6);
		out->len = cut + 6 + tail;
		start = cut + 2;
	}
	put_str(writer, "\r\n");
}

static void
put_date(struct writer *writer, const char *name, struct wall at)
{
	char text[DATE_TEXT_SIZE];

	put_str(writer, name);
	put(writer, date_format(text, at, writer->report->zone));
	put_str(writer, "\r\n");
}

static bool
contains(struct slice where, const char *text)
{
	return where.len > 0 && memmem(where.ptr, where.len, text, strlen(text)) != NULL;
}

/* N39's form; a number is added while the returned bytes happen to hold it. */
static void
choose_boundary(struct writer *writer)
{
	const struct report *report = writer->report;

	for (int i = 0; i < BOUNDARY_TRIES; i++) {
		(void)snprintf(writer->boundary, sizeof(writer->boundary),
			"%" SLICE_FMT ".%llu%s%.0d/%" SLICE_FMT, SLICE_ARG(report->report_id),
			(unsigned long long)wall_s(report->now), i == 0 ? "" : "-", i,
			SLICE_ARG(slice_head(report->myhostname, 255)));
		if (!contains(writer->original, writer->boundary) &&
			!contains(report->head, writer->boundary))
			return;
	}
}

static void
choose_field_name(struct writer *writer)
{
	struct slice name = writer->report->mail_name;
	size_t len = 0;

	if (name.len == 0)
		name = SLICE_LIT("Ostler");
	for (size_t i = 0; i < name.len && len < sizeof(writer->field_name) - 1; i++) {
		uint8_t byte = name.ptr[i];
		bool fits = (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') ||
			    (byte >= 'a' && byte <= 'z') || byte == '-';

		writer->field_name[len++] = fits ? (char)byte : '-';
	}
	writer->field_name[len] = '\0';
}

/* How much of the original goes back: RET, size and what could be read decide (N44). */
static void
choose_original(struct writer *writer)
{
	const struct report *report = writer->report;
	size_t head = (size_t)report->content_head_length;

	writer->headers_only = report->ret == DSN_RET_HDRS || !report->content_whole ||
			       report->head.len + report->content.len > report->size_limit ||
			       report->content_missing ||
			       report->kind == REPORT_SUCCESS || report->kind == REPORT_VERIFY ||
			       report->kind == REPORT_DELAY;
	writer->original = writer->headers_only ? slice_head(report->content, head)
						: report->content;
	if (report->content_missing)
		writer->original = slice_make(NULL, 0);
}

static void
choose_charset(struct writer *writer)
{
	const struct report *report = writer->report;

	writer->utf8 = report->smtputf8 || !is_ascii(report->sender) || !is_ascii(report->to);
	for (size_t i = 0; i < report->recipient_count && !writer->utf8; i++) {
		const struct report_recipient *recipient = &report->recipients[i];

		writer->utf8 = !is_ascii(recipient->address) || !is_ascii(recipient->original) ||
			       !is_ascii(recipient->reason) || !is_ascii(recipient->diagnostic) ||
			       !is_ascii(recipient->orcpt);
	}
}

static bool
is_eight_bit(const struct writer *writer)
{
	const struct report *report = writer->report;

	return writer->utf8 || !is_ascii(writer->original) || !is_ascii(report->head) ||
	       (!report->postmaster && !is_ascii(report->template.text));
}

/* --- the report's own header ------------------------------------------------------------------ */

/* An address without a domain gets ours. */
static void
put_template_from(struct writer *writer, struct slice from)
{
	size_t start = slice_find(from, '<') < from.len ? slice_find(from, '<') + 1 : 0;
	size_t end = start;
	bool has_domain = false;

	for (; end < from.len && from.ptr[end] > ' ' && from.ptr[end] != '>' &&
		from.ptr[end] != '(';
		end++)
		has_domain |= from.ptr[end] == '@';
	put_str(writer, "From: ");
	put_clean(writer, slice_head(from, end));
	if (!has_domain) {
		put_str(writer, "@");
		put(writer, writer->report->myhostname);
	}
	put_clean(writer, slice_from(from, end));
	put_str(writer, "\r\n");
}

static void
put_subject(struct writer *writer)
{
	const struct report *report = writer->report;
	const struct report_template *template = &report->template;
	struct slice own = report->postmaster ? template->postmaster_subject : template->subject;

	put_str(writer, "Subject: ");
	if (own.len > 0)
		put_clean(writer, own);
	else
		put_str(writer, report_text_subject(report->kind, report->postmaster));
}

static void
put_from(struct writer *writer)
{
	if (writer->report->template.from.len > 0) {
		put_template_from(writer, writer->report->template.from);
		return;
	}

	bool is_obsolete = writer->report->from_obsolete;

	put_str(writer, is_obsolete ? "From: MAILER-DAEMON@"
				    : "From: Mail Delivery System <MAILER-DAEMON@");
	put(writer, writer->report->myhostname);
	put_str(writer, is_obsolete ? " (Mail Delivery System)\r\n" : ">\r\n");
}

static void
put_header(struct writer *writer, struct report_facts *facts)
{
	const struct report *report = writer->report;
	char stamp[DATE_STAMP_SIZE];

	put_date(writer, "Date: ", report->now);
	put_from(writer);
	put_subject(writer);
	put_str(writer, "\r\nTo: ");
	put_address(writer, report->to);
	put_str(writer, "\r\n");
	if (report->threaded && report->message_id.len > 0) {
		put_str(writer, "References: ");
		put_clean(writer, report->message_id);
		put_str(writer, "\r\nIn-Reply-To: ");
		put_clean(writer, report->message_id);
		put_str(writer, "\r\n");
	}
	put_str(writer, "Message-ID: ");
	writer->id_start = writer->out->len;

	put_str(writer, "<");
	put(writer, date_stamp(stamp, report->now));
	put_str(writer, ".");
	put(writer, report->report_id);
	put_str(writer, "@");
	put(writer, report->myhostname);
	put_str(writer, ">");
	writer->id_end = writer->out->len;
	put_str(writer, "\r\nAuto-Submitted: ");
	put_str(writer, report->postmaster ? "auto-generated" : "auto-replied");
	put_str(writer, "\r\nMIME-Version: 1.0\r\nContent-Type: multipart/report; "
			"report-type=delivery-status;\r\n\tboundary=\"");
	put_str(writer, writer->boundary);
	put_str(writer, "\"\r\nContent-Transfer-Encoding: ");
	put_str(writer, is_eight_bit(writer) ? "8bit\r\n\r\n" : "7bit\r\n\r\n");
	facts->head_length = writer->out->len;
	put_str(writer, "This is a MIME-encapsulated message.\r\n");
}

static void
put_part_start(struct writer *writer, const char *description)
{
	put_str(writer, "\r\n--");
	put_str(writer, writer->boundary);
	put_str(writer, "\r\nContent-Description: ");
	put_str(writer, description);
	put_str(writer, "\r\nContent-Type: ");
}

static void
put_encoding(struct writer *writer, bool eight_bit)
{
	if (eight_bit)
		put_str(writer, "Content-Transfer-Encoding: 8bit\r\n");
	put_str(writer, "\r\n");
}

/* --- part 1: for people ----------------------------------------------------------------------- */

/* Rule N8: of what has gone well, by whom. */
static void
put_reason(struct writer *writer, const struct report_recipient *recipient)
{
	bool is_via = recipient->remote_mta.len > 0 &&
		      (recipient->action == REPORT_ACTION_DELIVERED ||
			      recipient->action == REPORT_ACTION_RELAYED ||
			      recipient->action == REPORT_ACTION_DELIVERABLE);

	if (is_via && writer->report->kind != REPORT_FAILURE) {
		put_str(writer, "delivery via ");
		put_clean(writer, recipient->remote_mta);
		put_str(writer, ": ");
	}
	put_clean(writer, recipient->reason);
}

static void
put_human_recipient(struct writer *writer, const struct report_recipient *recipient)
{
	size_t start = writer->out->len;

	put_str(writer, "<");
	put_address(writer, recipient->address);
	put_str(writer, ">");
	if (recipient->original.len > 0 && !slice_equal(recipient->original, recipient->address)) {
		put_str(writer, " (expanded from <");
		put_address(writer, recipient->original);
		put_str(writer, ">)");
	}
	put_str(writer, ": ");
	put_reason(writer, recipient);
	end_wrapped(writer, start);
}

static void
put_human(struct writer *writer)
{
	const struct report *report = writer->report;
	struct slice own = report->postmaster ? slice_make(NULL, 0) : report->template.text;

	put_part_start(writer, "Notification");
	put_str(writer, "text/plain; charset=");
	if (!is_ascii(own))
		put_clean(writer, report->template.charset);
	else
		put_str(writer, writer->utf8 ? "utf-8" : "us-ascii");
	put_str(writer, "\r\n");
	put_encoding(writer, writer->utf8 || !is_ascii(own));
	if (!report->postmaster && report->template.is_set) {
		put(writer, own);
		put_str(writer, "\r\n");
	} else if (!report->postmaster && writer->err == ERR_OK) {
		writer->err = report_text_put(report, writer->out);
	}
	for (size_t i = 0; i < report->recipient_count; i++) {
		if (i > 0)
			put_str(writer, "\r\n");
		put_human_recipient(writer, &report->recipients[i]);
	}
}

/* --- part 2: for programs --------------------------------------------------------------------- */

static const char *
address_type(struct slice address)
{
	return is_ascii(address) ? "rfc822; " : "utf-8; ";
}

/* message/delivery-status is ASCII (RFC 6533 3): what was written from there on is coded. */
static void
fold_to_ascii(struct writer *writer, size_t start)
{
	struct buf plain;

	if (writer->err != ERR_OK)
		return;
	buf_init(&plain, 0);
	writer->err = buf_append(&plain, slice_from(buf_slice(writer->out), start));
	writer->out->len = start;
	if (writer->err == ERR_OK)
		writer->err = xtext_encode_utf8(buf_slice(&plain), writer->out);
	buf_done(&plain);
}

static void
put_typed_address(struct writer *writer, const char *name, struct slice address)
{
	size_t start;

	put_str(writer, name);
	put_str(writer, address_type(address));
	start = writer->out->len;
	put_address(writer, address);
	if (!writer->report->smtputf8 && !is_ascii(address))
		fold_to_ascii(writer, start);
	put_str(writer, "\r\n");
}

static void
put_message_fields(struct writer *writer)
{
	const struct report *report = writer->report;

	put_str(writer, "Reporting-MTA: dns; ");
	put(writer, report->myhostname);
	put_str(writer, "\r\n");
	if (report->envid.len > 0) {
		put_str(writer, "Original-Envelope-Id: ");
		put_clean(writer, report->envid);
		put_str(writer, "\r\n");
	}
	put_str(writer, "X-");
	put_str(writer, writer->field_name);
	put_str(writer, "-Queue-ID: ");
	put(writer, report->queue_id);
	put_str(writer, "\r\nX-");
	put_str(writer, writer->field_name);
	put_typed_address(writer, "-Sender: ", report->sender);
	if (report->arrival.us > 0)
		put_date(writer, "Arrival-Date: ", report->arrival);
}

static const char *
action_word(enum report_kind kind, enum report_action action)
{
	static const char *const words[] = {
		[REPORT_ACTION_FAILED] = "failed",
		[REPORT_ACTION_DELAYED] = "delayed",
		[REPORT_ACTION_DELIVERED] = "delivered",
		[REPORT_ACTION_RELAYED] = "relayed",
		[REPORT_ACTION_EXPANDED] = "expanded",
		[REPORT_ACTION_DELIVERABLE] = "deliverable",
		[REPORT_ACTION_UNDELIVERABLE] = "undeliverable",
	};

	return kind == REPORT_FAILURE ? "failed" : words[action];
}

static void
put_status(struct writer *writer, struct slice status)
{
	static const char *const defaults[] = {
		[REPORT_FAILURE] = "5.0.0",
		[REPORT_DELAY] = "4.0.0",
		[REPORT_SUCCESS] = "2.0.0",
		[REPORT_VERIFY] = "2.0.0",
	};

	put_str(writer, "Status: ");
	if (dsn_status_valid(status))
		put(writer, status);
	else
		put_str(writer, defaults[writer->report->kind]);
	put_str(writer, "\r\n");
}

/* What the peer said; of what it took, that is the reason itself. */
static struct slice
peer_reply(const struct report_recipient *recipient)
{
	bool is_taken = recipient->action == REPORT_ACTION_DELIVERED ||
			recipient->action == REPORT_ACTION_RELAYED;

	if (is_taken && recipient->remote_mta.len > 0 && recipient->diagnostic.len == 0 &&
		slice_starts(recipient->reason, SLICE_LIT("2")))
		return recipient->reason;
	return recipient->diagnostic;
}

static void
put_diagnostic(struct writer *writer, const struct report_recipient *recipient)
{
	struct slice reply = peer_reply(recipient);
	size_t start = writer->out->len;

	put_str(writer, "Diagnostic-Code: ");
	if (reply.len > 0) {
		put_str(writer, "smtp; ");
		put_clean(writer, reply);
	} else {
		put_str(writer, "X-");
		put_str(writer, writer->field_name);
		put_str(writer, "; ");
		put_reason(writer, recipient);
	}
	end_wrapped(writer, start);
}

static void
put_recipient_fields(struct writer *writer, const struct report_recipient *recipient)
{
	const struct report *report = writer->report;

	put_str(writer, "\r\n");
	put_typed_address(writer, "Final-Recipient: ", recipient->address);
	if (recipient->orcpt.len > 0) {
		put_str(writer, "Original-Recipient: ");
		put_clean(writer, recipient->orcpt);
		put_str(writer, "\r\n");
	} else if (recipient->original.len > 0) {
		put_typed_address(writer, "Original-Recipient: ", recipient->original);
	}
	put_str(writer, "Action: ");
	put_str(writer, action_word(report->kind, recipient->action));
	put_str(writer, "\r\n");
	put_status(writer, recipient->status);
	if (recipient->remote_mta.len > 0) {
		put_str(writer, "Remote-MTA: dns; ");
		put_clean(writer, recipient->remote_mta);
		put_str(writer, "\r\n");
	}
	put_diagnostic(writer, recipient);
	if (report->kind == REPORT_DELAY)
		put_date(writer, "Will-Retry-Until: ", report->expires);
}

static void
put_machine(struct writer *writer)
{
	const struct report *report = writer->report;

	put_part_start(writer, "Delivery report");
	put_str(writer, report->smtputf8 ? "message/global-delivery-status\r\n"
					 : "message/delivery-status\r\n");
	put_encoding(writer, writer->utf8);
	put_message_fields(writer);
	for (size_t i = 0; i < report->recipient_count; i++)
		put_recipient_fields(writer, &report->recipients[i]);
}

/* --- part 3: what was sent -------------------------------------------------------------------- */

static const char *
original_type(const struct writer *writer)
{
	if (writer->report->smtputf8)
		return writer->headers_only ? "message/global-headers\r\n" : "message/global\r\n";
	return writer->headers_only ? "text/rfc822-headers\r\n" : "message/rfc822\r\n";
}

static void
put_original(struct writer *writer)
{
	const struct report *report = writer->report;
	bool undelivered = report->kind == REPORT_FAILURE || report->kind == REPORT_DELAY;
	bool eight_bit = !is_ascii(writer->original) || !is_ascii(report->head) ||
			 !is_ascii(report->sender);

	if (undelivered)
		put_part_start(writer, writer->headers_only ? "Undelivered Message Headers"
							    : "Undelivered Message");
	else
		put_part_start(writer, writer->headers_only ? "Message Headers" : "Message");
	put_str(writer, original_type(writer));
	put_encoding(writer, eight_bit);
	put_str(writer, "Return-Path: <");
	if (report->sender.len > 0)
		put_address(writer, report->sender);
	put_str(writer, ">\r\n");
	put(writer, report->head);
	if (report->content_missing)
		put_str(writer, "--- Undelivered message unavailable ---\r\n");
	put(writer, writer->original);
	if (writer->original.len > 0 && writer->original.ptr[writer->original.len - 1] != '\n')
		put_str(writer, "\r\n");
}

enum err
report_format(const struct report *report, struct buf *content, struct report_facts *ret_facts)
{
	size_t start = content->len;
	struct writer writer = { .report = report, .out = content };
	struct report_facts facts = { 0 };

	CHECK(report->recipient_count > 0 && report->recipient_count <= REPORT_RECIPIENTS_MAX);
	choose_original(&writer);
	choose_charset(&writer);
	choose_boundary(&writer);
	choose_field_name(&writer);
	put_header(&writer, &facts);
	put_human(&writer);
	put_machine(&writer);
	put_original(&writer);
	put_str(&writer, "\r\n--");
	put_str(&writer, writer.boundary);
	put_str(&writer, "--\r\n");
	if (writer.err != ERR_OK) {
		content->len = start;
		return writer.err;
	}
	facts.head_length -= start;
	/* Only now does the buffer stand still. */
	facts.message_id =
		slice_make(content->ptr + writer.id_start, writer.id_end - writer.id_start);
	facts.eight_bit = is_eight_bit(&writer);
	facts.dotted = contains(slice_from(buf_slice(content), start), "\n.");
	*ret_facts = facts;
	return ERR_OK;
}
