/* notice_sender.c - see notice_sender.h */
#include "ipc/notice_sender.h"

#include "ipc/channel.h"

void
notice_sender_send(struct notice_sender *sender, struct channel *qmgr, struct mono now,
	const struct ipc_notice *notice)
{
	struct ipc_notice sent = *notice;

	if (sender->free_at.ns > now.ns + (NOTICE_SENDER_BURST - 1) * NS_PER_S) {
		if (sender->kept < UINT32_MAX)
			sender->kept++;
		return;
	}
	if (sender->free_at.ns < now.ns)
		sender->free_at = now;
	sender->free_at = mono_add_ns(sender->free_at, NS_PER_S);
	sent.kept = sender->kept;
	sender->kept = 0;
	channel_send(qmgr, IPC_TYPE_notice, &sent);
}
