/* dialogue.c - see dialogue.h */
#include "cli/dialogue.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"
#include "cli/submit.h"
#include "message/address.h"
#include "message/submission.h"

#include <stdio.h>
#include <sysexits.h>

struct dialogue {
	struct cli *cli;
	struct buf line, sender, recipients, content;
	struct submission submission;
	uint64_t size_max;
	bool has_mail, is_over;
	unsigned errors;
};

static void
say(const char *reply)
{
	(void)printf("%s\r\n", reply);
}

static void
fail(struct dialogue *dialogue, const char *reply)
{
	say(reply);
	if (++dialogue->errors >= DIALOGUE_ERRORS_MAX) {
		say("421 4.7.0 Error: too many errors");
		dialogue->is_over = true;
	}
}

static void
reset(struct dialogue *dialogue)
{
	buf_clear(&dialogue->sender);
	buf_clear(&dialogue->recipients);
	buf_clear(&dialogue->content);
	dialogue->submission = (struct submission){ 0 };
	dialogue->has_mail = false;
}

/* One line without its end; what is beyond `max` is dropped, *ret_long. False: the input's end. */
static bool
read_line(struct buf *line, size_t max, bool *ret_long)
{
	int byte;

	buf_clear(line);
	*ret_long = false;
	while ((byte = getchar()) != EOF && byte != '\n') {
		if (line->len < max)
			buf_add(line, slice_make(&(uint8_t){ (uint8_t)byte }, 1));
		else
			*ret_long = true;
	}
	if (line->len > 0 && line->ptr[line->len - 1] == '\r')
		line->len--;
	return byte != EOF;
}

/* --- MAIL, RCPT ------------------------------------------------------------------------------- */

static const char *
mail_parameter(struct dialogue *dialogue, struct slice word)
{
	uint64_t size;

	if (slice_starts_nocase(word, SLICE_LIT("SIZE="))) {
		if (num_parse_u64(slice_from(word, 5), 0, UINT64_MAX, &size) != ERR_OK)
			return "501 5.5.4 Bad SIZE parameter syntax";
		return size > dialogue->size_max ? "552 5.3.4 Message size exceeds fixed limit"
						 : NULL;
	}
	if (slice_equal_nocase_str(word, "BODY=8BITMIME")) {
		dialogue->submission.flags |= SUBMISSION_8BIT;
		return NULL;
	}
	return slice_equal_nocase_str(word, "BODY=7BIT") ? NULL : "555 5.5.4 Unsupported option";
}

static void
do_mail(struct dialogue *dialogue, struct slice rest)
{
	const char *problem = NULL;
	struct slice word;

	if (dialogue->has_mail) {
		fail(dialogue, "503 5.5.1 Error: nested MAIL command");
		return;
	}
	if (!slice_starts_nocase(rest, SLICE_LIT("FROM:"))) {
		fail(dialogue, "501 5.5.4 Syntax: MAIL FROM:<address>");
		return;
	}
	rest = slice_from(rest, 5);
	if (address_parse_path(&rest, ADDRESS_NULL | ADDRESS_BARE | ADDRESS_UTF8,
		    &dialogue->sender) != ERR_OK)
		problem = "501 5.1.7 Bad sender address syntax";
	while (problem == NULL && slice_word(&rest, " \t", &word))
		problem = mail_parameter(dialogue, word);
	if (problem != NULL) {
		reset(dialogue);
		fail(dialogue, problem);
		return;
	}
	dialogue->has_mail = true;
	say("250 2.1.0 Ok");
}

static void
do_rcpt(struct dialogue *dialogue, struct slice rest)
{
	struct submission_recipient recipient = { 0 };
	struct buf address;

	if (!dialogue->has_mail) {
		fail(dialogue, "503 5.5.1 Error: need MAIL command");
		return;
	}
	if (!slice_starts_nocase(rest, SLICE_LIT("TO:"))) {
		fail(dialogue, "501 5.5.4 Syntax: RCPT TO:<address>");
		return;
	}
	rest = slice_from(rest, 3);
	buf_init(&address, 0);
	if (address_parse_path(&rest, ADDRESS_BARE | ADDRESS_UTF8, &address) != ERR_OK ||
		address.len == 0) {
		fail(dialogue, "501 5.1.3 Bad recipient address syntax");
	} else if (slice_trim(rest).len > 0) {
		fail(dialogue, "555 5.5.4 Unsupported option");
	} else {
		recipient.address = buf_slice(&address);
		if (dialogue->submission.recipient_count == SUBMISSION_RECIPIENTS_MAX ||
			submission_put_recipient(&dialogue->recipients, &recipient) != ERR_OK) {
			fail(dialogue, "452 4.5.3 Error: too many recipients");
		} else {
			dialogue->submission.recipient_count++;
			say("250 2.1.5 Ok");
		}
	}
	buf_done(&address);
}

/* --- DATA ------------------------------------------------------------------------------------- */

/* False: the input ended before the content did. */
static bool
read_content(struct dialogue *dialogue, bool *ret_large)
{
	bool is_long, is_more;

	*ret_large = false;
	while ((is_more = read_line(&dialogue->line, dialogue->size_max, &is_long))) {
		struct slice line = buf_slice(&dialogue->line);

		if (slice_equal_str(line, ".") && !is_long)
			break;
		if (line.len > 0 && line.ptr[0] == '.')
			line = slice_from(line, 1);
		*ret_large = *ret_large || is_long ||
			     dialogue->content.len + line.len + 2 > dialogue->size_max;
		if (*ret_large)
			continue;
		buf_add(&dialogue->content, line);
		buf_add_str(&dialogue->content, "\r\n");
	}
	return is_more;
}

static int
send_bytes(struct submit *submit, struct buf *bytes)
{
	int exit_code = submit_write(submit, buf_slice(bytes));

	buf_clear(bytes);
	return exit_code;
}

static int
write_submission(struct dialogue *dialogue, struct submit *submit)
{
	struct submission *submission = &dialogue->submission;
	struct submission_writer writer;
	struct buf bytes;
	int exit_code = EX_OSERR;

	submission->sender = buf_slice(&dialogue->sender);
	submission->recipients = buf_slice(&dialogue->recipients);
	submission->created_us = clock_read_wall().us;
	submission_writer_init(&writer);
	buf_init(&bytes, 0);
	if (submission_put_head(&writer, &bytes, submission) == ERR_OK)
		exit_code = send_bytes(submit, &bytes);
	if (exit_code == EX_OK && submission_put_content(&writer, &bytes,
					  buf_slice(&dialogue->content)) == ERR_OK)
		exit_code = send_bytes(submit, &bytes);
	if (exit_code == EX_OK && submission_put_end(&writer, &bytes) == ERR_OK)
		exit_code = send_bytes(submit, &bytes);
	buf_done(&bytes);
	submission_writer_done(&writer);
	return exit_code == EX_OK ? submit_finish(submit) : exit_code;
}

static void
do_data(struct dialogue *dialogue)
{
	struct submit submit;
	bool is_large;
	int exit_code;

	if (dialogue->submission.recipient_count == 0) {
		fail(dialogue, dialogue->has_mail ? "554 5.5.1 Error: no valid recipients"
						  : "503 5.5.1 Error: need RCPT command");
		return;
	}
	say("354 End data with <CR><LF>.<CR><LF>");
	(void)fflush(stdout);
	if (!read_content(dialogue, &is_large)) {
		dialogue->is_over = true; /* not whole: nothing was taken */
		return;
	}
	if (is_large) {
		fail(dialogue, "552 5.3.4 Error: message file too big");
		reset(dialogue);
		return;
	}
	exit_code = submit_open(&submit, dialogue->cli);
	if (exit_code == EX_OK)
		exit_code = write_submission(dialogue, &submit);
	submit_close(&submit);
	if (exit_code == EX_OK)
		say("250 2.0.0 Ok: queued");
	else
		fail(dialogue, exit_code == EX_TEMPFAIL || exit_code == EX_OSERR
				       ? "451 4.3.0 Error: mail cannot be taken now"
				       : "554 5.3.0 Error: mail was refused");
	reset(dialogue);
}

/* --- commands --------------------------------------------------------------------------------- */

static void
do_ehlo(struct dialogue *dialogue, const char *hostname)
{
	reset(dialogue);
	(void)printf("250-%s\r\n250-PIPELINING\r\n250-SIZE %llu\r\n250-ENHANCEDSTATUSCODES\r\n"
		     "250 8BITMIME\r\n",
		hostname, (unsigned long long)dialogue->size_max);
}

static void
do_command(struct dialogue *dialogue, const char *hostname)
{
	struct slice rest = buf_slice(&dialogue->line), verb;

	if (!slice_word(&rest, " \t", &verb))
		verb = slice_make(NULL, 0);
	rest = slice_trim(rest);
	if (slice_equal_nocase_str(verb, "MAIL")) {
		do_mail(dialogue, rest);
	} else if (slice_equal_nocase_str(verb, "RCPT")) {
		do_rcpt(dialogue, rest);
	} else if (slice_equal_nocase_str(verb, "DATA")) {
		do_data(dialogue);
	} else if (slice_equal_nocase_str(verb, "EHLO")) {
		do_ehlo(dialogue, hostname);
	} else if (slice_equal_nocase_str(verb, "HELO")) {
		reset(dialogue);
		(void)printf("250 %s\r\n", hostname);
	} else if (slice_equal_nocase_str(verb, "RSET")) {
		reset(dialogue);
		say("250 2.0.0 Ok");
	} else if (slice_equal_nocase_str(verb, "NOOP")) {
		say("250 2.0.0 Ok");
	} else if (slice_equal_nocase_str(verb, "VRFY")) {
		say("252 2.0.0 Send some mail, and see");
	} else if (slice_equal_nocase_str(verb, "QUIT")) {
		say("221 2.0.0 Bye");
		dialogue->is_over = true;
	} else {
		fail(dialogue, "502 5.5.2 Error: command not recognized");
	}
}

int
dialogue_run(struct cli *cli)
{
	struct dialogue dialogue = { .cli = cli, .size_max = DIALOGUE_CONTENT_MAX };
	char *hostname = cli_value(cli, PARAM_MYHOSTNAME);
	struct fault fault;
	uint64_t limit;
	bool is_long;

	if (hostname == NULL)
		return EX_CONFIG;
	if (settings_number(cli->settings, PARAM_MESSAGE_SIZE_LIMIT, &limit, &fault) == ERR_OK &&
		limit > 0)
		dialogue.size_max = num_min_u64(limit, DIALOGUE_CONTENT_MAX);
	buf_init(&dialogue.line, 0);
	buf_init(&dialogue.sender, 0);
	buf_init(&dialogue.recipients, SUBMISSION_HEAD_MAX);
	buf_init(&dialogue.content, 0);
	(void)printf("220 %s ESMTP\r\n", hostname);
	while (!dialogue.is_over && fflush(stdout) == 0 &&
		read_line(&dialogue.line, DIALOGUE_LINE_MAX, &is_long)) {
		if (is_long)
			fail(&dialogue, "500 5.5.2 Error: line too long");
		else
			do_command(&dialogue, hostname);
	}
	(void)fflush(stdout);
	buf_done(&dialogue.line);
	buf_done(&dialogue.sender);
	buf_done(&dialogue.recipients);
	buf_done(&dialogue.content);
	mem_free(hostname);
	return EX_OK;
}
