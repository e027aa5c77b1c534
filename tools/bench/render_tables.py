#!/usr/bin/python3
"""Renders measured figures as markdown tables into a document.

  render_tables.py README.md codec=codec.json allreduce=allreduce.json train=train.json
  render_tables.py --check README.md codec=codec.json     exit status 1 if the document would change

Each NAME=FILE replaces what stands between the markers

  <!-- bench:NAME -->
  <!-- /bench -->

in the document, which must have that pair exactly once. The kind of table follows from the file: Google Benchmark's
JSON (codec_bench --benchmark_out=FILE), allreduce_compare.py's, or the JSON list of the training benchmark.
"""

import argparse
import json
import os
import re
import sys

END = "<!-- /bench -->"


def markdown(header, rows):
    """First column to the left, the others to the right."""
    lines = ["| " + " | ".join(header) + " |", "| " + " | ".join(["---"] + ["---:"] * (len(header) - 1)) + " |"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def figure(value, unit=""):
    """Three significant digits, without an exponent."""
    if value is None:
        return "-"
    if value == 0:
        return "0" + unit
    digits = max(0, 2 - len(str(int(abs(value)))) + 1) if abs(value) >= 1 else 3
    return f"{value:,.{digits}f}{unit}"


def size(bytes_):
    for unit, shift in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if bytes_ >= 1 << shift:
            return f"{bytes_ / (1 << shift):g} {unit}"
    return f"{bytes_} B"


def codec_table(data):
    """Google Benchmark: a row per benchmark; medians where the run has aggregates."""
    runs = data["benchmarks"]
    medians = [run for run in runs if run.get("aggregate_name") == "median"]
    rows = []
    for run in medians or [run for run in runs if run.get("run_type", "iteration") == "iteration"]:
        speed = run.get("bytes_per_second")
        rows.append([f"`{run.get('run_name', run['name'])}`", f"{figure(run['real_time'])} {run['time_unit']}",
                     figure(speed / 1e9 if speed else None)])
    context = data.get("context", {})
    where = f"\n\n{context.get('num_cpus', '?')} cores, {context.get('date', 'no date')}."
    return markdown(["benchmark", "time", "GB/s"], rows) + where


def allreduce_table(data):
    """A row per transport, ranks and size; time and busbw per system; Sluice's busbw over the others'."""
    systems = [s for s in data["systems"] if any(s in row["systems"] for row in data["rows"])]
    others = [s for s in systems if any(s in row.get("sluice_busbw_over", {}) for row in data["rows"])]
    header = ["transport", "ranks", "size"] + [f"{s}, µs (GB/s)" for s in systems] + [f"sluice / {s}" for s in others]
    rows = []
    for row in data["rows"]:
        cells = [row["transport"], str(row["ranks"]), size(row["bytes"])]
        for system in systems:
            one = row["systems"].get(system)
            note = f" over {one['over']}" if one and one["over"] != row["transport"] else ""
            cells.append(f"{figure(one['time_us'])} ({figure(one['busbw_gb_s'])}){note}" if one else "not run")
        for system in others:
            ratio = row.get("sluice_busbw_over", {}).get(system)
            cells.append(figure(ratio, "x") if ratio else "-")
        rows.append(cells)
    machine, versions = data["machine"], data["versions"]
    notes = [f"{machine['cores']} cores ({machine['processor']}), load {machine['load_before']:.1f} before and "
             f"{machine['load_after']:.1f} after; median of {data['rounds']} rounds of {data['iterations']} iterations; "
             "GB/s is busbw"]
    notes.append(", ".join(f"{name} {version}" for name, version in sorted(versions.items())))
    for name, links in data["link_mb_s"].items():
        notes.append(f"one plain TCP stream over {name}: {sorted(links)[len(links) // 2]:.0f} MB/s")
    notes += [f"{system} was not run: {why}" for system, why in data["unavailable"].items()]
    notes += [f"failed: {failure.splitlines()[0]}" for failure in data["failed"]]
    return markdown(header, rows) + "\n\n" + ". ".join(notes) + "."


def seconds(value):
    return "-" if value is None else figure(value * 1e3, " ms")


def train_table(data):
    """A row per run of a system; samples/s with its range, accuracy with its spread."""
    rows = []
    for run in data:
        speed = figure(run["samples_s"])
        if run.get("samples_s_min") is not None and run.get("samples_s_max") is not None:
            speed += f" ({figure(run['samples_s_min'])} to {figure(run['samples_s_max'])})"
        accuracy = "-"
        if run.get("accuracy") is not None:
            accuracy = f"{100 * run['accuracy']:.2f} %"
            if run.get("accuracy_spread") is not None:
                accuracy += f" ± {100 * run['accuracy_spread']:.2f}"
        sent = run.get("bytes_per_step")
        rows.append([run["model"], str(run["rate"]), str(run["ranks"]), str(run["batch"]), run["system"], run["method"],
                     speed, seconds(run.get("step_s")), seconds(run.get("exposed_s")),
                     "-" if sent is None else figure(sent / 1e6, " MB"), accuracy])
    return markdown(["model", "link", "ranks", "batch", "system", "method", "samples/s", "step", "exposed", "sent per step",
                     "accuracy"], rows)


def render(data):
    if isinstance(data, list):
        return train_table(data)
    if data.get("benchmark") == "allreduce_compare":
        return allreduce_table(data)
    if "benchmarks" in data:
        return codec_table(data)
    raise ValueError("neither Google Benchmark's JSON nor allreduce_compare.py's nor a list of training runs")


def replace(text, name, table):
    """`text` with `table` between the markers of `name`."""
    begin = f"<!-- bench:{name} -->"
    if text.count(begin) != 1:
        raise ValueError(f"the document has {text.count(begin)} markers \"{begin}\", not one")
    after = text.index(begin) + len(begin)
    end = text.find(END, after)
    another = text.find("<!-- bench:", after)
    if end < 0 or 0 <= another < end:
        raise ValueError(f"\"{begin}\" has no \"{END}\" behind it")
    return text[:after] + "\n" + table + "\n" + text[end:]


def main(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; exit status 1 if something would change")
    parser.add_argument("document")
    parser.add_argument("tables", nargs="+", metavar="NAME=FILE")
    args = parser.parse_args(argv)
    base = os.environ.get("BUILD_WORKING_DIRECTORY", "")
    document = os.path.join(base, args.document)
    try:
        with open(document, encoding="utf-8") as file:
            before = file.read()
        text = before
        for word in args.tables:
            name, equals, path = word.partition("=")
            if not equals or not re.fullmatch(r"[\w-]+", name):
                parser.error(f"\"{word}\" is not NAME=FILE")
            try:
                with open(os.path.join(base, path), encoding="utf-8") as file:
                    text = replace(text, name, render(json.load(file)))
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f"{path}: {error!r}" if isinstance(error, KeyError) else f"{path}: {error}") from error
    except (OSError, ValueError) as error:
        print(f"render_tables.py: {error}", file=sys.stderr)
        return 2
    if args.check:
        if text != before:
            print(f"render_tables.py: {args.document} is out of date", file=sys.stderr)
        return int(text != before)
    if text != before:
        with open(document, "w", encoding="utf-8") as file:
            file.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
