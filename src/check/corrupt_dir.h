/*
 * corrupt_dir.h - the files under corrupt/, and what can be made of a message there
 *
 * Ownership: corrupt_item_done() frees; a struct corrupt_dir owns its descriptors and names.
 * Errors:    exit codes of sysexits.h after a complaint. Threads: none; it blocks.
 */
#ifndef OSTLER_CHECK_CORRUPT_DIR_H
#define OSTLER_CHECK_CORRUPT_DIR_H

#include "base/hash_parts.h"
#include "check/corrupt_file.h"
#include "cli/cli.h"
#include "message/envelope.h"

#include <sys/stat.h>

enum corrupt_kind {
	CORRUPT_MESSAGE, /* message-ID */
	CORRUPT_DAMAGE,	 /* damage-LSN: bytes of the journal that had been durable */
	CORRUPT_TAIL,	 /* tail-LSN: bytes behind the journal's end */
	CORRUPT_LARGE,	 /* large-NUMBER: content without a message */
	CORRUPT_OTHER,
};

struct corrupt_dir {
	struct cli *cli;
	int fd;	      /* corrupt/ */
	int large_fd; /* large/; -1: it is not there */
	char **names; /* sorted */
	size_t count;
};

/* Opens and lists; the queue directory is open. */
MUST_USE int corrupt_dir_open(struct corrupt_dir *dir, struct cli *cli);
void corrupt_dir_close(struct corrupt_dir *dir);

enum corrupt_kind corrupt_kind_of(const char *name);
const char *corrupt_kind_name(enum corrupt_kind kind);

/* The file of a queue ID (as the log has it, or 16 hexadecimal digits) or of a name; NULL: none. */
const char *corrupt_dir_find(const struct corrupt_dir *dir, const char *id);

/* What becomes of a message that is requeued. */
enum corrupt_fate {
	CORRUPT_WHOLE,	  /* as it was accepted */
	CORRUPT_DOUBTFUL, /* all parts are there, but a checksum is wrong */
	CORRUPT_BROKEN,	  /* a part is not */
};

/* A file and, if it is one of a message, what could be read of it. */
struct corrupt_item {
	const char *name;
	enum corrupt_kind kind;
	struct stat info;
	struct buf bytes;
	struct corrupt_file file; /* CORRUPT_MESSAGE; its queue_id is 0 if it is not readable */
	bool has_envelope, has_recipients;
	struct envelope envelope;
	uint32_t recipient_count;
	uint8_t *is_finished; /* by recipient; NULL: none is */
	enum corrupt_fate fate;
	const char *why; /* not CORRUPT_WHOLE */
	char large[80];	 /* CORRUPT_LARGE content: path below the queue directory */
};

/* False: errno says why it could not be read. */
bool corrupt_item_read(const struct corrupt_dir *dir, const char *name, struct corrupt_item *item);
void corrupt_item_done(struct corrupt_item *item);

/*
 * Appends head and body. False: it could not be read, or is not what it should be; where, if it is
 * content of its own, says ret_damage->count > 0.
 */
bool corrupt_item_content(const struct corrupt_dir *dir, const struct corrupt_item *item,
	struct buf *content, struct hash_damage *ret_damage);

#endif
