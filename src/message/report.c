/* report.c - see report.h */
#include "message/report.h"

#include "base/check.h"
#include "message/address.h"
#include "message/dsn.h"
#include "message/mail_text.h"
#include "message/report_text.h"
#include "message/xtext.h"

#include <stdio.h>

enum { WRAP_COLUMN = 79, BOUNDARY_SIZE = 512, BOUNDARY_TRIES = 1000 };

struct writer {
	const struct report *report;
	struct mail_text text;
	char boundary[BOUNDARY_SIZE];
	bool headers_only;
	bool utf8;            /* what the report itself says is not ASCII only */
	struct slice original; /* what is returned of the content */
	char field_name[64];  /* mail_name as it stands in field names (N46) */
};

/* The null sender by the name that mail from it bears. */
static void
put_address(struct writer *writer, struct slice address)
{
	if (address.len == 0)
		mail_put_str(&writer->text, "MAILER-DAEMON");
	else
		mail_put_address(&writer->text, address);
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
	struct buf *out = writer->text.out;

	while (writer->text.err == ERR_OK && out->len - start > WRAP_COLUMN) {
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

		if ((writer->text.err = buf_reserve(out, 8)) != ERR_OK)
			return;
		memmove(out->ptr + cut + 6, out->ptr + cut + 1, tail);
		memcpy(out->ptr + cut, "\r\n    ", 6);
		out->len = cut + 6 + tail;
		start = cut + 2;
	}
	mail_put_str(&writer->text, "\r\n");
}

static void
put_date(struct writer *writer, const char *name, struct wall at)
{
	char text[DATE_TEXT_SIZE];

	mail_put_str(&writer->text, name);
	mail_put(&writer->text, date_format(text, at, writer->report->zone));
	mail_put_str(&writer->text, "\r\n");
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
	mail_put_str(&writer->text, "From: ");
	mail_put_clean(&writer->text, slice_head(from, end));
	if (!has_domain) {
		mail_put_str(&writer->text, "@");
		mail_put(&writer->text, writer->report->myhostname);
	}
	mail_put_clean(&writer->text, slice_from(from, end));
	mail_put_str(&writer->text, "\r\n");
}

static void
put_subject(struct writer *writer)
{
	const struct report *report = writer->report;
	const struct report_template *template = &report->template;
	struct slice own = report->postmaster ? template->postmaster_subject : template->subject;

	mail_put_str(&writer->text, "Subject: ");
	if (own.len > 0)
		mail_put_clean(&writer->text, own);
	else
		mail_put_str(&writer->text, report_text_subject(report->kind, report->postmaster));
}

static void
put_from(struct writer *writer)
{
	if (writer->report->template.from.len > 0) {
		put_template_from(writer, writer->report->template.from);
		return;
	}

	mail_put_from(&writer->text, writer->report->myhostname, writer->report->from_obsolete);
	mail_put_str(&writer->text, "\r\n");
}

static void
put_header(struct writer *writer, struct report_facts *facts)
{
	const struct report *report = writer->report;

	put_date(writer, "Date: ", report->now);
	put_from(writer);
	put_subject(writer);
	mail_put_str(&writer->text, "\r\nTo: ");
	put_address(writer, report->to);
	mail_put_str(&writer->text, "\r\n");
	if (report->threaded && report->message_id.len > 0) {
		mail_put_str(&writer->text, "References: ");
		mail_put_clean(&writer->text, report->message_id);
		mail_put_str(&writer->text, "\r\nIn-Reply-To: ");
		mail_put_clean(&writer->text, report->message_id);
		mail_put_str(&writer->text, "\r\n");
	}
	mail_put_str(&writer->text, "Message-ID: ");
	mail_put_id(&writer->text, report->now, report->report_id, report->myhostname);
	mail_put_str(&writer->text, "\r\nAuto-Submitted: ");
	mail_put_str(&writer->text, report->postmaster ? "auto-generated" : "auto-replied");
	mail_put_str(&writer->text, "\r\nMIME-Version: 1.0\r\nContent-Type: multipart/report; "
			"report-type=delivery-status;\r\n\tboundary=\"");
	mail_put_str(&writer->text, writer->boundary);
	mail_put_str(&writer->text, "\"\r\nContent-Transfer-Encoding: ");
	mail_put_str(&writer->text, is_eight_bit(writer) ? "8bit\r\n\r\n" : "7bit\r\n\r\n");
	facts->head_length = writer->text.out->len;
	mail_put_str(&writer->text, "This is a MIME-encapsulated message.\r\n");
}

static void
put_part_start(struct writer *writer, const char *description)
{
	mail_put_str(&writer->text, "\r\n--");
	mail_put_str(&writer->text, writer->boundary);
	mail_put_str(&writer->text, "\r\nContent-Description: ");
	mail_put_str(&writer->text, description);
	mail_put_str(&writer->text, "\r\nContent-Type: ");
}

static void
put_encoding(struct writer *writer, bool eight_bit)
{
	if (eight_bit)
		mail_put_str(&writer->text, "Content-Transfer-Encoding: 8bit\r\n");
	mail_put_str(&writer->text, "\r\n");
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
		mail_put_str(&writer->text, "delivery via ");
		mail_put_clean(&writer->text, recipient->remote_mta);
		mail_put_str(&writer->text, ": ");
	}
	mail_put_clean(&writer->text, recipient->reason);
}

static void
put_human_recipient(struct writer *writer, const struct report_recipient *recipient)
{
	size_t start = writer->text.out->len;

	mail_put_str(&writer->text, "<");
	put_address(writer, recipient->address);
	mail_put_str(&writer->text, ">");
	if (recipient->original.len > 0 && !slice_equal(recipient->original, recipient->address)) {
		mail_put_str(&writer->text, " (expanded from <");
		put_address(writer, recipient->original);
		mail_put_str(&writer->text, ">)");
	}
	mail_put_str(&writer->text, ": ");
	put_reason(writer, recipient);
	end_wrapped(writer, start);
}

static void
put_human(struct writer *writer)
{
	const struct report *report = writer->report;
	struct slice own = report->postmaster ? slice_make(NULL, 0) : report->template.text;

	put_part_start(writer, "Notification");
	mail_put_str(&writer->text, "text/plain; charset=");
	if (!is_ascii(own))
		mail_put_clean(&writer->text, report->template.charset);
	else
		mail_put_str(&writer->text, writer->utf8 ? "utf-8" : "us-ascii");
	mail_put_str(&writer->text, "\r\n");
	put_encoding(writer, writer->utf8 || !is_ascii(own));
	if (!report->postmaster && report->template.is_set) {
		mail_put(&writer->text, own);
		mail_put_str(&writer->text, "\r\n");
	} else if (!report->postmaster && writer->text.err == ERR_OK) {
		writer->text.err = report_text_put(report, writer->text.out);
	}
	for (size_t i = 0; i < report->recipient_count; i++) {
		if (i > 0)
			mail_put_str(&writer->text, "\r\n");
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

	if (writer->text.err != ERR_OK)
		return;
	buf_init(&plain, 0);
	writer->text.err = buf_append(&plain, slice_from(buf_slice(writer->text.out), start));
	writer->text.out->len = start;
	if (writer->text.err == ERR_OK)
		writer->text.err = xtext_encode_utf8(buf_slice(&plain), writer->text.out);
	buf_done(&plain);
}

static void
put_typed_address(struct writer *writer, const char *name, struct slice address)
{
	size_t start;

	mail_put_str(&writer->text, name);
	mail_put_str(&writer->text, address_type(address));
	start = writer->text.out->len;
	put_address(writer, address);
	if (!writer->report->smtputf8 && !is_ascii(address))
		fold_to_ascii(writer, start);
	mail_put_str(&writer->text, "\r\n");
}

static void
put_message_fields(struct writer *writer)
{
	const struct report *report = writer->report;

	mail_put_str(&writer->text, "Reporting-MTA: dns; ");
	mail_put(&writer->text, report->myhostname);
	mail_put_str(&writer->text, "\r\n");
	if (report->envid.len > 0) {
		mail_put_str(&writer->text, "Original-Envelope-Id: ");
		mail_put_clean(&writer->text, report->envid);
		mail_put_str(&writer->text, "\r\n");
	}
	mail_put_str(&writer->text, "X-");
	mail_put_str(&writer->text, writer->field_name);
	mail_put_str(&writer->text, "-Queue-ID: ");
	mail_put(&writer->text, report->queue_id);
	mail_put_str(&writer->text, "\r\nX-");
	mail_put_str(&writer->text, writer->field_name);
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

	mail_put_str(&writer->text, "Status: ");
	if (dsn_status_valid(status))
		mail_put(&writer->text, status);
	else
		mail_put_str(&writer->text, defaults[writer->report->kind]);
	mail_put_str(&writer->text, "\r\n");
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
	size_t start = writer->text.out->len;

	mail_put_str(&writer->text, "Diagnostic-Code: ");
	if (reply.len > 0) {
		mail_put_str(&writer->text, "smtp; ");
		mail_put_clean(&writer->text, reply);
	} else {
		mail_put_str(&writer->text, "X-");
		mail_put_str(&writer->text, writer->field_name);
		mail_put_str(&writer->text, "; ");
		put_reason(writer, recipient);
	}
	end_wrapped(writer, start);
}

static void
put_recipient_fields(struct writer *writer, const struct report_recipient *recipient)
{
	const struct report *report = writer->report;

	mail_put_str(&writer->text, "\r\n");
	put_typed_address(writer, "Final-Recipient: ", recipient->address);
	if (recipient->orcpt.len > 0) {
		mail_put_str(&writer->text, "Original-Recipient: ");
		mail_put_clean(&writer->text, recipient->orcpt);
		mail_put_str(&writer->text, "\r\n");
	} else if (recipient->original.len > 0) {
		put_typed_address(writer, "Original-Recipient: ", recipient->original);
	}
	mail_put_str(&writer->text, "Action: ");
	mail_put_str(&writer->text, action_word(report->kind, recipient->action));
	mail_put_str(&writer->text, "\r\n");
	put_status(writer, recipient->status);
	if (recipient->remote_mta.len > 0) {
		mail_put_str(&writer->text, "Remote-MTA: dns; ");
		mail_put_clean(&writer->text, recipient->remote_mta);
		mail_put_str(&writer->text, "\r\n");
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
	mail_put_str(&writer->text, report->smtputf8 ? "message/global-delivery-status\r\n"
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
	mail_put_str(&writer->text, original_type(writer));
	put_encoding(writer, eight_bit);
	mail_put_str(&writer->text, "Return-Path: <");
	if (report->sender.len > 0)
		put_address(writer, report->sender);
	mail_put_str(&writer->text, ">\r\n");
	mail_put(&writer->text, report->head);
	if (report->content_missing)
		mail_put_str(&writer->text, "--- Undelivered message unavailable ---\r\n");
	mail_put(&writer->text, writer->original);
	if (writer->original.len > 0 && writer->original.ptr[writer->original.len - 1] != '\n')
		mail_put_str(&writer->text, "\r\n");
}

enum err
report_format(const struct report *report, struct buf *content, struct report_facts *ret_facts)
{
	size_t start = content->len;
	struct writer writer = { .report = report, .text = { .out = content } };
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
	mail_put_str(&writer.text, "\r\n--");
	mail_put_str(&writer.text, writer.boundary);
	mail_put_str(&writer.text, "--\r\n");
	if (writer.text.err != ERR_OK) {
		content->len = start;
		return writer.text.err;
	}
	facts.head_length -= start;
	/* Only now does the buffer stand still. */
	facts.message_id = mail_text_id(&writer.text);
	facts.eight_bit = is_eight_bit(&writer);
	facts.dotted = contains(slice_from(buf_slice(content), start), "\n.");
	*ret_facts = facts;
	return ERR_OK;
}
