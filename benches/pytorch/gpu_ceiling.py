"""What a GPU can do at most, at the shapes of LTX-2.3: products of matrices, copies, attention.

    gpu_ceiling.py            a line of JSON for each measurement
    gpu_ceiling.py --tiny     the same at tiny sizes, on a machine without a GPU

Medians of repeated runs on random data. Weights are taken by turns from several copies, so that no run finds its
weights in the cache, as no layer of a model does.
"""

import json
import statistics
import subprocess
import sys
import time

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

TINY = "--tiny" in sys.argv[1:]
DEVICE = "cpu" if TINY else "cuda"
TOKENS = (16, 32) if TINY else (3072, 6912, 10800)
WIDTH, HEADS, HEAD, HIDDEN = (64, 4, 16, 256) if TINY else (4096, 32, 128, 16384)
COPIED = 1 << 20 if TINY else 4 << 30
WEIGHTS = 4
REPEATS = 3 if TINY else 20


def seconds(run):
    """The median of repeated runs; `run` is given the number of its turn."""
    for turn in range(3):
        run(turn)
    times = []
    if DEVICE == "cpu":
        for turn in range(REPEATS):
            start = time.perf_counter()
            run(turn)
            times.append(time.perf_counter() - start)
        return statistics.median(times)
    marks = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(REPEATS)]
    torch.cuda.synchronize()
    for turn, (start, end) in enumerate(marks):
        start.record()
        run(turn)
        end.record()
    torch.cuda.synchronize()
    return statistics.median(start.elapsed_time(end) for start, end in marks) / 1000


def normal(*shape):
    return torch.randn(shape, device=DEVICE, dtype=torch.bfloat16)


def emit(**line):
    print(json.dumps({"side": "pytorch", **line}), flush=True)


def device():
    name, driver = "cpu", None
    if DEVICE == "cuda":
        query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
        name, driver, _ = subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip().split(", ")
    properties = torch.cuda.get_device_properties(0) if DEVICE == "cuda" else None
    emit(
        what="device",
        device=name,
        driver=driver,
        memory_bytes=properties and properties.total_memory,
        processors=properties and properties.multi_processor_count,
        torch=torch.__version__,
        cuda=torch.version.cuda,
        cudnn=torch.backends.cudnn.version(),
    )


def products():
    for inputs, outputs in ((WIDTH, WIDTH), (WIDTH, HIDDEN), (HIDDEN, WIDTH)):
        weights = [normal(outputs, inputs) for _ in range(WEIGHTS)]
        for tokens in TOKENS:
            x = normal(tokens, inputs)
            y = torch.empty(tokens, outputs, device=DEVICE, dtype=torch.bfloat16)
            taken = seconds(lambda turn: torch.mm(x, weights[turn % WEIGHTS].T, out=y))
            teraflops = 2 * tokens * inputs * outputs / taken / 1e12
            emit(what="matmul", m=tokens, k=inputs, n=outputs, seconds=taken, tflops=teraflops)


def copies():
    source, target = (torch.empty(COPIED, device=DEVICE, dtype=torch.uint8) for _ in range(2))
    source.random_(0, 256)
    taken = seconds(lambda _: target.copy_(source))
    emit(what="copy", bytes=2 * COPIED, seconds=taken, gbps=2 * COPIED / taken / 1e9)


def attention(name, backend, tokens):
    # In memory as tokens, heads, channels: so the projections leave it.
    shape = (1, tokens, HEADS, HEAD)
    query, key, value = (normal(*shape).permute(0, 2, 1, 3).requires_grad_() for _ in range(3))
    grad = normal(*shape).permute(0, 2, 1, 3)
    with sdpa_kernel(backend):
        with torch.no_grad():
            forward = seconds(lambda _: scaled_dot_product_attention(query, key, value))
        output = scaled_dot_product_attention(query, key, value)

        def back(_):
            torch.autograd.grad(output, (query, key, value), grad, retain_graph=True)

        backward = seconds(back)
    operations = 4 * tokens * tokens * HEADS * HEAD
    line = {"what": "attention", "backend": name, "tokens": tokens}
    emit(**line, direction="forward", seconds=forward, tflops=operations / forward / 1e12)
    emit(**line, direction="backward", seconds=backward, tflops=2.5 * operations / backward / 1e12)


def attentions():
    backends = {"flash": SDPBackend.FLASH_ATTENTION}
    if DEVICE == "cuda":
        backends["cudnn"] = SDPBackend.CUDNN_ATTENTION
    for name, backend in backends.items():
        for tokens in TOKENS:
            try:
                attention(name, backend, tokens)
            except RuntimeError as error:
                emit(what="attention", backend=name, tokens=tokens, error=str(error).split("\n")[0][:300])


if __name__ == "__main__":
    torch.manual_seed(1)
    device()
    products()
    copies()
    attentions()
