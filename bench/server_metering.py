#!/usr/bin/env python3
"""Measure what keys and metering cost `fulmen serve`: tokens per second with a ledger and without, alternating.

    bench/server_metering.py [-m MODEL] [--clients 8] [--tokens 64] [--seconds 10] [--pairs 5] [--accounts DATABASE]

Clients ask for streams of so many tokens, one after another. Prints one line of JSON: the ratio of tokens per second
with the ledger to those without it (median, smallest, largest). DATABASE is a file of its own unless it is said.
"""
import argparse
import asyncio
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

from server_streams import ROOT, lines, start


async def client(port, headers, tokens, end, heard):
    body = {"messages": [{"role": "user", "content": "Tell me something long."}], "max_tokens": tokens,
            "ignore_eos": True, "stream": True, "temperature": 1, "stream_options": {"include_usage": True}}
    while time.monotonic() < end:
        async for line in lines(port, "/v1/chat/completions", body, headers):
            if line.startswith(b"data: {") and (usage := json.loads(line[6:]).get("usage")):
                heard.append(usage["completion_tokens"])


async def tokens_per_second(options, port, headers):
    await client(port, headers, 4, time.monotonic() + 0.1, [])  # what comes first takes longer
    heard = []
    begin = time.monotonic()
    await asyncio.gather(*(client(port, headers, options.tokens, begin + options.seconds, heard)
                           for _ in range(options.clients)))
    return sum(heard) / (time.monotonic() - begin)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("-m", "--model")
    parser.add_argument("--fulmen", default=ROOT / "build/release/fulmen")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--accounts")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        database = options.accounts or os.path.join(folder, "ledger.db")

        def administer(*words):
            command = [str(options.fulmen), *words, "--accounts", database]
            return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

        key = administer("keys", "create", "of the measurement")
        administer("balance", "add", "1000000", "--ref", key[-12:])
        ledger = ("--accounts", database)
        if database.startswith("postgres"):
            ledger += ("--accounts-journal", pathlib.Path(folder) / "journal")
        speeds = {"without": [], "with": []}
        for pair in range(options.pairs):
            for which in ("without", "with") if pair % 2 == 0 else ("with", "without"):
                words = ledger if which == "with" else ()
                server, port = start(options, "--no-sessions", *words)
                headers = f"Authorization: Bearer {key}\r\n" if which == "with" else ""
                speeds[which].append(asyncio.run(tokens_per_second(options, port, headers)))
                server.terminate()
                server.wait()
    ratios = [a / b for a, b in zip(speeds["with"], speeds["without"])]
    print(json.dumps({"ratio": round(statistics.median(ratios), 3), "smallest": round(min(ratios), 3),
                      "largest": round(max(ratios), 3), "tokens_per_second": round(statistics.median(speeds["with"])),
                      "clients": options.clients, "tokens": options.tokens}))


if __name__ == "__main__":
    main()
