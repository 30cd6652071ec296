/*
 * fuzz_corrupt_file.c - any bytes as a file corrupt/message-ID; slices stay inside it
 */
#include "base/check.h"
#include "check/corrupt_file.h"
#include "message/envelope.h"
#include "message/recipient_list.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
fuzz_inside(struct slice part, const uint8_t *data, size_t size)
{
	CHECK(part.len == 0 || (part.ptr >= data && part.ptr + part.len <= data + size));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct corrupt_file file;
	struct record_state state;
	struct envelope envelope;
	struct slice rest;
	uint32_t count;
	uint16_t type;

	if (corrupt_file_parse(slice_make(data, size), &file) < 0)
		return 0;
	CHECK(file.queue_id != 0);
	fuzz_inside(file.reason, data, size);
	fuzz_inside(file.origin, data, size);
	fuzz_inside(file.records, data, size);
	if (file.has_message) {
		fuzz_inside(file.message.envelope, data, size);
		fuzz_inside(file.message.recipients, data, size);
		fuzz_inside(file.message.head, data, size);
		fuzz_inside(file.message.body, data, size);
		(void)!envelope_decode(file.message.envelope, &envelope);
		(void)!recipient_list_check(file.message.recipients, &count);
	}
	rest = file.records;
	while (corrupt_file_next(&file, &rest, &type, &state) == ERR_OK) {
		CHECK(type == RECORD_STATE || type == RECORD_RESULT);
		CHECK(state.queue_id == file.queue_id);
		fuzz_inside(state.state, data, size);
	}
	return 0;
}
