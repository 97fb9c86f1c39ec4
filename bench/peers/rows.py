"""Runs row synthesizers made by others on plain tables and lays their figures beside the product's.

  python3 -m venv SDV && SDV/bin/pip install sdv==2.0.0 ctgan==0.12.1 torch==2.15.0 numpy==1.26.4 \\
    pandas==2.3.3 pyarrow==21.0.0
  python3 -m venv MOSTLY && MOSTLY/bin/pip install mostlyai-engine==2.7.3 torch==2.13.0 numpy==2.4.6 \\
    pandas==3.1.1 pyarrow==26.0.1

  rows.py run --peer gaussian-copula|ctgan|tvae|mostly --dir TABLE --out FILE.parquet [--minutes M] [--threads N]
  rows.py all --judge JUDGE.py --tables DIR --results RESULTS --only 'adult.*' 'telco-churn.mostly' \\
              --python-sdv SDV/bin/python --python-mostly MOSTLY/bin/python --python-judge JUDGE/bin/python
  rows.py table --results RESULTS

TABLE holds train.parquet, test.parquet and meta.json as `JUDGE.py prepare` writes them; DIR holds one such folder for
each table. A peer sees train.parquet only. `run` writes FILE.parquet with as many rows as train.parquet has, in its
columns and types, and FILE.json with the costs. `all` runs every peer on every table and lets the judge write
FILE.score.json, one process at a time; what is there already is skipped, what failed is recorded as "error" and tried
again in the next call. --only takes patterns of TABLE.PEER, worked off in the order given. `table` prints Markdown; it
takes any FILE.json with the same fields, so that what `twinmart bench rows TABLE --out RESULTS` keeps can lie in the same
folder. Its FILE.score.json is measured by twinmart itself; for one judge of all, let JUDGE.py score its FILE.parquet.

Settings: every peer has its own defaults, on the CPU with N threads (2; 1 gives the fairest processor seconds where
others use the machine too). SDV detects the metadata from the data frame.
CTGAN and TVAE train for their default 300 epochs, or to the end of the epoch in which they reach M minutes of processor
time. MOSTLY AI's engine stops early by itself, at the latest after M minutes (of wall time, the only limit it has).
Processor seconds (user and system, of the process and its children) hold on a shared machine, wall seconds do not.
"""
import argparse
import fnmatch
import json
import os
import pathlib
import resource
import subprocess
import tempfile
import time
from importlib.metadata import version

# Threads that wait for each other by spinning use up to twenty times the processor time when the machine is shared.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Workers that outlive the fit would be missing from the processor seconds.
os.environ.setdefault("LOKY_MAX_CPU_COUNT", "1")

PEERS = ("mostly", "gaussian-copula", "tvae", "ctgan")
PACKAGES = {"mostly": ("mostlyai-engine", "torch", "pandas", "numpy"),
            "gaussian-copula": ("sdv", "copulas", "rdt", "pandas", "numpy"),
            "tvae": ("sdv", "ctgan", "rdt", "torch", "pandas", "numpy"),
            "ctgan": ("sdv", "ctgan", "rdt", "torch", "pandas", "numpy")}


def processor_seconds():
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def peak_bytes():
    """Largest resident memory of this process or of one of its children."""
    return 1024 * max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def timed(work):
    wall, processor = time.perf_counter(), processor_seconds()
    result = work()
    return result, time.perf_counter() - wall, processor_seconds() - processor


class Epochs:
    """Stands in for the progress bar around the epochs of CTGAN and TVAE and ends them at the limit."""
    end = float("inf")
    done = 0

    def __init__(self, epochs, **_):
        self.epochs = epochs

    def __iter__(self):
        for epoch in self.epochs:
            if processor_seconds() >= Epochs.end:
                return
            yield epoch
            Epochs.done = epoch + 1


class Sdv:
    """One of SDV's synthesizers of a single table."""

    def __init__(self, peer, train, minutes, threads, seed):
        import torch
        from ctgan.synthesizers import ctgan, tvae
        from sdv import single_table
        from sdv.metadata import Metadata
        torch.set_num_threads(threads)
        torch.manual_seed(seed)
        ctgan.tqdm = tvae.tqdm = Epochs
        self.train, self.seconds, self.neural = train, minutes * 60, peer != "gaussian-copula"
        kind = {"gaussian-copula": single_table.GaussianCopulaSynthesizer, "ctgan": single_table.CTGANSynthesizer,
                "tvae": single_table.TVAESynthesizer}[peer]
        settings = {"enable_gpu": False} if self.neural else {}
        self.make = lambda: kind(Metadata.detect_from_dataframes({"table": train}), **settings)

    def fit(self):
        Epochs.end = processor_seconds() + self.seconds
        self.model = self.make()
        self.model.fit({"table": self.train})

    def sample(self, rows):
        drawn = self.model.sample(rows)
        return drawn["table"] if isinstance(drawn, dict) else drawn

    def epochs(self):
        return Epochs.done if self.neural else None


class Mostly:
    """MOSTLY AI's engine for tables."""

    def __init__(self, peer, train, minutes, threads, seed):
        import torch
        from mostlyai.engine import TabularARGN
        torch.set_num_threads(threads)
        self.train, self.folder = train, tempfile.TemporaryDirectory()
        self.model = TabularARGN(workspace_dir=self.folder.name, random_state=seed, verbose=0, device="cpu",
                                 max_training_time=minutes)

    def fit(self):
        self.model.fit(self.train)

    def sample(self, rows):
        return self.model.sample(rows, device="cpu")

    def epochs(self):
        import pandas
        files = pathlib.Path(self.folder.name).rglob("progress-messages.csv")
        return max((float(pandas.read_csv(file)["epoch"].max()) for file in files), default=None)


def like(drawn, schema):
    """The drawn data frame as an Arrow table in the columns and types of train.parquet."""
    import pandas
    import pyarrow
    columns = []
    for field in schema:
        values = drawn[field.name]
        if pyarrow.types.is_boolean(field.type):
            values = values.astype(str).str.lower().map({"true": True, "1": True, "false": False, "0": False})
        elif pyarrow.types.is_integer(field.type):
            values = pandas.to_numeric(values).round().astype("Int64")
        elif pyarrow.types.is_floating(field.type):
            values = pandas.to_numeric(values).astype(float)
        elif pyarrow.types.is_string(field.type) or pyarrow.types.is_large_string(field.type):
            values = values.astype(object).where(values.notna(), None)
        columns.append(pyarrow.Array.from_pandas(values, type=field.type))
    return pyarrow.Table.from_arrays(columns, schema=schema)


def write_json(path, fields):
    path.write_text(json.dumps(fields, indent=1) + "\n")


def run(a):
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(a.threads)
    import numpy
    import pyarrow.parquet
    source = a.dir / "train.parquet"
    schema, train = pyarrow.parquet.read_schema(source), pyarrow.parquet.read_table(source).to_pandas()
    numpy.random.seed(a.seed)
    peer = (Mostly if a.peer == "mostly" else Sdv)(a.peer, train, a.minutes, a.threads, a.seed)
    _, fit_wall, fit_processor = timed(peer.fit)
    drawn, sample_wall, sample_processor = timed(lambda: peer.sample(len(train)))
    pyarrow.parquet.write_table(like(drawn, schema), a.out)
    packages = {package: version(package) for package in PACKAGES[a.peer]}
    write_json(a.out.with_suffix(".json"), {
        "peer": a.peer, "version": next(iter(packages.values())), "packages": packages,
        "dataset": json.loads((a.dir / "meta.json").read_text())["name"], "rows": len(drawn), "minutes": a.minutes,
        "threads": a.threads, "seed": a.seed, "epochs": peer.epochs(), "fit_seconds": fit_wall,
        "fit_cpu_seconds": fit_processor, "sample_seconds": sample_wall, "sample_cpu_seconds": sample_processor,
        "rows_per_second": len(drawn) / sample_wall, "peak_memory_bytes": peak_bytes()})


def jobs(tables, patterns):
    """Pairs of table folder and peer; without patterns peer by peer, the smaller tables first."""
    folders = [folder.parent for folder in tables.glob("*/train.parquet")]
    folders.sort(key=lambda folder: (folder / "train.parquet").stat().st_size)
    every = [(folder, peer) for peer in PEERS for folder in folders]
    chosen = [job for pattern in patterns for job in every if fnmatch.fnmatch(f"{job[0].name}.{job[1]}", pattern)]
    return list(dict.fromkeys(chosen))


def failure(command):
    """None, or the last lines that the failing command printed."""
    done = subprocess.run([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    return None if done.returncode == 0 else f"exit status {done.returncode}: {done.stderr[-2000:]}"


def succeeded(path):
    return path.exists() and "error" not in json.loads(path.read_text())


def all_peers(a):
    a.results.mkdir(parents=True, exist_ok=True)
    for folder, peer in jobs(a.tables, a.only):
        stem = f"{folder.name}.{peer}"
        synthetic, costs, score = (a.results / f"{stem}.{suffix}" for suffix in ("parquet", "json", "score.json"))
        started, error = time.strftime("%H:%M:%S"), None
        if not (succeeded(costs) and synthetic.exists()):
            python = a.python_mostly if peer == "mostly" else a.python_sdv
            score.unlink(missing_ok=True)
            error = failure([python, __file__, "run", "--peer", peer, "--dir", folder, "--out", synthetic,
                             "--minutes", a.minutes, "--threads", a.threads])
            if error:
                write_json(costs, {"peer": peer, "dataset": folder.name, "error": error})
        if not error and not succeeded(score):
            error = failure([a.python_judge, a.judge, "score", "--dir", folder, "--synth", synthetic, "--json", score])
            if error:
                write_json(score, {"error": error})
        print(started, time.strftime("%H:%M:%S"), stem, error or "done", flush=True)


COLUMNS = ("peer", "indistinguishability", "utility (real)", "shapes", "accuracy ÷ ceiling", "DCR share",
           "membership AUC", "fit s", "fit CPU s", "peak GB", "rows/s", "epochs")


def shown(number, digits):
    return "–" if number is None else f"{number:.{digits}f}"


def cells(costs, score):
    if "error" in costs or "error" in score:
        return [costs["peer"], "failed"] + ["–"] * (len(COLUMNS) - 2)
    quality = ["–"] * 6
    if score:
        utility = f"{shown(score['utility_synthetic'], 4)} ({shown(score['utility_real'], 4)})"
        share = None if score["accuracy"] is None else score["accuracy"] / score["accuracy_ceiling"]
        quality = [shown(score["indistinguishability"], 3), utility, shown(score["column_shapes"], 4), shown(share, 4),
                   shown(score["dcr_share"], 3), shown(score["membership_auc"], 3)]
    memory = costs["peak_memory_bytes"]
    return [costs["peer"], *quality, shown(costs["fit_seconds"], 0), shown(costs["fit_cpu_seconds"], 0),
            shown(memory and memory / 1e9, 2), shown(costs["rows_per_second"], 0), shown(costs.get("epochs"), 0)]


def table(a):
    datasets = {}
    for path in sorted(a.results.glob("*.json")):
        if path.name.endswith(".score.json"):
            continue
        costs, scores = json.loads(path.read_text()), path.with_name(path.name[: -len("json")] + "score.json")
        score = json.loads(scores.read_text()) if scores.exists() else {}
        datasets.setdefault(costs["dataset"], []).append((costs, score))
    for dataset, runs in datasets.items():
        runs.sort(key=lambda run: -run[1].get("indistinguishability", -1))
        lines = [COLUMNS, ["---"] * len(COLUMNS), *(cells(*run) for run in runs)]
        print(f"### {dataset}\n")
        print("\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("run", help="fit one peer on one table and sample")
    command.add_argument("--peer", required=True, choices=PEERS)
    command.add_argument("--dir", required=True, type=pathlib.Path, help="folder with train.parquet and meta.json")
    command.add_argument("--out", required=True, type=pathlib.Path, help="FILE.parquet; FILE.json is written beside it")
    command.add_argument("--minutes", type=float, default=20)
    command.add_argument("--threads", type=int, default=2)
    command.add_argument("--seed", type=int, default=1)
    command.set_defaults(call=run)
    command = commands.add_parser("all", help="run and score every peer on every table")
    command.add_argument("--judge", required=True, type=pathlib.Path)
    command.add_argument("--tables", required=True, type=pathlib.Path)
    command.add_argument("--results", required=True, type=pathlib.Path)
    command.add_argument("--python-sdv", required=True)
    command.add_argument("--python-mostly", required=True)
    command.add_argument("--python-judge", required=True)
    command.add_argument("--minutes", type=float, default=20)
    command.add_argument("--threads", type=int, default=2)
    command.add_argument("--only", nargs="+", default=["*"], metavar="PATTERN", help="TABLE.PEER, * for any")
    command.set_defaults(call=all_peers)
    command = commands.add_parser("table", help="print the results as Markdown")
    command.add_argument("--results", required=True, type=pathlib.Path)
    command.set_defaults(call=table)
    a = parser.parse_args()
    a.call(a)


main()
