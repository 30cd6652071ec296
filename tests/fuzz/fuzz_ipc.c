/*
 * fuzz_ipc.c - any bytes as the payload of any message, and as each of the lists inside
 *
 * The first two bytes choose the type. What decodes must encode to the same bytes again.
 */
#include "base/check.h"
#include "ipc/messages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
fuzz_lists(struct slice bytes)
{
	struct slice rest = bytes;
	struct ipc_host host;
	struct ipc_recipient recipient;
	struct ipc_outcome outcome;
	struct slice one;
	uint32_t number;

	while (ipc_host_next(&rest, &host) == ERR_OK)
		;
	for (rest = bytes; ipc_recipient_next(&rest, &recipient) == ERR_OK;)
		;
	for (rest = bytes; ipc_outcome_next(&rest, &outcome) == ERR_OK;)
		;
	for (rest = bytes; ipc_bytes_next(&rest, &one) == ERR_OK;)
		;
	for (rest = bytes; ipc_number_next(&rest, &number) == ERR_OK;)
		;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice payload = slice_from(slice_make(data, size), 2);
	union ipc_any any;
	struct buf again;
	uint16_t type;

	if (size < 2)
		return 0;
	type = wire_load_u16(data);
	fuzz_lists(payload);
	if (ipc_decode(type, payload, &any) < 0)
		return 0;
	buf_init(&again, 0);
	ipc_encode(&again, (enum ipc_type)type, false, &any);
	CHECK(slice_equal(slice_from(buf_slice(&again), IPC_HEADER_SIZE), payload));
	buf_done(&again);
	return 0;
}
