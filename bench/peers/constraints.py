"""What `twinmart profile` proposes holds in every row of a million, and what that costs.

    python bench/peers/constraints.py TABLE.parquet --twinmart target/release/twinmart [--rule RULE …] [--rows N]

Learns the table twice, without rules and with those that `profile` proposes (and `--rule`), draws as many rows of both, and checks
each rule in pandas, row by row, by an evaluation of its own. Times are the medians of three draws, taken in turn. Needs pandas, pyarrow.
"""

import argparse
import json
import pathlib
import re
import statistics
import subprocess
import tempfile
import time

import pandas as pd


def pandas_text(rule):
    """A rule as an expression of pandas: names in backticks, words as signs."""
    parts = re.findall(r"'(?:[^']|'')*'|\"[^\"]*\"|<=|>=|!=|[-+*/<>=(),]|[\w.]+", rule)
    out = []
    for part in parts:
        if part.startswith('"'):
            out.append(f"`{part[1:-1]}`")
        elif part == "=":
            out.append("==")
        else:
            out.append({"and": "&", "or": "|", "not": "~"}.get(part, part))
    return " ".join(out)


def test(frame, text):
    """Rows that meet one test, and rows of which it says something."""
    missing = re.fullmatch(r"(.+) is missing", text)
    if missing:
        column = missing.group(1).strip('"')
        return frame[column].isna(), pd.Series(True, frame.index)
    names = [n.strip('"') for n in re.findall(r"\"[^\"]*\"|[A-Za-z_]\w*", re.sub(r"'(?:[^']|'')*'", "", text))]
    known = frame[[n for n in names if n in frame]].notna().all(axis=1)
    formula = re.fullmatch(r"(\w+) = (.*[*+].*)", text)
    if formula:
        near = (frame[formula.group(1)] - frame.eval(formula.group(2))).abs() <= 0.005001
        return near, known
    return frame.eval(pandas_text(text)).astype(bool), known


def broken(frame, rule, real):
    """How many rows break a rule."""
    together = re.fullmatch(r"combinations\((.+)\)", rule)
    if together:
        columns = [c.strip().strip('"') for c in together.group(1).split(",")]
        known = set(map(tuple, real[columns].astype(str).drop_duplicates().to_numpy()))
        counts = frame[columns].astype(str).value_counts()
        return int(sum(count for row, count in counts.items() if row not in known))
    conditional = re.fullmatch(r"if (.+) then (.+)", rule)
    if conditional:
        (one, known), (other, too) = test(frame, conditional.group(1)), test(frame, conditional.group(2))
        return int((one & known & ~other & too).sum())
    one, known = test(frame, rule)
    return int((~one & known).sum())


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("table")
    p.add_argument("--twinmart", required=True)
    p.add_argument("--rule", action="append", default=[])
    p.add_argument("--rows", type=int, default=1_000_000)
    a = p.parse_args()
    profile = subprocess.run([a.twinmart, "profile", a.table, "--json"], check=True, capture_output=True)
    rules = json.loads(profile.stdout)["tables"][0]["constraints"] + a.rule
    real = pd.read_parquet(a.table)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        flags = [flag for rule in rules for flag in ("--constraint", rule)]
        for name, more in (("free", []), ("kept", flags)):
            subprocess.run([a.twinmart, "fit", a.table, "--out", folder / f"{name}.twin", *more], check=True, capture_output=True)
        times = {"free": [], "kept": []}
        for turn in range(3):
            for name in times:
                begin = time.perf_counter()
                out = folder / f"{name}{turn}.parquet"
                command = [a.twinmart, "sample", folder / f"{name}.twin", "--out", out, "--rows", str(a.rows)]
                subprocess.run(command, check=True, capture_output=True)
                times[name].append(time.perf_counter() - begin)
        free, kept = (pd.read_parquet(folder / f"{name}0.parquet") for name in ("free", "kept"))
    print(f"{pathlib.Path(a.table).stem}: {len(rules)} rules, {len(kept)} rows")
    for rule in rules:
        print(f"  {broken(kept, rule, real):8} broken ({broken(free, rule, real)} without)  {rule}")
    free, kept = (statistics.median(times[name]) for name in ("free", "kept"))
    print(f"  seconds: {free:.2f} without, {kept:.2f} with rules: {kept / free - 1:+.0%}")


if __name__ == "__main__":
    main()
