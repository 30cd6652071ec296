/*
 * file_system.h - what kind of file system a directory lies on, as far as the store cares
 */
#ifndef OSTLER_STORE_FILE_SYSTEM_H
#define OSTLER_STORE_FILE_SYSTEM_H

/*
 * The name of a file system that gives overwritten blocks a new place (btrfs, zfs, bcachefs,
 * nilfs2); NULL: it does not, or that cannot be known. An overlay is none: its upper layer, where
 * all that is written lies, decides, and does not show.
 */
const char *file_system_copies(int dir);

#endif
