"""Disks that fail when a test says so: rules for the preloaded library of faults/faults.c."""
import errno
import mmap
import os
import struct

from conftest import BUILD

LIBRARY = BUILD / "tests/integration/faults/faults.so"
OPEN, READ, WRITE, FSYNC, RENAME, LINK, UNLINK, TRUNCATE, FDATASYNC, SYNC_RANGE = (1 << n for n in range(10))
FLUSH = FSYNC | FDATASYNC
RULES, RULE = 16, struct.Struct("<IiIIIIII96s")
EIO, ENOSPC, EROFS = errno.EIO, errno.ENOSPC, errno.EROFS
SEGMENTS = "*/journal/*.seg"


class Faults:
    """The rules of one instance; `environment` is what its processes need."""

    def __init__(self, directory):
        path = f"{directory}/faults"
        with open(path, "wb") as f:
            f.truncate(RULES * RULE.size)
        os.chmod(path, 0o666)
        with open(path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), RULES * RULE.size)
        self.count = 0
        options = ":".join(filter(None, (os.environ.get("ASAN_OPTIONS"), "verify_asan_link_order=0")))
        self.environment = {**os.environ, "OSTLER_FAULTS": path, "LD_PRELOAD": str(LIBRARY),
                            "ASAN_OPTIONS": options}

    def add(self, calls, pattern, error=0, seconds=0.0, bytes_max=0, skip=0, times=0):
        """Returns its number. skip, times: so many calls go through first, so many are struck (0: all)."""
        number, self.count = self.count, self.count + 1
        at = number * RULE.size
        self.map[at + 4:at + RULE.size] = RULE.pack(calls, error, int(seconds * 1000), bytes_max, skip,
                                                    times, 0, 0, pattern.encode())[4:]
        self.map[at:at + 4] = struct.pack("<I", calls)  # from now on
        return number

    def clear(self):
        for number in range(self.count):
            self.map[number * RULE.size:number * RULE.size + 4] = bytes(4)
        self.count = 0

    def struck(self, number=0):
        return RULE.unpack_from(self.map, number * RULE.size)[7]
