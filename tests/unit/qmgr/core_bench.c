/* core_bench.c - see core_bench.h */
#include "core_bench.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/mem.h"
#include "config/compile.h"
#include "message/envelope.h"
#include "message/queue_id.h"
#include "message/recipient_list.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#define GATHER_NS (20 * NS_PER_MS)
#define SAID "host mx.test said so"

enum { PEER_INTAKE = 1, PEER_RESOLVER, PEER_WORKER, PEER_TOOL, PEER_USER, PEER_OTHER_USER, PEER_SOLO,
	PEER_OTHER_INTAKE };

struct frame {
	core_peer peer;
	uint16_t type;
	struct buf payload;
	struct frame *next;
};

/* --- frames of the core ----------------------------------------------------------------------- */

static void
out_send(void *ctx, core_peer peer, enum ipc_type type, const void *message)
{
	struct bench *bench = ctx;
	struct frame *frame = MEM_NEW(struct frame), **last = &bench->frames;

	frame->peer = peer;
	frame->type = (uint16_t)type;
	buf_init(&frame->payload, 0);
	ipc_encode(&frame->payload, type, false, message);
	buf_consume(&frame->payload, IPC_HEADER_SIZE);
	while (*last != NULL)
		last = &(*last)->next;
	*last = frame;
}

static bool
out_send_large(void *ctx, core_peer peer, const struct ipc_work *work, uint64_t large)
{
	(void)large;
	out_send(ctx, peer, IPC_TYPE_work, work);
	return true;
}

static size_t
out_pending(void *ctx, core_peer peer)
{
	(void)ctx;
	(void)peer;
	return 0;
}

static void
out_kill(void *ctx, uint32_t pid)
{
	struct bench *bench = ctx;

	(void)pid;
	bench->kill_count++;
}

static void
out_working(void *ctx, uint64_t queue_id)
{
	(void)ctx;
	(void)queue_id;
}

static void
out_want_solo(void *ctx, enum core_peer_kind kind)
{
	struct bench *bench = ctx;

	CHECK(kind == CORE_PEER_SMTP);
	bench->wants_solo = true;
}

static void
out_bad_peer(void *ctx, core_peer peer, const char *why)
{
	struct bench *bench = ctx;

	(void)peer;
	bench->bad_peer = why;
	if (bench->is_accusing)
		return;
	(void)fprintf(stderr, "bad peer: %s\n", why);
	abort();
}

static void
out_opened(void *ctx, enum err err, const struct fault *fault)
{
	(void)ctx;
	(void)fault;
	CHECK(err == ERR_OK);
}

static void
out_complete(void *ctx)
{
	(void)ctx;
}

static void
out_adopted(void *ctx)
{
	(void)ctx;
}

static const struct core_out core_out = { out_send, out_send_large, out_pending, out_kill,
	out_working, out_want_solo, out_bad_peer, out_opened, out_complete, out_adopted, NULL };

static void
tell(struct bench *bench, core_peer peer, enum ipc_type type, const void *message)
{
	struct buf bytes;

	buf_init(&bytes, 0);
	ipc_encode(&bytes, type, false, message);
	core_frame(bench->core, peer, (uint16_t)type, slice_from(buf_slice(&bytes), IPC_HEADER_SIZE),
		bench->now);
	buf_done(&bytes);
}

/* --- the worker ------------------------------------------------------------------------------- */

static enum ipc_outcome_kind
kind_of(struct slice address)
{
	if (slice_starts(address, SLICE_LIT("no")))
		return IPC_OUTCOME_BOUNCED;
	if (slice_starts(address, SLICE_LIT("later")) || slice_starts(address, SLICE_LIT("lost")))
		return IPC_OUTCOME_DEFERRED;
	return IPC_OUTCOME_DELIVERED;
}

static void
put_outcome(struct buf *list, uint32_t number, enum ipc_outcome_kind kind, struct slice reason)
{
	static const char *const dsns[] = { [IPC_OUTCOME_DELIVERED] = "2.0.0",
		[IPC_OUTCOME_BOUNCED] = "5.1.1", [IPC_OUTCOME_DEFERRED] = "4.2.0" };

	ipc_outcome_put(list, &(struct ipc_outcome){ .number = number, .kind = (uint8_t)kind,
					  .dsn = slice_str(dsns[kind]),
					  .reason = reason });
}

static void
end_work(struct bench *bench, const struct ipc_work *work, struct slice outcomes, bool site_failed,
	bool is_corrupt)
{
	tell(bench, bench->speaker, IPC_TYPE_result,
		&(struct ipc_result){ .session = work->session, .queue_id = work->queue_id,
			.attempt = work->attempt, .outcomes = outcomes, .host = SLICE_LIT("mx.test"),
			.corrupt = is_corrupt,
			.site_dsn = slice_str(site_failed ? "4.4.2" : ""),
			.site_reason = slice_str(site_failed ? "lost connection" : "") });
}

static void
hold_work(struct bench *bench, struct slice payload)
{
	for (int i = 0; i < BENCH_WORKS_MAX; i++) {
		struct bench_work *held = &bench->works[i];

		if (held->is_used)
			continue;
		held->is_used = true;
		held->peer = bench->speaker;
		buf_init(&held->bytes, 0);
		buf_add(&held->bytes, payload);
		return;
	}
	UNREACHED();
}

static void
keep_report(struct bench *bench, const struct ipc_work *work)
{
	struct envelope envelope;

	CHECK(envelope_decode(work->envelope, &envelope) == ERR_OK);
	if (!(envelope.flags & ENVELOPE_BOUNCE))
		return;
	bench->report_count++;
	buf_add(&bench->reports, work->content);
}

static void
do_work(struct bench *bench, struct slice payload, const struct ipc_work *work)
{
	struct ipc_recipient recipient;
	struct envelope envelope;
	struct buf outcomes, said;
	bool waits = false, lost = false;

	CHECK(envelope_decode(work->envelope, &envelope) == ERR_OK);
	buf_addf(&bench->senders, "%" SLICE_FMT ">", SLICE_ARG(envelope.sender));
	buf_init(&outcomes, 0);
	buf_init(&said, 0);
	for (struct slice list = work->recipients; ipc_recipient_next(&list, &recipient) == ERR_OK;) {
		buf_add(&bench->attempts, recipient.address);
		buf_add_str(&bench->attempts, " ");
		buf_addf(&bench->senders, "%" SLICE_FMT ",", SLICE_ARG(recipient.address));
		waits |= slice_starts(recipient.address, SLICE_LIT("wait"));
		lost |= slice_starts(recipient.address, SLICE_LIT("lost"));
		buf_clear(&said);
		buf_add_str(&said, SAID);
		for (int i = 0; slice_starts(recipient.address, SLICE_LIT("later-long")) && i < 12; i++)
			buf_addf(&said, " to number %u", recipient.number);
		put_outcome(&outcomes, recipient.number, kind_of(recipient.address), buf_slice(&said));
	}
	buf_add_str(&bench->senders, " ");
	if (waits) {
		hold_work(bench, payload);
	} else {
		keep_report(bench, work);
		end_work(bench, work, buf_slice(&outcomes), lost, false);
	}
	buf_done(&said);
	buf_done(&outcomes);
}

void
bench_answer(struct bench *bench, enum ipc_outcome_kind kind, bool is_corrupt)
{
	for (int i = 0; i < BENCH_WORKS_MAX; i++) {
		struct bench_work *held = &bench->works[i];
		struct ipc_recipient recipient;
		struct ipc_work work;
		struct buf outcomes;

		if (!held->is_used)
			continue;
		held->is_used = false;
		CHECK(ipc_decode(IPC_TYPE_work, buf_slice(&held->bytes), &work) == ERR_OK);
		buf_init(&outcomes, 0);
		for (struct slice list = work.recipients;
			ipc_recipient_next(&list, &recipient) == ERR_OK;)
			if (slice_starts(recipient.address, SLICE_LIT("wait")) || !is_corrupt)
				put_outcome(&outcomes, recipient.number, kind, SLICE_LIT(SAID));
		bench->speaker = held->peer;
		end_work(bench, &work, buf_slice(&outcomes), false, is_corrupt);
		buf_done(&outcomes);
		buf_done(&held->bytes);
	}
	bench_run(bench);
}

/* --- what the others do with a frame ---------------------------------------------------------- */

static void
resolve(struct bench *bench, uint64_t query, struct slice nexthop)
{
	static const uint8_t address[4] = { 10, 0, 0, 1 };
	struct ipc_host host = { .family = AF_INET, .port = 25,
		.address = { address, sizeof(address) } };
	struct buf hosts, name;

	buf_init(&hosts, 0);
	buf_init(&name, 0);
	buf_addf(&name, "mx.%" SLICE_FMT,
		SLICE_ARG(bench->has_one_host ? SLICE_LIT("test") : nexthop));
	host.name = buf_slice(&name);
	bench->resolve_count++;
	if (bench->resolve_status == IPC_RESOLVE_OK)
		ipc_host_put(&hosts, &host);
	buf_add(&hosts, bench->more_hosts);
	tell(bench, PEER_RESOLVER, IPC_TYPE_resolved,
		&(struct ipc_resolved){ .query = query, .status = (uint8_t)bench->resolve_status, .ttl_s = 60,
			.hosts = buf_slice(&hosts), .dsn = SLICE_LIT("5.4.4"),
			.reason = SLICE_LIT("Host not found") });
	buf_done(&hosts);
	buf_done(&name);
}

static bool
has_work(const struct bench *bench, uint64_t session)
{
	struct ipc_work work;

	for (int i = 0; i < BENCH_WORKS_MAX; i++) {
		if (!bench->works[i].is_used)
			continue;
		CHECK(ipc_decode(IPC_TYPE_work, buf_slice(&bench->works[i].bytes), &work) == ERR_OK);
		if (work.session == session)
			return true;
	}
	return false;
}

static void
take_frame(struct bench *bench, uint16_t type, struct slice payload, const union ipc_any *any)
{
	if (type == IPC_TYPE_id_block) {
		bench->id_next = any->id_block.first;
		bench->blocks[bench->block_count % BENCH_BLOCKS_MAX].first = any->id_block.first;
		bench->blocks[bench->block_count++ % BENCH_BLOCKS_MAX].token = any->id_block.token;
		bench->id_end = any->id_block.first + any->id_block.count;
	} else if (type == IPC_TYPE_intake_result) {
		bench->status = (enum ipc_intake_status)any->intake_result.status;
		bench->durable += bench->status == IPC_INTAKE_DURABLE;
	} else if (type == IPC_TYPE_resolve) {
		resolve(bench, any->resolve.query, any->resolve.nexthop);
	} else if (type == IPC_TYPE_session_open && bench->is_down &&
		   slice_equal_str(any->session_open.nexthop, "d.test")) {
		tell(bench, bench->speaker, IPC_TYPE_session_end,
			&(struct ipc_session_end){ .session = any->session_open.session,
				.cause = IPC_SESSION_FAILED, .dsn = SLICE_LIT("4.4.1"),
				.reason = SLICE_LIT("connect to mx.test: Connection refused") });
	} else if (type == IPC_TYPE_session_open) {
		bench->session = any->session_open.session;
		buf_clear(&bench->hosts);
		buf_add(&bench->hosts, any->session_open.hosts);
		tell(bench, bench->speaker, IPC_TYPE_session_ready,
			&(struct ipc_session_ready){ .session = any->session_open.session,
				.host = SLICE_LIT("mx.test"), .failed = bench->failed_hosts });
	} else if (type == IPC_TYPE_work) {
		bench->solo_tried += bench->speaker == PEER_SOLO;
		do_work(bench, payload, &any->work);
	} else if (type == IPC_TYPE_session_close && !has_work(bench, any->session_close.session)) {
		tell(bench, bench->speaker, IPC_TYPE_session_end,
			&(struct ipc_session_end){ .session = any->session_close.session,
				.cause = IPC_SESSION_IDLE });
	} else if (type == IPC_TYPE_control_reply) {
		buf_add(&bench->answer, any->control_reply.text);
	}
}

static bool
read_frame(struct bench *bench)
{
	struct frame *frame = bench->frames;
	union ipc_any any;

	if (frame == NULL)
		return false;
	bench->frames = frame->next;
	bench->speaker = frame->peer;
	CHECK(ipc_decode(frame->type, buf_slice(&frame->payload), &any) == ERR_OK);
	take_frame(bench, frame->type, buf_slice(&frame->payload), &any);
	buf_done(&frame->payload);
	mem_free(frame);
	return true;
}

/* --- life ------------------------------------------------------------------------------------- */

static void
take_line(struct log *log, enum log_event_id id, enum log_level level, struct slice text)
{
	struct bench *bench = (struct bench *)((char *)log - offsetof(struct bench, log));

	(void)id;
	(void)level;
	buf_add(&bench->lines, text);
	buf_add_str(&bench->lines, "\n");
}

static struct config *
compile(const char *const *overrides)
{
	const char *all[32] = { "myhostname=sim.test", "mydestination=",
		"journal_segment_size=1048576" };
	struct config_options options = { .directory_fd = -1, .overrides = all, .override_count = 3,
		.hostname = "sim.test", .number = 1 };
	static struct buf images[8];
	static unsigned next;
	struct buf *image = &images[next++ % 8], warnings;
	struct fault fault = { 0 };
	struct config *config;

	for (; *overrides != NULL; overrides++)
		all[options.override_count++] = *overrides;
	buf_done(image);
	buf_init(image, 0);
	buf_init(&warnings, 0);
	if (config_compile(&options, image, &warnings, &fault) != ERR_OK ||
		config_open(buf_slice(image), &config, &fault) != ERR_OK) {
		(void)fprintf(stderr, "configuration: %s\n", fault.text);
		abort();
	}
	buf_done(&warnings);
	return config;
}

static void
start_core(struct bench *bench)
{
	static const enum core_peer_kind kinds[] = { [PEER_INTAKE] = CORE_PEER_INTAKE,
		[PEER_RESOLVER] = CORE_PEER_RESOLVER, [PEER_WORKER] = CORE_PEER_SMTP,
		[PEER_TOOL] = CORE_PEER_TOOL, [PEER_USER] = CORE_PEER_TOOL,
		[PEER_OTHER_USER] = CORE_PEER_TOOL };
	static const struct core_user users[] = {
		[PEER_TOOL] = { CORE_MAY_ALL, "bench (uid 7)" },
		[PEER_USER] = { CORE_MAY_LIST, "user (uid 8)" },
		[PEER_OTHER_USER] = { CORE_MAY_LIST, "other (uid 9)" },
	};
	struct core_options options = { .log = &bench->log, .disk = &bench->disk.disk,
		.config = bench->config, .out = &core_out, .ctx = bench, .seed = 7 };

	bench->core = core_new(&options);
	core_open(bench->core, bench->now);
	bench_run(bench);
	CHECK(core_is_open(bench->core));
	for (core_peer peer = PEER_INTAKE; peer <= PEER_OTHER_USER; peer++)
		core_peer_up(bench->core, peer, kinds[peer], (uint32_t)peer, false,
			peer >= PEER_TOOL ? &users[peer] : NULL, bench->now);
	tell(bench, PEER_INTAKE, IPC_TYPE_id_request, &(struct ipc_id_request){ .count = 1 });
	bench_run(bench);
}

void
bench_start(struct bench *bench, const char *const *overrides)
{
	*bench = (struct bench){ .now = { { NS_PER_S }, { UINT64_C(1700000000) * US_PER_S } } };
	bench->log.line = take_line;
	buf_init(&bench->lines, 0);
	buf_init(&bench->answer, 0);
	buf_init(&bench->attempts, 0);
	buf_init(&bench->hosts, 0);
	buf_init(&bench->senders, 0);
	buf_init(&bench->reports, 0);
	disk_sim_init(&bench->disk, 7);
	bench->config = compile(overrides);
	start_core(bench);
}

static void
drop_peers(struct bench *bench)
{
	struct frame *frame;

	while ((frame = bench->frames) != NULL) {
		bench->frames = frame->next;
		buf_done(&frame->payload);
		mem_free(frame);
	}
	for (int i = 0; i < BENCH_WORKS_MAX; i++) {
		if (bench->works[i].is_used)
			buf_done(&bench->works[i].bytes);
		bench->works[i].is_used = false;
	}
}

void
bench_stop(struct bench *bench)
{
	core_stop(bench->core, 0, bench->now);
	bench_run(bench);
	core_free(bench->core);
	drop_peers(bench);
	config_close(bench->config);
	disk_sim_done(&bench->disk);
	buf_done(&bench->lines);
	buf_done(&bench->answer);
	buf_done(&bench->attempts);
	buf_done(&bench->hosts);
	buf_done(&bench->senders);
	buf_done(&bench->reports);
}

int
bench_setup(void **state)
{
	static const char *const plain[] = { NULL };
	static struct bench bench;

	bench_start(&bench, plain);
	*state = &bench;
	return 0;
}

int
bench_teardown(void **state)
{
	bench_stop(*state);
	return 0;
}

void
bench_restart(struct bench *bench)
{
	core_stop(bench->core, 0, bench->now);
	bench_kill(bench);
}

void
bench_kill(struct bench *bench)
{
	bench_run(bench);
	core_free(bench->core);
	drop_peers(bench);
	bench->has_solo = bench->wants_solo = false;
	start_core(bench);
}

void
bench_configure(struct bench *bench, const char *const *overrides)
{
	struct config *old = bench->config;

	bench->config = compile(overrides);
	core_config(bench->core, bench->config, bench->now);
	config_close(old);
}

static void
solo_comes(struct bench *bench)
{
	if (!bench->wants_solo || bench->has_solo)
		return;
	bench->wants_solo = false;
	bench->has_solo = true;
	core_peer_up(bench->core, PEER_SOLO, CORE_PEER_SMTP, PEER_SOLO, false, NULL, bench->now);
	core_peer_is_solo(bench->core, PEER_SOLO);
}

/* --- time ------------------------------------------------------------------------------------- */

void
bench_run(struct bench *bench)
{
	for (unsigned quiet = 0, turns = 0, gathers = 0; quiet < 3; turns++) {
		bool acts = false;

		CHECK(turns < 1000000);
		while (disk_sim_step(&bench->disk))
			acts = true;
		while (read_frame(bench))
			acts = true;
		solo_comes(bench);
		core_step(bench->core, bench->now);
		/* Records gather for some milliseconds; the wall clock stands still meanwhile. */
		uint64_t due = core_due(bench->core).ns;

		quiet = acts || due <= bench->now.mono.ns ? 0 : quiet + 1;

		/* What is due by the wall clock never comes this way: an end to that. */
		if (!acts && due > bench->now.mono.ns && due - bench->now.mono.ns <= GATHER_NS &&
			gathers++ < 10000) {
			bench->now.mono.ns = due;
			quiet = 0;
		}
	}
}

void
bench_run_to_change(struct bench *bench)
{
	struct core_counts counts = { 0 };

	while (counts.changes == 0) {
		(void)disk_sim_step(&bench->disk);
		core_step(bench->core, bench->now);
		core_counts(bench->core, &counts);
	}
}

void
bench_pass(struct bench *bench, uint64_t seconds)
{
	for (uint64_t i = 0; i < seconds; i++) {
		bench->now.mono.ns += NS_PER_S;
		bench->now.wall.us += US_PER_S;
		if (core_due(bench->core).ns <= bench->now.mono.ns)
			bench_run(bench);
	}
}

/* --- what tests do ---------------------------------------------------------------------------- */

uint64_t
bench_token(const struct bench *bench, uint64_t queue_id)
{
	uint64_t first = queue_id_make(queue_id_time_us(queue_id), 0);

	for (unsigned i = 0; i < BENCH_BLOCKS_MAX; i++)
		if (bench->blocks[i].first == first)
			return bench->blocks[i].token;
	return 0;
}

void
bench_other_intake(struct bench *bench)
{
	core_peer_up(bench->core, PEER_OTHER_INTAKE, CORE_PEER_INTAKE, PEER_OTHER_INTAKE, false,
		NULL, bench->now);
}

void
bench_other_say(struct bench *bench, enum ipc_type type, const void *message)
{
	tell(bench, PEER_OTHER_INTAKE, type, message);
}

void
bench_say(struct bench *bench, enum ipc_type type, const void *message)
{
	tell(bench, PEER_INTAKE, type, message);
}

static void
commit(struct bench *bench, uint64_t txn, uint64_t id, const char *sender, const char *recipients)
{
	static const char content[] = "Subject: t\r\n\r\nbody\r\n";
	struct slice rest = slice_str(recipients), word;
	struct envelope envelope;
	struct buf bytes, list;

	buf_init(&bytes, 0);
	buf_init(&list, 0);
	envelope_init(&envelope);
	envelope.sender = slice_str(sender);
	envelope_stamp(&envelope, bench->now.wall.us, bench->warning_s);
	envelope.flags = bench->flags;
	envelope.verp = bench->verp;
	envelope.created_us = bench->created_us;
	envelope.size = sizeof(content) - 1;
	envelope.head_length = 14;
	CHECK(envelope_encode(&envelope, &bytes) == ERR_OK);
	buf_add(&bytes, bench->attribute);
	while (slice_word(&rest, " ", &word)) {
		struct recipient_entry entry = { .address = word, .notify = bench->notify };

		if (slice_equal_str(word, "<>"))
			entry.address = slice_make(NULL, 0);

		CHECK(recipient_list_put(&list, &entry) == ERR_OK);
	}
	tell(bench, PEER_INTAKE, IPC_TYPE_intake_commit,
		&(struct ipc_intake_commit){ .txn = txn, .queue_id = id, .token = bench_token(bench, id),
			.envelope = buf_slice(&bytes), .recipients = buf_slice(&list),
			.content = slice_str(content), .content_length = sizeof(content) - 1,
			.content_hash = hash_bytes(slice_str(content)),
			.expands = bench->expands });
	buf_done(&bytes);
	buf_done(&list);
}

void
bench_commit(struct bench *bench, uint64_t txn, uint64_t queue_id, const char *recipients)
{
	commit(bench, txn, queue_id, "s@x.test", recipients);
}

uint64_t
bench_offer(struct bench *bench, const char *sender, const char *recipients)
{
	uint64_t id = bench->id_next++;

	CHECK(id < bench->id_end);
	commit(bench, id, id, sender, recipients);
	bench_run(bench);
	return id;
}

uint64_t
bench_mail(struct bench *bench, const char *sender, const char *recipients)
{
	uint64_t durable = bench->durable, id = bench_offer(bench, sender, recipients);

	CHECK(bench->durable == durable + 1);
	return id;
}

void
bench_ask(struct bench *bench, const char *command, const char *const *words)
{
	struct ipc_control_request request = { .request = 1, .command = slice_str(command) };
	struct buf list;

	buf_init(&list, 0);
	for (; *words != NULL; words++)
		ipc_bytes_put(&list, slice_str(*words));
	request.arguments = buf_slice(&list);
	buf_clear(&bench->answer);
	tell(bench, PEER_TOOL, IPC_TYPE_control_request, &request);
	buf_done(&list);
	bench_run(bench);
}

void
bench_worker_dies(struct bench *bench)
{
	drop_peers(bench);
	core_peer_down(bench->core, PEER_WORKER, bench->now);
	bench_run(bench);
}

void
bench_solo_dies(struct bench *bench)
{
	drop_peers(bench);
	bench->has_solo = false;
	core_peer_down(bench->core, PEER_SOLO, bench->now);
	bench_run(bench);
}

void
bench_worker_comes(struct bench *bench)
{
	core_peer_up(bench->core, PEER_WORKER, CORE_PEER_SMTP, PEER_WORKER, false, NULL, bench->now);
	bench_run(bench);
}

void
bench_end_session(struct bench *bench)
{
	tell(bench, PEER_WORKER, IPC_TYPE_session_end,
		&(struct ipc_session_end){ .session = bench->session, .cause = IPC_SESSION_IDLE });
	bench_run(bench);
}

void
bench_users_list(struct bench *bench, unsigned count, bool is_other)
{
	struct ipc_control_request request = { .request = 1, .command = slice_str("queue") };

	buf_clear(&bench->answer);
	for (unsigned i = 0; i < count; i++)
		tell(bench, is_other ? PEER_OTHER_USER : PEER_USER, IPC_TYPE_control_request,
			&request);
}

void
bench_command(struct bench *bench, const char *command, uint64_t queue_id)
{
	char text[QUEUE_ID_TEXT_SIZE];
	const char *const words[] = { text, NULL };

	if (queue_id != 0)
		(void)queue_id_format(queue_id, text);
	bench_ask(bench, command, queue_id != 0 ? words : words + 1);
}

bool
bench_answered(const struct bench *bench, const char *text)
{
	return bench->answer.len > 0 &&
	       memmem(bench->answer.ptr, bench->answer.len, text, strlen(text)) != NULL;
}

static unsigned
count_in(struct slice text, const char *wanted)
{
	unsigned count = 0;
	const uint8_t *at;

	while (text.len > 0 && (at = memmem(text.ptr, text.len, wanted, strlen(wanted))) != NULL) {
		count++;
		text = slice_from(text, (size_t)(at - text.ptr) + strlen(wanted));
	}
	return count;
}

unsigned
bench_logged(const struct bench *bench, const char *text)
{
	return count_in(buf_slice(&bench->lines), text);
}

unsigned
bench_tried(const struct bench *bench, const char *address)
{
	return count_in(buf_slice(&bench->attempts), address);
}

uint64_t
bench_messages(const struct bench *bench)
{
	struct core_counts counts;

	core_counts(bench->core, &counts);
	return counts.messages;
}
