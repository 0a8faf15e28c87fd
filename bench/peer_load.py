#!/usr/bin/env python3
"""Time Fulmen's engine, or its server, and llama.cpp's server under the same load, alternating, and print the ratios.

    bench/peer_load.py MODEL.gguf --peer path/to/llama-server [-c 8] [-p 256] [-n 64] [-t 2] [-r 3] [--peer-args=--no-repack]

Each of the clients asks twice, with other tokens each time, and waits for its answer in between. Both
start anew for each measurement, and answer one request first that does not count. Ratios are generated tokens per
second of Fulmen over those of the peer: median, smallest and largest of the pairs.
"""
import argparse
import concurrent.futures
import json
import pathlib
import random
import socket
import statistics
import subprocess
import sys
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
REQUESTS = 2  # of each client


def fulmen(options):
    done = subprocess.run(
        [options.fulmen, "bench", "--load", "-m", options.model, "--clients", str(options.clients), "--requests",
         str(REQUESTS * options.clients), "-p", str(options.prompt), "-n", str(options.new), "--threads",
         str(options.threads), "--kv-type", "F16", "--json", "-q"], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"peer_load.py: {done.stderr.strip()}")
    return json.loads(done.stdout)["output_tokens_per_second"]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def post(port, path, body):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=3600) as answer:
        return json.load(answer)


def ask_peer(port, ids, count):
    return post(port, "/completion", {"prompt": ids, "n_predict": count, "ignore_eos": True, "temperature": 0,
                                      "cache_prompt": False})["tokens_predicted"]


def ask_fulmen(port, ids, count):
    answer = post(port, "/v1/completions", {"prompt": ids, "max_tokens": count, "ignore_eos": True, "temperature": 0})
    return answer["usage"]["completion_tokens"]


def measure(command, port, ask, options):
    """Tokens per second of the server that `command` starts."""
    numbers = random.Random(1)
    prompt = lambda: [numbers.randrange(1000) for _ in range(options.prompt)]
    server = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5)
                break
            except OSError:
                if server.poll() is not None:
                    sys.exit(f"peer_load.py: {command[0]} ended with status {server.returncode}")
                time.sleep(0.2)
        ask(port, prompt(), 4)
        prompts = [[prompt() for _ in range(REQUESTS)] for _ in range(options.clients)]
        client = lambda mine: sum(ask(port, ids, options.new) for ids in mine)
        start = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(options.clients) as clients:
            tokens = sum(clients.map(client, prompts))
        return tokens / (time.monotonic() - start)
    finally:
        server.terminate()
        server.wait()


def serve(options):
    port = free_port()
    command = [options.fulmen, "serve", "-m", options.model, "--port", port, "--threads", options.threads, "--kv-type",
               "F16", "--no-sessions", "--quiet", "--log", "none"]
    return measure(command, port, ask_fulmen, options)


def peer(options):
    port = free_port()
    slots = options.clients
    command = [options.peer, "-m", options.model, "--port", port, "-t", options.threads, "-np", slots, "-c",
               slots * (options.prompt + options.new + 16), *options.peer_args]
    return measure(command, port, ask_peer, options)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--peer", required=True, help="llama.cpp's llama-server")
    parser.add_argument("--peer-args", action="append", default=[], help="more words for it, one each")
    parser.add_argument("--fulmen", default=ROOT / "build/release/fulmen")
    parser.add_argument("--serve", action="store_true", help="ask Fulmen over HTTP, too")
    parser.add_argument("-c", "--clients", type=int, default=8)
    parser.add_argument("-p", "--prompt", type=int, default=256)
    parser.add_argument("-n", "--new", type=int, default=64)
    parser.add_argument("-t", "--threads", type=int, default=2)
    parser.add_argument("-r", "--pairs", type=int, default=3)
    options = parser.parse_args()
    mine = serve if options.serve else fulmen
    ratios = []
    for i in range(options.pairs):
        if i % 2 == 0:
            ours, theirs = mine(options), peer(options)
        else:
            theirs, ours = peer(options), mine(options)
        ratios.append(ours / theirs)
        print(f"pair {i + 1} of {options.pairs}: {ours:.1f} and {theirs:.1f} tokens/s", file=sys.stderr)
    print(f"{options.clients} clients, {options.prompt} tokens in, {options.new} out: "
          f"{statistics.median(ratios):.2f} x [{min(ratios):.2f}, {max(ratios):.2f}]")


if __name__ == "__main__":
    main()
