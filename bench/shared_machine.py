#!/usr/bin/env python3
"""How Fulmen's threads behave on a machine they do not have to themselves.

Times `fulmen run` in alternating pairs and prints the median ratio of tokens per second, with the
quartiles:

  busy      default threads against one thread, beside one busy loop per processor
  crowded   two and four threads per processor against the default, on a quiet machine
  before    this program against another build of it, on a quiet machine (with --before)

Example:
  bench/shared_machine.py build/release/fulmen --before ../old/build/release/fulmen \\
      nano=models/fulmen-nano:512:256 small=/tmp/small:256:32
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys

WORDS = "the code of the blue door is near a small house by the sea and tom lives in rome "


def measure(program, model, threads):
    """Tokens per second of a prompt and of decoding."""
    _, folder, prompt_tokens, new_tokens = model
    text = (WORDS * (prompt_tokens // 12 + 1))[: prompt_tokens * 4]
    command = [program, "run", "-m", folder, "--raw", "-f", "-", "-n", str(new_tokens),
               "--ignore-eos", "--temperature", "0", "--json", "-q"]
    if threads:
        command += ["--threads", str(threads)]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: {done.stderr.strip()}")
    timings = json.loads(done.stdout)["timings"]
    return (timings["prompt_tokens"] / timings["prompt_seconds"],
            timings["decode_tokens"] / timings["decode_seconds"])


def compare(title, model, first, second, pairs):
    """Alternates two (program, threads) and prints the ratio first / second."""
    ratios = ([], [])
    for _ in range(pairs):
        rates = measure(first[0], model, first[1]), measure(second[0], model, second[1])
        for kind in (0, 1):
            ratios[kind].append(rates[0][kind] / rates[1][kind])
    for kind, name in enumerate(("prompt", "decode")):
        low, median, high = statistics.quantiles(ratios[kind], n=4, method="inclusive")
        print(f"{title:34} {model[0]:8} {name:7} {median:6.3f}  ({low:.3f} to {high:.3f})",
              flush=True)


@contextlib.contextmanager
def busy_loops():
    loops = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(processors())]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def processors():
    return len(os.sched_getaffinity(0))


def parse_model(text):
    name, _, rest = text.partition("=")
    folder, prompt_tokens, new_tokens = rest.rsplit(":", 2)
    return name, folder, int(prompt_tokens), int(new_tokens)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fulmen", help="the program to measure")
    parser.add_argument("models", nargs="+", type=parse_model,
                        metavar="NAME=FOLDER:PROMPT_TOKENS:NEW_TOKENS")
    parser.add_argument("--before", help="another build to compare with")
    parser.add_argument("--pairs", type=int, default=20, help="pairs of each comparison")
    parser.add_argument("--only", choices=("busy", "crowded", "before"))
    options = parser.parse_args()
    this = options.fulmen

    for model in options.models:
        if options.only in (None, "busy"):
            with busy_loops():
                compare("busy: default / one thread", model, (this, 0), (this, 1), options.pairs)
        if options.only in (None, "crowded"):
            for factor in (2, 4):
                compare(f"{factor} threads a processor / default", model,
                        (this, factor * processors()), (this, 0), options.pairs)
        if options.before and options.only in (None, "before"):
            compare("this / before", model, (this, 0), (options.before, 0), options.pairs)


if __name__ == "__main__":
    main()
