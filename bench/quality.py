#!/usr/bin/env python3
"""What quantizing a model costs: how far each type's predictions are from the model's own.

    bench/quality.py MODEL --text held-out.txt [--calibrate other.txt] [--llama FOLDER] [--types Q4_K_M,Q2_K]

For each type, on the held-out text in windows of 512 tokens: the mean Kullback-Leibler divergence of
the float32 model's distribution from the quantized one's, its 99th percentile, and the perplexity.
Quantized plainly, and with the importance of columns on another text; with --llama, a folder with
llama-quantize, the same by llama.cpp from the same float32 file and the same importance. Each
file's weights are widened to float32 before they are measured, so that only their values count.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
TYPES = "Q8_0,Q6_K,Q5_1,Q5_K_M,Q5_0,Q4_1,Q4_K_M,IQ4_NL,Q4_0,IQ4_XS,Q3_K_M,Q2_K"


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"quality.py: {command[0]} failed: {done.stderr.strip().splitlines()[-1:]}")
    return done.stdout


class Bench:
    def __init__(self, options, folder):
        self.options = options
        self.folder = pathlib.Path(folder)
        self.original = self.folder / "f32.gguf"
        self.made = self.folder / "made.gguf"
        run(options.fulmen, "convert", options.model, self.original, "--type", "F32", "-q")

    def measure(self):
        widened = self.folder / "widened.gguf"
        run(self.options.fulmen, "convert", self.made, widened, "--type", "F32", "-q")
        found = json.loads(run(self.options.fulmen, "eval", "perplexity", "-m", widened, "--against",
                               self.original, "-f", self.options.text, "--context", 512, "--json", "-q"))
        return {"kl": found["against"]["kl_mean"], "kl_99": found["against"]["kl_99"],
                "perplexity": found["perplexity"], "bytes": self.made.stat().st_size,
                "original": found["against"]["perplexity"]}

    def ours(self, name, *options):
        run(self.options.fulmen, "quantize", self.original, self.made, name, "-q", *options)
        return self.measure()

    def theirs(self, name, *options):
        run(self.options.llama / "llama-quantize", *options, self.original, self.made, name)
        return self.measure()

    def ways(self):
        """How a file is made, by the name of the column."""
        ways = {"plain": lambda name: self.ours(name)}
        text = self.options.calibrate
        matrix = self.folder / "imatrix.gguf"
        if text:
            run(self.options.fulmen, "imatrix", self.original, text, matrix, "-q")
            ways["calibrated"] = lambda name: self.ours(name, "--imatrix", matrix)
        if self.options.llama:
            ways["llama.cpp plain"] = lambda name: self.theirs(name)
        if self.options.llama and text:
            ways["llama.cpp calibrated"] = lambda name: self.theirs(name, "--imatrix", matrix)
        return ways


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--text", type=pathlib.Path, required=True)
    parser.add_argument("--calibrate", type=pathlib.Path)
    parser.add_argument("--llama", type=pathlib.Path)
    parser.add_argument("--types", default=TYPES)
    parser.add_argument("--fulmen", type=pathlib.Path, default=ROOT / "build/release/fulmen")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options, folder)
        ways = bench.ways()
        found = {}
        for name in options.types.split(","):
            print(name, file=sys.stderr)
            found[name] = {way: make(name) for way, make in ways.items()}
    if options.json:
        print(json.dumps(found, indent=1))
        return
    print("| type | " + " | ".join(ways) + " |\n|" + "---|" * (len(ways) + 1))
    for name, row in found.items():
        cells = [f"{f['kl']:.5f} ({f['kl_99']:.3f}), {f['perplexity']:.1f}" for f in row.values()]
        print(f"| {name} | " + " | ".join(cells) + " |")
    print(f"\nFloat32: perplexity {next(iter(row.values()))['original']:.1f}", file=sys.stderr)


if __name__ == "__main__":
    main()
