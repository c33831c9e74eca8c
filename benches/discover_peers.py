#!/usr/bin/env python3
"""Hubble's JSON lines decoded, joined with their DNS answers and aggregated: sluice beside DuckDB, jq and the
hubble CLI, on the same generated files, in one run. Prints a table in Markdown; asserts nothing.

    benches/discover_peers.py [--readme] [--size small|medium|large] [--runs 3] [--folder FOLDER] [--hubble PATH]

Needs Python 3.9 and cargo. DuckDB comes from the Python package index into a folder of its own; jq is Debian's
(`apt-get install jq`); the hubble CLI is measured where it is on the PATH or named by --hubble. What is not there
is left out and said. Medium is 1.7 GB and takes a few minutes once the release build is there; large is 17 GB.
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

# The same work as sluice does, and no more: who asked, the latest answer before each connection, then counts by
# workload, name, address and port with first, last and hours. {lines} is where the lines come from.
JOIN = """
SELECT count(*), sum(flows) FROM (
  SELECT f.ns, f.workload, f.ip, f.port, a.name, count(*) AS flows, min(f.at), max(f.at),
         count(DISTINCT date_trunc('hour', f.at))
  FROM flows f ASOF LEFT JOIN answers a ON f.ns = a.ns AND f.pod = a.pod AND f.ip = a.ip AND f.at >= a.at
  GROUP BY ALL)
"""
OF_STRUCTS = """
  answers AS (
    SELECT flow.destination.namespace AS ns, flow.destination.pod_name AS pod, flow.l7.dns.query AS name,
           unnest(flow.l7.dns.ips) AS ip, flow.time AS "at"
    FROM lines WHERE flow.l7.type = 'RESPONSE'),
  flows AS (
    SELECT flow.source.namespace AS ns, flow.source.pod_name AS pod, flow.source.workloads[1].name AS workload,
           flow."IP".destination AS ip, flow.time AS "at",
           coalesce(flow.l4."TCP".destination_port, flow.l4."UDP".destination_port) AS port
    FROM lines WHERE flow.verdict = 'FORWARDED' AND flow.traffic_direction = 'EGRESS'
                 AND flow.l7 IS NULL AND flow.is_reply IS NOT TRUE)
"""
# As one writes it.
AUTO = "WITH lines AS (SELECT flow FROM read_json_auto({files}))," + OF_STRUCTS + JOIN
# Only the members that are needed, each with its type; of the lines only those that are needed are kept, once.
TYPED = """
CREATE TEMP TABLE lines AS SELECT flow FROM read_ndjson({files}, columns={{flow: 'STRUCT(
  "time" TIMESTAMP, verdict VARCHAR, is_reply BOOLEAN, traffic_direction VARCHAR, "IP" STRUCT(destination VARCHAR),
  l4 STRUCT("TCP" STRUCT(destination_port INTEGER), "UDP" STRUCT(destination_port INTEGER)),
  source STRUCT(namespace VARCHAR, pod_name VARCHAR, workloads STRUCT(name VARCHAR)[]),
  destination STRUCT(namespace VARCHAR, pod_name VARCHAR),
  l7 STRUCT("type" VARCHAR, dns STRUCT(query VARCHAR, ips VARCHAR[])))'}})
WHERE flow.l7.type = 'RESPONSE' OR (flow.verdict = 'FORWARDED' AND flow.traffic_direction = 'EGRESS'
      AND flow.l7 IS NULL AND flow.is_reply IS NOT TRUE);
WITH """ + OF_STRUCTS + JOIN
# Without columns: all values of a line by one call, the fastest that we found.
PATHS = """
CREATE TEMP TABLE lines AS
SELECT v, CASE WHEN v[1] = 'RESPONSE' THEN json_extract(json, '$.flow.l7.dns.ips')::VARCHAR[] END AS ips
FROM (SELECT json, json_extract_string(json, ['$.flow.l7.type', '$.flow.verdict', '$.flow.traffic_direction',
        '$.flow.is_reply', '$.flow.time', '$.flow.source.namespace', '$.flow.source.pod_name',
        '$.flow.source.workloads[0].name', '$.flow.IP.destination', '$.flow.l4.TCP.destination_port',
        '$.flow.l4.UDP.destination_port', '$.flow.destination.namespace', '$.flow.destination.pod_name',
        '$.flow.l7.dns.query']) AS v
      FROM read_ndjson_objects({files}))
WHERE v[1] = 'RESPONSE'
      OR (v[2] = 'FORWARDED' AND v[3] = 'EGRESS' AND v[1] IS NULL AND v[4] IS DISTINCT FROM 'true');
WITH
  answers AS (SELECT v[12] AS ns, v[13] AS pod, v[14] AS name, unnest(ips) AS ip, v[5]::TIMESTAMP AS "at"
              FROM lines WHERE v[1] = 'RESPONSE'),
  flows AS (SELECT v[6] AS ns, v[7] AS pod, v[8] AS workload, v[9] AS ip, v[5]::TIMESTAMP AS "at",
                   coalesce(v[10], v[11])::INTEGER AS port
            FROM lines WHERE v[1] IS NULL)
""" + JOIN

# A plain filter, without a join: what one writes first.
JQ = 'select(.flow.verdict=="FORWARDED" and .flow.is_reply!=true)|[.flow.source.namespace,.flow.IP.destination]|@tsv'

HEAD = "| the same {size:.2f} GB, {cores} cores, best of {runs} | seconds | GB/s | processor | most memory | sluice is |\n"
RULE = "| --- | --- | --- | --- | --- | --- |\n"
MARKS = ("<!-- peers -->\n", "<!-- /peers -->\n")


def main():
    args = arguments()
    folder = args.folder or tempfile.mkdtemp(prefix="sluice-peers-")
    try:
        files = generated(folder, args.size)
        size = sum(os.path.getsize(path) for path in files)
        warm(files)
        text = table(list(measured(peers(files, args), size, args.runs)), size, args.runs)
    finally:
        if not args.folder:
            shutil.rmtree(folder)
    print(text, end="")
    if args.readme:
        into_readme(text)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", choices=["small", "medium", "large"], default="medium")
    parser.add_argument("--folder", help="where the week lies or is written; kept")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--hubble", help="the hubble CLI", default=shutil.which("hubble"))
    parser.add_argument("--sluice-only", action="store_true")
    parser.add_argument("--readme", action="store_true", help="put the table into README.md too")
    return parser.parse_args()


def target():
    return os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))


def generated(folder, size):
    """The files of a generated week with Hubble's flows and answers in one stream."""
    marker = os.path.join(folder, f"files.{size}")
    if not os.path.exists(marker):
        say(f"writing a {size} week")
        command = ["cargo", "bench", "--quiet", "--bench", "week", "--", folder, "hubble", size]
        said = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
        say(said.splitlines()[0])
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


def peers(files, args):
    """What is measured: its name, its command, and whether once suffices."""
    yield "`sluice discover`: join, grades, coverage, JSON out", sluice(files), False
    if args.sluice_only:
        return
    for name, query in [
        ("DuckDB as one writes it: `read_json_auto`, ASOF join, counts", AUTO),
        ("DuckDB, our best with typed columns", TYPED),
        ("DuckDB, our best with JSON paths", PATHS),
    ]:
        yield name, duckdb(files, query), False
    if jq := shutil.which("jq"):
        yield "jq, a filter and no join", [jq, "-r", JQ, *files], True
    else:
        say("jq is not there: apt-get install jq")
    if args.hubble:
        yield "hubble CLI, a filter and no join", hubble(args.hubble, files), True
    else:
        say("the hubble CLI is not there: put it on the PATH, or name it with --hubble")


def sluice(files):
    say("building")
    subprocess.run(["cargo", "build", "--release", "--quiet"], cwd=ROOT, check=True)
    binary = os.path.join(target(), "release", "sluice")
    return [binary, "discover", "--cluster", "bench", "-o", "json", "--flows", "hubble-json:", *files]


def duckdb(files, query):
    """A small program in an environment of its own, so that its memory is its own too."""
    home = os.path.join(target(), "peers")
    python = os.path.join(home, "bin", "python")
    if not os.path.exists(python):
        venv.create(home, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "duckdb"], check=True)
    query = f"PRAGMA threads={os.cpu_count()};" + query.format(files=list(files))
    return [python, "-c", "import duckdb, sys\nprint(duckdb.connect().execute(sys.argv[1]).fetchall())", query]


def hubble(binary, files):
    """It reads one file at a time."""
    each = 'for file; do "$0" observe --input-file "$file" --verdict FORWARDED -o compact || exit; done'
    return ["sh", "-c", each, binary, *files]


def measured(peers, size, runs):
    """The best of some runs of each; what fails is said and left out."""
    for name, command, once in peers:
        say(name)
        best, most, processor = None, 0, 0
        for _ in range(1 if once else runs):
            begun = time.monotonic()
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            said = process.stderr.read().decode(errors="replace")
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.monotonic() - begun
            if status != 0:
                say(f"  it ended with {os.waitstatus_to_exitcode(status)}: {said.strip()[:300]}")
                best = None
                break
            most = max(most, usage.ru_maxrss * 1024)
            if best is None or seconds < best:
                best, processor = seconds, usage.ru_utime + usage.ru_stime
        if best is not None:
            yield name, best, size / best / 1e9, processor, most


def table(rows, size, runs):
    text = HEAD.format(size=size / 1e9, cores=os.cpu_count(), runs=runs) + RULE
    for at, (name, seconds, rate, processor, most) in enumerate(rows):
        times = "" if at == 0 else f"{seconds / rows[0][1]:.1f} times as fast"
        text += f"| {name} | {seconds:.1f} | {rate:.2f} | {processor:.1f} s | {most / 1e6:.0f} MB | {times} |\n"
    return text


def into_readme(text):
    path = os.path.join(ROOT, "README.md")
    with open(path) as file:
        before, rest = file.read().split(MARKS[0])
    after = rest.split(MARKS[1])[1]
    with open(path, "w") as file:
        file.write(before + MARKS[0] + text + MARKS[1] + after)


def say(what):
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
