/*
 * local_core.h - what is to be done for one recipient: the decisions of local delivery (pure)
 *
 * A recipient becomes a plan of targets: Maildirs of users here, commands and files of aliases,
 * addresses elsewhere that a new message goes to, and failures. Aliases are expanded first (the
 * whole local part, then without its extension), an alias that names itself means the user, `\name`
 * means the user without aliases. Nothing is delivered here; a plan says what the driver
 * (local_job.c) must do.
 *
 * Ownership: a plan owns its texts; names are borrowed for the call.
 * Limits:    LOCAL_TARGETS_MAX targets, LOCAL_STEPS_MAX look-ups and LOCAL_DEPTH_MAX aliases in a
 *            row per recipient, LOCAL_USER_MAX bytes of a user's name.
 * Errors:    none: what cannot be delivered is a target that says why.
 * Threads:   pure.
 */
#ifndef OSTLER_LOCAL_LOCAL_CORE_H
#define OSTLER_LOCAL_LOCAL_CORE_H

#include "base/buf.h"
#include "base/slice.h"

enum {
	LOCAL_TARGETS_MAX = 5000,
	LOCAL_STEPS_MAX = 10000,
	LOCAL_DEPTH_MAX = 100,
	LOCAL_USER_MAX = 200,
	LOCAL_PATH_MAX = 1000,
	LOCAL_RUN_MAX = 4000, /* bytes of a command */
};

/* What the configuration says about names; the driver answers from a snapshot, tests from lists. */
struct local_names {
	void *ctx;
	/* The value of an alias; false: there is none of this name. */
	bool (*alias)(void *ctx, struct slice name, struct slice *ret_value);
	/* Whether a domain is delivered here (mydestination). */
	bool (*is_local)(void *ctx, struct slice domain);
	/* Whether local_recipient_maps lets a key exist: user@domain or user. */
	bool (*exists)(void *ctx, struct slice key);
	bool runs_commands, writes_files; /* allow_mail_to_commands, allow_mail_to_files */
	struct slice origin;       /* myorigin: the domain of aliases' bare names */
	struct slice delimiters;   /* recipient_delimiter */
	struct slice home_mailbox; /* Maildir below the user's directory; empty: that directory */
};

enum local_target_kind {
	LOCAL_TARGET_MAILDIR, /* deliver into path */
	LOCAL_TARGET_RUN,     /* |command or /file of an alias, in `path` */
	LOCAL_TARGET_FORWARD, /* send a new message to address */
	LOCAL_TARGET_BOUNCE,  /* will never be delivered: dsn, reason */
	LOCAL_TARGET_DEFER,   /* cannot be delivered now: dsn, reason */
};

struct local_target {
	enum local_target_kind kind;
	char *address;   /* for the log; FORWARD: where to. Internal form */
	char *path;      /* MAILDIR: below the mail directory, no empty, "." or ".." part; RUN: as
	                    the alias has it */
	char *alias;     /* RUN: its name */
	const char *dsn; /* BOUNCE, DEFER: x.y.z */
	char *reason;    /* BOUNCE, DEFER: for log and report */
};

struct local_plan {
	struct local_target *targets;
	uint32_t count;
	uint32_t cap;
	uint32_t steps; /* look-ups so far */
	char *owner;    /* owner-ALIAS@domain exists: sender of forwarded mail; or NULL */
};

/*
 * Decides for one recipient (internal form). `loops`: its Delivered-To field is in the message
 * already. The plan has at least one target. local_plan_done() frees it.
 */
void local_plan_make(struct local_plan *ret_plan, const struct local_names *names,
	struct slice address, bool loops);
/* The plan for a recipient whose transport is a pipe service: that alone. */
void local_plan_pipe(struct local_plan *ret_plan, struct slice address, struct slice service);
void local_plan_done(struct local_plan *plan);

/* Whether a name may be a directory of its own: no slash, no dot in front, no control byte. */
bool local_user_is_safe(struct slice user);

/*
 * Cuts the next entry off the value of an alias: entries are parted by commas outside of quotes;
 * blanks around them do not count, quotes around a whole entry are taken off into `scratch`. False:
 * none left. The entry is valid until the next call.
 */
bool local_alias_next(struct slice *rest, struct buf *scratch, struct slice *ret_entry);

/*
 * Whether a header names `address` (external form) in a Delivered-To field. Lines end in LF or
 * CRLF; reading ends at the first empty line; *ret_ended (may be NULL): that was met.
 */
bool local_delivered_to_find(struct slice header, struct slice address, bool *ret_ended);

#endif
