"""Compares the product's recommenders with NumPy and the `implicit` package, on the files that `twinmart split` writes.

  cargo build --release -p twinmart-rank --example peers
  twinmart split PROJECT --split holdout-users --out DIR
  ranking.py --split DIR --peers BINARY [--evaluate FILE --describe FILE] [--speed] [--json OUT]

DIR holds train.parquet, history.parquet and target.parquet (columns user, item, time). BINARY is the built example
`peers`: it fits EASE, item-knn and iALS with settings that the other packages have too. FILE and FILE (optional): what
`twinmart evaluate R.recs PROJECT --json` and `twinmart train ... --json` printed; then the recommenders of R.recs are
compared as well. --speed times iALS sweeps and EASE fits of both sides in turns, in this one run.

NDCG@10, view new: items of the history removed, ties to the item whose key sorts first.

The same objective for iALS. implicit minimises, with confidence v on observed pairs,
  sum_all C (p - y)^2 + r (|U|^2 + |V|^2),   C = v, p = 1 where observed, else C = 1, p = 0.
Completing the square on observed pairs gives (v - 1) (y - t)^2 + sum_all y^2 with t = v / (v - 1); scaling U and V by
sqrt(t) and dividing by t^2 (v - 1) gives the product's loss  sum_S (y - 1)^2 + a0 sum_all y^2 + l (|U|^2 + |V|^2)  with
  a0 = 1 / (v - 1),   l = r / v,   nu = 0,   c = 1
so that both rank alike at the minimum:  v = 1 + 1 / a0,  r = l v. They start elsewhere, so implicit is fitted with
several seeds and the mean is compared. With nu = 1 implicit has no counterpart: the script then solves the product's
normal equations in NumPy.
"""
import argparse
import json
import os
import pathlib
import subprocess
import time

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "2")

import numpy as np
import pyarrow.parquet as pq
import scipy.linalg
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

K = 10


def read(folder, name, items, users=None):
    """Rows as (user, item) numbers; users in order of appearance."""
    table = pq.read_table(folder / f"{name}.parquet", columns=["user", "item"])
    users = {} if users is None else users
    rows = [users.setdefault(str(u), len(users)) for u in table["user"].to_pylist()]
    return np.array(rows), np.array([items[str(i)] for i in table["item"].to_pylist()]), users


def binary(rows, columns, shape):
    matrix = sp.csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=shape)
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def ndcg(scores, history, targets):
    scores = np.array(scores, np.float32)
    scores[history.nonzero()] = -np.inf
    order = np.argsort(-scores, axis=1, kind="stable")[:, :K]
    discount = 1 / np.log2(np.arange(2, K + 2))
    gains = [(np.isin(row, t) * discount).sum() / discount[: min(K, len(t))].sum() for row, t in zip(order, targets)]
    return float(np.mean(gains))


def ease_weights(x, strength, inverse=np.linalg.inv):
    gram = (x.T @ x).toarray().astype(np.float64)
    diagonal = np.arange(len(gram))
    gram[diagonal, diagonal] += strength
    p = inverse(gram)
    b = p / -np.diag(p)
    b[diagonal, diagonal] = 0
    return b


def cholesky_inverse(gram):
    factor, _ = scipy.linalg.lapack.dpotrf(gram, lower=1, overwrite_a=1)
    p, _ = scipy.linalg.lapack.dpotri(factor, lower=1, overwrite_c=1)
    return np.tril(p) + np.tril(p, -1).T


def ease(x, history, settings):
    return [history @ ease_weights(x, settings["lambda"]).astype(np.float32)]


def knn(x, history, settings):
    from implicit.nearest_neighbours import CosineRecommender, TFIDFRecommender
    model = {"none": CosineRecommender, "tf-idf": TFIDFRecommender}.get(settings["weight"])
    if model is None or settings["shrink"] > 0:
        return None
    # implicit counts an item as its own first neighbour.
    model = model(K=settings["neighbours"] + 1, num_threads=2)
    model.fit(x, show_progress=False)
    return [(history @ model.similarity).toarray()]


def ials(x, history, settings, seeds):
    if settings["nu"] == 0:
        return [implicit_als(x, history, settings, seed) for seed in range(seeds)]
    return [numpy_als(x, history, settings, seed) for seed in range(seeds)]


def implicit_model(settings, seed, sweeps):
    import implicit
    confidence = 1 + 1 / settings["alpha0"]
    with threadpool_limits(1, "blas"):  # implicit parallelises over rows itself and warns otherwise
        return implicit.cpu.als.AlternatingLeastSquares(
            factors=settings["dimensions"], regularization=settings["lambda"] * confidence, alpha=confidence,
            iterations=sweeps, num_threads=2, random_state=seed)


def implicit_als(x, history, settings, seed):
    model = implicit_model(settings, seed, settings["sweeps"])
    with threadpool_limits(1, "blas"):
        model.fit(x, show_progress=False)
        users = model.recalculate_user(np.arange(history.shape[0]), history)
    return users @ model.item_factors.T


def numpy_als(x, history, settings, seed):
    d, a0 = settings["dimensions"], settings["alpha0"]
    v = np.random.default_rng(seed).normal(0, 0.1 / d**0.5, (x.shape[1], d))
    by_item = x.T.tocsr()

    def half(matrix, other):
        base, out = a0 * other.T @ other, np.zeros((matrix.shape[0], d))
        for row in range(matrix.shape[0]):
            y = other[matrix.indices[matrix.indptr[row] : matrix.indptr[row + 1]]]
            ridge = settings["lambda"] * (len(y) + a0 * len(other)) ** settings["nu"]
            out[row] = np.linalg.solve(base + y.T @ y + ridge * np.eye(d), y.sum(0))
        return out

    with threadpool_limits(1, "blas"):
        for _ in range(settings["sweeps"]):
            v = half(by_item, half(x, v))
        return half(history, v) @ v.T


def ours(binary_path, folder, what):
    output = subprocess.run([binary_path, str(folder), what], check=True, capture_output=True, text=True)
    return json.loads(output.stdout)


def timings(x, binary_path, folder, rounds=3):
    """Ours and theirs in turns, so that other load on the machine meets both."""
    mine, theirs = [], {"ials_sweep_seconds": [], "ease_inv_seconds": [], "ease_cholesky_seconds": []}
    settings = {"dimensions": 64, "alpha0": 0.1, "lambda": 1.0}
    for _ in range(rounds):
        mine.append(ours(binary_path, folder, "speed"))
        seconds = []
        with threadpool_limits(1, "blas"):
            implicit_model(settings, 0, 16).fit(x, show_progress=False, callback=lambda _, s, __: seconds.append(s))
        theirs["ials_sweep_seconds"].append(float(np.median(seconds[1:])))
        for name, inverse in (("inv", np.linalg.inv), ("cholesky", cholesky_inverse)):
            start = time.perf_counter()
            ease_weights(x, 500.0, inverse)
            theirs[f"ease_{name}_seconds"].append(time.perf_counter() - start)
    return {"ours": {k: round(float(np.median([m[k] for m in mine])), 4) for k in mine[0]},
            "theirs": {k: round(float(np.median(v)), 4) for k, v in theirs.items()}}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", required=True, type=pathlib.Path)
    parser.add_argument("--peers", required=True, help="the built example `peers`")
    parser.add_argument("--evaluate", type=pathlib.Path, help="output of twinmart evaluate --json")
    parser.add_argument("--describe", type=pathlib.Path, help="output of twinmart train --json")
    parser.add_argument("--speed", action="store_true", help="time both sides")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=pathlib.Path)
    a = parser.parse_args()

    keys = set()
    for name in ("train", "history", "target"):
        keys |= {str(i) for i in pq.read_table(a.split / f"{name}.parquet", columns=["item"])["item"].to_pylist()}
    items = {key: number for number, key in enumerate(sorted(keys))}
    rows, columns, users = read(a.split, "train", items)
    x = binary(rows, columns, (len(users), len(items)))
    rows, columns, test_users = read(a.split, "history", items)
    rows_target, columns_target, test_users = read(a.split, "target", items, test_users)
    history = binary(rows, columns, (len(test_users), len(items)))
    wanted = binary(rows_target, columns_target, history.shape)
    wanted = wanted - wanted.multiply(history)
    wanted.eliminate_zeros()
    tested = np.flatnonzero(np.diff(wanted.tocsr().indptr))
    history, wanted = history[tested], wanted.tocsr()[tested]
    targets = [wanted.indices[wanted.indptr[u] : wanted.indptr[u + 1]] for u in range(len(tested))]

    cases = [(m["settings"], m["ndcg@10"]) for m in ours(a.peers, a.split, "quality")["models"]]
    if a.evaluate and a.describe:
        evaluated = json.loads(a.evaluate.read_text())["views"]["new"]
        assert evaluated["users"] == len(tested), f"{evaluated['users']} test users there, {len(tested)} here"
        for model in json.loads(a.describe.read_text())["models"]:
            cases.append((model["settings"], [evaluated["models"][model["name"]]["ndcg@10"]]))
    result = {"test_users": len(tested), "pairs": int(x.nnz), "models": []}
    fits = {"ease": ease, "item-knn": knn, "ials": lambda *arguments: ials(*arguments, a.seeds)}
    for settings, mine in cases:
        fit = fits.get(settings["recommender"])
        scores = fit(x, history, settings) if fit else None
        if scores is None:
            continue
        theirs = [ndcg(s, history, targets) for s in scores]
        result["models"].append({"settings": settings, "ours": mine, "theirs": theirs,
                                 "ratio": float(np.mean(mine) / np.mean(theirs))})
    if a.speed:
        result["seconds"] = timings(x, a.peers, a.split)
    text = json.dumps(result, indent=1)
    print(text)
    if a.json:
        a.json.write_text(text + "\n")


main()
