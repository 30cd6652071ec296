/*
 * messages.c - the codec of all messages, made from messages.def (see messages.h)
 */
#include "ipc/messages.h"

#include "base/check.h"

/* Puts the fields of one struct, in the order of the table. */
static void
ipc_encode_payload(struct buf *buf, enum ipc_type type, const void *message)
{
	switch (type) {
#define IPC_MESSAGE(name, number, meaning) \
	case IPC_TYPE_##name: { \
		const struct ipc_##name *m = message; \
		(void)m;
#define IPC_U8(field, meaning) wire_put_u8(buf, m->field);
#define IPC_U16(field, meaning) wire_put_u16(buf, m->field);
#define IPC_U32(field, meaning) wire_put_u32(buf, m->field);
#define IPC_U64(field, meaning) wire_put_u64(buf, m->field);
#define IPC_BYTES(field, meaning) wire_put_bytes(buf, m->field);
#define IPC_FD(meaning)
#define IPC_END(name) \
	break; \
	}
#include "ipc/messages.def"
#undef IPC_MESSAGE
#undef IPC_U8
#undef IPC_U16
#undef IPC_U32
#undef IPC_U64
#undef IPC_BYTES
#undef IPC_END
	}
}

void
ipc_encode(struct buf *buf, enum ipc_type type, bool has_fd, const void *message)
{
	size_t at = buf->len, len;

	wire_put_u32(buf, 0);
	wire_put_u16(buf, (uint16_t)type);
	wire_put_u8(buf, has_fd);
	wire_put_u8(buf, 0);
	ipc_encode_payload(buf, type, message);
	len = buf->len - at - IPC_HEADER_SIZE;
	CHECK(len <= IPC_PAYLOAD_MAX);
	wire_set_u32(buf, at, (uint32_t)len);
}

enum err
ipc_decode(uint16_t type, struct slice payload, void *ret_message)
{
	struct wire_reader reader = wire_reader(payload);

	switch (type) {
#define IPC_MESSAGE(name, number, meaning) \
	case number: { \
		struct ipc_##name *m = ret_message; \
		(void)m;
#define IPC_U8(field, meaning) m->field = wire_get_u8(&reader);
#define IPC_U16(field, meaning) m->field = wire_get_u16(&reader);
#define IPC_U32(field, meaning) m->field = wire_get_u32(&reader);
#define IPC_U64(field, meaning) m->field = wire_get_u64(&reader);
#define IPC_BYTES(field, meaning) m->field = wire_get_bytes(&reader);
#define IPC_END(name) \
	break; \
	}
#include "ipc/messages.def"
#undef IPC_MESSAGE
#undef IPC_U8
#undef IPC_U16
#undef IPC_U32
#undef IPC_U64
#undef IPC_BYTES
#undef IPC_FD
#undef IPC_END
	default:
		return ERR_NOTFOUND;
	}
	return wire_done(&reader);
}

#define IPC_U8(field, meaning)
#define IPC_U16(field, meaning)
#define IPC_U32(field, meaning)
#define IPC_U64(field, meaning)
#define IPC_BYTES(field, meaning)

uint64_t
ipc_commit_cost(const struct ipc_intake_commit *commit)
{
	return commit->envelope.len + commit->recipients.len + commit->head.len +
	       commit->content.len + commit->expands_outcome.len;
}

const char *
ipc_type_name(uint16_t type)
{
	switch (type) {
#define IPC_MESSAGE(name, number, meaning) \
	case number: \
		return #name;
#define IPC_FD(meaning)
#define IPC_END(name)
#include "ipc/messages.def"
#undef IPC_MESSAGE
#undef IPC_FD
#undef IPC_END
	default:
		return "unknown";
	}
}

bool
ipc_type_has_fd(uint16_t type)
{
	bool has_fd = false;

	switch (type) {
#define IPC_MESSAGE(name, number, meaning) case number:
#define IPC_FD(meaning) has_fd = true;
#define IPC_END(name) break;
#include "ipc/messages.def"
#undef IPC_MESSAGE
#undef IPC_FD
#undef IPC_END
	default:
		break;
	}
	return has_fd;
}

/* Cuts the element that `reader` has read off the list. */
static enum err
ipc_list_advance(struct slice *list, const struct wire_reader *reader)
{
	if (reader->failed)
		return ERR_SYNTAX;
	*list = reader->rest;
	return ERR_OK;
}

void
ipc_host_put(struct buf *list, const struct ipc_host *host)
{
	wire_put_bytes(list, host->name);
	wire_put_u16(list, host->family);
	wire_put_u16(list, host->port);
	wire_put_u16(list, host->preference);
	wire_put_bytes(list, host->address);
}

enum err
ipc_host_next(struct slice *list, struct ipc_host *ret_host)
{
	struct wire_reader reader = wire_reader(*list);
	struct ipc_host host;

	if (list->len == 0)
		return ERR_NOTFOUND;
	host.name = wire_get_bytes(&reader);
	host.family = wire_get_u16(&reader);
	host.port = wire_get_u16(&reader);
	host.preference = wire_get_u16(&reader);
	host.address = wire_get_bytes(&reader);
	if (!reader.failed)
		*ret_host = host;
	return ipc_list_advance(list, &reader);
}

void
ipc_recipient_put(struct buf *list, const struct ipc_recipient *recipient)
{
	wire_put_u32(list, recipient->number);
	wire_put_bytes(list, recipient->address);
	wire_put_bytes(list, recipient->original);
	wire_put_bytes(list, recipient->orcpt);
	wire_put_u8(list, recipient->notify);
}

enum err
ipc_recipient_next(struct slice *list, struct ipc_recipient *ret_recipient)
{
	struct wire_reader reader = wire_reader(*list);
	struct ipc_recipient recipient;

	if (list->len == 0)
		return ERR_NOTFOUND;
	recipient.number = wire_get_u32(&reader);
	recipient.address = wire_get_bytes(&reader);
	recipient.original = wire_get_bytes(&reader);
	recipient.orcpt = wire_get_bytes(&reader);
	recipient.notify = wire_get_u8(&reader);
	if (!reader.failed)
		*ret_recipient = recipient;
	return ipc_list_advance(list, &reader);
}

void
ipc_outcome_put(struct buf *list, const struct ipc_outcome *outcome)
{
	wire_put_u32(list, outcome->number);
	wire_put_u8(list, outcome->kind);
	wire_put_u8(list, outcome->dsn_passed);
	wire_put_bytes(list, outcome->dsn);
	wire_put_bytes(list, outcome->reason);
	wire_put_bytes(list, outcome->remote_mta);
	wire_put_bytes(list, outcome->diagnostic);
}

enum err
ipc_outcome_next(struct slice *list, struct ipc_outcome *ret_outcome)
{
	struct wire_reader reader = wire_reader(*list);
	struct ipc_outcome outcome;

	if (list->len == 0)
		return ERR_NOTFOUND;
	outcome.number = wire_get_u32(&reader);
	outcome.kind = wire_get_u8(&reader);
	outcome.dsn_passed = wire_get_u8(&reader);
	outcome.dsn = wire_get_bytes(&reader);
	outcome.reason = wire_get_bytes(&reader);
	outcome.remote_mta = wire_get_bytes(&reader);
	outcome.diagnostic = wire_get_bytes(&reader);
	if (outcome.kind > IPC_OUTCOME_DEFERRED)
		return ERR_SYNTAX;
	if (!reader.failed)
		*ret_outcome = outcome;
	return ipc_list_advance(list, &reader);
}

void
ipc_bytes_put(struct buf *list, struct slice bytes)
{
	wire_put_bytes(list, bytes);
}

enum err
ipc_bytes_next(struct slice *list, struct slice *ret_bytes)
{
	struct wire_reader reader = wire_reader(*list);
	struct slice bytes;

	if (list->len == 0)
		return ERR_NOTFOUND;
	bytes = wire_get_bytes(&reader);
	if (!reader.failed)
		*ret_bytes = bytes;
	return ipc_list_advance(list, &reader);
}

void
ipc_number_put(struct buf *list, uint32_t number)
{
	wire_put_u32(list, number);
}

enum err
ipc_number_next(struct slice *list, uint32_t *ret_number)
{
	struct wire_reader reader = wire_reader(*list);
	uint32_t number;

	if (list->len == 0)
		return ERR_NOTFOUND;
	number = wire_get_u32(&reader);
	if (!reader.failed)
		*ret_number = number;
	return ipc_list_advance(list, &reader);
}

const char *
ipc_outcome_word(enum ipc_outcome_kind kind, bool is_whatif, bool soft_bounce)
{
	switch (kind) {
	case IPC_OUTCOME_DELIVERED:
		return is_whatif ? "deliverable" : "sent";
	case IPC_OUTCOME_BOUNCED:
		return is_whatif ? "undeliverable" : soft_bounce ? "SOFTBOUNCE" : "bounced";
	case IPC_OUTCOME_DEFERRED:
		return is_whatif ? "undeliverable" : "deferred";
	}
	return "";
}
