#!/usr/bin/env python3
"""Every rule of the queue manager is dealt with, and every test that is named exists and says so.

usage: check_rules.py [--open | --mutants] ROOT

numbers.txt lists the rules with a few words of our own. rules.tsv has a row for each: rule, class, state,
tests, text.

  class  K  the same behaviour as the rule's; C  a counterpart; N  not applicable, the text says why
  state  done   K and C name the tests that fail when it breaks
         open   something is missing; the text says what and where. Tests may show a part of it.
         sched  as open, and belongs to the work on the scheduler

A test is a function test_* under tests/unit or tests/integration, a fuzz target, or world/NAME and store/NAME:
a function or a planted bug of that simulation. It cites its rules in its name (test_W11__...) or in a comment
'rules: F5 F9' right above it or inside it. docs/differences.md has a row for each weakness (Z).

While tests/rules/complete does not exist, open rows are counted only; with it they are errors.
"""
import collections
import pathlib
import re
import sys

CLASSES, STATES = {"K", "C", "N"}, {"done", "open", "sched"}
# Families whose K rules name a mutant or a counter-example.
MUTANTS = re.compile(r"(F|C|D|G|N|V|X)\d|R(4|5)\d|B([1-9]|1[0-5])$")
RULE = re.compile(r"\b[A-Z]\d+[a-z]?\b")
problems = []


def read_numbers(path):
    numbers = {}
    for place, line in enumerate(path.read_text().splitlines(), 1):
        rule, _, words = line.partition(" ")
        if not RULE.fullmatch(rule) or not words or rule in numbers:
            problems.append(f"{path}:{place}: a rule and some words are wanted, each rule once")
        numbers[rule] = words
    return numbers


def read_rows(path):
    rows = {}
    for place, line in enumerate(path.read_text().splitlines(), 1):
        parts = line.split("\t")
        if place == 1:
            continue
        if len(parts) != 5 or parts[1] not in CLASSES or parts[2] not in STATES or parts[0] in rows:
            problems.append(f"{path}:{place}: want rule, class, state, tests, text; each rule once")
            continue
        rows[parts[0]] = parts[1:3] + [parts[3].split() if parts[3] != "-" else [], parts[4]]
    return rows


def cited(words):
    """Rules in a comment 'rules: F5 F9', or in a test's name in any case: test_W2_W20__x, ..._s23_..."""
    found = set()
    for line in re.findall(r"rules:([ A-Za-z0-9]+)", words):
        found |= set(RULE.findall(line))
    return found


def named(name):
    return {part.upper() for part in re.split("_+", name) if re.fullmatch(r"[A-Za-z]\d+", part)}


def index_c(path, prefix, tests):
    """Functions (prefix empty: test_* only) and planted bugs of one file, each with the rules it cites."""
    lines = path.read_text().splitlines()
    for at, line in enumerate(lines):
        planted = re.match(r'\s*\{ "([a-z-]+)", (CORE_PLANT|STORE_PLANT|JOURNAL_PLANT|\w*PLANT)', line)
        function = re.match(r"(\w+)\(", line)
        if planted and prefix:
            tests[prefix + planted[1]] = cited(line)
        elif function and (prefix or function[1].startswith("test_")):
            begin, end = at, at
            while begin > 0 and lines[begin - 1].strip() not in ("", "}"):
                begin -= 1
            while end < len(lines) - 1 and lines[end] != "}":
                end += 1
            tests[prefix + function[1]] = cited("\n".join(lines[begin:end])) | named(function[1])


def index_python(path, tests):
    lines = path.read_text().splitlines()
    for at, line in enumerate(lines):
        function = re.match(r"def (test_\w+)", line)
        if not function:
            continue
        begin, end = at, at + 1
        while begin > 0 and lines[begin - 1].strip():
            begin -= 1
        while end < len(lines) and (not lines[end] or lines[end][0] == " "):
            end += 1
        tests[function[1]] = cited("\n".join(lines[begin:end])) | named(function[1])


def index_tests(root):
    tests = {}
    for path in sorted(root.glob("tests/unit/*/*.c")):
        index_c(path, "", tests)
    index_c(root / "tests/sim/world/world.c", "world/", tests)
    index_c(root / "tests/sim/store_sim.c", "store/", tests)
    for path in sorted(root.glob("tests/integration/*.py")):
        index_python(path, tests)
    for path in sorted(root.glob("tests/fuzz/fuzz_*.c")):
        tests[path.stem] = cited(path.read_text())
    return tests


def check_row(rule, row, tests):
    kind, state, named_tests, text = row
    if state == "done" and kind != "N" and not named_tests:
        problems.append(f"rule {rule}: done, and no test is named")
    if (state != "done" or kind == "N") and not text:
        problems.append(f"rule {rule}: say why, or what is missing and where")
    for test in named_tests:
        if test not in tests:
            problems.append(f"rule {rule}: there is no {test}")
        elif rule not in tests[test]:
            problems.append(f"rule {rule}: {test} does not cite it (a comment 'rules: {rule}' above it)")


def check_differences(path, rows, tests):
    text = path.read_text()
    for rule in rows:
        if rule[0] == "Z" and not re.search(rf"^\| {rule} \|", text, re.M):
            problems.append(f"{path}: no row for {rule}")
    for test in re.findall(r"`(test_\w+|(?:world|store)/[\w-]+)`", text):
        if test not in tests:
            problems.append(f"{path}: there is no {test}")


def lacks_mutant(rule, row):
    return row[0] == "K" and row[1] == "done" and MUTANTS.match(rule) and "mutant: " not in row[3]


def main():
    options = [word for word in sys.argv[1:] if word.startswith("--")]
    root = pathlib.Path(next((word for word in sys.argv[1:] if not word.startswith("--")), "."))
    here = root / "tests/rules"
    numbers, rows = read_numbers(here / "numbers.txt"), read_rows(here / "rules.tsv")
    tests = index_tests(root)
    problems.extend(f"rule {rule} ({numbers[rule]}) has no row" for rule in numbers if rule not in rows)
    problems.extend(f"rule {rule} is not in numbers.txt" for rule in rows if rule not in numbers)
    for rule, row in rows.items():
        check_row(rule, row, tests)
    check_differences(root / "docs/differences.md", rows, tests)
    waiting = {rule: row for rule, row in rows.items() if row[1] != "done"}
    unmutated = [rule for rule, row in rows.items() if lacks_mutant(rule, row)]
    if (here / "complete").exists():
        problems.extend(f"rule {rule} is {row[1]}: {row[3]}" for rule, row in waiting.items())
        problems.extend(f"rule {rule}: no mutant is named" for rule in unmutated)
    if "--open" in options:
        for rule, row in waiting.items():
            print(f"{rule:4} {row[0]} {row[1]:5} {numbers[rule]}: {row[3]}")
    if "--mutants" in options:
        print("no mutant named:", *unmutated)
    count = collections.Counter(f"{row[0]} {row[1]}" for row in rows.values())
    print("\n".join(problems))
    print(f"rules: {len(rows)};", ", ".join(f"{name} {count[name]}" for name in sorted(count)))
    print(f"rules: {sum(r[1] == 'open' for r in rows.values())} open, "
          f"{sum(r[1] == 'sched' for r in rows.values())} with the scheduler, "
          f"{len(unmutated)} without a mutant, {len(problems)} problems")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
