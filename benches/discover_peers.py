#!/usr/bin/env python3
"""Hubble's JSON lines decoded, joined with their DNS answers and aggregated: sluice beside DuckDB and jq,
on the same file, in one run. Needs Python 3.9 and cargo; DuckDB comes from the package index into a folder
of its own. Asserts nothing; prints GB/s and the most memory each took.

    benches/discover_peers.py [--size small|large] [--folder FOLDER] [--runs 3] [--sluice-only]
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import venv

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# The same work as sluice does, and no more: who asked, the latest answer before each connection, then counts
# by workload, name, address and port with first, last and hours.
QUERY = """
PRAGMA threads={threads};
CREATE TEMP VIEW lines AS SELECT flow FROM read_ndjson({files}, columns={{flow: 'STRUCT(
  "time" TIMESTAMPTZ, verdict VARCHAR, "Type" VARCHAR, is_reply BOOLEAN, traffic_direction VARCHAR,
  "IP" STRUCT(source VARCHAR, destination VARCHAR),
  l4 STRUCT("TCP" STRUCT(destination_port INTEGER), "UDP" STRUCT(destination_port INTEGER)),
  source STRUCT(namespace VARCHAR, pod_name VARCHAR, workloads STRUCT(name VARCHAR)[]),
  destination STRUCT(namespace VARCHAR, pod_name VARCHAR, workloads STRUCT(name VARCHAR)[]),
  l7 STRUCT("type" VARCHAR, dns STRUCT(query VARCHAR, ips VARCHAR[])))'}});
CREATE TEMP TABLE answers AS
  SELECT flow.destination.namespace AS ns, flow.destination.pod_name AS pod, flow.l7.dns.query AS name,
         unnest(flow.l7.dns.ips) AS ip, flow.time AS at
  FROM lines WHERE flow.l7.type = 'RESPONSE';
SELECT count(*), sum(flows) FROM (
  SELECT f.ns, f.workload, f.ip, f.port, a.name, count(*) AS flows, min(f.at), max(f.at),
         count(DISTINCT date_trunc('hour', f.at))
  FROM (SELECT flow.source.namespace AS ns, flow.source.pod_name AS pod, flow.source.workloads[1].name AS workload,
               flow."IP".destination AS ip, flow.time AS at,
               coalesce(flow.l4."TCP".destination_port, flow.l4."UDP".destination_port) AS port
        FROM lines WHERE flow.verdict = 'FORWARDED' AND flow.traffic_direction = 'EGRESS'
                     AND flow.l7 IS NULL AND flow.is_reply IS NOT TRUE) f
  ASOF LEFT JOIN answers a ON f.ns = a.ns AND f.pod = a.pod AND f.ip = a.ip AND f.at >= a.at
  GROUP BY ALL);
"""

# A plain filter, without a join: what one writes first.
JQ = 'select(.flow.verdict=="FORWARDED" and .flow.is_reply!=true)|[.flow.source.namespace,.flow.IP.destination]|@tsv'


def main():
    args = arguments()
    folder = args.folder or tempfile.mkdtemp(prefix="sluice-peers-")
    files = generated(folder, args.size)
    size = sum(os.path.getsize(path) for path in files)
    warm(files)
    print(f"{size / 1e9:.2f} GB in {len(files)} file(s), {os.cpu_count()} cores, best of {args.runs}\n")
    print(f"{'what':<34}{'seconds':>9}{'GB/s':>8}{'most memory':>14}")
    ours = report("sluice discover", args.runs, size, sluice(files))
    if not args.sluice_only:
        theirs = report("DuckDB, the same join", args.runs, size, duckdb(files))
        if shutil.which("jq"):
            report("jq, a plain filter", 1, size, ["jq", "-r", JQ, *files])
        if ours and theirs:
            print(f"\nsluice is {theirs / ours:.1f} times as fast as DuckDB here")
    if not args.folder:
        shutil.rmtree(folder)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", choices=["small", "large"], default="large")
    parser.add_argument("--folder", help="where the week lies or is written; kept")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--sluice-only", action="store_true")
    return parser.parse_args()


def generated(folder, size):
    """The files of a generated week with Hubble's flows and answers in one stream."""
    marker = os.path.join(folder, f"files.{size}")
    if not os.path.exists(marker):
        command = ["cargo", "bench", "--quiet", "--bench", "week", "--", folder, "hubble", size]
        said = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
        print(said.splitlines()[0])
        with open(marker, "w") as file:
            file.writelines(line + "\n" for line in said.splitlines() if line.startswith(folder))
    with open(marker) as file:
        return file.read().split()


def warm(files):
    """All of them read from memory, none from the disk."""
    for path in files:
        with open(path, "rb", buffering=0) as file:
            while file.read(1 << 24):
                pass


def sluice(files):
    subprocess.run(["cargo", "build", "--release", "--quiet"], cwd=ROOT, check=True)
    binary = os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "release", "sluice")
    return [binary, "discover", "--cluster", "bench", "-o", "json", "--flows", "hubble-json:", *files]


def duckdb(files):
    """A small program in an environment of its own, so that its memory is its own too."""
    home = os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "peers")
    python = os.path.join(home, "bin", "python")
    if not os.path.exists(python):
        venv.create(home, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "duckdb"], check=True)
    query = QUERY.format(threads=os.cpu_count(), files=list(files))
    return [python, "-c", "import duckdb, sys\nprint(duckdb.connect().execute(sys.argv[1]).fetchall())", query]


def report(what, runs, size, command):
    """The best of some runs; None where it failed."""
    best, most = None, 0
    for _ in range(runs):
        begun = time.monotonic()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        said = process.stderr.read().decode(errors="replace")
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - begun
        if status != 0:
            print(f"{what:<34}  ended with {os.waitstatus_to_exitcode(status)}: {said.strip()[:300]}")
            return None
        best, most = min(best or seconds, seconds), max(most, usage.ru_maxrss * 1024)
    print(f"{what:<34}{best:>9.2f}{size / best / 1e9:>8.3f}{most / 1e6:>11.0f} MB")
    return best


if __name__ == "__main__":
    sys.exit(main())
