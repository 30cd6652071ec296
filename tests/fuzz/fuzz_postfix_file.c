/*
 * fuzz_postfix_file.c - any bytes as a file of a Postfix queue; what is cut off has no end
 */
#include "base/check.h"
#include "message/dsn.h"
#include "message/postfix_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
fuzz_inside(struct slice part, const uint8_t *data, size_t size)
{
	CHECK(part.len == 0 || (part.ptr >= data && part.ptr + part.len <= data + size));
}

static void
fuzz_file(const struct postfix_file *file, const uint8_t *data, size_t size)
{
	fuzz_inside(file->sender, data, size);
	fuzz_inside(file->envid, data, size);
	for (size_t i = 0; i < file->recipient_count; i++) {
		const struct postfix_file_recipient *recipient = &file->recipients[i];

		fuzz_inside(recipient->address, data, size);
		fuzz_inside(recipient->original, data, size);
		fuzz_inside(recipient->orcpt, data, size);
		CHECK((recipient->notify & ~DSN_NOTIFY_ALL) == 0);
	}
	CHECK(file->ret <= DSN_RET_HDRS);
	CHECK(file->recipient_count <= POSTFIX_FILE_RECIPIENTS_MAX);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct postfix_file file;

	for (int is_maildrop = 0; is_maildrop < 2; is_maildrop++) {
		if (postfix_file_read(slice_make(data, size), is_maildrop != 0, &file) != ERR_OK)
			continue;
		fuzz_file(&file, data, size);
		postfix_file_done(&file);
	}
	return 0;
}
