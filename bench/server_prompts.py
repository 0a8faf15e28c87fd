#!/usr/bin/env python3
"""Measure what `fulmen serve` makes of long prompts, beside what the engine itself does in the same run.

    bench/server_prompts.py -m MODEL [--length 32768] [--pairs 3] [--only read|reuse|stall|turns] [--chat-format m1]

read    the whole prompt through /v1/completions and by `fulmen bench`, alternating: ratio of times; and what the
        first token took beyond the engine's own time for the same request
reuse   prompts that begin as one that was read: tokens that were cached, and time to the first token beside its
stall   four streams and short prompts while a long one is read, as multiples of what each takes alone
turns   a chat in a session: what was cached of all that was there before, and the first token beside the first turn's

Prints a line for each measurement. Ratios: median, smallest and largest.
"""
import argparse
import asyncio
import json
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

from server_streams import ROOT, lines, start

SHORT = 128  # tokens of the prompts that come while a long one is read
STREAMS = 4
numbers = random.Random(1)


def ids(count):
    return [numbers.randrange(1000) for _ in range(count)]


class Asked:
    """One request: when it was sent, when its tokens came, and the usage it was told."""

    def __init__(self, port, path, body, headers=""):
        self.at = time.monotonic()
        self.tokens = []
        self.usage = None
        body = {**body, "stream": True, "ignore_eos": True, "stream_options": {"include_usage": True}}
        self.lines = lines(port, path, body, headers)

    async def hear(self):
        async for line in self.lines:
            if not line.startswith(b"data: {"):
                continue
            event = json.loads(line[6:])
            if "error" in event:
                sys.exit(f"server_prompts.py: {event['error']['message']}")
            choice = (event["choices"] or [{}])[0]
            if choice.get("text") or choice.get("delta", {}).get("content"):
                self.tokens.append(time.monotonic())
            self.usage = event.get("usage") or self.usage
        if self.usage is None:
            sys.exit("server_prompts.py: a stream did not end")
        return self

    def first(self):
        return self.tokens[0] - self.at

    def cached(self):
        return self.usage["prompt_tokens_details"]["cached_tokens"]


async def read(port, prompt, tokens=1):
    return await Asked(port, "/v1/completions", {"prompt": prompt, "max_tokens": tokens}).hear()


def engine_first(port):
    """The seconds that the engine has taken for the first tokens of all requests."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=600) as answer:
        return sum(float(line.split()[-1]) for line in answer.read().decode().splitlines()
                   if line.startswith("fulmen:time_to_first_token_seconds_sum"))


def read_alone(port, prompt):
    """With no other request under way; `beyond`: what its first token took beyond the engine's own time."""
    before = engine_first(port)
    asked = asyncio.run(read(port, prompt))
    asked.beyond = asked.first() - (engine_first(port) - before)
    return asked


def bench_seconds(options):
    command = [options.fulmen, "bench", "-m", options.model, "-p", str(options.length), "-n", "0", "-r", "1", "--json", "-q"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"server_prompts.py: {done.stderr.strip()}")
    return options.length / json.loads(done.stdout)["rows"][0]["prompt_tokens_per_second"]


def spread(values):
    return f"{statistics.median(values):.3f} [{min(values):.3f}, {max(values):.3f}]"


def measure_read(port, options):
    ratios = []
    beyond = []
    for i in range(options.pairs):
        if i % 2 == 0:
            asked, engine = read_alone(port, ids(options.length)), bench_seconds(options)
        else:
            engine, asked = bench_seconds(options), read_alone(port, ids(options.length))
        ratios.append(asked.first() / engine)
        beyond.append(1000 * asked.beyond)
        print(f"pair {i + 1} of {options.pairs}: {asked.first():.1f} and {engine:.1f} s", file=sys.stderr)
    print(f"{options.length} tokens, server / bench: {spread(ratios)} times the time")
    print(f"beyond the engine's own time: {spread(beyond)} ms")


def measure_reuse(port, options):
    found = {}
    for _ in range(options.pairs):
        base = ids(options.length)
        cold = read_alone(port, base).first()
        half = options.length // 2
        for name, prompt, shared in (("the same", base, options.length),
                                     ("and 64 more", base + ids(64), options.length),
                                     ("and another 64", base + ids(64), options.length),
                                     ("half, and others", base[:half] + ids(half), half)):
            asked = read_alone(port, prompt)
            found.setdefault(name, []).append((asked.cached() / shared, asked.first() / cold, 1000 * asked.beyond))
    for name, each in found.items():
        reused, first, beyond = zip(*each)
        print(f"{name}: cached {spread(reused)} of what is shared, first token {spread(first)} of the cold time, "
              f"{statistics.median(beyond):.0f} ms beyond the engine's own")


async def gaps_of(streams, seconds):
    """Of the tokens that come within this time: for each stream, one list."""
    counts = [len(stream.tokens) for stream in streams]
    await asyncio.sleep(seconds)
    return [[b - a for a, b in zip(stream.tokens[count:], stream.tokens[count + 1:])]
            for stream, count in zip(streams, counts)]


async def stall(port, options):
    short = statistics.median([(await read(port, ids(SHORT))).first() for _ in range(5)])
    alone = (await read(port, ids(options.length))).first()
    streams = [Asked(port, "/v1/completions", {"prompt": ids(64), "max_tokens": 60000}) for _ in range(STREAMS)]
    tasks = [asyncio.create_task(stream.hear()) for stream in streams]
    await asyncio.sleep(2)
    middle = lambda gaps: statistics.median(gap for each in gaps for gap in each)
    before = middle(await gaps_of(streams, 3))
    counts = [len(stream.tokens) for stream in streams]
    long = asyncio.create_task(read(port, ids(options.length)))
    shorts = []
    await asyncio.sleep(0.1 * alone)
    while not long.done():
        shorts.append(asyncio.create_task(read(port, ids(SHORT))))
        await asyncio.sleep(0.2 * alone)
    ended = long.result().tokens[0]
    busy = [[token for token in stream.tokens[count:] if token <= ended] for stream, count in zip(streams, counts)]
    firsts = [(await task).first() / short for task in shorts]
    after = middle(await gaps_of(streams, 3))
    for task in tasks:
        task.cancel()
    # The streams have grown meanwhile, and with them their gaps.
    slower = sorted((b - a) / (before + (after - before) * i / len(times))
                    for times in busy for i, (a, b) in enumerate(zip(times, times[1:])))
    return {"gaps, median": statistics.median(slower), "gaps, 99 %": slower[int(0.99 * (len(slower) - 1))],
            "gaps, most": slower[-1], "short prompts, median": statistics.median(firsts),
            "short prompts, most": max(firsts), "the long prompt": long.result().first() / alone}


def measure_stall(port, options):
    runs = [asyncio.run(stall(port, options)) for _ in range(options.pairs)]
    for name in runs[0]:
        print(f"{name}: {spread([run[name] for run in runs])} of its time alone")


def measure_turns(port, options):
    words = lambda count: " ".join(f"w{numbers.randrange(1000)}" for _ in range(count))
    before = cached = 0
    firsts = []
    for turn in range(8):
        body = {"messages": [{"role": "user", "content": words(options.length // 16 if turn == 0 else 20)}],
                "max_tokens": 100}
        asked = asyncio.run(Asked(port, "/v1/chat/completions", body, "Session: turns\r\n").hear())
        firsts.append(asked.first())
        if turn > 0:
            shared, cached = shared + before, cached + asked.cached()
        else:
            shared = 0
        before = asked.usage["total_tokens"]
    later = [first / firsts[0] for first in firsts[1:]]
    print(f"7 turns after one of {options.length // 16} words: cached {cached / shared:.4f} of all before them, "
          f"first token {spread(later)} of the first turn's")


MEASUREMENTS = {"read": measure_read, "reuse": measure_reuse, "stall": measure_stall, "turns": measure_turns}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("-m", "--model", required=True)
    parser.add_argument("--fulmen", default=ROOT / "build/release/fulmen")
    parser.add_argument("--length", type=int, default=32768)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--only", choices=MEASUREMENTS)
    parser.add_argument("--chat-format", default="m1", help="of the turns, for models that have none")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server, port = start(options, "--sessions", pathlib.Path(folder) / "sessions.db", "--chat-format",
                             options.chat_format)
        try:
            asyncio.run(read(port, ids(options.length)))  # so that weights and memory are there
            for name, measure in MEASUREMENTS.items():
                if options.only in (None, name):
                    measure(port, options)
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
