/*
 * fingerprint.h - what 24 bits say of a message's addresses: which ones it cannot have (pure)
 *
 * The index of the store has one for every message, so that a question about an address passes over
 * a million messages and reads the few that may have it.
 *
 *	bits 0 to 9    the address of its recipient
 *	     10 to 16  the domain of its recipients
 *	     17 to 23  the address of its sender
 *
 * 0 in a part says nothing: recipients differ, or the message is older than fingerprints are.
 * Letters count without their case.
 *
 * Threads: none.
 */
#ifndef OSTLER_QMGR_FINGERPRINT_H
#define OSTLER_QMGR_FINGERPRINT_H

#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

/* Of a sender and an encoded list of recipients (message/recipient_list.h). */
uint32_t fingerprint_make(struct slice sender, struct slice recipients);

/* What is looked for; a part that is 0 may be anything. */
struct fingerprint_wanted {
	uint32_t address, domain, sender;
};

/* A recipient or a sender: an address, or a domain with or without an @ in front. */
void fingerprint_want_recipient(struct fingerprint_wanted *wanted, struct slice text);
void fingerprint_want_sender(struct fingerprint_wanted *wanted, struct slice text);
/* Whether a message with this fingerprint may have them. */
bool fingerprint_may_fit(uint32_t fingerprint, const struct fingerprint_wanted *wanted);

#endif
