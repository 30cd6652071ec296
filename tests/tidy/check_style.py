#!/usr/bin/env python3
"""Style as a test: bans with their replacement, line and function length, header comments, prototypes.

usage: check_style.py ROOT. Functions are measured with Universal Ctags; without it that part is skipped
and says so. A ban names what to use instead.
"""
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".")
LINE_MAX, FUNCTION_MAX, FILE_MAX = 100, 100, 1000
BANS = {
    r"\b(strcpy|strcat|strncpy|strncat|strlcpy|strlcat|stpcpy)\s*\(": "struct buf or struct slice",
    r"\bv?sprintf\s*\(": "snprintf or buf_printf",
    r"\b(gets|strtok|strtok_r)\s*\(": "slice_word",
    r"\b(strtol|strtoul|strtoll|strtoull|atoi|atol|atoll)\s*\(": "num_parse_u64",
    r"\b(alloca|setjmp|longjmp)\s*\(": "mem_try and an error",
    r"\b(rand|srand|random)\s*\(": "struct rng",
    r"\b(time|gettimeofday|localtime|gmtime|ctime|asctime)\s*\(": "an instant passed in, localtime_r",
    r"\b(system|popen)\s*\(": "fork and exec without a shell",
    r"\bassert\s*\(": "CHECK",
    r"\bFIXME\b|\bTODO\b|\bXXX\b": "an issue",
}
ALLOCATORS = r"\b(malloc|calloc|realloc|reallocarray|free|strdup|strndup)\s*\("
COMMENT = re.compile(r"/\*.*?\*/|\"(?:\\.|[^\"\\])*\"", re.S)
problems = []


def width(line):
    return len(line.expandtabs(8))


def without_comments(text):
    """The same text with comments and strings blanked, line numbers kept."""
    return COMMENT.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), text)


def check_file(path):
    text = path.read_text()
    if not text.startswith(("/*\n * " + path.name, "/* " + path.name)):
        problems.append(f"{path}:1: begin with a comment that names the file and says what it is for")
    if text.count("\n") > FILE_MAX:
        problems.append(f"{path}: longer than {FILE_MAX} lines")
    for number, line in enumerate(text.splitlines(), 1):
        if width(line) > LINE_MAX and not path.suffix == ".def":
            problems.append(f"{path}:{number}: longer than {LINE_MAX} columns")
        if re.search(r"\b(FIXME|TODO|XXX)\b", line):
            problems.append(f"{path}:{number}: unfinished: make it an issue")
    for number, line in enumerate(without_comments(text).splitlines(), 1):
        for ban, instead in BANS.items():
            if re.search(ban, line):
                problems.append(f"{path}:{number}: banned, use {instead}")
        if path.name != "mem.c" and re.search(ALLOCATORS, line):
            problems.append(f"{path}:{number}: banned outside base/mem.c, use mem.h")
        if re.search(r"#\s*include\s*<event2?/", line) and path.name != "loop.c":
            problems.append(f"{path}:{number}: libevent is base/loop.c's alone")


def check_functions(paths):
    if shutil.which("ctags") is None:
        print("style: Universal Ctags is missing, function lengths not checked")
        return
    out = subprocess.run(["ctags", "-x", "--c-kinds=f", "--_xformat=%{end} %n %N %F",
                          *map(str, paths)], capture_output=True, text=True, check=True).stdout
    for line in out.splitlines():
        end, start, name, path = line.split(" ", 3)
        if end.isdigit() and int(end) - int(start) + 1 > FUNCTION_MAX:
            problems.append(f"{path}:{start}: {name}() is longer than {FUNCTION_MAX} lines")


sources = sorted((ROOT / "src").glob("*/*.[ch]")) + sorted((ROOT / "src").glob("*/*.def"))
for source in sources:
    check_file(source)
check_functions([s for s in sources if s.suffix == ".c"])
for module in sorted(p for p in (ROOT / "src").iterdir() if p.is_dir()):
    if not (module / "README.md").exists():
        problems.append(f"{module}: has no README.md")
print("\n".join(problems) or "style: clean")
sys.exit(bool(problems))
