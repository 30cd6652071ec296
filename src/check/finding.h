/*
 * finding.h - what a check found, as lines for people or JSON
 *
 * Ownership: texts are copied. Threads: none.
 */
#ifndef OSTLER_CHECK_FINDING_H
#define OSTLER_CHECK_FINDING_H

#include "base/slice.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

enum { FINDING_FILE = 96, FINDING_TEXT = 320 };

#define FINDING_NO_OFFSET UINT64_MAX

enum finding_kind {
	FINDING_NOTE,	 /* nothing is wrong */
	FINDING_PROBLEM, /* repair mends it */
	FINDING_ADVICE,	 /* repair does not; `repair` says what would */
};

struct finding {
	TAILQ_ENTRY(finding) link;
	enum finding_kind kind;
	char file[FINDING_FILE]; /* below queue_directory; empty: none */
	uint64_t offset;
	uint64_t queue_id; /* 0: none, or not known */
	char what[FINDING_TEXT];
	char repair[FINDING_TEXT];
};

struct findings {
	TAILQ_HEAD(finding_list, finding) list;
	size_t notes, problems, advices;
};

void findings_init(struct findings *findings);
void findings_done(struct findings *findings);

/* The same twice in a row is one. `file` may be NULL. */
void findings_add(struct findings *findings, enum finding_kind kind, const char *file,
	uint64_t offset, uint64_t queue_id, const char *what, const char *repair);

void findings_print(const struct findings *findings, bool as_json, bool is_repaired);

#endif
