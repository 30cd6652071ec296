#!/usr/bin/env python3
"""Every parameter has an effect: something outside src/config reads it.

usage: check_params.py ROOT. A read is PARAM_ID, or LIMIT(ID) and DELAY(ID) of qmgr/transports.c. A form for
one transport (LOCAL_...) is read by the name of its default.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".")
BY_DEFAULT = re.compile(r"LOCAL_DESTINATION_(RECIPIENT|CONCURRENCY)_LIMIT")
# Read while the configuration is compiled: a service's process limit is in the snapshot, others are defaults.
AT_COMPILATION = {"DEFAULT_PROCESS_LIMIT", "INET_PROTOCOLS", "AUTHORIZED_VERP_CLIENTS"}

table = (ROOT / "src/config/params.def").read_text()
names = re.findall(r"^PARAM\((\w+),", table, re.M)
read = set()
for path in ROOT.glob("src/*/*.[ch]"):
    if path.parent.name != "config":
        read |= set(re.findall(r"\b(?:PARAM_|LIMIT\(|DELAY\()(\w+)", path.read_text()))
problems = [f"src/config/params.def: nothing reads {name}" for name in names
            if name not in read | AT_COMPILATION and not BY_DEFAULT.fullmatch(name)]
problems += [f"tests/tidy/check_params.py: {name} is read now: take it off the list"
             for name in sorted(AT_COMPILATION & read)]
print("\n".join(problems) or "parameters: each is read")
sys.exit(bool(problems))
