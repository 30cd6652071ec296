/*
 * metrics.c - what /metrics says, in Prometheus' text format
 *
 * Rules for alerts on these names are in packaging/prometheus.
 */
#include "qmgr/control_priv.h"

#include <inttypes.h>

static void
metric(struct buf *out, const char *name, const char *type, const char *help, uint64_t value)
{
	buf_addf(out, "# HELP ostler_%s %s\n# TYPE ostler_%s %s\nostler_%s %" PRIu64 "\n", name,
		help, name, type, name, value);
}

static void
written(struct buf *out, const char *cause, uint64_t bytes)
{
	buf_addf(out, "ostler_store_written_bytes_total{cause=\"%s\"} %" PRIu64 "\n", cause, bytes);
}

/* A number with a fraction. */
static void
real_metric(struct buf *out, const char *name, const char *type, const char *help, double value)
{
	buf_addf(out, "# HELP ostler_%s %s\n# TYPE ostler_%s %s\nostler_%s %.9g\n", name, help,
		name, type, name, value);
}

static void
flush_metrics(const struct journal_stats *stats, struct buf *out)
{
	const struct flush_summary *flush = &stats->flush;

	buf_addf(out,
		"# HELP ostler_journal_flush_seconds Of the last 1,024 writes with their flush.\n"
		"# TYPE ostler_journal_flush_seconds gauge\n"
		"ostler_journal_flush_seconds{quantile=\"0.5\"} %.6f\n"
		"ostler_journal_flush_seconds{quantile=\"0.99\"} %.6f\n"
		"ostler_journal_flush_seconds{quantile=\"1\"} %.6f\n",
		(double)flush->p50_us / US_PER_S, (double)flush->p99_us / US_PER_S,
		(double)flush->max_us / US_PER_S);
	real_metric(out, "journal_batch_transactions", "gauge",
		"Transactions in one of the last 1,024 batches, the mean.", flush->transactions);
	real_metric(out, "journal_batch_bytes", "gauge", "Bytes of such a batch, the mean.",
		flush->bytes);
	real_metric(out, "journal_durable_lag_seconds", "gauge",
		"For how long the oldest transaction has waited to become durable.",
		(double)stats->lag_ns / NS_PER_S);
	metric(out, "journal_durable_lag_bytes", "gauge", "Bytes that are not durable yet.",
		stats->lag_bytes);
	metric(out, "journal_transactions_total", "counter", "Transactions made durable.",
		stats->transactions);
}

static void
segment_metrics(const struct core *core, const struct store_stats *stats, struct buf *out)
{
	metric(out, "journal_free_segments", "gauge", "Segments ready for use.",
		stats->space.free_segments);
	metric(out, "journal_reserve_segments", "gauge",
		"Free segments that new mail may not have.", stats->journal.reserve);
	real_metric(out, "journal_live_share", "gauge",
		"Part of the segments in force that must stay, 0 to 1.", status_live_share(stats));
	metric(out, "journal_freed_segments_total", "counter",
		"Segments that were emptied, by themselves or by cleaning.",
		stats->journal.freed_segments);
	metric(out, "journal_oldest_segment_seconds", "gauge",
		"Age of the oldest segment with mail in it.",
		status_oldest_age_s(core, &stats->journal));
	metric(out, "journal_damaged_segments", "gauge",
		"Segments in force that are damaged, or were given up after an error.",
		stats->journal.suspects);
}

static void
store_metrics(const struct core *core, struct buf *out)
{
	struct store_stats stats;

	store_stats(core->store, &stats);
	metric(out, "index_complete", "gauge", "1: all messages are known.",
		store_is_complete(core->store));
	metric(out, "journal_live_bytes", "gauge", "Bytes of records that must stay.",
		stats.live_bytes);
	metric(out, "journal_file_bytes", "gauge", "Bytes of all segment files.",
		stats.space.file_bytes);
	segment_metrics(core, &stats, out);
	flush_metrics(&stats.journal, out);
	metric(out, "journal_flushes_total", "counter", "Writes with a flush.",
		stats.journal.flushes);
	metric(out, "journal_written_bytes_total", "counter", "Bytes written to the journal.",
		stats.journal.written);
	real_metric(out, "checkpoint_age_seconds", "gauge",
		"Since the newest checkpoint was written, or read at the start; 0: there is none.",
		(double)stats.checkpoint_age_ns / NS_PER_S);
	metric(out, "checkpoint_behind_bytes", "gauge",
		"Bytes of journal behind the newest checkpoint.", stats.checkpoint_behind);
	metric(out, "scrub_last_seconds", "gauge",
		"When all closed segments had last been read again, in seconds since 1970.",
		stats.scrub_last_us / US_PER_S);
	metric(out, "scrub_read_bytes_total", "counter", "Bytes of segments read again.",
		stats.scrub_bytes);
	metric(out, "scrub_damage_total", "counter",
		"Segments that were found damaged when they were read again.", stats.scrub_damage);
	metric(out, "messages_lost_total", "counter",
		"Messages that could not be read and are under corrupt/ now.", stats.lost);
	real_metric(out, "write_amplification", "gauge",
		"Bytes written since the start for each byte of mail that was taken; 0: none was.",
		status_write_amplification(&stats));
	buf_addf(out, "# HELP ostler_store_written_bytes_total Bytes written, by cause.\n"
		      "# TYPE ostler_store_written_bytes_total counter\n");
	written(out, "mail", stats.journal.records[JOURNAL_NEW_MAIL]);
	written(out, "results", stats.journal.records[JOURNAL_RESULT]);
	written(out, "copies", stats.journal.records[JOURNAL_CLEANING]);
	written(out, "footers", stats.journal.footers);
	written(out, "padding", status_padding(&stats.journal));
	written(out, "checkpoints", stats.checkpoint_bytes);
	written(out, "large", stats.large_bytes);
}

void
control_metrics(struct core *core, struct buf *out)
{
	struct core_counts counts;
	struct sched_counts sched;

	core_counts(core, &counts);
	sched_counts(core->sched, &sched);
	metric(out, "messages", "gauge", "Messages in the queue.", counts.messages);
	metric(out, "messages_active", "gauge", "Messages in memory.", counts.active);
	metric(out, "messages_list_bytes", "gauge",
		"Memory of the recipient lists of messages in memory.", core->list_bytes);
	metric(out, "transactions", "gauge", "Deliveries in progress.", counts.leases);
	metric(out, "sessions", "gauge", "Sessions granted to workers.", counts.sessions);
	metric(out, "destinations", "gauge", "Destinations known.", sched.destinations);
	metric(out, "destinations_dead", "gauge", "Destinations not tried for now.", sched.dead);
	metric(out, "accepted_total", "counter", "Messages accepted.", core->accepted);
	metric(out, "delivered_total", "counter", "Recipients delivered.", core->delivered);
	metric(out, "deferred_total", "counter", "Times that a message was deferred.",
		core->deferred);
	metric(out, "bounced_total", "counter", "Recipients reported as failed.", core->bounced);
	metric(out, "removed_total", "counter", "Messages ended.", core->removed);
	metric(out, "accepts_mail", "gauge", "1: new mail is accepted, 0: it is refused.",
		core_accepts(core));
	metric(out, "journal_faulted", "gauge", "1: the journal cannot be written.",
		journal_fault_err(store_journal(core->store)) != ERR_OK);
	metric(out, "held_as_copy", "gauge",
		"1: the queue is a copy, its old mail waits for 'ostler release ALL'.",
		core->copy.below != 0);
	store_metrics(core, out);
}
