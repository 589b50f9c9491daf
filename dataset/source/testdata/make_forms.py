"""Writes the same records in the forms that other programs write: python make_forms.py forms (pyarrow 26)."""
import json
import sys

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


def main(out):
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
    views, large = with_texts_as(table, pa.string_view()), with_texts_as(table, pa.large_string())
    for name, t, codec, new in [("file", table, None, pa.ipc.new_file), ("stream", table, "zstd", pa.ipc.new_stream),
                                ("views", views, None, pa.ipc.new_stream), ("large", large, "lz4", pa.ipc.new_file)]:
        with new(f"{out}/{name}.arrow", t.schema, options=pa.ipc.IpcWriteOptions(compression=codec)) as w:
            w.write_table(t, max_chunksize=17)


main(sys.argv[1])
