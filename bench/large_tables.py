"""Tables that are large in one way each, as Parquet, for measuring time and memory.

    python bench/large_tables.py wide|long|categories|texts FILE.parquet

wide: 500 columns of 10,000 rows; long: 5,000,000 rows of 20 columns; categories: 1,000,000 rows with a column of 100,000
categories; texts: 1,000,000 rows with a column of distinct texts. Columns are numbers, categories, integers with a spike at
zero, moments, and numbers with gaps that depend on each other through a few hidden factors. Needs numpy and pyarrow.
"""

import argparse

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROWS_OF_A_PART = 250_000


def column(position: int, z: np.ndarray, random: np.random.Generator) -> tuple[str, object]:
    """A column of one of five kinds that follows `z`."""
    kind = position % 5
    if kind == 0:
        return f"n{position}", z
    if kind == 1:
        return f"k{position}", pa.array([f"value {i}" for i in np.clip((z * 3 + 9).astype(int), 0, 19)])
    if kind == 2:
        return f"i{position}", np.maximum((z * 20).astype(int), 0)
    if kind == 3:
        moments = (1.6e9 + z * 1e7).astype("int64") * 1000
        return f"d{position}", pa.array(moments, type=pa.timestamp("ms"))
    return f"m{position}", pa.array(np.round(z * 100, 2), mask=random.random(len(z)) < 0.2)


def dependent(rows: int, columns: int, random: np.random.Generator) -> pa.Table:
    """Columns that follow the same few factors; how they do is the same in every part."""
    loadings = np.random.default_rng(7).normal(size=(columns, 4))
    factors = random.normal(size=(rows, 4))
    return pa.table(dict(column(c, factors @ loadings[c] * 0.5 + random.normal(size=rows), random) for c in range(columns)))


def categories(rows: int, random: np.random.Generator) -> pa.Table:
    """A column of 100,000 categories of unequal weight, and two columns that depend on it."""
    code = (100_000 * random.random(rows) ** 2).astype(int)
    price = np.round(np.exp(code % 97 / 30 + 0.1 * random.normal(size=rows)), 2)
    return pa.table({"item": [f"item {c}" for c in code], "department": [f"d{c % 13}" for c in code], "price": price})


def texts(rows: int, random: np.random.Generator) -> pa.Table:
    """A column in which no text comes twice, and a category."""
    order = random.permutation(rows)
    return pa.table({"code": [f"{i * 2654435761 % 2**32:08x}-{i}" for i in order], "kind": [f"k{i % 5}" for i in order]})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["wide", "long", "categories", "texts"])
    parser.add_argument("file")
    a = parser.parse_args()
    random = np.random.default_rng(1)
    parts = {
        "wide": lambda: [dependent(10_000, 500, random)],
        "long": lambda: (dependent(ROWS_OF_A_PART, 20, random) for _ in range(20)),
        "categories": lambda: [categories(1_000_000, random)],
        "texts": lambda: [texts(1_000_000, random)],
    }[a.kind]()
    writer = None
    for part in parts:
        writer = writer or pq.ParquetWriter(a.file, part.schema)
        writer.write_table(part)
    writer.close()


if __name__ == "__main__":
    main()
