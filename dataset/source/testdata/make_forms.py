"""Writes the same records as other programs write them: python make_forms.py . (pyarrow 26, duckdb 2.0, polars 2.1)."""
import datetime
import decimal
import json
import sys
import uuid

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

LABELS = ["ALLOW", "ESCALATION", "DENY", "REFUSE"]


def row(i):
    turns = [{"role": "user", "content": "u", "name": None}, {"role": "assistant", "content": f"a{i}", "name": "n"}]
    return {
        "instruction": f"質問 {i}: \"引用\"\n二行目\t😀" + "あ" * (i % 7),
        "input": None if i % 3 == 0 else f"資料 {i}",
        "output": f"回答 {i}\\ / \u0001 終わり",
        "four_class_label": LABELS[i % 4],
        "nsfw": [None, False, True][i % 3],
        "system": None if i % 5 == 0 else "",
        "license": ["MIT", "CC-BY-4.0"][i % 2],
        "four_class_label_id": i % 4,
        "score": i / 8,
        "when": None,
        "quadruple_classification": {"four_class_label": "DENY", "why": None if i % 2 else f"理由{i}"},
        "history": [] if i % 2 else [["前の質問", f"前の回答 {i}"], ["もう一つ", "はい"]],
        "turns": turns if i % 2 else None,
        "tags": ["a", None, f"t{i}"],
    }


def without_nulls(value):
    if isinstance(value, dict):
        return {k: without_nulls(v) for k, v in value.items() if v is not None}
    return [without_nulls(v) for v in value] if isinstance(value, list) else value


def with_texts_as(table, kind):
    return table.cast(pa.schema([pa.field(f.name, kind) if f.type == pa.string() else f for f in table.schema]))


def forms(out):
    rows = [row(i) for i in range(60)]
    with open(f"{out}/rows.jsonl", "w", encoding="utf-8") as f:
        f.writelines(json.dumps(without_nulls(r), ensure_ascii=False) + "\n" for r in rows)
    table = pa.Table.from_pylist(rows)
    at = table.schema.get_field_index("license")
    table = table.set_column(at, "license", table["license"].dictionary_encode())
    for codec in ["none", "snappy", "gzip", "zstd", "brotli", "lz4"]:
        pq.write_table(table, f"{out}/{codec}.parquet", compression=codec, row_group_size=25)
    pq.write_table(table, f"{out}/v2.parquet", data_page_version="2.0", compression="zstd", data_page_size=512, row_group_size=35)
    pq.write_table(table, f"{out}/plain.parquet", use_dictionary=False, data_page_size=256)
    # Encodings of version 2, in pages of both versions.
    plain = table.set_column(at, "license", table["license"].cast(pa.string()))
    deltas = {"instruction": "DELTA_BYTE_ARRAY", "input": "DELTA_LENGTH_BYTE_ARRAY", "output": "DELTA_BYTE_ARRAY",
              "four_class_label": "DELTA_BYTE_ARRAY", "system": "DELTA_LENGTH_BYTE_ARRAY", "license": "DELTA_LENGTH_BYTE_ARRAY",
              "four_class_label_id": "DELTA_BINARY_PACKED", "score": "BYTE_STREAM_SPLIT", "nsfw": "RLE",
              "turns.list.element.content": "DELTA_BYTE_ARRAY", "tags.list.element": "DELTA_LENGTH_BYTE_ARRAY"}
    for page, codec in [("1.0", "gzip"), ("2.0", "brotli"), ("2.0", "lz4"), ("1.0", "none")]:
        pq.write_table(plain, f"{out}/delta{page[0]}_{codec}.parquet", version="2.6", data_page_version=page, compression=codec,
                       use_dictionary=False, column_encoding=deltas, data_page_size=1024, row_group_size=35)
    for version in ["V1", "V2"]:
        duckdb.sql(f"copy plain to '{out}/duckdb_{version.lower()}.parquet' (parquet_version {version}, compression zstd)")
    pl.from_arrow(plain).write_parquet(f"{out}/polars.parquet", row_group_size=35, data_page_size=1024)
    views, large = with_texts_as(table, pa.string_view()), with_texts_as(table, pa.large_string())
    for name, t, codec, new in [("file", table, None, pa.ipc.new_file), ("stream", table, "zstd", pa.ipc.new_stream),
                                ("views", views, None, pa.ipc.new_stream), ("large", large, "lz4", pa.ipc.new_file)]:
        with new(f"{out}/{name}.arrow", t.schema, options=pa.ipc.IpcWriteOptions(compression=codec)) as w:
            w.write_table(t, max_chunksize=17)


def types(out):
    """Writes columns of types that JSON has none for. The timestamps of pyarrow's file are INT96."""
    day = datetime.datetime(2024, 2, 29, 12, 34, 56, 789000)
    old = datetime.datetime(1969, 12, 31, 23, 59, 59, 5000)
    table = pa.table({
        "stamp": pa.array([day, None, old], pa.timestamp("ns")),
        "date": pa.array([day.date(), old.date(), None]),
        "time": pa.array([day.time(), None, old.time()], pa.time64("us")),
        "decimal": pa.array([decimal.Decimal("12.30"), decimal.Decimal("-0.05"), None], pa.decimal128(9, 2)),
        "fixed": pa.array([b"abcd", b"abce", None], pa.binary(4)),
        "half": pa.array([0.5, None, -2.0], pa.float16()),
        "small": pa.array([1, -1, None], pa.int8()),
        "unsigned": pa.array([2**63, 0, None], pa.uint64()),
    })
    pq.write_table(table, f"{out}/pyarrow.parquet", use_deprecated_int96_timestamps=True, use_dictionary=False,
                   column_encoding={"fixed": "DELTA_BYTE_ARRAY", "unsigned": "DELTA_BINARY_PACKED", "small": "DELTA_BINARY_PACKED"})
    ident = uuid.UUID("12345678-9abc-def0-1234-56789abcdef0")
    duckdb.sql(f"copy (select uuid '{ident}' as uuid, timestamp '{day}' as stamp, date '2024-02-29' as date, time '12:34:56' as time, "
               f"12.30::decimal(9,2) as decimal, 255::utinyint as small, map {{'k': 1}} as pairs) to '{out}/duckdb.parquet' "
               "(parquet_version V2)")


forms(f"{sys.argv[1]}/forms")
types(f"{sys.argv[1]}/types")
