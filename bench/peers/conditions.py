"""Rows drawn under conditions, against real rows that meet them: every column, single conditions and three at once.

    python bench/peers/conditions.py --train train.parquet --test test.parquet --model M.twin --twinmart target/release/twinmart

For each condition as many rows are drawn as the training part has that meet it (at least 500). All of them must meet it. Their other
columns are compared with the held-out rows that meet it: half the sum of absolute differences of shares (numbers in 10 bins of equal
weight), mean over columns; beside it the same of the training rows that meet it, which is what two real samples differ by.
Needs numpy, pandas, pyarrow.
"""

import argparse
import itertools
import json
import pathlib
import subprocess
import tempfile
import time

import numpy as np
import pandas as pd

FEWEST = 100


def conditions(train, test, column):
    """A frequent and a rare value or two ranges of a column, as (text, function of a frame)."""
    values = train[column]
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values) and values.nunique() > 20:
        low, high = values.quantile(0.1), values.quantile(0.9)
        if low > values.min():
            yield f"{column} <= {low:.10g}", lambda t, c=column, x=low: t[c] <= x
        if high < values.max():
            yield f"{column} >= {high:.10g}", lambda t, c=column, x=high: t[c] >= x
        middle = values.quantile(0.5)
        if middle == low:
            return
        yield f"{column} < {middle:.10g}", lambda t, c=column, x=middle: t[c] < x
        return
    counts = test[column].value_counts()
    counts = counts[counts >= FEWEST]
    for value in dict.fromkeys([counts.index[0], counts.index[-1]]):
        yield f"{column} = {value}", lambda t, c=column, v=value: t[c] == v


def binned(train, frame):
    out = {}
    for c in train.columns:
        values = train[c]
        if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values) and values.nunique() > 20:
            edges = np.unique(values.dropna().quantile(np.linspace(0, 1, 11)).to_numpy())[1:-1]
            codes = np.searchsorted(edges, frame[c].to_numpy(dtype=float), side="right").astype(float)
            out[c] = pd.Series(np.where(frame[c].isna(), -1, codes))
        else:
            out[c] = frame[c].astype(str).reset_index(drop=True)
    return pd.DataFrame(out)


def distance(a, b, without):
    """Mean over columns of the total variation distance."""
    of = []
    for c in a.columns:
        if c in without:
            continue
        p, q = a[c].value_counts(normalize=True), b[c].value_counts(normalize=True)
        of.append(0.5 * p.subtract(q, fill_value=0).abs().sum())
    return float(np.mean(of))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", required=True)
    parser.add_argument("--test", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--twinmart", default="target/release/twinmart")
    parser.add_argument("--triples", type=int, default=8)
    parser.add_argument("--json")
    a = parser.parse_args()
    train, test = pd.read_parquet(a.train), pd.read_parquet(a.test)
    real, held = binned(train, train), binned(train, test)
    singles = [(c, list(conditions(train, test, c))) for c in train.columns]
    asked = [[(c, one)] for c, several in singles for one in several]
    rng = np.random.default_rng(3)
    triples = list(itertools.combinations(range(len(singles)), 3))
    rng.shuffle(triples)
    for triple in triples:
        if len(asked) >= sum(len(s) for _, s in singles) + a.triples:
            break
        chosen = [(singles[i][0], singles[i][1][rng.integers(len(singles[i][1]))]) for i in triple]
        if np.logical_and.reduce([f(test) for _, (_, f) in chosen]).sum() >= FEWEST:
            asked.append(chosen)
    rows = []
    for chosen in asked:
        meets = lambda t: np.logical_and.reduce([f(t) for _, (_, f) in chosen])
        columns = {c for c, _ in chosen}
        text = " and ".join(text for _, (text, _) in chosen)
        inside, outside = real[meets(train)], held[meets(test)]
        with tempfile.TemporaryDirectory() as folder:
            out = pathlib.Path(folder) / "out.parquet"
            n = max(500, len(inside))
            command = [a.twinmart, "sample", a.model, "--out", str(out), "--rows", str(n), "--quiet"]
            for _, (one, _) in chosen:
                command += ["--given", one]
            begun = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            seconds = time.perf_counter() - begun
            drawn = pd.read_parquet(out)
        ours, theirs = distance(binned(train, drawn), outside, columns), distance(inside, outside, columns)
        rows.append({"asked": text, "rows": len(outside), "meets": float(meets(drawn).mean()), "twin": ours, "real": theirs, "seconds": seconds})
        print(f"{text:<70} {len(outside):>6} {rows[-1]['meets']:>6.3f} {ours:>7.4f} {theirs:>7.4f} {seconds:>6.2f} s", flush=True)
    t = pd.DataFrame(rows)
    three = t.asked.str.contains(" and ")
    for name, part in [("one column", t[~three]), ("three columns", t[three])]:
        if len(part):
            print(f"{name}: {len(part)} conditions, all rows meet {bool((part.meets == 1).all())}, mean distance {part.twin.mean():.4f} twin, {part.real.mean():.4f} real; worst excess {(part.twin - part.real).max():.4f}")
    if a.json:
        json.dump(rows, open(a.json, "w"), indent=1)


main()
