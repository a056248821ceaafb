"""A training step of LTX-2.3 at its real size in PyTorch, as a Python user would write it, with random weights.

    gpu_step.py                                  the five presets, eager and compiled, until the budget is spent
    gpu_step.py --presets medium-1x1 --modes eager --steps 5
    gpu_step.py --layers 4 8                     two depths: their difference is the cost of a layer
    gpu_step.py --tiny                           all of it in seconds, on a machine without a GPU

diffusers' LTX-2 transformer with peft's LoRA in float32 over a frozen base in bf16, gradient checkpointing, fused
AdamW, gradients clipped to 1. Every measurement is a line of JSON on the standard output, and a failed one too; what
else there is to say goes to the standard error. `step.py` beside this file must travel along.
"""

import time

STARTED = time.monotonic()

import argparse  # noqa: E402
import contextlib  # noqa: E402
import gc  # noqa: E402
import json  # noqa: E402
import statistics  # noqa: E402
import sys  # noqa: E402

import diffusers  # noqa: E402
import peft  # noqa: E402
import torch  # noqa: E402
from torch.nn.attention import SDPBackend, sdpa_kernel  # noqa: E402
from torch.nn.functional import scaled_dot_product_attention  # noqa: E402

from step import adapters, add_adapters, loss_of, transformer  # noqa: E402

# Latent frames, rows and columns of 89 frames of video.
PRESETS = {
    "medium-1x1": (12, 24, 24),
    "low-1x1": (12, 16, 16),
    "medium-16x9": (12, 14, 24),
    "high-16x9": (12, 17, 30),
    "high-1x1": (12, 30, 30),
}
TINY_PRESETS = {"tiny-1x1": (2, 4, 4), "tiny-16x9": (2, 3, 5)}
REAL = {"num_attention_heads": 32, "attention_head_dim": 128, "cross_attention_dim": 4096}
TINY = {"num_attention_heads": 4, "attention_head_dim": 32, "cross_attention_dim": 128}
CONTEXT, TINY_CONTEXT = 1024, 16
# The kernels of an attention in order of preference; the single audio token falls through to what takes it.
ATTENTIONS = {
    "cudnn": [SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH],
    "flash": [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH],
    "default": None,
}
# Seconds that must be left for a first compiled step to be tried.
COMPILING = 60


class OutOfBudget(Exception):
    pass


def log(*words):
    print(f"[{time.monotonic() - STARTED:6.1f} s]", *words, file=sys.stderr, flush=True)


def build(sizes, layers, rank, device):
    """The model with its weights drawn on the device; nothing of it ever lies in the host's memory."""
    with torch.device("meta"):
        model = transformer({"num_layers": layers, **sizes}).to(torch.bfloat16)
        add_adapters(model, rank)
    for _, factor in adapters(model):
        factor.data = factor.data.float()
    model.to_empty(device=device)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.fill_(1)
            elif parameter.dim() < 2:
                parameter.zero_()
            else:
                parameter.normal_(0, 0.02)
    assert not list(model.buffers()), "a buffer would be left without its values"
    return model.train()


def draw_case(grid, sizes, context, device):
    """A batch of one sample, half of whose tokens are kept."""
    tokens = grid[0] * grid[1] * grid[2]
    generator = torch.Generator(device).manual_seed(1)

    def normal(*shape):
        return torch.randn(shape, generator=generator, device=device)

    return {
        "clean": normal(1, tokens, 128),
        "noise": normal(1, tokens, 128),
        "kept": (torch.arange(tokens, device=device) % 2).float()[None],
        "sigma": torch.full((1,), 0.6, device=device),
        "context": normal(1, context, sizes["cross_attention_dim"]).to(torch.bfloat16),
    }


class Clock:
    """Times between marks on the device, in seconds."""

    def __init__(self, device):
        self.cuda = device == "cuda"
        self.marks = []

    def mark(self):
        if self.cuda:
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            self.marks.append(event)
        else:
            self.marks.append(time.perf_counter())

    def times(self):
        pairs = list(zip(self.marks, self.marks[1:]))
        if self.cuda:
            torch.cuda.synchronize()
            return [start.elapsed_time(end) / 1000 for start, end in pairs]
        return [end - start for start, end in pairs]


class Trainer:
    def __init__(self, model, options):
        self.model, self.options = model, options
        self.parameters = [parameter for _, parameter in adapters(model)]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=1e-4, fused=True)

    def step(self, case, grid):
        """Seconds of forward, backward and update, and the loss."""
        device = self.options.device
        clock = Clock(device)
        clock.mark()
        with torch.autocast(device, torch.bfloat16, enabled=self.options.precision == "autocast"):
            loss = loss_of(self.model, case, grid)
        clock.mark()
        loss.backward()
        clock.mark()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        clock.mark()
        return clock.times(), loss.item()

    def measure(self, case, grid, warm_up):
        """Steps until there are enough of them or the budget is spent; what came of them."""
        if self.options.device == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        first, elapsed, measured = None, 0.0, []
        for count in range(warm_up + self.options.steps):
            # A step takes about what the one before it took.
            if remaining(self.options) < elapsed:
                break
            start = time.perf_counter()
            phases, loss = self.step(case, grid)
            elapsed = time.perf_counter() - start
            first = first or elapsed
            if count >= warm_up:
                measured.append(phases)
        if not measured:
            raise OutOfBudget
        totals = [sum(phases) for phases in measured]
        forward, backward, update = (statistics.median(phase) for phase in zip(*measured))
        peak = torch.cuda.max_memory_allocated() if self.options.device == "cuda" else None
        used = used_bytes() if self.options.device == "cuda" else None
        return {
            "seconds": statistics.median(totals),
            "all_seconds": totals,
            "phases": {"forward": forward, "backward": backward, "update": update},
            "first_seconds": first,
            "peak_bytes": peak,
            "used_bytes": used,
            "loss": loss,
        }


def used_bytes():
    """What the driver counts as used: what PyTorch holds in reserve and the context included."""
    free, total = torch.cuda.mem_get_info()
    return total - free


def remaining(options):
    return options.budget - (time.monotonic() - STARTED)


def cast_inputs(_, args, kwargs):
    """Without autocast the latents must come in the type of the weights; times and positions stay as they are."""
    kept = ("timestep", "audio_timestep", "sigma")
    for name, value in kwargs.items():
        if isinstance(value, torch.Tensor) and name not in kept:
            kwargs[name] = value.to(torch.bfloat16)
    return args, kwargs


def attention_seconds(backends, tokens, sizes):
    """Seconds of an attention there and back, in the layout in which diffusers hands it over."""
    heads, head = sizes["num_attention_heads"], sizes["attention_head_dim"]
    shape = (1, tokens, heads, head)
    query, key, value = (
        torch.randn(shape, device="cuda", dtype=torch.bfloat16).permute(0, 2, 1, 3).requires_grad_() for _ in range(3)
    )
    grad = torch.randn(shape, device="cuda", dtype=torch.bfloat16).permute(0, 2, 1, 3)
    times = []
    with sdpa_kernel(backends):
        for _ in range(7):
            clock = Clock("cuda")
            clock.mark()
            scaled_dot_product_attention(query, key, value).backward(grad)
            clock.mark()
            times += clock.times()
    return statistics.median(times[2:])


def fastest_attention(sizes, tokens):
    seconds = {}
    for name in ("cudnn", "flash"):
        try:
            seconds[name] = attention_seconds(ATTENTIONS[name][:1], tokens, sizes)
        except RuntimeError as error:
            log(f"attention {name}: {error}")
    log("attention, forward and backward, at", tokens, "tokens:", {name: f"{s * 1e3:.2f} ms" for name, s in seconds.items()})
    return min(seconds, key=seconds.get) if seconds else "default"


def kernels(attention):
    backends = ATTENTIONS[attention]
    return sdpa_kernel(backends, set_priority=True) if backends else contextlib.nullcontext()


def emit(options, line):
    text = json.dumps(line)
    print(text, flush=True)
    if options.out:
        with open(options.out, "a") as file:
            file.write(text + "\n")


def attempt(trainer, options, mode, preset, common):
    grid = options.grids[preset]
    line = {**common, "preset": preset, "tokens": grid[0] * grid[1] * grid[2], "mode": mode}
    for attention in dict.fromkeys([options.attention, "flash"]):
        if mode == "compile" and remaining(options) < options.compile_reserve:
            raise OutOfBudget
        line["attention"] = attention
        try:
            case = draw_case(grid, options.sizes, options.context, options.device)
            with kernels(attention):
                found = trainer.measure(case, grid, warm_up=2 if mode == "compile" else 1)
            emit(options, {**line, **found})
            return
        except RuntimeError as error:
            emit(options, {**line, "error": str(error).split("\n")[0][:300]})
            memory = isinstance(error, torch.OutOfMemoryError)
        trainer.optimizer.zero_grad(set_to_none=True)
        gc.collect()
        if memory:
            return
        # A kernel that the card or the compiler lacks: the other one is tried.
        torch._dynamo.reset()


def measure_depth(options, layers):
    log(f"building {layers} layers")
    model = build(options.sizes, layers, options.rank, options.device)
    if options.precision == "bf16":
        model.register_forward_pre_hook(cast_inputs, with_kwargs=True)
    if options.checkpointing == "on":
        model.enable_gradient_checkpointing()
    trainer = Trainer(model, options)
    device = torch.cuda.get_device_name() if options.device == "cuda" else "cpu"
    common = {
        "side": "pytorch",
        "what": "step",
        "device": device,
        "layers": layers,
        "rank": options.rank,
        "precision": options.precision,
        "checkpointing": options.checkpointing == "on",
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "peft": peft.__version__,
    }
    for mode in options.modes:
        if mode == "compile":
            torch._dynamo.config.recompile_limit = 64
            # With a gradient asked of its input too, the first block shares the graph of the others: half the compiling.
            model.proj_in.register_forward_hook(lambda _, __, output: output.requires_grad_())
            model.compile_repeated_blocks(dynamic=options.dynamic)
        for preset in options.presets:
            log(mode, preset)
            attempt(trainer, options, mode, preset, common)
    if "compile" in options.modes:
        counters = torch._dynamo.utils.counters
        log("compiled graphs:", dict(counters["stats"]), "breaks:", dict(counters["graph_break"]))


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", nargs="+", help="in the order in which they are measured; all by default")
    parser.add_argument("--modes", nargs="+", default=["eager", "compile"], choices=["eager", "compile"])
    parser.add_argument("--steps", type=int, default=3, help="measured steps of each; the median counts")
    parser.add_argument("--budget", type=float, default=420, help="seconds of this process after which it stops")
    parser.add_argument("--compile-reserve", type=float, default=None, help="seconds that must be left to compile")
    parser.add_argument("--layers", nargs="+", type=int, default=None)
    parser.add_argument("--rank", type=int, default=32)
    parser.add_argument("--attention", default="auto", choices=["auto", *ATTENTIONS])
    parser.add_argument("--precision", default="autocast", choices=["autocast", "bf16"])
    parser.add_argument("--checkpointing", default="on", choices=["on", "off"])
    parser.add_argument("--dynamic", action="store_true", help="compile for sizes that change, once for all presets")
    parser.add_argument("--out", help="a file to which every line is added as well")
    parser.add_argument("--tiny", action="store_true")
    found = parser.parse_args()
    found.device = "cuda" if torch.cuda.is_available() and not found.tiny else "cpu"
    found.grids = TINY_PRESETS if found.tiny else PRESETS
    found.presets = found.presets or list(found.grids)
    found.sizes, found.context = (TINY, TINY_CONTEXT) if found.tiny else (REAL, CONTEXT)
    found.layers = found.layers or ([2] if found.tiny else [48])
    found.compile_reserve = COMPILING if found.compile_reserve is None else found.compile_reserve
    unknown = set(found.presets) - set(found.grids)
    if unknown:
        parser.error(f"there is no preset {', '.join(sorted(unknown))}: {', '.join(found.grids)}")
    if found.device == "cpu" and not found.tiny:
        parser.error("no GPU was found; --tiny runs without one")
    if found.device == "cpu" and found.attention == "auto":
        found.attention = "default"
    return found


def main(chosen):
    torch.manual_seed(1)
    # Where nothing is cast to bf16, the adapters' products in float32 may use the matrix units.
    torch.set_float32_matmul_precision("high")
    if chosen.attention == "auto":
        chosen.attention = fastest_attention(chosen.sizes, tokens=6912)
    try:
        for layers in chosen.layers:
            measure_depth(chosen, layers)
            gc.collect()
            if chosen.device == "cuda":
                torch.cuda.empty_cache()
    except OutOfBudget:
        log(f"the budget of {chosen.budget:.0f} s is spent")


if __name__ == "__main__":
    main(options())
