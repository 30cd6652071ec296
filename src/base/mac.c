/* mac.c - SipHash-2-4 of Aumasson and Bernstein (see mac.h) */
#include "base/mac.h"

#include "base/wire.h"

enum { MAC_ROUNDS = 2, MAC_FINAL_ROUNDS = 4 };

struct mac {
	uint64_t a, b, c, d;
};

static uint64_t
rotate(uint64_t value, unsigned bits)
{
	return value << bits | value >> (64 - bits);
}

static void
mix(struct mac *mac, int rounds)
{
	for (int i = 0; i < rounds; i++) {
		mac->a += mac->b;
		mac->c += mac->d;
		mac->b = rotate(mac->b, 13) ^ mac->a;
		mac->d = rotate(mac->d, 16) ^ mac->c;
		mac->a = rotate(mac->a, 32);
		mac->c += mac->b;
		mac->a += mac->d;
		mac->b = rotate(mac->b, 17) ^ mac->c;
		mac->d = rotate(mac->d, 21) ^ mac->a;
		mac->c = rotate(mac->c, 32);
	}
}

static void
take_word(struct mac *mac, uint64_t word)
{
	mac->d ^= word;
	mix(mac, MAC_ROUNDS);
	mac->a ^= word;
}

uint64_t
mac_make(const uint8_t key[MAC_KEY_SIZE], struct slice bytes)
{
	uint64_t low = wire_load_u64(key), high = wire_load_u64(key + 8);
	struct mac mac = { low ^ UINT64_C(0x736f6d6570736575), high ^ UINT64_C(0x646f72616e646f6d),
		low ^ UINT64_C(0x6c7967656e657261), high ^ UINT64_C(0x7465646279746573) };
	uint64_t last = (uint64_t)bytes.len << 56;

	for (; bytes.len >= 8; bytes = slice_from(bytes, 8))
		take_word(&mac, wire_load_u64(bytes.ptr));
	for (size_t i = 0; i < bytes.len; i++)
		last |= (uint64_t)bytes.ptr[i] << 8 * i;
	take_word(&mac, last);
	mac.c ^= 0xff;
	mix(&mac, MAC_FINAL_ROUNDS);
	return mac.a ^ mac.b ^ mac.c ^ mac.d;
}
