"""Writes vectors.json: small samples and what SciPy and scikit-learn compute for them.

Run: python make.py    (numpy, scipy, scikit-learn)
"""
import json
import pathlib

import numpy as np
from scipy.stats import ks_2samp, spearmanr
from sklearn.metrics import roc_auc_score

rng = np.random.default_rng(11)
x = np.round(rng.normal(0, 1, 60), 1)
y = np.round(x * 0.6 + rng.normal(0, 1, 60), 1)
z = np.round(rng.exponential(1, 45), 1)
labels = (x + rng.normal(0, 1, 60) > 0).astype(int)
a = rng.integers(0, 14, 400)
b = (a + rng.integers(0, 3, 400)) % 14
c = rng.integers(0, 14, 300)
d = (c + rng.integers(0, 5, 300)) % 14


def joint_similarity(a, b, c, d):
    """1 - half the L1 distance of two joint tables; the ten most frequent values of a and b, the rest together."""

    def top(v):
        values, counts = np.unique(v, return_counts=True)
        return list(values[np.lexsort((values, -counts))][:10])

    ta, tb = top(a), top(b)
    code = lambda v, t: np.array([t.index(i) if i in t else 10 for i in v])
    table = lambda p, q: np.bincount(code(p, ta) * 11 + code(q, tb), minlength=121) / len(p)
    return 1 - 0.5 * np.abs(table(a, b) - table(c, d)).sum()


vectors = {
    "x": x.tolist(), "y": y.tolist(), "z": z.tolist(), "labels": labels.tolist(),
    "a": a.tolist(), "b": b.tolist(), "c": c.tolist(), "d": d.tolist(),
    "spearman_xy": spearmanr(x, y).statistic,
    "ks_xz": ks_2samp(x, z).statistic,
    "auc_y_labels": roc_auc_score(labels, y),
    "quantiles_x": np.quantile(x, [0.1, 0.25, 0.5, 0.99]).tolist(),
    "joint_similarity": joint_similarity(a, b, c, d),
}
path = pathlib.Path(__file__).with_name("vectors.json")
path.write_text(json.dumps(vectors, default=float) + "\n")
