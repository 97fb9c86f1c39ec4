"""Runs the event model's network in PyTorch, for its speed beside the product's. It learns nothing of use: data are random.

  python3 -m venv V && V/bin/pip install torch==2.13.0 numpy==2.4.6
  twinmart bench events examples/online-retail/twinmart.toml --json > ours.json
  V/bin/python bench/peers/events_pytorch.py ours.json --out pytorch.json [--threads 2] [--compile]
  twinmart bench events examples/online-retail/twinmart.toml --peer pytorch.json

Shapes are those that ours.json gives of its first case (or of --case NAME): the decoder, the heads, the catalogue, and the
windows of a step of about 2,048 places. The same as in crates/events/src/pass.rs and crates/nets/src/decoder.rs:

- item vectors that enter and that are chosen from, sums of table rows for what is known of an event, tastes;
- a decoder with root-mean-square norms, local attention with a learned number for each head and distance, SiLU, dropout;
- heads for arrival, gap, hour, size of the session and action; gap for all events but those that begin a session (15 %),
  hour and size for these;
- an exact softmax over all items, with features added to the scores: --candidates items for each event, and the season;
- the gradient clipped by its length, Adam with decoupled decay, a running mean of all weights.

Drawing keeps keys and values of the last events and goes on for --block users in step, one item each.

Not in it, but in the product's figures: features are given here, in the product they are found (what histories bring to
mind); parts of item vectors that items share by their marks; plans, clocks and the writing of tables while drawing.
Attention is computed over windows of about the same length, padded to the longest of them; everything else has no padding.
"""
import argparse
import json
import os
import pathlib
import resource
import statistics
import time

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from torch import nn
from torch.nn import functional

SEASONS = 27
# Windows of at most so many places are padded to the longest among them.
LENGTHS = (16, 32, 64, 96, 128, 192)
NEW_SESSIONS = 0.15
DROPOUT = 0.2
# Steps whose time does not count.
WARM_UP = 3
TABLE_ROWS = 600
TABLE_OUT_ROWS = 250
KNOWN = 8


class Layer(nn.Module):
    """x + out · attention(norm x), then x + down · silu(up · norm x)."""

    def __init__(self, width, heads, hidden, reach):
        super().__init__()
        self.heads, self.reach = heads, reach
        self.norm_1, self.norm_2 = nn.RMSNorm(width, eps=1e-6), nn.RMSNorm(width, eps=1e-6)
        self.ask, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.near = nn.Parameter(torch.zeros(heads, reach))
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width, bias=False)

    def forward(self, x, groups):
        """x: [rows, width]; groups: see groups_of."""
        width = x.shape[1]
        asked = self.ask(self.norm_1(x))
        heard_by, (groups, kept) = [], groups
        for rows, distance, hidden in groups:
            n, length = rows.shape
            q, k, v = asked.index_select(0, rows.flatten()).view(n, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
            scores = q @ k.transpose(-1, -2) * (width // self.heads) ** -0.5 + self.near[:, distance]
            odds = scores.masked_fill(hidden, -1e30).softmax(-1)
            heard = (odds @ v).transpose(1, 2).reshape(n * length, width)
            heard_by.append(heard)
        # Places beyond a window's end repeat its last one; `kept` leaves them out and restores the order of rows.
        mixed = torch.cat(heard_by).index_select(0, kept)
        x = x + functional.dropout(self.out(mixed), DROPOUT, self.training)
        return self.after(x)

    def after(self, x):
        inner = self.down(functional.silu(self.up(self.norm_2(x))))
        return x + functional.dropout(inner, DROPOUT, self.training)

    def step(self, x, memory, distance):
        """x: [users, width]; memory: [users, reach, 2, width] of the last events, at these distances; this event's is 0."""
        users, width = x.shape
        query, own = self.ask(self.norm_1(x)).split((width, 2 * width), 1)
        memory[:, distance == 0] = own.view(users, 1, 2, width)
        keys, values = memory.view(users, self.reach, 2, self.heads, -1).permute(2, 0, 3, 1, 4)
        scores = keys @ query.view(users, self.heads, -1, 1) * (width // self.heads) ** -0.5
        odds = (scores.squeeze(-1) + self.near[:, distance]).softmax(-1)
        heard = (odds.unsqueeze(-2) @ values).reshape(users, width)
        return self.after(x + self.out(heard))


class Network(nn.Module):
    def __init__(self, cost):
        super().__init__()
        shape, choices, features = cost["shape"], cost["choices"], cost["features"]
        width = shape["width"]
        items, arrivals, gaps, hours, sizes, actions = choices
        self.vectors = nn.Parameter(0.05 * torch.randn(items + 1, width))
        self.bias = nn.Parameter(torch.zeros(items))
        self.enter = nn.Linear(width, width, bias=False)
        self.fields = nn.EmbeddingBag(TABLE_ROWS, width, mode="sum")
        self.known = nn.EmbeddingBag(TABLE_OUT_ROWS, width, mode="sum")
        self.taste_in = nn.Linear(cost["taste"], width, bias=False)
        self.taste_out = nn.Linear(cost["taste"], width, bias=False)
        self.layers = nn.ModuleList(
            Layer(width, shape["heads"], shape["hidden"], shape["reach"]) for _ in range(shape["layers"]))
        self.last = nn.RMSNorm(width, eps=1e-6)
        self.arrival, self.gap, self.hour = (nn.Linear(width, n) for n in (arrivals, gaps, hours))
        self.size = nn.Linear(width, sizes)
        self.action = nn.Linear(width, actions) if actions > 1 else None
        self.widen, self.narrow = nn.Linear(width, 2 * width), nn.Linear(2 * width, width, bias=False)
        self.gates = nn.Linear(width, features)

    def enters(self, items, fields, taste):
        vectors = functional.dropout(functional.embedding(items, self.vectors), DROPOUT, self.training)
        return self.enter(vectors) + self.fields(fields) + self.taste_in(taste)

    def scores(self, z, sparse, lifts):
        """Scores of all items, `[events, items]`; sparse: items and features of the candidates; lifts: of each season."""
        inner = functional.dropout(functional.silu(self.widen(z)), DROPOUT, self.training)
        q = z + self.narrow(inner)
        gates = self.gates(q)
        asking = functional.dropout(q, DROPOUT, self.training)
        scores = torch.addmm(self.bias, asking, self.vectors[:-1].T) + gates[:, -1:] * lifts
        item, features = sparse
        return scores.scatter_add(1, item, (features @ gates[:, :-1, None]).squeeze(2))

    def loss(self, batch):
        x = self.enters(batch["items"], batch["fields"], batch["taste"])
        for layer in self.layers:
            x = layer(x, batch["groups"])
        states = self.last(x)
        sum_of = {"reduction": "sum"}
        x = states.index_select(0, batch["asked"])
        loss = functional.cross_entropy(self.arrival(x), batch["arrival"], **sum_of)
        new, same, known = batch["new"], batch["same"], batch["known"]
        loss = loss + functional.cross_entropy(self.gap(x.index_select(0, same)), batch["gap"][same], **sum_of)
        loss = loss + functional.cross_entropy(self.hour(x.index_select(0, new)), batch["hour"][new], **sum_of)
        loss = loss + functional.cross_entropy(self.size(x.index_select(0, new)), batch["size"][new], **sum_of)
        x = x + self.known(known)
        if self.action:
            loss = loss + functional.cross_entropy(self.action(x), batch["action"], **sum_of)
        z = x + self.taste_out(batch["taste"][batch["asked"]])
        scores = self.scores(z, batch["sparse"], batch["lifts"][batch["season"]])
        return (loss + functional.cross_entropy(scores, batch["next"], **sum_of)) / len(x)

    def draw(self, items, fields, known, taste, memory, step, sparse, lifts):
        """The next item of every user."""
        x = self.enters(items, fields, taste)
        reach = self.layers[0].reach
        distance = (step - torch.arange(reach)) % reach
        for layer, memory in zip(self.layers, memory):
            x = layer.step(x, memory, distance)
        x = self.last(x)
        for head in filter(None, (self.arrival, self.gap, self.hour, self.size, self.action)):
            head(x).softmax(-1).multinomial(1)
        z = x + self.known(known) + self.taste_out(taste)
        return self.scores(z, sparse, lifts).softmax(-1).multinomial(1).squeeze(1)


def groups_of(windows, reach):
    """For windows of about the same length, their rows, distances and what is hidden; and where each row is in them."""
    starts, start = [], 0
    for rows, _ in windows:
        starts.append(start)
        start += rows
    groups, kept, end = [], torch.empty(start, dtype=torch.long), 0
    for least, most in zip((0, *LENGTHS), LENGTHS):
        own = [(s, rows) for s, (rows, _) in zip(starts, windows) if least < rows <= most]
        if own:
            length = max(rows for _, rows in own)
            place = torch.arange(length)
            distance = place[:, None] - place[None, :]
            hidden = (distance < 0) | (distance >= reach)
            rows_of = torch.stack([s + place.clamp(max=rows - 1) for s, rows in own])
            groups.append((rows_of, distance.clamp(0, reach - 1), hidden))
            for s, rows in own:
                kept[s:s + rows] = end + place[:rows]
                end += length
    return groups, kept


def candidates(events, items, count, features):
    item = torch.stack([torch.randperm(items)[:count] for _ in range(events)])
    return item, torch.rand(events, count, features - 1)


def batch_of(cost, count):
    windows, (items, arrivals, gaps, hours, sizes, actions) = cost["windows"], cost["choices"]
    rows = sum(w[0] for w in windows)
    asked, start = [], 0
    for own, last in windows:
        asked.extend(range(start + own - last, start + own))
        start += own
    events = len(asked)
    new = torch.rand(events) < NEW_SESSIONS
    return {
        "groups": groups_of(windows, cost["shape"]["reach"]),
        "items": torch.randint(items + 1, (rows,)), "fields": torch.randint(TABLE_ROWS, (rows, cost["fields"])),
        "taste": torch.randn(rows, cost["taste"]), "asked": torch.tensor(asked),
        "arrival": torch.randint(arrivals, (events,)), "gap": torch.randint(gaps, (events,)),
        "hour": torch.randint(hours, (events,)), "size": torch.randint(sizes, (events,)),
        "action": torch.randint(actions, (events,)), "next": torch.randint(items, (events,)),
        "new": new.nonzero().squeeze(1), "same": (~new).nonzero().squeeze(1),
        "known": torch.randint(TABLE_OUT_ROWS, (events, KNOWN)), "season": torch.randint(SEASONS, (events,)),
        "lifts": torch.randn(SEASONS, items), "sparse": candidates(events, items, count, cost["features"]),
    }


def learn(network, batch, steps, compiled):
    """Events a second, by the median step, and processor microseconds of an event."""
    loss_of = torch.compile(network.loss) if compiled else network.loss
    adam = torch.optim.AdamW(network.parameters(), lr=2e-3, betas=(0.9, 0.98), eps=1e-8, weight_decay=0.05)
    average = [p.detach().clone() for p in network.parameters()]
    seconds, processor = [], 0
    for step in range(steps + WARM_UP):
        processor = time.process_time() if step == WARM_UP else processor
        began = time.perf_counter()
        adam.zero_grad(set_to_none=True)
        loss_of(batch).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        adam.step()
        with torch.no_grad():
            torch._foreach_lerp_(average, list(network.parameters()), 0.005)
        seconds.append(time.perf_counter() - began)
    return rates(len(batch["asked"]), seconds, processor)


def draw(network, cost, count, users, steps, compiled):
    """Events a second, by the median step, and processor microseconds of an event."""
    network.eval()
    step_of = torch.compile(network.draw) if compiled else network.draw
    shape, items = cost["shape"], cost["choices"][0]
    memory = [torch.zeros(users, shape["reach"], 2, shape["width"]) for _ in range(shape["layers"])]
    last, taste = torch.full((users,), items), torch.randn(users, cost["taste"])
    sparse, lifts = candidates(users, items, count, cost["features"]), torch.randn(users, items)
    fields, known = torch.randint(TABLE_ROWS, (users, cost["fields"])), torch.randint(TABLE_OUT_ROWS, (users, KNOWN))
    seconds, processor = [], 0
    with torch.inference_mode():
        for step in range(steps + WARM_UP):
            processor = time.process_time() if step == WARM_UP else processor
            began = time.perf_counter()
            last = step_of(last, fields, known, taste, memory, torch.tensor(step), sparse, lifts)
            seconds.append(time.perf_counter() - began)
    return rates(users, seconds, processor)


def rates(events, seconds, processor):
    microseconds = (time.process_time() - processor) * 1e6 / events / (len(seconds) - WARM_UP)
    return events / statistics.median(seconds[WARM_UP:]), microseconds


def peak_flops_per_second():
    a, best = torch.randn(1024, 1024), 0
    for _ in range(20):
        began = time.perf_counter()
        a @ a
        best = max(best, 2 * 1024**3 / (time.perf_counter() - began))
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ours", type=pathlib.Path, help="what `twinmart bench events --json` printed")
    parser.add_argument("--case", help="the case whose shapes are taken (the first)")
    parser.add_argument("--out", required=True, type=pathlib.Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--candidates", type=int, default=1800, help="items with features, for each event")
    parser.add_argument("--block", type=int, default=256, help="users that are drawn in step")
    parser.add_argument("--compile", action="store_true", help="with torch.compile")
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(1)
    cases = json.loads(a.ours.read_text())["cases"]
    case = next(c for c in cases if a.case in (None, c["name"]))
    cost = case["fitted"]["cost"]
    count = min(a.candidates, cost["choices"][0])
    network, before = Network(cost), peak_flops_per_second()
    learned, learn_processor = learn(network, batch_of(cost, count), a.steps, a.compile)
    drawn, draw_processor = draw(network, cost, count, a.block, 3 * a.steps, a.compile)
    result = {
        "peer": "PyTorch, compiled" if a.compile else "PyTorch", "version": torch.__version__, "case": case["name"],
        "threads": a.threads, "candidates": count, "block": a.block, "learned_events_per_second": learned,
        "drawn_events_per_second": drawn, "learn_cpu_microseconds": learn_processor,
        "draw_cpu_microseconds": draw_processor, "peak_flops_per_second": max(before, peak_flops_per_second()),
        "peak_memory_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    }
    a.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
