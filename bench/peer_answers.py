#!/usr/bin/env python3
"""Compare the greedy answers of Fulmen and of llama.cpp on GGUF files that Fulmen wrote.

    bench/peer_answers.py MODEL... --peer path/to/llama-server [--types F32,Q8_0] [-n 64] [--json]

Each MODEL is a folder with a tokenizer. It is converted to each type, and both programs continue the
same prompts, those of the folder's prompts.json or some sentences, up to an end-of-text token. Where two
answers part, the gap is how much Fulmen's logit of its own token is above that of the peer's, as a
share of the largest: near zero, rounding chose. The exit status is 1 when a gap is above --tie.
"""
import argparse
import array
import json
import math
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
LONGEST = 512  # tokens of a prompt
SENTENCES = ("What is Fulmen?", "Once upon a time there was a door.", "2 + 2 =",
             "It was the best of times, it was the worst of times, " * 12)


def run(command, **more):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, **more)
    if done.returncode != 0:
        sys.exit(f"peer_answers.py: {' '.join(map(str, command))}: {done.stderr.strip()}")
    return done.stdout


def prompts_of(options, model):
    """Those in the folder, or some sentences."""
    path = model / "prompts.json"
    if path.exists():
        return {name: ids for name, ids in json.loads(path.read_text()).items() if len(ids) <= LONGEST}
    return {text: json.loads(run([options.fulmen, "tokenize", "-m", model, "--json", text])) for text in SENTENCES}


class Peer:
    """A server of the peer on one file, while a `with` block runs."""

    def __init__(self, options, path):
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            self.address = f"http://127.0.0.1:{unused.getsockname()[1]}"
        self.command = [options.peer, "-m", path, "--port", self.address.rpartition(":")[2], "-c", "1024", "-np", "1",
                        "-t", str(options.threads), "-ctk", "f32", "-ctv", "f32", "-fa", "off", "--no-warmup"]

    def __enter__(self):
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen([str(part) for part in self.command], stdout=self.log, stderr=self.log)
        for _ in range(600):
            if self.process.poll() is not None:
                self.log.seek(0)
                sys.exit(f"peer_answers.py: the peer ended: {self.log.read()[-2000:]}")
            try:
                urllib.request.urlopen(self.address + "/health").close()
                return self
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.1)
        sys.exit("peer_answers.py: the peer does not answer")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.log.close()

    def answer(self, ids, count):
        body = {"prompt": ids, "n_predict": count, "samplers": ["top_k"], "top_k": 1, "return_tokens": True,
                "cache_prompt": False}
        request = urllib.request.Request(self.address + "/completion", json.dumps(body).encode(),
                                         {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as response:
            answer = json.load(response)
        return answer["tokens"][:-1] if answer["stop_type"] == "eos" else answer["tokens"]


def last_logits(options, path, ids):
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "logits.safetensors"
        run([options.fulmen, "eval", "logits", "-m", path, "--tokens", "-", "--last", 1, "--out", out, "-q"],
            input=json.dumps({"p": ids}))
        raw = out.read_bytes()
    header = int.from_bytes(raw[:8], "little")
    begin, end = json.loads(raw[8:8 + header])["p.logits"]["data_offsets"]
    return array.array("f", raw[8 + header + begin:8 + header + end])


def compare(options, path, prompts):
    """What became of each prompt: how many tokens agree, and where they do not, how close it was."""
    ours = json.loads(run([options.fulmen, "eval", "generate", "-m", path, "--tokens", "-", "-n", options.new,
                           "--stop-at-eos", "--json", "-q"], input=json.dumps(prompts)))
    results = []
    with Peer(options, path) as peer:
        for name, ids in prompts.items():
            theirs = peer.answer(ids, options.new)
            same = 0
            while same < min(len(ours[name]), len(theirs)) and ours[name][same] == theirs[same]:
                same += 1
            result = {"prompt": name, "tokens": len(ours[name]), "same": same}
            if same < min(len(ours[name]), len(theirs)):
                logits = last_logits(options, path, ids + ours[name][:same])
                gap = logits[ours[name][same]] - logits[theirs[same]]
                result["gap"] = gap / max(map(abs, logits))
            elif len(ours[name]) != len(theirs):
                result["gap"] = math.inf  # one of them ended
            results.append(result)
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("models", nargs="+", type=pathlib.Path)
    parser.add_argument("--peer", required=True, help="llama.cpp's llama-server")
    parser.add_argument("--fulmen", default=ROOT / "build/release/fulmen")
    parser.add_argument("--types", default="F32,Q8_0")
    parser.add_argument("-n", "--new", type=int, default=64)
    parser.add_argument("-t", "--threads", type=int, default=2)
    parser.add_argument("--tie", type=float, default=1e-5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    report = []
    for model in options.models:
        for kind in options.types.split(","):
            with tempfile.TemporaryDirectory() as folder:
                path = pathlib.Path(folder) / "model.gguf"
                run([options.fulmen, "convert", model, path, "--type", kind, "-q"])
                report.append({"model": str(model), "type": kind, "answers": compare(options, path, prompts_of(options, model))})
    if options.json:
        print(json.dumps(report))
    else:
        for entry in report:
            for answer in entry["answers"]:
                gap = f", parted by {answer['gap']:.1e}" if "gap" in answer else ""
                print(f"{entry['model']} {entry['type']} {answer['prompt'][:20]}: "
                      f"{answer['same']} of {answer['tokens']} tokens the same{gap}")
    gaps = [answer.get("gap", 0) for entry in report for answer in entry["answers"]]
    sys.exit(1 if max(gaps) > options.tie else 0)


if __name__ == "__main__":
    main()
