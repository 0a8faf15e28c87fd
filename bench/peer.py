#!/usr/bin/env python3
"""Time Fulmen and llama.cpp on the same GGUF file, alternating, and print the ratios.

    bench/peer.py MODEL.gguf --peer path/to/llama-bench [-p 512] [-n 64] [-d 0] [-t 2] [-r 5] [--kv-type F16] [--json]

Absolute times drift with whatever else the machine does; ratios of neighbours drift less. Each pair
is one run of either program, in turn first and second; both read the file beforehand. Ratios are
tokens per second of Fulmen over those of the peer: median, smallest and largest of the pairs.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def run(command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"peer.py: {command[0]} failed: {done.stderr.strip().splitlines()[-1:]}")
    return json.loads(done.stdout)


def fulmen(options):
    row = run([options.fulmen, "bench", "-m", options.model, "-p", options.prompt, "-n", options.new,
               "-d", options.depth, "--threads", options.threads, "--kv-type", options.kv_type, "-r", 1,
               "--json", "-q"])["rows"][0]
    decode = row["decode"][0]
    return {"prompt": row["prompt_tokens_per_second"], "decode": decode["tokens_per_second"],
            "prompt_share": row["prompt_share_of_peak"], "decode_share": decode["share_of_possible"]}


def peer(options):
    rows = run([options.peer, "-m", options.model, "-p", options.prompt, "-n", options.new,
                "-d", options.depth, "-t", options.threads, "-ctk", options.kv_type.lower(),
                "-ctv", options.kv_type.lower(), "-r", 1, "-o", "json"])
    return {"prompt" if row["n_prompt"] else "decode": row["avg_ts"] for row in rows}


def summary(values):
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def measure(options):
    pairs = []
    for i in range(options.pairs):
        if i % 2 == 0:
            ours, theirs = fulmen(options), peer(options)
        else:
            theirs, ours = peer(options), fulmen(options)
        pairs.append((ours, theirs))
        print(f"pair {i + 1} of {options.pairs}", file=sys.stderr)
    result = {"model": options.model, "pairs": options.pairs, "depth": options.depth,
              "kv_type": options.kv_type}
    for what in ("prompt", "decode"):
        result[what] = {
            "ratio": summary([ours[what] / theirs[what] for ours, theirs in pairs]),
            "share": summary([ours[what + "_share"] for ours, _ in pairs]),
        }
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--peer", required=True, help="llama.cpp's llama-bench")
    parser.add_argument("--fulmen", default=ROOT / "build/release/fulmen")
    parser.add_argument("-p", "--prompt", type=int, default=512)
    parser.add_argument("-n", "--new", type=int, default=64)
    parser.add_argument("-d", "--depth", type=int, default=0)
    parser.add_argument("-t", "--threads", type=int, default=2)
    parser.add_argument("-r", "--pairs", type=int, default=5)
    parser.add_argument("--kv-type", default="F16", help="of both (default: F16, as the peer's)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = measure(options)
    if options.json:
        print(json.dumps(result))
        return
    for what in ("prompt", "decode"):
        ratio, share = result[what]["ratio"], result[what]["share"]
        print(f"{what}: {ratio['median']:.2f} times the peer's tokens/s "
              f"({ratio['low']:.2f} to {ratio['high']:.2f}), {100 * share['median']:.1f} % of the machine's "
              f"({100 * share['low']:.1f} to {100 * share['high']:.1f})")


if __name__ == "__main__":
    main()
