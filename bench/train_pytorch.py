#!/usr/bin/env python3
"""Times training steps of a PyTorch model of the family alternately with those of `fulmen train bench`.

The model below is written for PyTorch as one would write it there: lightning attention in blocks of batched products, tokens
grouped by expert, softmax attention through PyTorch's own operator where it has one, autograd, AdamW in its fastest form. It first
shows that losses and gradients are those of `fulmen train gradients` on the same weights and tokens, so both do the same work.

  apt-get install python3-torch libopenblas0-openmp     # without OpenBLAS, Debian's PyTorch multiplies 30 times slower
  /usr/bin/python3 bench/train_pytorch.py --fulmen build/release/fulmen

Standard output: one JSON object. Rates count tokens of documents; padding is work, not tokens.
"""

import argparse
import json
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time

import torch
import torch.nn.functional as F

BLOCK = 256  # tokens of a block of lightning attention, as in the report
ROW = 2048
ROWS = 4


def say(text):
    print(text, file=sys.stderr, flush=True)


def read_safetensors(path):
    """{name: float32 tensor} of a file of F32 tensors."""
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        data = bytearray(file.read())
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        if entry["dtype"] != "F32":
            sys.exit(f"{path}: {name} is {entry['dtype']}; write the model with fulmen synth --type f32")
        begin, end = entry["data_offsets"]
        tensors[name] = torch.frombuffer(data, dtype=torch.float32, count=(end - begin) // 4, offset=begin).view(entry["shape"])
    return tensors


def alibi_slopes(heads):
    power = 2 ** math.floor(math.log2(heads))
    slopes = [2 ** (-8 * (i + 1) / power) for i in range(power)]
    if power < heads:
        slopes += alibi_slopes(2 * power)[::2][: heads - power]
    return slopes


class Model:
    def __init__(self, folder):
        with open(os.path.join(folder, "config.json")) as file:
            self.config = c = json.load(file)
        self.weights = {}
        for name in sorted(os.listdir(folder)):
            if name.endswith(".safetensors"):
                self.weights.update(read_safetensors(os.path.join(folder, name)))
        self.weights = {name: w.clone().requires_grad_() for name, w in self.weights.items()}
        self.layers = c["num_hidden_layers"]
        self.heads, self.kv_heads = c["num_attention_heads"], c["num_key_value_heads"]
        self.dim, self.rotary = c["head_dim"], c["rotary_dim"]
        self.experts, self.k = c["num_local_experts"], c["num_experts_per_tok"]
        self.decays = [self.block_decay(layer) for layer in range(self.layers)]
        self.angles = {}

    def block_decay(self, layer):
        """Per head: the decay within a block, of queries from its start, of keys to its end, and over the whole block."""
        factor = 1 - layer / (self.layers - 1) + 1e-5 if self.layers > 1 else 1 + 1e-5
        slopes = torch.tensor(alibi_slopes(self.heads)).view(-1, 1, 1) * factor
        i = torch.arange(BLOCK, dtype=torch.float32)
        distance = i[:, None] - i[None, :]
        within = torch.where(distance >= 0, torch.exp(-slopes * distance.clamp(min=0)), torch.zeros(()))
        return (within[:, None], torch.exp(-slopes * (i[:, None] + 1))[:, None],
                torch.exp(-slopes * (BLOCK - 1 - i[:, None]))[:, None], torch.exp(-slopes * BLOCK))

    def norm(self, x, name, epsilon):
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + epsilon) * self.weights[name]

    def lightning(self, x, layer):
        w, name = self.weights, f"model.layers.{layer}.self_attn."
        rows, length, _ = x.shape
        blocks = -(-length // BLOCK)
        qkv = F.silu(F.linear(x, w[name + "qkv_proj.weight"]))
        qkv = F.pad(qkv, (0, 0, 0, blocks * BLOCK - length))
        qkv = qkv.view(rows, blocks, BLOCK, self.heads, 3, self.dim).permute(4, 0, 3, 1, 2, 5)
        q, k, v = qkv[0], qkv[1], qkv[2]  # [rows, heads, blocks, BLOCK, dim]
        within, from_start, to_end, over = self.decays[layer]
        added = torch.matmul((k * to_end).transpose(-1, -2), v)  # what each block adds to the state
        states = [torch.zeros_like(added[:, :, 0])]
        for block in range(blocks - 1):
            states.append(states[-1] * over + added[:, :, block])
        heads = torch.matmul(torch.matmul(q, k.transpose(-1, -2)) * within, v)
        heads = heads + torch.matmul(q * from_start, torch.stack(states, 2))
        heads = heads.permute(0, 2, 3, 1, 4).reshape(rows, blocks * BLOCK, -1)[:, :length]
        gate = torch.sigmoid(F.linear(x, w[name + "output_gate.weight"]))
        return F.linear(self.norm(heads, name + "norm.weight", 1e-6) * gate, w[name + "out_proj.weight"])

    def rotate(self, x):
        length = x.shape[2]
        if length not in self.angles:
            half = torch.arange(0, self.rotary, 2, dtype=torch.float32) / self.rotary
            angles = torch.arange(length, dtype=torch.float32)[:, None] * (1 / self.config["rope_theta"] ** half)[None]
            self.angles[length] = torch.cat([angles, angles], -1).cos(), torch.cat([angles, angles], -1).sin()
        cosine, sine = self.angles[length]
        turned, kept = x[..., : self.rotary], x[..., self.rotary :]
        first, second = turned.chunk(2, -1)
        return torch.cat([turned * cosine + torch.cat([-second, first], -1) * sine, kept], -1)

    def softmax(self, x, layer):
        w, name = self.weights, f"model.layers.{layer}.self_attn."
        rows, length, _ = x.shape

        def project(what, heads):
            return F.linear(x, w[f"{name}{what}_proj.weight"]).view(rows, length, heads, self.dim).transpose(1, 2)

        q, k, v = self.rotate(project("q", self.heads)), self.rotate(project("k", self.kv_heads)), project("v", self.kv_heads)
        k, v = (t.repeat_interleave(self.heads // self.kv_heads, 1) for t in (k, v))
        if hasattr(F, "scaled_dot_product_attention"):
            heads = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            mask = torch.full((length, length), -math.inf).triu(1)
            heads = torch.matmul(torch.softmax(torch.matmul(q * self.dim**-0.5, k.transpose(-1, -2)) + mask, -1), v)
        return F.linear(heads.transpose(1, 2).reshape(rows, length, -1), w[name + "o_proj.weight"])

    def mlp(self, x, layer, valid, router):
        w, name = self.weights, f"model.layers.{layer}.block_sparse_moe."
        shape = x.shape
        x = x.reshape(-1, shape[-1])
        logits = F.linear(x, w[name + "gate.weight"])
        top, chosen = logits.topk(self.k, -1)
        share = torch.softmax(top, -1)
        counts = torch.bincount(chosen[valid].flatten(), minlength=self.experts)
        router.append((counts, torch.softmax(logits, -1)[valid].sum(0)))
        out = torch.zeros_like(x)
        for expert in range(self.experts):
            tokens, slots = torch.nonzero(chosen == expert, as_tuple=True)
            taken = x.index_select(0, tokens)
            of_expert = f"{name}experts.{expert}."
            hidden = F.silu(F.linear(taken, w[of_expert + "w1.weight"])) * F.linear(taken, w[of_expert + "w3.weight"])
            result = F.linear(hidden, w[of_expert + "w2.weight"]) * share[tokens, slots][:, None]
            out = out.index_add(0, tokens, result)
        return out.view(shape)

    def losses(self, tokens, targets):
        """Sum of the cross-entropies and the auxiliary loss; rows are documents, targets -1 where nothing is to be predicted."""
        c, w = self.config, self.weights
        # Padding lies behind its document, which never sees it.
        valid = torch.zeros(targets.numel(), dtype=torch.bool)
        for row in range(len(targets)):
            length = int((targets[row] >= 0).sum()) + 1
            valid[row * targets.shape[1] : row * targets.shape[1] + length] = True
        router = []
        h = F.embedding(tokens, w["model.embed_tokens.weight"])
        for layer in range(self.layers):
            name = f"model.layers.{layer}."
            full = c["attn_type_list"][layer] == 1
            kind = "full" if full else "linear"
            n = self.norm(h, name + "input_layernorm.weight", c["rms_norm_eps"])
            branch = self.softmax(n, layer) if full else self.lightning(n, layer)
            alpha, beta = (c[f"layernorm_{kind}_attention_{which}"] for which in ("alpha", "beta"))
            h = alpha * (n if c["postnorm"] else h) + beta * branch
            n = self.norm(h, name + "post_attention_layernorm.weight", c["rms_norm_eps"])
            h = c["layernorm_mlp_alpha"] * (n if c["postnorm"] else h) + c["layernorm_mlp_beta"] * self.mlp(n, layer, valid, router)
        h = self.norm(h, "model.norm.weight", c["rms_norm_eps"])
        head = w["model.embed_tokens.weight" if c["tie_word_embeddings"] else "lm_head.weight"]
        wanted = targets.flatten() >= 0
        logits = F.linear(h.view(-1, h.shape[-1])[wanted], head)
        cross_entropy = F.cross_entropy(logits, targets.flatten()[wanted], reduction="sum")
        total = valid.sum() * self.layers
        counts, probabilities = (sum(values) / total for values in zip(*router))
        return cross_entropy, self.experts * (counts * probabilities).sum()


def optimizer_of(model):
    options = dict(lr=1e-3, betas=(0.9, 0.95), eps=1e-6, weight_decay=0.1)
    for fastest in ({"fused": True}, {"foreach": True}):
        try:
            return torch.optim.AdamW(list(model.weights.values()), **options, **fastest)
        except (RuntimeError, TypeError):
            pass
    return torch.optim.AdamW(list(model.weights.values()), **options)


def batch_of(documents):
    """Rows padded to the longest document."""
    length = max(map(len, documents))
    tokens = torch.zeros(len(documents), length, dtype=torch.long)
    targets = torch.full((len(documents), length), -1, dtype=torch.long)
    for row, document in enumerate(documents):
        tokens[row, : len(document)] = torch.tensor(document)
        targets[row, : len(document) - 1] = torch.tensor(document[1:])
    return tokens, targets


def gradients(model, documents, auxiliary=0.01):
    """Adds the gradients of a step over `documents`, ROWS of them at a time."""
    for weight in model.weights.values():
        weight.grad = None
    predicted = sum(len(document) - 1 for document in documents)
    totals = [0.0, 0.0]
    for first in range(0, len(documents), ROWS):
        rows = documents[first : first + ROWS]
        part = sum(map(len, rows)) / sum(map(len, documents))
        cross_entropy, balance = model.losses(*batch_of(rows))
        (cross_entropy / predicted + auxiliary * part * balance).backward()
        totals[0] += cross_entropy.item() / predicted
        totals[1] += part * balance.item()
    return totals


def timed_step(model, optimizer, documents):
    """Tokens per second of one step."""
    start = time.perf_counter()
    gradients(model, documents)
    torch.nn.utils.clip_grad_norm_(list(model.weights.values()), 0.5)
    optimizer.step()
    return sum(map(len, documents)) / (time.perf_counter() - start)


def random_documents(kind, generator, vocabulary):
    """ROWS * ROW tokens: full rows, or lengths log-uniform from 16 to ROW, the last one cut."""
    documents, left = [], ROWS * ROW
    while left > 0:
        length = ROW if kind == "full" else round(math.exp(generator.uniform(math.log(16), math.log(ROW))))
        length = min(length, left)
        documents.append([generator.randrange(vocabulary) for _ in range(length)])
        left -= length
    return [document for document in documents if len(document) > 1]


def run_fulmen(arguments):
    done = subprocess.run(arguments, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(arguments)} failed with status {done.returncode}")
    return json.loads(done.stdout)


def check_agreement(fulmen, folder, model, scratch):
    """The same losses and gradients on the same weights and tokens, or the comparison would mean nothing."""
    generator = random.Random(3)
    vocabulary = model.config["vocab_size"]
    documents = [[generator.randrange(vocabulary) for _ in range(length)] for length in (300, 41, 16, 530)]
    with open(os.path.join(scratch, "batches.json"), "w") as file:
        json.dump({"check": [documents]}, file)
    out = os.path.join(scratch, "gradients.safetensors")
    theirs = run_fulmen([fulmen, "train", "gradients", "-m", folder, "--batches", file.name, "--out", out, "--steps", "1", "--json"])
    theirs = theirs["check"][0]
    cross_entropy, auxiliary = gradients(model, documents)
    differences = {
        "cross_entropy": abs(cross_entropy / theirs["cross_entropy"] - 1),
        "auxiliary": abs(auxiliary / theirs["auxiliary"] - 1),
    }
    reference = read_safetensors(out)
    for name, weight in model.weights.items():
        expected = reference["check.grad." + name]
        differences[name] = ((weight.grad - expected).norm() / expected.norm()).item()
    worst = max(differences, key=lambda name: differences[name] if differences[name] == differences[name] else math.inf)
    say(f"same losses and gradients within {differences[worst]:.1e} ({worst})")
    if not differences[worst] < 1e-3 or not max(differences["cross_entropy"], differences["auxiliary"]) < 1e-5:
        sys.exit("PyTorch's model does not compute what fulmen does")
    return differences[worst]


def product_rate():
    """FLOP/s of PyTorch's matrix product of the size the model needs most."""
    a, b = torch.randn(ROWS * ROW, 384), torch.randn(384, 1152)
    best = math.inf
    for _ in range(5):
        start = time.perf_counter()
        torch.matmul(a, b)
        best = min(best, time.perf_counter() - start)
    return 2 * a.shape[0] * a.shape[1] * b.shape[1] / best


def choose_threads(model, optimizer):
    documents = random_documents("full", random.Random(4), model.config["vocab_size"])[:1]
    rates = {}
    for threads in range(1, len(os.sched_getaffinity(0)) + 1):
        torch.set_num_threads(threads)
        timed_step(model, optimizer, documents)
        rates[threads] = timed_step(model, optimizer, documents)
    best = max(rates, key=rates.get)
    torch.set_num_threads(best)
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fulmen", default="build/release/fulmen", help="the program (default %(default)s)")
    parser.add_argument("--model", help="folder of a float32 model (default: a random one of the preset train-37m)")
    parser.add_argument("--repetitions", type=int, default=5, help="pairs of steps of each kind; medians count (default %(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.model or os.path.join(scratch, "model")
        if not options.model:
            subprocess.run([options.fulmen, "synth", folder, "--type", "f32", "--preset", "train-37m"], check=True)
        model = Model(folder)
        report = {"pytorch": torch.__version__, "worst_difference": check_agreement(options.fulmen, folder, model, scratch)}
        optimizer = optimizer_of(model)
        report["pytorch_threads"] = choose_threads(model, optimizer)
        report["pytorch_product_flops"] = product_rate()
        say(f"PyTorch {torch.__version__}, {report['pytorch_threads']} threads, {report['pytorch_product_flops'] / 1e9:.0f} GFLOP/s in products")
        for kind in ("full", "packed"):
            generator = random.Random(5)
            rates = {"fulmen": [], "pytorch": []}
            for _ in range(options.repetitions):
                ours = run_fulmen([options.fulmen, "train", "bench", "-m", folder, "--documents", kind, "--rows", str(ROWS),
                                   "--length", str(ROW), "--repetitions", "1", "--json"])
                rates["fulmen"].append(ours["tokens_per_second"])
                report["fma_f32_flops"] = ours["fma_f32_flops"]
                if report["pytorch_product_flops"] < 0.2 * ours["fma_f32_flops"][1]:
                    sys.exit("PyTorch multiplies at less than a fifth of this machine's peak: it has a plain BLAS (install "
                             "libopenblas0-openmp), or the machine is busy")
                rates["pytorch"].append(timed_step(model, optimizer, random_documents(kind, generator, model.config["vocab_size"])))
                say(f"{kind}: fulmen {rates['fulmen'][-1]:.0f}, PyTorch {rates['pytorch'][-1]:.0f} tokens/s")
            report[kind] = {f"{name}_tokens_per_second": statistics.median(values) for name, values in rates.items()}
            report[kind]["ratio"] = statistics.median(a / b for a, b in zip(rates["fulmen"], rates["pytorch"]))
            say(f"{kind}: fulmen is {report[kind]['ratio']:.2f} times as fast")
        print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
