/* report_text.c - see report_text.h */
#include "message/report_text.h"

#include "base/check.h"

const char *
report_text_subject(enum report_kind kind, bool postmaster)
{
	switch (kind) {
	case REPORT_FAILURE:
		return postmaster ? "Postmaster Copy: Undelivered Mail"
				  : "Undelivered Mail Returned to Sender";
	case REPORT_DELAY:
		return postmaster ? "Postmaster Warning: Delayed Mail"
				  : "Delayed Mail (still being retried)";
	case REPORT_SUCCESS:
		return "Successful Mail Delivery Report";
	case REPORT_VERIFY:
		return "Mail Delivery Status Report";
	}
	UNREACHED();
	return "";
}

/* What happened, in a sentence or two. */
static const char *
explanation(enum report_kind kind)
{
	switch (kind) {
	case REPORT_FAILURE:
		return "Your message could not be delivered to the recipients below, and no\r\n"
		       "further attempt will be made. The reason stands behind each address;\r\n"
		       "the message itself, or its header, is attached.\r\n";
	case REPORT_DELAY:
		return "THIS IS ONLY A WARNING: you need not send your message again.\r\n"
		       "\r\n"
		       "Your message has not yet been delivered to the recipients below.\r\n"
		       "Delivery goes on being tried.\r\n";
	case REPORT_SUCCESS:
		return "Your message was delivered to the recipients below. If it was handed\r\n"
		       "to another mail system (\"relayed\"), it may send reports as well.\r\n";
	case REPORT_VERIFY:
		return "This is the report on addresses or deliveries that you asked for.\r\n";
	}
	UNREACHED();
	return "";
}

static enum err
put_lifetime(struct buf *content, uint64_t lifetime_s)
{
	uint64_t days = lifetime_s / 86400;
	uint64_t hours = lifetime_s / 3600;
	bool in_days = lifetime_s % 86400 == 0 && days > 0;

	return buf_printf(content,
		"It will be tried until the message is %llu %s old.\r\n",
		(unsigned long long)(in_days ? days : hours),
		in_days ? (days == 1 ? "day" : "days") : (hours == 1 ? "hour" : "hours"));
}

enum err
report_text_put(const struct report *report, struct buf *content)
{
	enum err err = buf_printf(content,
		"This is the mail system at host %" SLICE_FMT ".\r\n\r\n",
		SLICE_ARG(report->myhostname));

	if (err == ERR_OK)
		err = buf_append_str(content, explanation(report->kind));
	if (err == ERR_OK && report->kind == REPORT_DELAY)
		err = put_lifetime(content, report->lifetime_s);
	if (err == ERR_OK && report->kind != REPORT_SUCCESS && report->kind != REPORT_VERIFY)
		err = buf_append_str(content,
			"\r\nFor help, please write to postmaster and include this report.\r\n");
	return err == ERR_OK ? buf_append_str(content, "\r\n") : err;
}
