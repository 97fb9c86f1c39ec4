"""Completion of tables of which a part was hidden: twinmart beside column means and scikit-learn's IterativeImputer.

    python rows.py prepare adult --shared DATA --out DIR                   # the judge's; not in this repository
    python bench/peers/complete.py DIR --twinmart target/release/twinmart [--hide random|depending] [--json FILE]

A fifth of the values of every column but the target is hidden, at random or depending on another column (rows in whose next column
the value is in the upper half, or of the most frequent category, lose three times as many as the others). Judged are:

  downstream    AUC or R2 of gradient-boosted trees trained on the completed rows, tested on whole held-out ones
  distance      of filled from hidden values, mean over columns: categories ½ Σ |p - q|, numbers the Kolmogorov-Smirnov distance
  pairs         the same of pairs of columns (numbers in four bins), over rows where one of the two was hidden
  rmse          of numbers, in standard deviations of the column, mean over columns
  accuracy      of categories, mean over columns

IterativeImputer sees categories as codes, frequent ones first, and what it says is rounded (indicator columns of one category
determine each other, and it stays where it begins); with posterior draws (`sampled`) and without.
Needs numpy, pandas, scikit-learn, pyarrow.
"""

import argparse
import json
import pathlib
import subprocess
import tempfile
import time
import warnings

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer
from sklearn.metrics import r2_score, roc_auc_score

warnings.filterwarnings("ignore")


def is_number(values):
    return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values) and values.nunique() > 2


def hide(table, target, how, seed):
    rng = np.random.default_rng(seed)
    columns = [c for c in table.columns if c != target]
    mask = pd.DataFrame(False, index=table.index, columns=table.columns)
    for at, column in enumerate(columns):
        chance = np.full(len(table), 0.2)
        if how == "depending":
            other = table[columns[(at + 1) % len(columns)]]
            high = other > other.median() if is_number(other) else other == other.mode().iloc[0]
            share = high.mean()
            low = 0.2 / (1 + 2 * share)
            chance = np.where(high, 3 * low, low)
        mask[column] = rng.random(len(table)) < chance
    return mask & table.notna()


def with_gaps(table, mask):
    out = {}
    for c in table.columns:
        values = table[c]
        if pd.api.types.is_bool_dtype(values):
            values = values.astype("boolean")
        elif pd.api.types.is_integer_dtype(values):
            values = values.astype("Int64")
        out[c] = values.mask(mask[c])
    return pd.DataFrame(out)


def by_twinmart(program, gaps, extra):
    with tempfile.TemporaryDirectory() as folder:
        into, out = pathlib.Path(folder) / "gaps.parquet", pathlib.Path(folder) / "full.parquet"
        gaps.to_parquet(into, index=False)
        subprocess.run([program, "complete", str(into), "--out", str(out), "--quiet", *extra], check=True, capture_output=True)
        full = pd.read_parquet(out)
    for c in gaps:
        present = gaps[c].notna()
        a, b = gaps[c][present].to_numpy(), full[c][present].to_numpy()
        assert (a == b).all(), f"{c}: present values changed"
    return full


def by_column(gaps, numbers):
    full = gaps.copy()
    for c in gaps:
        if is_number(gaps[c].dropna()):
            value = gaps[c].astype(float).mean() if numbers == "mean" else gaps[c].astype(float).median()
            full[c] = gaps[c].astype(float).fillna(value)
        else:
            full[c] = gaps[c].fillna(gaps[c].mode().iloc[0])
    return full


def by_iterative(gaps, target, sampled):
    parts, kinds = [], []
    for c in gaps:
        if is_number(gaps[c].dropna()):
            x = gaps[c].astype(float).to_numpy()
            mean, sd = np.nanmean(x), np.nanstd(x) or 1.0
            parts.append(((x - mean) / sd)[:, None])
            kinds.append((c, "number", (mean, sd, np.nanmin(x), np.nanmax(x))))
        else:
            values = list(gaps[c].value_counts().index)
            codes = gaps[c].map({v: float(i) for i, v in enumerate(values)}).to_numpy(dtype=float)
            parts.append(codes[:, None])
            kinds.append((c, "category", values))
    imputer = IterativeImputer(max_iter=10, sample_posterior=sampled, random_state=0)
    whole = imputer.fit_transform(np.concatenate(parts, axis=1))
    full, at = gaps.copy(), 0
    for c, kind, what in kinds:
        missing = gaps[c].isna().to_numpy()
        if kind == "number":
            mean, sd, low, high = what
            x = np.clip(whole[:, at] * sd + mean, low, high)
            at += 1
            values = gaps[c].astype(float).to_numpy(copy=True)
            values[missing] = x[missing]
            full[c] = values
        else:
            best = np.clip(np.rint(whole[:, at]), 0, len(what) - 1).astype(int)
            at += 1
            values = gaps[c].astype(object).to_numpy(copy=True)
            values[missing] = np.array(what, dtype=object)[best[missing]]
            full[c] = values
    return full


def ks(a, b):
    grid = np.sort(np.concatenate([a, b]))
    of = lambda x: np.searchsorted(np.sort(x), grid, side="right") / len(x)
    return float(np.abs(of(a) - of(b)).max())


def variation(a, b):
    p, q = a.value_counts(normalize=True), b.value_counts(normalize=True)
    return float(0.5 * p.subtract(q, fill_value=0).abs().sum())


def coarse(truth, values):
    if is_number(truth):
        edges = np.unique(truth.quantile([0.25, 0.5, 0.75]).to_numpy())
        return pd.Series(np.searchsorted(edges, values.astype(float).to_numpy(), side="right").astype(str))
    return values.astype(str).reset_index(drop=True)


def downstream(full, test, target):
    rows, held = full[full[target].notna()], test[test[target].notna()]
    def features(t):
        out = pd.DataFrame(index=range(len(t)))
        for c in full.columns:
            if c == target:
                continue
            if is_number(test[c]):
                out[c] = t[c].astype(float).to_numpy()
            else:
                codes = {v: i for i, v in enumerate(sorted(pd.concat([full[c], test[c]]).dropna().astype(str).unique()))}
                out[c] = t[c].astype(str).map(codes).to_numpy(dtype=float)
        return out
    number = is_number(test[target]) and test[target].nunique() > 20
    cats = [c for c in features(held.head(1)) if not is_number(test[c]) and test[c].nunique() <= 200]
    make = HistGradientBoostingRegressor if number else HistGradientBoostingClassifier
    scores = []
    for seed in range(3):
        model = make(random_state=seed, max_iter=200, early_stopping=True, categorical_features=cats or None)
        if number:
            model.fit(features(rows), rows[target].astype(float))
            scores.append(r2_score(held[target].astype(float), model.predict(features(held))))
        else:
            model.fit(features(rows), rows[target].astype(str))
            one = model.classes_[1]
            scores.append(roc_auc_score(held[target].astype(str) == one, model.predict_proba(features(held))[:, 1]))
    return float(np.mean(scores))


def judge(full, truth, mask, test, target):
    distances, pairs, rmse, accuracy = [], [], [], []
    columns = [c for c in truth if mask[c].any()]
    for c in columns:
        was, now = truth[c][mask[c]], full[c][mask[c]]
        if is_number(truth[c]):
            was, now = was.astype(float).to_numpy(), now.astype(float).to_numpy()
            distances.append(ks(was, now))
            rmse.append(float(np.sqrt(np.mean((was - now) ** 2)) / truth[c].astype(float).std()))
        else:
            distances.append(variation(was.astype(str), now.astype(str)))
            accuracy.append(float((was.astype(str).to_numpy() == now.astype(str).to_numpy()).mean()))
    for i, a in enumerate(columns):
        for b in columns[i + 1 :]:
            rows = (mask[a] | mask[b]).to_numpy()
            join = lambda t: (coarse(truth[a], t[a]) + "|" + coarse(truth[b], t[b]))[rows]
            pairs.append(variation(join(truth), join(full)))
    mean = lambda x: float(np.mean(x)) if x else float("nan")
    return {
        "downstream": downstream(full, test, target),
        "distance": mean(distances),
        "pairs": mean(pairs),
        "rmse": mean(rmse),
        "accuracy": mean(accuracy),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--twinmart", default="target/release/twinmart")
    parser.add_argument("--hide", choices=["random", "depending"], default="random")
    parser.add_argument("--preset", default="small")
    parser.add_argument("--only", default="")
    parser.add_argument("--json")
    a = parser.parse_args()
    folder = pathlib.Path(a.folder)
    target = json.load(open(folder / "meta.json"))["target"]
    train, test = pd.read_parquet(folder / "train.parquet"), pd.read_parquet(folder / "test.parquet")
    mask = hide(train, target, a.hide, 1)
    gaps = with_gaps(train, mask)
    model = ["--preset", a.preset]
    methods = {
        "whole": lambda: train,
        "mean, mode": lambda: by_column(gaps, "mean"),
        "median, mode": lambda: by_column(gaps, "median"),
        "twinmart": lambda: by_twinmart(a.twinmart, gaps, model),
        "twinmart --point": lambda: by_twinmart(a.twinmart, gaps, [*model, "--point"]),
        "IterativeImputer": lambda: by_iterative(gaps, target, False),
        "IterativeImputer, sampled": lambda: by_iterative(gaps, target, True),
    }
    results = {}
    print(f"{folder.name}, hidden {a.hide}: {int(mask.to_numpy().sum())} values")
    print(f"{'':<28} {'downstream':>10} {'distance':>9} {'pairs':>7} {'rmse':>7} {'accuracy':>9} {'seconds':>8}")
    for name, method in methods.items():
        if a.only and not name.startswith(a.only):
            continue
        begun = time.perf_counter()
        full = method()
        seconds = time.perf_counter() - begun
        r = results[name] = {**judge(full, train, mask, test, target), "seconds": seconds}
        print(f"{name:<28} {r['downstream']:>10.4f} {r['distance']:>9.4f} {r['pairs']:>7.4f} {r['rmse']:>7.4f} {r['accuracy']:>9.4f} {seconds:>8.1f}", flush=True)
    if a.json:
        json.dump(results, open(a.json, "w"), indent=1)


main()
