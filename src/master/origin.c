/* origin.c - what the queue manager must know to see that its queue is a copy (src/qmgr/copy.c) */
#include "base/hash.h"
#include "base/wire.h"
#include "config/text_file.h"
#include "master/master_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

enum { MACHINE_ID_LENGTH = 32 };

/* machine-id(5) is not to be shown to others: a hash of it is all that leaves here. */
void
origin_find_machine(struct master *master)
{
	static const char path[] = "/etc/machine-id";
	struct buf text;
	struct slice id;

	buf_init(&text, 0);
	master->machine_len = 0;
	if (text_file_read(AT_FDCWD, path, path, 4096, &text, NULL) == ERR_OK) {
		id = slice_trim(slice_head(buf_slice(&text), slice_find(buf_slice(&text), '\n')));
		if (id.len == MACHINE_ID_LENGTH) {
			wire_store_u64(master->machine, hash_bytes_seeded(id, 1));
			wire_store_u64(master->machine + 8, hash_bytes_seeded(id, 2));
			master->machine_len = sizeof(master->machine);
		}
	}
	buf_done(&text);
}

/* --restored: the same file that `ostler snapshot` leaves. Durable before qmgr sees it. */
int
origin_mark(struct master *master)
{
	int dir = master->directories[ROLE_DIR_JOURNAL];
	int fd = openat(dir, ROLE_COPY_MARK, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
		0600);
	static const char text[] = "Format: ostler-copy 1\nReason: --restored\n";
	bool is_good = fd >= 0 && write(fd, text, sizeof(text) - 1) == (ssize_t)sizeof(text) - 1
		&& (!master->is_root || fchown(fd, master->uid, master->gid) == 0)
		&& fsync(fd) == 0 && fsync(dir) == 0;
	int saved = errno;

	if (fd >= 0)
		(void)close(fd);
	if (is_good)
		return EX_OK;
	(void)fprintf(stderr, "ostlerd: --restored: queue_directory/journal/%s: %s\n",
		ROLE_COPY_MARK, strerrordesc_np(saved));
	return EX_CANTCREAT;
}
