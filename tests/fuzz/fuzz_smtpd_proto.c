/*
 * fuzz_smtpd_proto.c - any bytes as what a client says, at once and byte by byte
 *
 * Both ways must give the same replies and the same content: how a network splits bytes never
 * changes what they mean (that is how mail is smuggled). Content is whole, clean lines, an accepted
 * envelope can be read back. The check of early talkers, which is about the splitting, is off.
 */
#include "base/check.h"
#include "config/compile.h"
#include "message/envelope.h"
#include "message/recipient_list.h"
#include "smtpd/smtpd_proto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz {
	struct smtpd_proto proto;
	struct buf out, content;
	unsigned commits, aborts;
};

static enum ipc_intake_status
fuzz_intake_state(void *ctx)
{
	(void)ctx;
	return IPC_INTAKE_DURABLE;
}

static uint64_t
fuzz_queue_id(void *ctx)
{
	(void)ctx;
	return 0x123456789;
}

static void
fuzz_commit(void *ctx)
{
	((struct fuzz *)ctx)->commits++;
}

static void
fuzz_abort(void *ctx)
{
	((struct fuzz *)ctx)->aborts++;
}

static bool
fuzz_may_send(void *ctx)
{
	(void)ctx;
	return true;
}

static const struct smtpd_ops ops = { fuzz_intake_state, fuzz_queue_id, fuzz_commit,
	fuzz_may_send, fuzz_abort };

static const struct config *
fuzz_config(void)
{
	static struct config *config;
	static struct buf image, warnings;
	static const char *const overrides[] = { "smtpd_forbid_unauth_pipelining=no",
		"virtual_alias_maps=inline:{ { list@local.test = a@dest.test, b@dest.test } }",
		"mydestination=local.test", "smtpd_recipient_limit=5", "message_size_limit=5000" };
	struct config_options options = { .directory_fd = -1, .overrides = overrides,
		.override_count = sizeof(overrides) / sizeof(overrides[0]), .hostname = "fuzz.test" };
	struct fault fault;

	if (config == NULL) {
		buf_init(&image, 0);
		buf_init(&warnings, 0);
		CHECK(config_compile(&options, &image, &warnings, &fault) == ERR_OK);
		CHECK(config_open(buf_slice(&image), &config, &fault) == ERR_OK);
	}
	return config;
}

static void
check_lines(struct slice text)
{
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] == '\n')
			CHECK(i > 0 && text.ptr[i - 1] == '\r');
		if (text.ptr[i] == '\r')
			CHECK(i + 1 < text.len && text.ptr[i + 1] == '\n');
	}
}

/* The message in WAIT: its envelope and recipients must be fit for the queue. */
static void
check_message(const struct smtpd_proto *proto)
{
	struct buf bytes;
	struct envelope envelope;
	uint32_t count;

	buf_init(&bytes, 0);
	smtpd_proto_envelope(proto, &bytes);
	CHECK(envelope_decode(buf_slice(&bytes), &envelope) == ERR_OK);
	buf_clear(&bytes);
	smtpd_proto_head(proto, &bytes);
	check_lines(buf_slice(&bytes));
	CHECK(recipient_list_check(buf_slice(&proto->recipients), &count) == ERR_OK && count > 0);
	CHECK(count == proto->stored_count);
	buf_done(&bytes);
}

static void
turn(struct fuzz *fuzz)
{
	struct smtpd_proto *proto = &fuzz->proto;

	proto->must_sleep = false;
	buf_add(&fuzz->content, buf_slice(&proto->content));
	buf_clear(&proto->content);
	if (proto->state == SMTPD_WAIT) {
		check_message(proto);
		smtpd_proto_result(proto, fuzz->commits % 3 == 0 ? IPC_INTAKE_FULL
								  : IPC_INTAKE_DURABLE,
			slice_make(NULL, 0));
	}
	buf_add(&fuzz->out, buf_slice(&proto->out));
	buf_clear(&proto->out);
}

static void
run(struct fuzz *fuzz, struct log *log, struct slice input, unsigned newline, size_t piece)
{
	struct smtpd_proto *proto = &fuzz->proto;
	struct buf waiting;

	*fuzz = (struct fuzz){ .proto = { .config = fuzz_config(), .log = log, .ops = &ops,
					  .ctx = fuzz, .name = "client.test",
					  .address = "192.0.2.1", .is_trusted = true,
					  .bare_newline = newline } };
	buf_init(&fuzz->out, 0);
	buf_init(&fuzz->content, 0);
	buf_init(&waiting, 0);
	smtpd_proto_init(proto);
	transcript_init(&proto->transcript, true);
	smtpd_proto_greet(proto, false);
	while (input.len > 0 && proto->state != SMTPD_CLOSE) {
		size_t taken;

		buf_add(&waiting, slice_head(input, piece));
		input = slice_from(input, piece);
		do {
			taken = smtpd_proto_input(proto, buf_slice(&waiting));
			buf_consume(&waiting, taken);
			turn(fuzz);
		} while (taken > 0 && waiting.len > 0);
	}
	turn(fuzz);
	buf_done(&waiting);
}

static void
done(struct fuzz *fuzz)
{
	smtpd_proto_done(&fuzz->proto);
	buf_done(&fuzz->out);
	buf_done(&fuzz->content);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice input = slice_from(slice_make(data, size), 1);
	unsigned newline = size > 0 ? data[0] % 5 : 0;
	struct log log;
	struct fuzz whole, bytewise;

	log_init_null(&log);
	run(&whole, &log, input, newline, SIZE_MAX);
	run(&bytewise, &log, input, newline, 1);
	CHECK(slice_equal(buf_slice(&whole.out), buf_slice(&bytewise.out)));
	CHECK(whole.commits == bytewise.commits);
	check_lines(buf_slice(&whole.out));
	if (whole.aborts == 0) {
		CHECK(slice_equal(buf_slice(&whole.content), buf_slice(&bytewise.content)));
		if (whole.proto.state == SMTPD_COMMAND)
			check_lines(buf_slice(&whole.content));
	}
	done(&whole);
	done(&bytewise);
	return 0;
}
