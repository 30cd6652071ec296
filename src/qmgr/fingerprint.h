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

/*
 * Whether a message with this fingerprint may have such a recipient or sender: an address, or a
 * domain with or without an @ in front.
 */
bool fingerprint_may_have_recipient(uint32_t fingerprint, struct slice wanted);
bool fingerprint_may_have_sender(uint32_t fingerprint, struct slice wanted);

#endif
