"""Whose nearest person is a twin of histories closer to, and how do its times and sessions differ from the real ones?

  events_closeness.py --learned SHOP/events.parquet --others HIDDEN.parquet [MORE.parquet ...] --twin TWIN/events.parquet [...]

Nearest by the Jaccard index of item sets, people of five items and more on both sides, equal numbers, forty draws of them: 0.5
where nothing was learned of anybody. The judge `events.py` draws once, and its known people may have fewer items than its
hidden ones. Needs numpy, pandas, scipy, pyarrow.
"""
import argparse
import itertools

import numpy as np
import pandas as pd
import scipy.sparse as sparse
from scipy.stats import ks_2samp

DRAWS, FEWEST = 40, 5


def sets(events, vocabulary):
    events = events[events.item_id.isin(vocabulary.index)].drop_duplicates(["user_id", "item_id"])
    people = events.user_id.astype("category").cat.codes.to_numpy()
    shape = (people.max() + 1, len(vocabulary))
    return sparse.csr_matrix((np.ones(len(events), np.float32), (people, vocabulary[events.item_id].to_numpy())), shape=shape)


def jaccard(a, b):
    sizes_a, sizes_b = np.asarray(a.sum(1)).ravel(), np.asarray(b.sum(1)).ravel()
    shared = np.asarray((a @ b.T).todense())
    return shared / np.maximum(1, sizes_a[:, None] + sizes_b[None] - shared)


def read(path):
    events = pd.read_parquet(path)
    return events.assign(user_id=events.user_id.astype(str), item_id=events.item_id.astype(str))


def behaviour(events):
    events = events.sort_values(["user_id", "time"], kind="stable")
    time = pd.to_datetime(events.time)
    out = {"events of a user": events.groupby("user_id").size(), "hour": time.dt.hour, "weekday": time.dt.day_of_week, "month": time.dt.month}
    if "basket_id" in events:
        baskets = events.groupby(["user_id", "basket_id"], sort=False).agg(time=("time", "min"), size=("item_id", "size"))
        baskets = baskets.reset_index().sort_values(["user_id", "time"])
        gaps = pd.to_datetime(baskets.time).diff().dt.total_seconds()
        out |= {"baskets of a user": baskets.groupby("user_id").size(), "events of a basket": baskets["size"]}
        out |= {"gap between baskets": gaps[baskets.user_id.eq(baskets.user_id.shift())]}
    return out


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--learned", required=True)
parser.add_argument("--others", required=True, nargs="+")
parser.add_argument("--twin", required=True, nargs="+")
options = parser.parse_args()
learned = read(options.learned)
people = learned.groupby("item_id").user_id.nunique()
items = sorted(people.index[people >= FEWEST])
vocabulary = pd.Series(np.arange(len(items)), index=items)
real = {"learned": sets(learned, vocabulary)} | {path: sets(read(path), vocabulary) for path in options.others}
real = {name: people[np.asarray(people.sum(1)).ravel() >= FEWEST] for name, people in real.items()}
for path in options.twin:
    twin = read(path)
    users = sets(twin, vocabulary)
    parts = [users[start : start + 500] for start in range(0, users.shape[0], 500)]
    for one, other in itertools.combinations(real, 2):
        count, shares = min(real[one].shape[0], real[other].shape[0]), np.zeros(DRAWS)
        for part in parts:
            near_one, near_other = jaccard(part, real[one]), jaccard(part, real[other])
            for draw in range(DRAWS):
                random = np.random.default_rng(draw)
                a = near_one[:, random.permutation(near_one.shape[1])[:count]].max(1)
                b = near_other[:, random.permutation(near_other.shape[1])[:count]].max(1)
                shares[draw] += (a > b).sum() + 0.5 * (a == b).sum()
        shares /= users.shape[0]
        print(f"{path}: nearer to {one} than to {other}: {shares.mean():.4f} (draws {shares.std():.4f})")
    if "time" in twin:
        found = behaviour(twin)
        differences = {name: ks_2samp(values, found[name]).statistic for name, values in behaviour(learned).items()}
        print(f"{path}: KS", ", ".join(f"{name} {value:.3f}" for name, value in differences.items()))
