/*
 * journal_format.c - which minor format the journal has (see journal.h, docs/store.md)
 *
 * An upgrade of the program writes nothing new by itself, so that the release before it can be
 * started again at any time. Only journal_upgrade() raises the format in force. That is a named
 * value, `format`, and stands in the headers too: the greater counts, so that damage to one of
 * them does not lower it.
 */
#include "base/check.h"
#include "base/num.h"
#include "base/wire.h"
#include "store/journal_priv.h"

#define FORMAT_KEY SLICE_LIT("format")

enum { FORMAT_SIZE = 2 };

static void
journal_format_remember(struct journal *journal, uint16_t minor)
{
	uint8_t value[FORMAT_SIZE];

	wire_store_u16(value, minor);
	journal_node_remember(journal, FORMAT_KEY, slice_make(value, sizeof(value)), UINT64_MAX);
}

void
journal_format_begin(struct journal *journal)
{
	journal->minor = journal->options.is_old ? 0 : RECORD_FORMAT_MINOR;
	if (journal->minor > 0)
		journal_format_remember(journal, journal->minor);
}

void
journal_format_seen(struct journal *journal, uint16_t minor)
{
	if (minor > journal->minor)
		journal->minor = minor;
}

void
journal_format_recovered(struct journal *journal)
{
	struct slice value = journal_node(journal, FORMAT_KEY);

	if (value.len >= FORMAT_SIZE)
		journal_format_seen(journal, wire_load_u16(value.ptr));
	if (journal->minor > 0)
		journal_format_remember(journal, journal->minor);
}

void
journal_format(const struct journal *journal, struct journal_format *ret_format)
{
	ret_format->in_force = journal->minor;
	ret_format->newest = RECORD_FORMAT_MINOR;
	ret_format->written = journal->minor < RECORD_FORMAT_MINOR ? journal->minor
								   : RECORD_FORMAT_MINOR;
}

void
journal_format_fill(const struct journal *journal, struct segment_header *header)
{
	struct journal_format format;

	journal_format(journal, &format);
	header->major = RECORD_FORMAT_MAJOR;
	header->minor = format.written;
	if (format.written == 0)
		return;
	_Static_assert(sizeof(OSTLER_VERSION) <= RECORD_WRITER_SIZE, "the release fits a header");
	header->features_may |= RECORD_FEATURE_WRITER;
	memcpy(header->writer, OSTLER_VERSION, sizeof(OSTLER_VERSION));
	header->features_may |= RECORD_FEATURE_EPOCH;
	header->epoch = journal->options.epoch;
	if (format.written >= RECORD_FORMAT_LONG)
		header->features_must |= RECORD_FEATURE_LONG;
	if (format.written >= RECORD_FORMAT_BRIEF)
		header->features_must |= RECORD_FEATURE_BRIEF;
}

/* Refused: the value that waits to be repeated in the next segment is the old one again. */
static void
journal_upgraded(void *ctx, enum journal_outcome outcome)
{
	struct journal *journal = ctx;
	struct journal_txn upgrade = journal->upgrade;

	journal->upgrade.done = NULL;
	if (outcome == JOURNAL_DURABLE)
		journal->minor = RECORD_FORMAT_MINOR;
	else
		journal_format_remember(journal, journal->minor);
	upgrade.done(upgrade.ctx, outcome);
}

enum err
journal_upgrade(struct journal *journal, journal_done_fn *done, void *ctx)
{
	uint8_t value[FORMAT_SIZE];
	enum err err;

	CHECK(done != NULL);
	if (journal->upgrade.done != NULL)
		return ERR_AGAIN;
	if (journal->minor >= RECORD_FORMAT_MINOR)
		return ERR_EXISTS;
	wire_store_u16(value, RECORD_FORMAT_MINOR);
	err = journal_set_node(journal, FORMAT_KEY, slice_make(value, sizeof(value)),
		journal_upgraded, journal);
	if (err == ERR_OK)
		journal->upgrade = (struct journal_txn){ .done = done, .ctx = ctx };
	return err;
}
