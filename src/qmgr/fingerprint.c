/* fingerprint.c - see fingerprint.h */
#include "qmgr/fingerprint.h"

#include "message/address.h"
#include "message/recipient_list.h"

enum { RECIPIENTS_MAX = 100 }; /* more are several */
enum { ADDRESS_BITS = 10, DOMAIN_BITS = 7, DOMAIN_AT = 10, SENDER_BITS = 7, SENDER_AT = 17 };

/* Never 0. Stored in the journal: it must not change. */
static uint32_t
part_of(struct slice text, unsigned bits)
{
	uint32_t hash = 2166136261U;

	for (size_t i = 0; i < text.len; i++) {
		uint8_t byte = text.ptr[i];

		if (byte >= 'A' && byte <= 'Z')
			byte = (uint8_t)(byte - 'A' + 'a');
		hash = (hash ^ byte) * 16777619U;
	}
	hash ^= hash >> 15;
	return hash % ((1U << bits) - 1) + 1;
}

/* A part that says nothing may be anything. */
static bool
may_be(uint32_t fingerprint, unsigned at, unsigned bits, uint32_t wanted)
{
	uint32_t part = fingerprint >> at & ((1U << bits) - 1);

	return wanted == 0 || part == 0 || part == wanted;
}

static uint32_t
domain_of(struct slice address)
{
	struct slice domain;

	address_split(address, NULL, &domain);
	return part_of(domain, DOMAIN_BITS);
}

/* What a table made of another address can be asked for by either. */
static bool
is_rewritten(const struct recipient_entry *entry)
{
	return entry->original.len > 0 && !slice_equal_nocase(entry->original, entry->address);
}

uint32_t
fingerprint_make(struct slice sender, struct slice recipients)
{
	struct recipient_entry entry;
	uint32_t address = 0, domain = 0;
	struct recipient_list_reader reader = recipient_list_read(recipients);
	unsigned count = 0;

	for (; recipient_list_next(&reader, &entry) == ERR_OK; count++) {
		uint32_t its_domain = domain_of(entry.address);

		if (is_rewritten(&entry) || count == RECIPIENTS_MAX ||
			(count > 0 && its_domain != domain)) {
			address = domain = 0;
			break;
		}
		address = count == 0 ? part_of(entry.address, ADDRESS_BITS) : 0;
		domain = its_domain;
	}
	return address | domain << DOMAIN_AT | part_of(sender, SENDER_BITS) << SENDER_AT;
}

void
fingerprint_want_recipient(struct fingerprint_wanted *wanted, struct slice text)
{
	size_t at = slice_find(text, '@');
	bool is_domain = at == 0 || at >= text.len;

	if (is_domain)
		wanted->domain = part_of(slice_from(text, at == 0), DOMAIN_BITS);
	else
		wanted->domain = domain_of(text);
	wanted->address = is_domain ? 0 : part_of(text, ADDRESS_BITS);
}

void
fingerprint_want_sender(struct fingerprint_wanted *wanted, struct slice text)
{
	size_t at = slice_find(text, '@');
	bool is_domain = text.len > 0 && (at == 0 || at >= text.len);

	wanted->sender = is_domain ? 0 : part_of(text, SENDER_BITS);
}

bool
fingerprint_may_fit(uint32_t fingerprint, const struct fingerprint_wanted *wanted)
{
	return may_be(fingerprint, 0, ADDRESS_BITS, wanted->address) &&
	       may_be(fingerprint, DOMAIN_AT, DOMAIN_BITS, wanted->domain) &&
	       may_be(fingerprint, SENDER_AT, SENDER_BITS, wanted->sender);
}
