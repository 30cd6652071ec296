/* black_box.c - see black_box.h */
#include "ipc/black_box.h"

#include "base/check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

struct black_box {
	_Atomic uint64_t first, second;
};

static struct black_box *
map(int fd)
{
	struct black_box *box =
		mmap(NULL, sizeof(*box), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return box == MAP_FAILED ? NULL : box;
}

struct black_box *
black_box_create(int *ret_fd)
{
	int fd = memfd_create("ostler-black-box", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct black_box *box = NULL;

	if (fd >= 0 && ftruncate(fd, sizeof(*box)) == 0 &&
		fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
		box = map(fd);
	if (box == NULL)
		die(EX_OSERR, "shared memory for a black box: %s", strerror(errno));
	*ret_fd = fd;
	return box;
}

enum err
black_box_open(int fd, struct black_box **ret_box)
{
	struct stat st;

	if (fstat(fd, &st) != 0 || st.st_size != (off_t)sizeof(struct black_box))
		return ERR_CORRUPT;
	*ret_box = map(fd);
	return *ret_box == NULL ? ERR_NOMEM : ERR_OK;
}

void
black_box_note(struct black_box *box, uint64_t first, uint64_t second)
{
	if (box == NULL)
		return;
	atomic_store_explicit(&box->first, first, memory_order_relaxed);
	atomic_store_explicit(&box->second, second, memory_order_relaxed);
	/* What follows must not be moved in front of it by the compiler. */
	atomic_signal_fence(memory_order_seq_cst);
}

void
black_box_read(const struct black_box *box, uint64_t *ret_first, uint64_t *ret_second)
{
	*ret_first = atomic_load_explicit(&box->first, memory_order_relaxed);
	*ret_second = atomic_load_explicit(&box->second, memory_order_relaxed);
}
