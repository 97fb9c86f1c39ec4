"""How much of a figure is chance: one table, fitted and drawn with several seeds, next to bootstraps of the real rows.

    python bench/peers/seeds.py --judge JUDGE.py --table TABLE --twinmart target/release/twinmart --seeds 8 --bootstraps 40

TABLE has `train.parquet` and `test.parquet`. For every seed the independent judge scores a twin as large as the training
part, and its rows that are exactly a training row are counted, next to those that the training and the test part share by
chance. A bootstrap draws as many training rows with replacement; the judge's utility of it is what an honest resample of
the real rows reaches. Needs numpy and pandas, and what the judge needs.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import pandas as pd


def matches(rows: pd.DataFrame, known: pd.DataFrame) -> int:
    """Rows of `rows` that equal a row of `known` in every column."""
    form = lambda table: set(map(tuple, table.astype(object).where(table.notna(), None).to_numpy().tolist()))
    known = form(known)
    listed = rows.astype(object).where(rows.notna(), None).to_numpy().tolist()
    return sum(tuple(row) in known for row in listed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--judge", required=True)
    parser.add_argument("--table", required=True, type=pathlib.Path)
    parser.add_argument("--twinmart", required=True)
    parser.add_argument("--preset", default="small")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--bootstraps", type=int, default=40)
    a = parser.parse_args()
    train, test = (pd.read_parquet(a.table / f"{part}.parquet") for part in ("train", "test"))
    folder = pathlib.Path(tempfile.mkdtemp())

    def score(rows: pathlib.Path) -> dict:
        report = folder / "score.json"
        command = [sys.executable, a.judge, "score", "--dir", str(a.table), "--synth", str(rows), "--json", str(report)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return json.loads(report.read_text())

    scores, copies = [], []
    for seed in range(a.seeds):
        model, twin = folder / f"{seed}.twin", folder / f"{seed}.parquet"
        source = str(a.table / "train.parquet")
        quiet = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        fit = [a.twinmart, "fit", source, "--out", str(model), "--seed", str(seed), "--preset", a.preset]
        subprocess.run(fit, **quiet)
        subprocess.run([a.twinmart, "sample", str(model), "--out", str(twin), "--seed", str(seed)], **quiet)
        scores.append(score(twin))
        copies.append(matches(pd.read_parquet(twin), train))
    bootstraps = []
    for seed in range(a.bootstraps):
        drawn = folder / "bootstrap.parquet"
        train.sample(len(train), replace=True, random_state=seed).reset_index(drop=True).to_parquet(drawn)
        bootstraps.append(score(drawn)["utility_synthetic"])
    figures = ["indistinguishability", "utility_synthetic", "dcr_share", "membership_auc"]
    out = {
        "table": a.table.name,
        "rows": len(train),
        "exact_matches_by_seed": copies,
        "exact_matches_of_test_rows": matches(test, train),
        "test_rows": len(test),
        **{f: {"mean": np.mean([s[f] for s in scores]), "all": [round(s[f], 4) for s in scores]} for f in figures},
        "utility_real": scores[0]["utility_real"],
        "utility_of_bootstraps": dict(zip(("2.5%", "50%", "97.5%"), np.quantile(bootstraps, [0.025, 0.5, 0.975]))),
    }
    print(json.dumps(out, indent=1, default=float))


if __name__ == "__main__":
    main()
