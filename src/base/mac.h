/*
 * mac.h - a keyed hash (SipHash-2-4, 64 bit) for tokens that others carry and must not invent
 *
 * For tokens that live as long as a process tree and are checked by its owner, who ends whoever
 * brings a wrong one: 64 bits are plenty for that, and too few for anything that can be tried
 * offline.
 */
#ifndef OSTLER_BASE_MAC_H
#define OSTLER_BASE_MAC_H

#include "base/slice.h"

enum { MAC_KEY_SIZE = 16 };

uint64_t mac_make(const uint8_t key[MAC_KEY_SIZE], struct slice bytes);

#endif
