/*
 * fuzz_smtp_proto.c - any bytes as what a server says, through transactions of the client core
 *
 * The first byte chooses the protocol and how the bytes are split. Whatever a server says: each
 * finished job has an outcome for each recipient, and all that we send is whole, clean lines.
 */
#include "base/check.h"
#include "smtp/smtp_proto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FUZZ_RECIPIENTS = 3, FUZZ_JOBS = 4 };

struct fuzz {
	struct smtp_proto proto;
	struct ipc_recipient recipients[FUZZ_RECIPIENTS];
	struct smtp_job job;
	unsigned jobs;
	bool is_busy;
};

static void
check_lines(const struct buf *out)
{
	for (size_t i = 0; i < out->len; i++) {
		if (out->ptr[i] == '\n')
			CHECK(i > 0 && out->ptr[i - 1] == '\r');
		if (out->ptr[i] == '\r')
			CHECK(i + 1 < out->len && out->ptr[i + 1] == '\n');
	}
}

static void
check_outcomes(const struct smtp_proto *proto)
{
	CHECK(proto->outcome_count == FUZZ_RECIPIENTS);
	for (uint32_t i = 0; i < proto->outcome_count; i++) {
		const struct smtp_outcome *outcome = &proto->outcomes[i];

		CHECK(outcome->decided && outcome->reason != NULL);
		CHECK(strpbrk(outcome->reason, "\r\n") == NULL);
		CHECK(outcome->kind != IPC_OUTCOME_DELIVERED || outcome->dsn[0] == '2');
		CHECK(outcome->kind != IPC_OUTCOME_BOUNCED || outcome->dsn[0] == '5');
		CHECK(outcome->kind != IPC_OUTCOME_DEFERRED || outcome->dsn[0] == '4');
	}
}

/* What a driver does after each input. */
static void
turn(struct fuzz *fuzz)
{
	struct smtp_proto *proto = &fuzz->proto;

	check_lines(&proto->out);
	buf_clear(&proto->out);
	if (proto->wants_body)
		smtp_proto_body_sent(proto);
	if (fuzz->is_busy && proto->finished) {
		check_outcomes(proto);
		fuzz->is_busy = false;
	}
	if (proto->state != SMTP_IDLE || fuzz->is_busy)
		return;
	if (fuzz->jobs++ == FUZZ_JOBS) {
		smtp_proto_quit(proto);
		return;
	}
	smtp_proto_begin(proto, &fuzz->job);
	fuzz->is_busy = !proto->finished;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest = slice_from(slice_make(data, size), 1);
	size_t piece = size > 0 && (data[0] & 2) != 0 ? 1 : 64;
	struct fuzz fuzz = {
		.recipients = { { .number = 0, .address = SLICE_LIT("a@dest.test"), .notify = 3 },
			{ .number = 1, .address = SLICE_LIT("b c@dest.test"),
				.orcpt = SLICE_LIT("rfc822;x+y@dest.test") },
			{ .number = 2, .address = SLICE_LIT("not\r\nan address") } },
	};

	fuzz.job = (struct smtp_job){ .sender = SLICE_LIT("s@client.test"),
		.recipients = fuzz.recipients, .count = FUZZ_RECIPIENTS, .size = 1000,
		.body_8bit = true, .ret = 1, .envid = SLICE_LIT("id=1") };
	smtp_proto_init(&fuzz.proto, size > 0 && (data[0] & 1) != 0, "ostler.test",
		SLICE_LIT("dest.test[127.0.0.1]"));
	transcript_init(&fuzz.proto.transcript, true);
	while (rest.len > 0 && fuzz.proto.state != SMTP_OVER) {
		smtp_proto_input(&fuzz.proto, slice_head(rest, piece));
		turn(&fuzz);
		rest = slice_from(rest, piece);
	}
	smtp_proto_lost(&fuzz.proto, size % 2 == 0);
	if (fuzz.is_busy)
		check_outcomes(&fuzz.proto);
	smtp_proto_done(&fuzz.proto);
	return 0;
}
