/*
 * ascii.h - character classes that do not depend on the locale
 */
#ifndef OSTLER_BASE_ASCII_H
#define OSTLER_BASE_ASCII_H

#include <stdbool.h>
#include <stdint.h>

static inline uint8_t
ascii_lower(uint8_t byte)
{
	return byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte + 32) : byte;
}

static inline uint8_t
ascii_upper(uint8_t byte)
{
	return byte >= 'a' && byte <= 'z' ? (uint8_t)(byte - 32) : byte;
}

static inline bool
ascii_is_digit(uint8_t byte)
{
	return byte >= '0' && byte <= '9';
}

static inline bool
ascii_is_alpha(uint8_t byte)
{
	return ascii_lower(byte) >= 'a' && ascii_lower(byte) <= 'z';
}

static inline bool
ascii_is_alnum(uint8_t byte)
{
	return ascii_is_digit(byte) || ascii_is_alpha(byte);
}

static inline bool
ascii_is_space(uint8_t byte)
{
	return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

/* Printable, blank included. */
static inline bool
ascii_is_print(uint8_t byte)
{
	return byte >= 32 && byte < 127;
}

/* 0 to 15, or -1. */
static inline int
ascii_hex_value(uint8_t byte)
{
	if (ascii_is_digit(byte))
		return byte - '0';
	byte = ascii_lower(byte);
	return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

#endif
