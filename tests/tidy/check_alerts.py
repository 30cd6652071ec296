"""Each metric that the shipped alert rules name is one that the queue manager has."""
import pathlib
import re
import sys

top = pathlib.Path(sys.argv[1])
source = (top / "src/qmgr/metrics.c").read_text()
known = {"ostler_" + name for name in re.findall(r'\b(?:real_)?metric\(out, "(\w+)"', source)}
known |= set(re.findall(r"# TYPE (ostler_\w+)", source))
bad = 0
for path in sorted((top / "packaging/prometheus").glob("*.yml")):
    named = [(number, name) for number, line in enumerate(path.read_text().splitlines(), 1)
             if line.lstrip().startswith("expr:") for name in re.findall(r"\bostler_\w+", line)]
    for number, name in named:
        if name not in known:
            print(f"{path.relative_to(top)}:{number}: there is no metric {name}")
            bad += 1
    if not named:
        print(f"{path.relative_to(top)}: names no metric")
        bad += 1
if not known:
    print("no metrics found in src/qmgr/metrics.c")
    bad += 1
sys.exit(bad > 0)
