/*
 * sendmail.c - the traditional interface: hands in mail, lists and flushes the queue
 *
 * Options that other implementations have and that mean nothing here are accepted (sendmail(1)).
 * No set-uid or set-gid program: everything happens with the caller's rights.
 */
#include "cli/cli.h"

#include "base/clock.h"
#include "base/mem.h"
#include "cli/dialogue.h"
#include "cli/draft.h"
#include "cli/input.h"
#include "cli/operator.h"
#include "cli/submit.h"
#include "message/address.h"
#include "message/address_list.h"
#include "message/dsn.h"
#include "message/verp.h"

#include <errno.h>
#include <getopt.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

enum { SENDMAIL_HEADER_MAX = 1024 * 1024 };

enum sendmail_mode {
	SENDMAIL_MAIL,
	SENDMAIL_WHATIF,
	SENDMAIL_SMTP,
	SENDMAIL_LIST,
	SENDMAIL_FLUSH,
	SENDMAIL_NOTHING,
};

struct sendmail {
	struct cli *cli;
	enum sendmail_mode mode;
	const char *flush_id;
	const char *flush_site;
	const char *sender_text; /* -f, -r; NULL: the user */
	const char *full_name;	 /* -F */
	bool from_header;	 /* -t */
	bool ignore_dots;	 /* -i */
	const char *verp_text;	 /* -XV; "": default_verp_delimiters */
	uint8_t notify;
	struct submission submission;
	struct buf sender, name, envid, recipients, verp;
	uint64_t size_limit; /* 0: none */
	uint64_t size;
};

static const char sendmail_help[] =
	"usage: sendmail [-t] [-i] [-f sender] [-F name] [-N notify] [-R ret] [-V envid]\n"
	"                [-B type] [-C dir] [-v] [recipient ...] < message\n"
	"       sendmail -bv recipient ...     report what would become of mail to them\n"
	"       sendmail -bs                   speak SMTP on standard input and output\n"
	"       sendmail -bp | mailq       list the queue\n"
	"       sendmail -q | -qI id | -qR site    try delivery now\n"
	"\n"
	"  -t        recipients are in To, Cc and Bcc of the message too\n"
	"  -i, -oi   a line with a single dot does not end the message\n"
	"  -f, -r    envelope sender; '' or <> for none\n"
	"  -F name   full name, for messages without From\n"
	"  -N x      never, or some of success,failure,delay\n"
	"  -R x      full or hdrs: what failure reports return\n"
	"  -V x      envelope ID for reports\n"
	"  -B x      7BIT or 8BITMIME\n"
	"  -v        send a report of the first delivery attempt\n"
	"  -XV[xy]   one envelope sender per recipient, with these delimiters (VERP)\n"
	"  -C dir    directory of main.cf\n"
	"Others of sendmail's options are accepted; see sendmail(1).\n";

static enum err
sendmail_add_recipient(void *ctx, struct slice address, struct slice place)
{
	struct sendmail *sendmail = ctx;
	struct submission_recipient recipient = { address, sendmail->notify };

	(void)place;
	if (sendmail->submission.recipient_count == SUBMISSION_RECIPIENTS_MAX)
		return ERR_LIMIT;
	sendmail->submission.recipient_count++;
	return submission_put_recipient(&sendmail->recipients, &recipient);
}

static int
sendmail_recipients(struct sendmail *sendmail, struct slice text)
{
	enum err err = address_list_parse(text, sendmail_add_recipient, sendmail);

	if (err == ERR_SYNTAX)
		return cli_complain(sendmail->cli, EX_DATAERR, "bad recipient address: %" SLICE_FMT,
			SLICE_ARG(slice_head(text, 200)));
	if (err < 0)
		return cli_complain(
			sendmail->cli, EX_DATAERR, "too many recipients, or a too long one");
	return EX_OK;
}

static enum err
sendmail_set_sender(void *ctx, struct slice address, struct slice place)
{
	struct sendmail *sendmail = ctx;

	(void)place;
	if (sendmail->sender.len > 0)
		return ERR_SYNTAX;
	return buf_append(&sendmail->sender, address);
}

/* The sender, and a full name, of the user who calls. */
static int
sendmail_who(struct sendmail *sendmail)
{
	const struct passwd *user = getpwuid(getuid());
	const char *name = sendmail->full_name != NULL ? sendmail->full_name : getenv("NAME");
	struct slice given = slice_str(sendmail->sender_text != NULL ? sendmail->sender_text : "");
	struct slice full;

	if (sendmail->sender_text == NULL) {
		if (user == NULL)
			return cli_complain(sendmail->cli, EX_OSERR,
				"no login name for user ID %ld: use -f", (long)getuid());
		given = slice_str(user->pw_name);
	}
	if (given.len > 0 && !slice_equal_str(given, "<>")
		&& address_list_parse(given, sendmail_set_sender, sendmail) < 0)
		return cli_complain(sendmail->cli, EX_USAGE, "bad sender address: %s",
			sendmail->sender_text != NULL ? sendmail->sender_text : user->pw_name);
	if (name == NULL && user != NULL && user->pw_gecos != NULL)
		name = user->pw_gecos;
	full = slice_head(slice_str(name != NULL ? name : ""), SUBMISSION_FULL_NAME_MAX);
	if (sendmail->full_name == NULL)
		full = slice_head(full, slice_find(full, ','));
	buf_add(&sendmail->name, full);
	for (size_t i = 0; i < sendmail->name.len; i++)
		if (sendmail->name.ptr[i] < ' ' || sendmail->name.ptr[i] == 127)
			sendmail->name.ptr[i] = ' ';
	return EX_OK;
}

static int
sendmail_too_large(const struct sendmail *sendmail)
{
	return cli_complain(sendmail->cli, EX_DATAERR, "the message is larger than %llu bytes",
		(unsigned long long)sendmail->size_limit);
}

/* Reads until the header is whole. `content` then begins with the body. */
static int
sendmail_read_header(
	struct sendmail *sendmail, struct input *input, struct draft *draft, struct buf *content)
{
	enum err err = ERR_AGAIN;

	while (err == ERR_AGAIN) {
		bool is_whole;

		if (input->state != INPUT_END && input_read(input, content) < 0)
			return cli_complain(sendmail->cli, EX_NOINPUT,
				"cannot read the message: %s", strerrordesc_np(errno));
		is_whole = input->state == INPUT_END;
		err = draft_parse(draft, buf_slice(content), is_whole);
		if (err == ERR_AGAIN && content->len > SENDMAIL_HEADER_MAX)
			return cli_complain(sendmail->cli, EX_DATAERR,
				"the header is longer than %d bytes", SENDMAIL_HEADER_MAX);
	}
	if (err < 0)
		return cli_complain(sendmail->cli, EX_OSERR, "no memory for the header");
	buf_consume(content, draft->used);
	return EX_OK;
}

/* Sends a part of the content on and forgets it. */
static int
sendmail_put(struct sendmail *sendmail, struct submit *submit, struct submission_writer *writer,
	struct buf *content)
{
	struct buf bytes;
	int exit_code;

	sendmail->size += content->len;
	if (sendmail->size_limit > 0 && sendmail->size > sendmail->size_limit)
		return sendmail_too_large(sendmail);
	buf_init(&bytes, 0);
	if (submission_put_content(writer, &bytes, buf_slice(content)) < 0)
		exit_code = cli_complain(sendmail->cli, EX_OSERR, "no memory for the message");
	else
		exit_code = submit_write(submit, buf_slice(&bytes));
	buf_done(&bytes);
	buf_clear(content);
	return exit_code;
}

static int
sendmail_put_head(
	struct sendmail *sendmail, struct submit *submit, struct submission_writer *writer)
{
	struct submission *submission = &sendmail->submission;
	struct buf bytes;
	int exit_code;

	submission->sender = buf_slice(&sendmail->sender);
	submission->full_name = buf_slice(&sendmail->name);
	submission->envid = buf_slice(&sendmail->envid);
	submission->recipients = buf_slice(&sendmail->recipients);
	submission->created_us = clock_read_wall().us;
	buf_init(&bytes, 0);
	if (submission_put_head(writer, &bytes, submission) < 0)
		exit_code = cli_complain(sendmail->cli, EX_DATAERR, "too many recipients");
	else
		exit_code = submit_write(submit, buf_slice(&bytes));
	buf_done(&bytes);
	return exit_code;
}

/* Everything behind the header. */
static int
sendmail_stream(struct sendmail *sendmail, struct input *input, struct draft *draft,
	struct buf *content, struct submit *submit)
{
	struct submission_writer writer;
	struct buf end;
	int exit_code;

	submission_writer_init(&writer);
	exit_code = sendmail_put_head(sendmail, submit, &writer);
	if (exit_code == EX_OK)
		exit_code = sendmail_put(sendmail, submit, &writer, &draft->head);
	while (exit_code == EX_OK && (content->len > 0 || input->state != INPUT_END)) {
		if (content->len == 0 && input_read(input, content) < 0)
			exit_code = cli_complain(sendmail->cli, EX_NOINPUT,
				"cannot read the message: %s", strerrordesc_np(errno));
		if (exit_code == EX_OK)
			exit_code = sendmail_put(sendmail, submit, &writer, content);
	}
	buf_init(&end, 0);
	if (exit_code == EX_OK && submission_put_end(&writer, &end) == ERR_OK)
		exit_code = submit_write(submit, buf_slice(&end));
	buf_done(&end);
	submission_writer_done(&writer);
	return exit_code == EX_OK ? submit_finish(submit) : exit_code;
}

/* Gathers up to the header's limit first, so that slow programs do not hold a connection. */
static int
sendmail_gather(struct sendmail *sendmail, struct input *input, struct buf *content)
{
	while (input->state != INPUT_END && content->len < SENDMAIL_HEADER_MAX)
		if (input_read(input, content) < 0)
			return cli_complain(sendmail->cli, EX_NOINPUT,
				"cannot read the message: %s", strerrordesc_np(errno));
	return EX_OK;
}

/* Rules V1, V2. */
static int
sendmail_verp(struct sendmail *sendmail)
{
	struct cli *cli = sendmail->cli;
	char *value = NULL;
	char *filter;
	const char *text = sendmail->verp_text;
	const char *why;

	if (text == NULL)
		return EX_OK;
	if (sendmail->sender.len == 0)
		return cli_complain(cli, EX_USAGE, "-XV requires a sender: see -f");
	if (text[0] == '\0') {
		text = value = cli_value(cli, PARAM_DEFAULT_VERP_DELIMITERS);
		if (value == NULL)
			return EX_CONFIG;
	}
	filter = cli_value(cli, PARAM_VERP_DELIMITER_FILTER);
	if (filter == NULL) {
		mem_free(value);
		return EX_CONFIG;
	}
	why = verp_check(slice_str(text), slice_str(filter));
	if (why != NULL)
		(void)cli_complain(cli, EX_USAGE,
			"-XV%s: %s (allowed: two characters of verp_delimiter_filter: %s)",
			sendmail->verp_text, why, filter);
	buf_add_str(&sendmail->verp, text);
	mem_free(value);
	mem_free(filter);
	if (why != NULL)
		return EX_USAGE;
	sendmail->submission.flags |= SUBMISSION_VERP;
	sendmail->submission.verp = buf_slice(&sendmail->verp);
	return EX_OK;
}

/* What does not come from standard input: recipients named, sender, configuration. */
static int
sendmail_prepare(struct sendmail *sendmail, int argc, char **argv)
{
	struct fault fault;
	int exit_code = EX_OK;

	for (int i = 0; exit_code == EX_OK && i < argc; i++)
		exit_code = sendmail_recipients(sendmail, slice_str(argv[i]));
	if (exit_code == EX_OK && sendmail->submission.recipient_count == 0
		&& (!sendmail->from_header || sendmail->mode == SENDMAIL_WHATIF))
		return cli_complain(sendmail->cli, EX_USAGE,
			"recipients must be named on the command line, or by -t in the header");
	if (exit_code == EX_OK)
		exit_code = sendmail_who(sendmail);
	if (exit_code == EX_OK)
		exit_code = cli_load(sendmail->cli);
	if (exit_code == EX_OK)
		exit_code = sendmail_verp(sendmail);
	if (exit_code == EX_OK
		&& settings_number(sendmail->cli->settings, PARAM_MESSAGE_SIZE_LIMIT,
			   &sendmail->size_limit, &fault)
			   < 0)
		exit_code = cli_complain(sendmail->cli, EX_CONFIG, "%s", fault.text);
	return exit_code;
}

static int
sendmail_submit(
	struct sendmail *sendmail, struct input *input, struct draft *draft, struct buf *content)
{
	struct slice sender = buf_slice(&sendmail->sender);
	struct submit submit;
	int exit_code = submit_open(&submit, sendmail->cli);

	if (exit_code == EX_OK)
		exit_code = sendmail_stream(sendmail, input, draft, content, &submit);
	submit_close(&submit);
	if (exit_code == EX_OK
		&& (sendmail->submission.flags & (SUBMISSION_RECORD | SUBMISSION_WHATIF)) != 0)
		(void)printf("Mail Delivery Status Report will be mailed to <%" SLICE_FMT ">.\n",
			SLICE_ARG(sender));
	return exit_code;
}

/* -bv: a message of nothing goes the way that mail to these recipients would go. */
static int
sendmail_whatif(struct sendmail *sendmail, int argc, char **argv)
{
	struct input input = { .state = INPUT_END, .fd = -1 };
	struct draft draft;
	struct buf content;
	int exit_code = sendmail_prepare(sendmail, argc, argv);

	if (exit_code != EX_OK)
		return exit_code;
	sendmail->submission.flags |= SUBMISSION_WHATIF;
	sendmail->submission.flags &= ~(uint32_t)SUBMISSION_RECORD;
	buf_init(&content, 0);
	draft_init(&draft);
	buf_add_str(&draft.head, "Subject: probe\n\n");
	exit_code = sendmail_submit(sendmail, &input, &draft, &content);
	draft_done(&draft);
	buf_done(&content);
	return exit_code;
}

static int
sendmail_mail(struct sendmail *sendmail, int argc, char **argv)
{
	struct input input = { .fd = STDIN_FILENO, .dot_ends = !sendmail->ignore_dots };
	struct draft draft;
	struct buf content;
	int exit_code = sendmail_prepare(sendmail, argc, argv);

	if (exit_code != EX_OK)
		return exit_code;
	buf_init(&content, 0);
	draft_init(&draft);
	exit_code = sendmail_read_header(sendmail, &input, &draft, &content);
	if (exit_code == EX_OK && sendmail->from_header)
		exit_code = sendmail_recipients(sendmail, buf_slice(&draft.recipients));
	if (exit_code == EX_OK && sendmail->submission.recipient_count == 0)
		exit_code = cli_complain(sendmail->cli, EX_USAGE, "the header names no recipients");
	if (exit_code == EX_OK)
		exit_code = sendmail_gather(sendmail, &input, &content);
	if (exit_code == EX_OK)
		exit_code = sendmail_submit(sendmail, &input, &draft, &content);
	draft_done(&draft);
	buf_done(&content);
	return exit_code;
}

static int
sendmail_usage(const struct sendmail *sendmail, const char *option, const char *value)
{
	return cli_complain(
		sendmail->cli, EX_USAGE, "bad value of %s: %s (see --help)", option, value);
}

static int
sendmail_set_mode(struct sendmail *sendmail, const char *value)
{
	switch (value[0]) {
	case 'm':
		sendmail->mode = SENDMAIL_MAIL;
		return EX_OK;
	case 'p':
		sendmail->mode = SENDMAIL_LIST;
		return EX_OK;
	case 'v':
		sendmail->mode = SENDMAIL_WHATIF;
		return EX_OK;
	case 's':
		sendmail->mode = SENDMAIL_SMTP;
		return EX_OK;
	case 'i':
		sendmail->mode = SENDMAIL_NOTHING;
		return EX_OK;
	case 'h': /* host status: nothing is kept that these would show or purge */
	case 'H':
		sendmail->mode = SENDMAIL_NOTHING;
		return EX_OK;
	default:
		return cli_complain(sendmail->cli, EX_USAGE,
			"-b%s is not supported (allowed: -bm, -bp, -bi, -bs, -bv)", value);
	}
}

static int
sendmail_set_flush(struct sendmail *sendmail, const char *value)
{
	if (value == NULL) {
		sendmail->mode = SENDMAIL_FLUSH;
	} else if (value[0] == 'I' && value[1] != '\0') {
		sendmail->mode = SENDMAIL_FLUSH;
		sendmail->flush_id = value + 1;
	} else if (value[0] == 'R' && value[1] != '\0') {
		sendmail->mode = SENDMAIL_FLUSH;
		sendmail->flush_site = value + 1;
	} else if (value[0] < '0' || value[0] > '9') { /* an interval: for daemons, accepted */
		return sendmail_usage(sendmail, "-q", value);
	}
	return EX_OK;
}

static int
sendmail_set_o(struct sendmail *sendmail, const char *value)
{
	if (value[0] == 'i')
		sendmail->ignore_dots = true;
	return EX_OK; /* -oem, -om, -o8 and all others mean nothing here */
}

static int
sendmail_set_envid(struct sendmail *sendmail, const char *value)
{
	struct slice text = slice_str(value);

	for (size_t i = 0; i < text.len; i++)
		if (text.ptr[i] < ' ' || text.ptr[i] >= 127)
			return sendmail_usage(sendmail, "-V", "(unprintable)");
	if (text.len == 0 || text.len > DSN_ENVID_MAX)
		return sendmail_usage(sendmail, "-V", value);
	buf_clear(&sendmail->envid);
	buf_add(&sendmail->envid, text);
	return EX_OK;
}

static int
sendmail_option(struct sendmail *sendmail, int option, const char *value)
{
	switch (option) {
	case 'b':
		return sendmail_set_mode(sendmail, value);
	case 'q':
		return sendmail_set_flush(sendmail, value);
	case 'o':
		return sendmail_set_o(sendmail, value);
	case 'V':
		return sendmail_set_envid(sendmail, value);
	case 'B':
		if (strcasecmp(value, "8BITMIME") == 0)
			sendmail->submission.flags |= SUBMISSION_8BIT;
		else if (strcasecmp(value, "7BIT") != 0)
			return sendmail_usage(sendmail, "-B", value);
		return EX_OK;
	case 'C':
		sendmail->cli->directory = value;
		return EX_OK;
	case 'F':
		sendmail->full_name = value;
		return EX_OK;
	case 'f':
	case 'r':
		sendmail->sender_text = value;
		return EX_OK;
	case 'I':
		sendmail->mode = SENDMAIL_NOTHING;
		return EX_OK;
	case 'i':
		sendmail->ignore_dots = true;
		return EX_OK;
	case 't':
		sendmail->from_header = true;
		return EX_OK;
	case 'N':
		return dsn_parse_notify(slice_str(value), &sendmail->notify) < 0
			       ? sendmail_usage(sendmail, "-N", value)
			       : EX_OK;
	case 'R':
		return dsn_parse_ret(slice_str(value), &sendmail->submission.ret) < 0
			       ? sendmail_usage(sendmail, "-R", value)
			       : EX_OK;
	case 'X':
		if (value[0] == 'V')
			sendmail->verp_text = value + 1;
		return EX_OK;
	case '?':
		return EX_USAGE;
	case 'v':
		sendmail->submission.flags |= SUBMISSION_RECORD;
		return EX_OK;
	default: /* -A -G -h -L -m -n -O -p -U -x: mean nothing here */
		return EX_OK;
	}
}

/* -q stands alone or has its value attached; other options may have theirs apart. */
static int
sendmail_options(struct sendmail *sendmail, int argc, char **argv)
{
	int exit_code = EX_OK;
	int option;

	optind = 0;
	while (exit_code == EX_OK
		&& (option = getopt(argc, argv, "+A:B:C:F:GIL:N:O:R:UV:X:b:e:f:h:imno:p:q::r:tvx"))
			   != -1)
		exit_code = sendmail_option(sendmail, option, optarg);
	return exit_code;
}

static int
sendmail_act(struct sendmail *sendmail, int argc, char **argv)
{
	int exit_code;

	switch (sendmail->mode) {
	case SENDMAIL_MAIL:
		return sendmail_mail(sendmail, argc, argv);
	case SENDMAIL_WHATIF:
		return sendmail_whatif(sendmail, argc, argv);
	case SENDMAIL_SMTP:
		exit_code = cli_load(sendmail->cli);
		return exit_code == EX_OK ? dialogue_run(sendmail->cli) : exit_code;
	case SENDMAIL_LIST:
		return operator_queue(sendmail->cli, NULL, false);
	case SENDMAIL_FLUSH:
		return operator_flush(sendmail->cli, sendmail->flush_site, sendmail->flush_id);
	case SENDMAIL_NOTHING:
		return EX_OK; /* alias files are read at start and reload: there is no index to
				 build */
	}
	return EX_SOFTWARE;
}

int
sendmail_run(struct cli *cli, int argc, char **argv)
{
	struct sendmail sendmail = { .cli = cli };
	int exit_code;

	if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		(void)fputs(sendmail_help, stdout);
		return EX_OK;
	}
	if (strcmp(cli->program, "mailq") == 0)
		sendmail.mode = SENDMAIL_LIST;
	else if (strcmp(cli->program, "newaliases") == 0)
		sendmail.mode = SENDMAIL_NOTHING;
	buf_init(&sendmail.sender, 0);
	buf_init(&sendmail.name, 0);
	buf_init(&sendmail.envid, 0);
	buf_init(&sendmail.recipients, SUBMISSION_HEAD_MAX);
	buf_init(&sendmail.verp, 0);
	exit_code = sendmail_options(&sendmail, argc, argv);
	if (exit_code == EX_OK)
		exit_code = sendmail_act(&sendmail, argc - optind, argv + optind);
	buf_done(&sendmail.sender);
	buf_done(&sendmail.name);
	buf_done(&sendmail.envid);
	buf_done(&sendmail.recipients);
	buf_done(&sendmail.verp);
	return exit_code;
}
