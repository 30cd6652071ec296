/*
 * word.h - words of lists and command lines: parted by commas and blanks, held together by braces
 *
 * Ownership: words are slices of the input. Threads: pure.
 */
#ifndef OSTLER_CONFIG_WORD_H
#define OSTLER_CONFIG_WORD_H

#include "base/err.h"
#include "base/slice.h"

/* Rule T9. */
#define WORD_LIST_SEPARATORS ", \t\r\n"

/*
 * `text` begins with `open`: the place of the `close` that belongs to it, or text.len if there is
 * none.
 */
size_t word_find_close(struct slice text, uint8_t open, uint8_t close);

/*
 * Cuts the next word off *rest; separators inside braces do not count. ERR_NOTFOUND: none left;
 * ERR_SYNTAX: a brace that is not closed.
 */
MUST_USE enum err word_next(struct slice *rest, const char *separators, struct slice *ret_word);

/* What is inside when the whole word is in braces, blanks at its ends removed; else the word. */
struct slice word_strip_braces(struct slice word);

/* "name = value" with blanks around both removed. ERR_SYNTAX: no =, or no name, or one with blanks
 * inside. */
MUST_USE enum err word_split_pair(
	struct slice text, struct slice *ret_name, struct slice *ret_value);

#endif
