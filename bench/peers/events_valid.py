"""Is every event of a twin an event of its users with its items, in order of time?

  events_valid.py TWIN [--shop FOLDER]

TWIN has users.parquet, items.parquet and events.parquet with user_id, item_id and time. With --shop, events must lie on
the days of the shop's window. Reads row group by row group, so that any number of events fits.
"""
import argparse, json, pathlib
import numpy as np, pyarrow.compute as pc, pyarrow.parquet as pq

arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
arguments.add_argument("twin", type=pathlib.Path)
arguments.add_argument("--shop", type=pathlib.Path)
a = arguments.parse_args()
needed = [a.twin / f"{table}.parquet" for table in ("users", "items", "events")]
for path in needed + ([a.shop / "events.parquet"] if a.shop else []):
    if not path.is_file():
        arguments.error(f"{path} is missing")


def day(time):
    return pc.cast(pc.floor_temporal(time, unit="day"), "timestamp[us]")


users = pq.read_table(a.twin / "users.parquet").column("user_id").combine_chunks()
items = pq.read_table(a.twin / "items.parquet").column("item_id").combine_chunks()
window = None
if a.shop:
    times = pq.read_table(a.shop / "events.parquet", columns=["time"]).column("time")
    if pc.count(times).as_py() == 0:
        arguments.error("the shop has no times")
    window = [day(pc.min(times)), day(pc.max(times))]

found = dict(events=0, users=len(users), items=len(items), unknown_users=0, unknown_items=0, out_of_order=0, users_in_parts=0, missing=0, outside=0)
found["repeated_user_keys"] = len(users) - len(pc.unique(users))
seen = np.zeros(len(users), bool)
last_user, last_time = -1, None
file = pq.ParquetFile(a.twin / "events.parquet")
for group in range(file.num_row_groups):
    rows = file.read_row_group(group, columns=["user_id", "item_id", "time"])
    found["events"] += len(rows)
    found["missing"] += sum(rows.column(name).null_count for name in rows.column_names)
    user = pc.index_in(rows.column("user_id"), users)
    found["unknown_users"] += user.null_count
    found["unknown_items"] += pc.index_in(rows.column("item_id"), items).null_count
    time = rows.column("time")
    if window:
        days = day(time)
        found["outside"] += pc.sum(pc.or_(pc.less(days, window[0]), pc.greater(days, window[1]))).as_py() or 0
    user = pc.fill_null(user, -2).to_numpy()
    time = time.to_numpy().astype("int64")
    before = np.concatenate([[last_user], user[:-1]])
    earlier = np.concatenate([[time[0] if last_time is None else last_time], time[:-1]])
    same = user == before
    found["out_of_order"] += int((same & (time < earlier)).sum())
    # A user's events are one run of rows.
    begins = user[~same & (user >= 0)]
    found["users_in_parts"] += int(seen[begins].sum()) + len(begins) - len(np.unique(begins))
    seen[begins] = True
    last_user, last_time = user[-1], time[-1]
found["valid"] = all(found[k] == 0 for k in ("unknown_users", "unknown_items", "out_of_order", "users_in_parts", "missing", "outside", "repeated_user_keys"))
print(json.dumps(found))
raise SystemExit(0 if found["valid"] else 1)
