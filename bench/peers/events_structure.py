"""Where a twin of histories differs from real people in what goes together: by how long histories are, and in which directions.

  python3 -m venv V && V/bin/pip install numpy==2.4.6 pandas==3.1.1 scipy==1.17.1 pyarrow==26.0.1
  V/bin/python ../shared/peers/events.py prepare online-retail --data ../shared/data --out out/online-retail
  V/bin/python bench/peers/events_structure.py --dir out/online-retail --twin twin [--twin other] [--json figures.json]

`--dir` is a folder of the judge of histories (`shop/` and `hidden.parquet`), `--twin` a folder with `events.parquet`. All figures are
those of the twin divided by those of the learned people; the figures of hidden people, in parentheses, are what a faithful twin comes
to. They vary less from twin to twin than what recommenders keep.

pairs     Pairs of items that at least `--people` people share, in one session: for each event of a session, by how often the pair comes
          relative to chance (`near` 1 to 2.5 times, `above` 2.5 to 10, `far` more), for users by their number of sessions, and for
          the first session and the later ones.
spread    How much people's item sets (items weighted by 1 / sqrt(people), sets of length 1) differ along the main directions of all
          real people, for users by their number of different items.
"""
import argparse
import json
import pathlib

import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy.sparse.linalg import svds

LIFTS = {"near": (1, 2.5), "above": (2.5, 10), "far": (10, np.inf)}
SESSIONS = ((1, 2), (2, 5), (5, 15), (15, np.inf))
LENGTHS = ((5, 20), (20, 40), (40, 120), (120, np.inf))
DIRECTIONS = ((0, 1), (1, 4), (4, 10), (10, 20), (20, 50), (50, 100))
# Sessions of fewer different items say little about pairs, those of more are rare.
SESSION_ITEMS = (6, 41)


def sets(keys, items, count):
    """`[keys, items]`, ones."""
    codes, names = pd.factorize(keys)
    matrix = sp.csr_matrix((np.ones(len(codes)), (codes, items)), shape=(len(names), count))
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix, names


def sizes(matrix):
    return np.asarray(matrix.sum(1)).ravel()


class Shop:
    def __init__(self, folder, people):
        self.real = pd.read_parquet(folder / "shop/events.parquet")
        self.hidden = pd.read_parquet(folder / "hidden.parquet")
        names = pd.read_parquet(folder / "shop/items.parquet").item_id.astype(str)
        self.place = pd.Series(np.arange(len(names)), index=names.values)
        users, _ = sets(self.real.user_id, self.items(self.real), len(self.place))
        self.holders = np.asarray(users.sum(0)).ravel()
        weights = sp.diags(1 / np.maximum(sizes(users), 1))
        together = (users.T @ weights @ users).toarray()
        np.fill_diagonal(together, 0)
        shared = (users.T @ users).toarray() >= people
        margins = together.sum(0)
        lift = together / np.maximum(np.outer(margins, margins) / margins.sum(), 1e-12)
        self.pairs = {name: sp.csr_matrix((shared & (lift >= low) & (lift < high)) * 1.0) for name, (low, high) in LIFTS.items()}
        self.known = self.holders >= people
        everybody = sp.vstack([self.shares(users), self.shares(self.users(self.hidden))])
        self.axes = svds(everybody, min(DIRECTIONS[-1][1], min(everybody.shape) - 1), random_state=0)[2][::-1]

    def items(self, events):
        places = self.place.reindex(events.item_id.astype(str)).values
        if np.isnan(places).any():
            raise SystemExit("the events have items that shop/items.parquet has not")
        return places.astype(int)

    def users(self, events):
        return sets(events.user_id, self.items(events), len(self.place))[0]

    def shares(self, users):
        """Item sets of length one, of items that enough people have."""
        known = users[:, self.known]
        popular = np.sqrt(np.maximum(self.holders[self.known], 1))
        return sp.diags(1 / np.sqrt(np.maximum(sizes(known), 1))) @ known @ sp.diags(1 / popular)

    def of_pairs(self, events):
        """Pairs for each event of sessions, `[lifts][sessions of the user][first or later]`."""
        events = events.assign(session=events.user_id.astype(str) + "|" + events[session_column(events)].astype(str))
        matrix, names = sets(events.session, self.items(events), len(self.place))
        first = events.groupby("session").agg(time=("time", "min"), user=("user_id", "first")).sort_values(["user", "time"])
        first["number"] = first.groupby("user").cumcount()
        first["sessions"] = first.groupby("user").number.transform("size")
        first = first.loc[names]
        length = sizes(matrix)
        usual = (length >= SESSION_ITEMS[0]) & (length < SESSION_ITEMS[1])
        figures = {}
        for name, pairs in self.pairs.items():
            count = np.asarray((matrix @ pairs).multiply(matrix).sum(1)).ravel() / 2
            for low, high in SESSIONS:
                for which, is_which in (("first", first.number == 0), ("later", first.number > 0)):
                    chosen = usual & (first.sessions >= low).values & (first.sessions < high).values & is_which.values
                    if chosen.sum() >= 30:
                        figures[f"{name}, {label(low, high)} sessions, {which}"] = count[chosen].sum() / length[chosen].sum()
        return figures

    def of_spread(self, events):
        """Mean squares along directions, `[lengths][directions]`."""
        users = self.users(events)
        length, figures = sizes(users), {}
        for low, high in LENGTHS:
            chosen = (length >= low) & (length < high)
            if chosen.sum() < 30:
                continue
            squares = (np.asarray(self.shares(users[chosen]) @ self.axes.T) ** 2).mean(0)
            for start, end in DIRECTIONS:
                figures[f"{label(low, high)} items, directions {start + 1} to {end}"] = squares[start:end].sum()
        return figures


def session_column(events):
    for column in ("basket_id", "session_id", "group"):
        if column in events:
            return column
    raise SystemExit("the events have no column of sessions: basket_id, session_id or group")


def label(low, high):
    return f"{low} and more" if high == np.inf else f"{low} to {high - 1}" if high - low > 1 else f"{low}"


def divided(figure, by):
    return None if figure is None or by == 0 else float(figure / by)


def shown(value):
    return "-" if value is None else f"{value:.2f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", type=pathlib.Path, required=True)
    parser.add_argument("--twin", type=pathlib.Path, action="append", required=True)
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--json", type=pathlib.Path)
    arguments = parser.parse_args()
    files = [arguments.dir / name for name in ("shop/events.parquet", "shop/items.parquet", "hidden.parquet")]
    for path in [*files, *(twin / "events.parquet" for twin in arguments.twin)]:
        if not path.is_file():
            parser.error(f"{path} is missing")
    shop = Shop(arguments.dir, arguments.people)
    twins = {str(twin): pd.read_parquet(twin / "events.parquet") for twin in arguments.twin}
    result = {}
    for title, figures_of in (("pairs", shop.of_pairs), ("spread", shop.of_spread)):
        real, hidden = figures_of(shop.real), figures_of(shop.hidden)
        of_twins = {name: figures_of(twin) for name, twin in twins.items()}
        print(f"\n{title}: twin / learned people (hidden / learned people)")
        for name, own in real.items():
            relative = {twin: divided(figures.get(name), own) for twin, figures in of_twins.items()}
            expected = divided(hidden.get(name), own)
            print(f"  {name:48}", "  ".join(f"{shown(value):>5}" for value in relative.values()), f" ({shown(expected)})")
            result[f"{title}: {name}"] = {"twins": relative, "hidden": expected}
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
