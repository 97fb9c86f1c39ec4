"""MOSTLY AI's sequential engine on a shop of the judge events.py, its twin in the judge's layout.

  events_mostly.py SHOP --out TWIN [--minutes M] [--work DIR]      writes TWIN/events.parquet and TWIN/users.parquet

SHOP is the folder `shop` that `events.py prepare` wrote. The engine (mostlyai-engine, Apache-2.0) gets the leanest table from
which baskets, order and items come back: for each event the days since the basket before in classes ("same" inside a basket),
and the item; the country of the user as context, where users have one. As many users are drawn as there are. Score with
`events.py score --dir DIR --twin TWIN`. It needs mostlyai-engine, torch, pandas and pyarrow.
"""
import argparse
import json
import pathlib
import resource
import tempfile
import time

import numpy as np
import pandas as pd

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("shop", type=pathlib.Path)
parser.add_argument("--out", type=pathlib.Path, required=True)
parser.add_argument("--minutes", type=float, default=8.0)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--work", type=pathlib.Path)
arguments = parser.parse_args()

import torch

torch.set_num_threads(arguments.threads)
from mostlyai import engine

BORDERS = [0, 1, 3, 7, 14, 21, 28, 35, 49, 70, 105, 180, 1000]
CLASSES = [f"d{low}" for low in BORDERS[:-1]]

users = pd.read_parquet(arguments.shop / "users.parquet")
# The engine wants a column of context, even where all users have the same.
context = "country" if "country" in users else "context"
users = users[["user_id", "country"]] if context == "country" else users[["user_id"]].assign(context="user")
events = pd.read_parquet(arguments.shop / "events.parquet").sort_values(["user_id", "time"], kind="stable")
events = events.reset_index(drop=True)
days = (events.time - events.groupby("user_id").time.shift()).dt.total_seconds() / 86_400
gap = pd.cut(days, BORDERS, right=False, labels=CLASSES).astype(object)
gap[days == 0] = "same"
gap[days.isna()] = "first"
target = pd.DataFrame({"user_id": events.user_id, "gap": gap.astype(str), "item_id": events.item_id})

work = arguments.work or pathlib.Path(tempfile.mkdtemp())
engine.init_logging()
engine.set_random_state(1)
began = time.perf_counter()
engine.split(
    tgt_data=target, ctx_data=users, ctx_primary_key="user_id", tgt_context_key="user_id", model_type="TABULAR",
    tgt_encoding_types={"gap": "TABULAR_CATEGORICAL", "item_id": "TABULAR_CATEGORICAL"},
    ctx_encoding_types={context: "TABULAR_CATEGORICAL"}, workspace_dir=work,
)
engine.analyze(workspace_dir=work)
engine.encode(workspace_dir=work)
engine.train(max_training_time=arguments.minutes, device="cpu", workspace_dir=work)
fitted = time.perf_counter() - began

stream = np.random.default_rng(1)
new = pd.DataFrame({"user_id": [f"s{number}" for number in range(len(users))]})
new[context] = stream.choice(users[context].to_numpy(), len(new))
began = time.perf_counter()
engine.generate(ctx_data=new, device="cpu", workspace_dir=work)
drawn = time.perf_counter() - began
twin = pd.read_parquet(work / "SyntheticData").reset_index(drop=True)

low, high = dict(zip(CLASSES, BORDERS[:-1])), dict(zip(CLASSES, BORDERS[1:]))
high[CLASSES[-1]] = 300
classes = twin.gap.astype(str)
known = classes.isin(CLASSES).to_numpy()
step = np.zeros(len(twin))
lowest, highest = classes[known].map(low).to_numpy(float), classes[known].map(high).to_numpy(float)
step[known] = np.maximum(lowest + (highest - lowest) * stream.random(known.sum()), 1 / 1440)
step[twin.groupby("user_id", sort=False).cumcount().to_numpy() == 0] = 0
since = pd.Series(step).groupby(twin.user_id.to_numpy(), sort=False).cumsum().to_numpy()
begin = pd.Series(stream.choice(events.groupby("user_id").time.min().to_numpy(), len(new)), index=new.user_id)
twin["time"] = begin.loc[twin.user_id].to_numpy() + pd.to_timedelta((since * 86_400).round(), unit="s")
arguments.out.mkdir(parents=True, exist_ok=True)
twin[["user_id", "item_id", "time"]].to_parquet(arguments.out / "events.parquet", index=False)
new.to_parquet(arguments.out / "users.parquet", index=False)
print(json.dumps({
    "fit_seconds": round(fitted, 1), "draw_seconds": round(drawn, 1), "events": len(twin),
    "events_per_second": round(len(twin) / drawn), "known_items": int(twin.item_id.isin(events.item_id).sum()),
    "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
}))
