#!/usr/bin/env python3
"""Measure what `fulmen serve` itself costs: time per streamed token, and memory of streams that wait.

    bench/server_streams.py [-m MODEL] [--streams 1000] [--seconds 35]

Prints one line of JSON: microseconds of the I/O thread per streamed token (with one stream, and with 32), and megabytes
that so many accepted, queued streams take above those of the idle server, with the comments that each of them got.
"""
import argparse
import asyncio
import json
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def start(options, *words):
    command = [options.fulmen, "serve", "--port", "0", "--log", "none", *words]
    if options.model:
        command += ["-m", options.model]
    server = subprocess.Popen([str(word) for word in command], stderr=subprocess.PIPE, text=True)
    for line in server.stderr:
        if found := re.search(r"answers at http://127.0.0.1:(\d+)", line):
            return server, int(found[1])
    sys.exit("server_streams.py: the server did not start")


def io_seconds(pid):
    """Time that the I/O thread has computed."""
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        if (task / "comm").read_text().strip() == "io":
            return int((task / "schedstat").read_text().split()[0]) / 1e9
    sys.exit("server_streams.py: the server has no I/O thread")


def megabytes(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1]) / 1000


async def lines(port, path, body, headers=""):
    """The lines of the answer, as they come."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = json.dumps(body)
    writer.write(f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n{headers}"
                 f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
    try:
        while line := await reader.readline():
            yield line
            if line.startswith(b"data: [DONE]"):
                break
    finally:
        writer.close()


async def stream(port, tokens, heard):
    """Asks for a stream, and counts its events and comments in `heard`."""
    body = {"messages": [{"role": "user", "content": "Tell me something long."}], "max_tokens": tokens,
            "ignore_eos": True, "stream": True, "temperature": 1, "stream_options": {"include_usage": True}}
    async for line in lines(port, "/v1/chat/completions", body):
        if line.startswith(b":"):
            heard["comments"] += 1
        elif line.startswith(b"data: {"):
            heard["events"] += 1
            if usage := json.loads(line[6:]).get("usage"):
                heard["tokens"] += usage["completion_tokens"]
        elif line.startswith(b"HTTP/1.1"):
            heard["statuses"].add(line.split()[1].decode())


def nothing():
    return {"events": 0, "tokens": 0, "comments": 0, "statuses": set()}


async def per_token(server, port, streams, tokens):
    await stream(port, 4, nothing())
    heard = nothing()
    before = io_seconds(server.pid)
    await asyncio.gather(*(stream(port, tokens, heard) for _ in range(streams)))
    if heard["tokens"] != streams * tokens:
        sys.exit(f"server_streams.py: streams that failed: {heard}")
    return (io_seconds(server.pid) - before) / (streams * tokens) * 1e6


async def queued(server, port, streams, seconds):
    busy = asyncio.create_task(stream(port, 1_000_000, nothing()))
    await asyncio.sleep(1)
    before = megabytes(server.pid)
    heard = [nothing() for _ in range(streams)]
    waiting = [asyncio.create_task(stream(port, 5, each)) for each in heard]
    await asyncio.sleep(seconds)
    used = megabytes(server.pid) - before
    for task in [*waiting, busy]:
        task.cancel()
    return {"megabytes": round(used, 1), "streams": streams, "accepted": sum(each["statuses"] == {"200"} for each in heard),
            "events": sum(each["events"] for each in heard), "fewest_comments": min(each["comments"] for each in heard)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("-m", "--model")
    parser.add_argument("--fulmen", default=ROOT / "build/release/fulmen")
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=35)
    options = parser.parse_args()
    result = {}
    server, port = start(options, "--no-sessions")
    for streams, tokens in ((1, 1000), (32, 200)):
        result[f"us_per_token_{streams}"] = round(asyncio.run(per_token(server, port, streams, tokens)), 1)
    server.terminate()
    server.wait()
    server, port = start(options, "--no-sessions", "--most-running", 1, "--most-waiting", 2 * options.streams)
    result["queued"] = asyncio.run(queued(server, port, options.streams, options.seconds))
    server.terminate()
    server.terminate()
    server.wait()
    print(json.dumps(result))


if __name__ == "__main__":
    main()
