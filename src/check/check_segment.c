/*
 * check_segment.c - one segment of the journal (see check_segment.h)
 */
#include "check/check_segment.h"

#include "store/summary.h"

#include <stdio.h>

struct check_segment {
	const struct segment_header *header;
	check_segment_fn *fn;
	void *ctx;
	struct buf records; /* entries of its records */
	struct buf footer;  /* entries of its footer */
	uint64_t footer_at; /* offset; 0: none */
};

static bool
check_record_is_good(const struct record *record)
{
	struct record_message message;
	struct record_state state;
	struct record_place place;
	struct record_brief brief;
	struct record_node node;

	switch (record->type) {
	case RECORD_MESSAGE:
		return record_message_decode(record->payload, &message) == ERR_OK;
	case RECORD_STATE:
	case RECORD_RESULT:
	case RECORD_DONE:
		return record_state_decode(record->payload, &state) == ERR_OK;
	case RECORD_PLACE:
		return record_place_decode(record->payload, &place) == ERR_OK;
	case RECORD_BRIEF:
		return record_brief_decode(record->payload, &brief) == ERR_OK;
	case RECORD_NODE:
		return record_node_decode(record->payload, &node) == ERR_OK;
	default:
		return record->payload.len % SUMMARY_ENTRY == 0;
	}
}

static void
check_record(struct check_segment *segment, uint64_t offset, const struct record *record)
{
	struct summary_entry entries[SUMMARY_PER_RECORD];
	unsigned count = summary_of_record(segment->header->base + offset, record, entries);
	char text[128];

	for (unsigned i = 0; i < count; i++)
		summary_put(&segment->records, &entries[i]);
	if (record->type == RECORD_FOOTER) {
		if (segment->footer_at == 0)
			segment->footer_at = offset;
		buf_add(&segment->footer, record->payload);
	}
	if (!record_is_known(record->type)) {
		bool is_critical = (record->flags & RECORD_CRITICAL) != 0;

		(void)snprintf(text, sizeof(text), "a record of a kind (%u) that this release %s",
			(unsigned)record->type,
			is_critical ? "must know and does not" : "does not know");
		segment->fn(segment->ctx, offset, count > 0 ? entries[0].queue_id : 0, text, false);
	} else if (!check_record_is_good(record)) {
		segment->fn(segment->ctx, offset, count > 0 ? entries[0].queue_id : 0,
			"a record whose parts do not fit together", true);
	}
}

static void
check_batch(struct check_segment *segment, struct slice bytes, const struct batch_header *batch,
	uint64_t offset)
{
	struct slice rest = slice_from(slice_head(bytes, batch->used), RECORD_BATCH_HEADER);
	uint32_t count = 0;

	while (rest.len > 0) {
		uint64_t at = offset + batch->used - rest.len;
		struct record record;
		enum err err = record_next(&rest, &record);

		if (err == ERR_SYNTAX)
			break;
		count++;
		if (err == ERR_OK)
			check_record(segment, at, &record);
		else
			segment->fn(segment->ctx, at, 0,
				"a record whose checksum is wrong in a batch whose checksum is "
				"right",
				true);
	}
	if (count != batch->count)
		segment->fn(segment->ctx, offset, 0,
			"a batch with another number of records than it says", true);
}

static void
check_footer(struct check_segment *segment)
{
	if (segment->footer_at != 0
		&& !slice_equal(buf_slice(&segment->footer), buf_slice(&segment->records)))
		segment->fn(segment->ctx, segment->footer_at, 0,
			"the footer says something else than the records", true);
}

void
check_segment(struct slice bytes, const struct segment_header *header, uint64_t limit,
	check_segment_fn *fn, void *ctx)
{
	struct check_segment segment = { .header = header, .fn = fn, .ctx = ctx };
	bool is_whole = true;

	buf_init(&segment.records, 0);
	buf_init(&segment.footer, 0);
	if (bytes.len >= RECORD_BLOCK
		&& memcmp(bytes.ptr, bytes.ptr + RECORD_SEGMENT_COPY, RECORD_SEGMENT_COPY) != 0)
		fn(ctx, 0, 0, "one of the two copies of the segment header is damaged", true);
	for (uint64_t at = RECORD_BLOCK; at + RECORD_BLOCK <= bytes.len
					 && header->base + at < limit;) {
		struct slice rest = slice_from(bytes, (size_t)at);
		struct batch_header batch = { 0 };

		if (batch_decode(rest, &batch) == ERR_OK && batch.lsn == header->base + at) {
			check_batch(&segment, rest, &batch, at);
			at += batch.length;
		} else {
			is_whole = false; /* recovery knows what that means */
			at += RECORD_BLOCK;
		}
	}
	if (is_whole)
		check_footer(&segment);
	buf_done(&segment.records);
	buf_done(&segment.footer);
}
