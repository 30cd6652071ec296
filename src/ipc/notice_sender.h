/*
 * notice_sender.h - a role's word to qmgr that an SMTP session had errors (notify_classes)
 *
 * The role says so only if the classes are wanted; qmgr makes the mail. A role says at most
 * NOTICE_SENDER_BURST of them at once and one a second, so that a flood of bad sessions is no flood
 * of frames; how many it kept to itself goes with the next one.
 *
 * Threads: main thread.
 */
#ifndef OSTLER_IPC_NOTICE_SENDER_H
#define OSTLER_IPC_NOTICE_SENDER_H

#include "base/clock.h"
#include "ipc/messages.h"

enum { NOTICE_SENDER_BURST = 10 };

struct channel;

struct notice_sender {
	struct mono free_at; /* when all that were sent are paid for; begins zeroed */
	uint32_t kept; /* not sent, and not told yet */
};

/* Sends it, with what was kept before, or keeps it to itself. */
void notice_sender_send(struct notice_sender *sender, struct channel *qmgr, struct mono now,
	const struct ipc_notice *notice);

#endif
