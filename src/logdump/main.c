/*
 * main.c - ostler-logdump: what a segment of the journal holds, a line a record (docs/store.md)
 *
 * Reads files as they are, also of a running instance (then the end may be half written), and
 * changes nothing. A batch that does not verify is named, and the next block is tried.
 *
 * Exit: 0; 65 (EX_DATAERR) if anything did not verify; 66 (EX_NOINPUT) if a file cannot be read.
 */
#include "base/mem.h"
#include "store/summary.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

static const char help[] =
	"usage: ostler-logdump [--entries] SEGMENT...\n"
	"\n"
	"Prints header, batches and records of journal segments (queue_directory/journal/*.seg).\n"
	"  --entries   also each entry of footers\n"
	"  --help      this text\n";

static const char *
type_name(unsigned type)
{
	static const char *const names[] = { "?", "MESSAGE", "RESULT", "STATE", "DONE", "NODE",
		"FOOTER", "PLACE", "BRIEF" };

	if (type == SUMMARY_LARGE)
		return "LARGE";
	if (type == SUMMARY_UNKNOWN)
		return "UNKNOWN";
	return type < sizeof(names) / sizeof(names[0]) ? names[type] : "unknown";
}

static void
print_header(const struct segment_header *header)
{
	printf("segment %" PRIu64 ", format %u.%u, base %" PRIu64 ", size %" PRIu64 ", cut %" PRIu64
	       ", first %" PRIu64 ", generation %" PRIu64 ", journal ",
		header->sequence, header->major, header->minor, header->base, header->size,
		header->cut, header->first, header->generation);
	for (size_t i = 0; i < sizeof(header->uuid); i++)
		printf("%02x", header->uuid[i]);
	printf(", features %#" PRIx64 "/%#" PRIx64 "%s%s\n", header->features_must,
		header->features_may, header->writer[0] != '\0' ? ", written by " : "",
		header->writer);
}

static void
print_entries(struct slice payload)
{
	struct summary_entry entry;

	while (summary_next(&payload, &entry) == ERR_OK)
		printf("      %-7s %016" PRIx64 " at %" PRIu64 ", value %" PRIu64
		       ", due %u, %u bytes, flags %u\n",
			type_name(entry.type), entry.queue_id, entry.lsn, entry.value,
			(unsigned)entry.due_s, (unsigned)summary_size(entry.size), entry.flags);
}

static void
print_message(struct slice payload)
{
	struct record_message message;

	if (record_message_decode(payload, &message) < 0) {
		printf("not readable\n");
		return;
	}
	printf("%016" PRIx64 ", arrival %" PRIu64 ", content %" PRIu64 " bytes", message.queue_id,
		message.arrival_us, message.content_length);
	if (message.large != 0)
		printf(" in large/%016" PRIx64, message.large);
	printf(", envelope %zu, recipients %zu, head %zu\n", message.envelope.len,
		message.recipients.len, message.head.len);
}

static void
print_record(const struct record *record, bool with_entries)
{
	struct record_state state;
	struct record_place place;
	struct record_brief brief;
	struct record_node node;

	if (!record_is_known(record->type)) {
		printf("%016" PRIx64 ", kind %u, flags %u, %zu bytes\n",
			record_unknown_owner(record), (unsigned)record->type,
			(unsigned)record->flags, record->payload.len);
	} else if (record->type == RECORD_MESSAGE) {
		print_message(record->payload);
	} else if (record->type == RECORD_FOOTER) {
		printf("%zu entries\n", record->payload.len / SUMMARY_ENTRY);
		if (with_entries)
			print_entries(record->payload);
	} else if (record->type == RECORD_PLACE
		   && record_place_decode(record->payload, &place) == ERR_OK) {
		printf("%016" PRIx64 ", state at %" PRIu64 ", due %u\n", place.queue_id,
			place.state_lsn, (unsigned)place.due_s);
	} else if (record->type == RECORD_BRIEF
		   && record_brief_decode(record->payload, &brief) == ERR_OK) {
		printf("%016" PRIx64 ", due %u, flags %u, %zu bytes, then %u of the state at "
		       "offset %u\n",
			brief.queue_id, (unsigned)brief.due_s, (unsigned)brief.flags, brief.own.len,
			(unsigned)brief.tail_len, (unsigned)brief.place);
	} else if (record->type == RECORD_NODE
		   && record_node_decode(record->payload, &node) == ERR_OK) {
		printf("%" SLICE_FMT ", %zu bytes\n", SLICE_ARG(node.key), node.value.len);
	} else if (record_state_decode(record->payload, &state) == ERR_OK) {
		printf("%016" PRIx64 ", due %" PRIu64 ", flags %u, %zu bytes\n", state.queue_id,
			state.due_us, (unsigned)state.flags, state.state.len);
	} else {
		printf("not readable\n");
	}
}

/* False: a record did not verify. */
static bool
print_batch(struct slice bytes, const struct batch_header *batch, bool with_entries)
{
	struct slice rest = slice_from(slice_head(bytes, batch->used), RECORD_BATCH_HEADER);
	bool is_good = true;

	printf("  batch at %" PRIu64 ": %u bytes, %u records, epoch %016" PRIx64
	       ", durable %" PRIu64 ", first %" PRIu64 "%s\n",
		batch->lsn, (unsigned)batch->length, (unsigned)batch->count, batch->epoch,
		batch->durable, batch->first, (batch->flags & BATCH_LAST) != 0 ? ", closing" : "");
	while (rest.len > 0) {
		uint64_t lsn = batch->lsn + batch->used - rest.len;
		struct record record;
		enum err err = record_next(&rest, &record);

		if (err == ERR_SYNTAX)
			return false;
		is_good &= err == ERR_OK;
		printf("    %" PRIu64 " %-7s ", lsn,
			err == ERR_OK ? type_name(record.type) : "DAMAGED");
		if (err == ERR_OK)
			print_record(&record, with_entries);
		else
			printf("its checksum is wrong\n");
	}
	return is_good;
}

static bool
print_segment(struct slice bytes, bool with_entries)
{
	struct segment_header header;
	struct fault fault;
	bool is_good = true;

	if (segment_header_decode(bytes, &header, &fault) < 0) {
		printf("%s\n", fault.text);
		return false;
	}
	print_header(&header);
	for (size_t at = RECORD_BLOCK; at + RECORD_BLOCK <= bytes.len;) {
		struct slice rest = slice_from(bytes, at);
		struct batch_header batch = { 0 };
		enum err err = batch_decode(rest, &batch);

		if (err == ERR_OK && batch.lsn == header.base + at) {
			is_good &= print_batch(rest, &batch, with_entries);
			at += batch.length;
			continue;
		}
		if (err == ERR_CORRUPT) {
			printf("  batch at %" PRIu64 ": its checksum is wrong\n", header.base + at);
			is_good = false;
		}
		at += RECORD_BLOCK; /* blank, or of the file's former life */
	}
	return is_good;
}

/* An exit code. */
static int
dump(const char *name, bool with_entries)
{
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	struct stat st;
	uint8_t *bytes;
	size_t got = 0;
	ssize_t more = 1;
	bool is_good;

	if (fd < 0 || fstat(fd, &st) != 0) {
		(void)fprintf(stderr, "ostler-logdump: %s: %s\n", name, strerror(errno));
		if (fd >= 0)
			(void)close(fd);
		return EX_NOINPUT;
	}
	bytes = mem_array((size_t)st.st_size + 1, 1);
	while (more > 0 && got < (size_t)st.st_size) {
		more = read(fd, bytes + got, (size_t)st.st_size - got);
		got += more > 0 ? (size_t)more : 0;
	}
	(void)close(fd);
	printf("%s: ", name);
	is_good = print_segment(slice_make(bytes, got), with_entries);
	mem_free(bytes);
	return is_good ? EX_OK : EX_DATAERR;
}

int
main(int argc, char **argv)
{
	bool with_entries = false;
	int exit_code = EX_OK, count = 0;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0) {
			printf("%s", help);
			return EX_OK;
		}
		if (strcmp(argv[i], "--entries") == 0) {
			with_entries = true;
		} else if (argv[i][0] == '-') {
			(void)fprintf(
				stderr, "ostler-logdump: no such option: %s\n%s", argv[i], help);
			return EX_USAGE;
		} else {
			int code = dump(argv[i], with_entries);

			count++;
			exit_code = code != EX_OK ? code : exit_code;
		}
	}
	if (count == 0) {
		(void)fprintf(stderr, "ostler-logdump: a segment file is missing\n%s", help);
		return EX_USAGE;
	}
	return exit_code;
}
