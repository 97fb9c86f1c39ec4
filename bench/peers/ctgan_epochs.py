"""Fits the `ctgan` package for a number of epochs, to be held against `twinmart fit --method gan --epochs N`.

  python3 -m venv CTGAN && CTGAN/bin/pip install ctgan==0.12.1 torch==2.15.0 numpy==1.26.4 pandas==2.3.3 pyarrow==21.0.0
  CTGAN/bin/python ctgan_epochs.py --dir TABLE --epochs 20 --out FILE.parquet [--threads 2]

TABLE holds train.parquet as `rows.py prepare` of the judges writes it; its text and boolean columns are told to the package as
discrete. Prints one JSON object: seconds of fit and sample, and the largest resident memory.
"""
import argparse
import json
import os
import pathlib
import resource
import time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--dir", required=True, type=pathlib.Path)
parser.add_argument("--epochs", type=int, required=True)
parser.add_argument("--out", required=True)
parser.add_argument("--threads", type=int, default=2)
a = parser.parse_args()
os.environ["OMP_NUM_THREADS"] = str(a.threads)

import pandas as pd
import torch
from ctgan import CTGAN

torch.set_num_threads(a.threads)
torch.manual_seed(0)
table = pd.read_parquet(a.dir / "train.parquet")
discrete = [c for c in table if not pd.api.types.is_numeric_dtype(table[c]) or pd.api.types.is_bool_dtype(table[c])]
for column in discrete:
    table[column] = table[column].astype(str)
model = CTGAN(epochs=a.epochs, verbose=False, enable_gpu=False)
began = time.time()
model.fit(table, discrete)
fitted = time.time()
twin = model.sample(len(table))
sampled = time.time()
original = pd.read_parquet(a.dir / "train.parquet")
for column in discrete:
    if pd.api.types.is_bool_dtype(original[column]):
        twin[column] = twin[column] == "True"
twin.to_parquet(a.out, index=False)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"rows": len(table), "epochs": a.epochs, "threads": a.threads, "fit_seconds": round(fitted - began, 1),
                  "seconds_per_epoch": round((fitted - began) / a.epochs, 2),
                  "sample_seconds": round(sampled - fitted, 1), "peak_mb": peak // 1024}))
