/*
 * fuzz_submission.c - any bytes as a submission, cut in two places; content must be clean lines
 */
#include "base/check.h"
#include "message/submission.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
fuzz_content(struct slice content, bool is_whole)
{
	for (size_t i = 0; i < content.len; i++) {
		if (content.ptr[i] == '\n')
			CHECK(i > 0 && content.ptr[i - 1] == '\r');
		if (content.ptr[i] == '\r')
			CHECK(i + 1 < content.len && content.ptr[i + 1] == '\n');
	}
	if (is_whole && content.len > 0)
		CHECK(content.ptr[content.len - 1] == '\n');
}

static void
fuzz_head(const struct submission *submission)
{
	struct slice rest = submission->recipients;
	struct submission_recipient recipient;
	struct submission_detail detail;
	uint32_t count = 0;

	while (submission_recipient_next(&rest, &recipient) == ERR_OK)
		count++;
	CHECK(count == submission->recipient_count && count > 0);
	if ((submission->flags & SUBMISSION_IMPORT) == 0)
		return;
	rest = submission->import.details;
	for (count = 0; submission_detail_next(&rest, &detail) == ERR_OK;)
		count++;
	CHECK(count == submission->recipient_count);
	CHECK(submission_key_is_valid(submission->import.key));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice all = slice_make(data, size);
	size_t cut = size > 0 ? data[size - 1] % (size + 1) : 0;
	struct slice parts[2] = { slice_head(all, cut), slice_from(all, cut) };
	struct submission_reader reader;
	struct buf content;
	enum err err = ERR_AGAIN;

	buf_init(&content, 0);
	submission_reader_init(&reader);
	for (size_t i = 0; i < 2 && err == ERR_AGAIN; i++)
		err = submission_read(&reader, &parts[i], &content);
	if (submission_reader_has_head(&reader))
		fuzz_head(&reader.submission);
	fuzz_content(buf_slice(&content), err == ERR_OK);
	submission_reader_done(&reader);
	buf_done(&content);
	return 0;
}
