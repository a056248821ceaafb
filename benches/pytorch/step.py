"""A training step in PyTorch, as a Python user would write it: diffusers' LTX-2 transformer with peft's LoRA.

    step.py serve FOLDER LAYERS TOKENS [--checkpointing]   a step for every line read; at the end the peak memory
    step.py gradients FOLDER LAYERS TOKENS                 loss and LoRA gradients of the case, as a file

The model is the one of LTX-2.3 (gated attention, modulated cross-attention, split RoPE), with the audio side as
small as it can be and isolated. Weights and batch are read from the files of `step prepare`.
"""

import json
import sys
import time
from pathlib import Path

import torch
from diffusers import LTX2VideoTransformer3DModel
from peft import LoraConfig
from safetensors import safe_open
from safetensors.torch import load_file, save_file

PREFIX = "model.diffusion_model."
# Names of diffusers for those of the checkpoint, whole path components.
NAMES = {
    "patchify_proj": "proj_in",
    "adaln_single": "time_embed",
    "prompt_adaln_single": "prompt_adaln",
    "q_norm": "norm_q",
    "k_norm": "norm_k",
}
TARGETS = [f"{attention}.{name}" for attention in ("attn1", "attn2") for name in ("to_q", "to_k", "to_v", "to_out.0")]
RANK = 32
AUDIO_HEAD = 8


def build(path):
    with safe_open(path, "pt") as file:
        config = json.loads(file.metadata()["config"])["transformer"]
    model = transformer(config)
    weights = {renamed(key): tensor for key, tensor in load_file(path).items() if is_video(key)}
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert not unexpected and not any(is_video(PREFIX + key) for key in missing), (missing, unexpected)
    model.requires_grad_(False)
    return model


def transformer(config):
    """The model of LTX-2.3 at the sizes of a checkpoint's configuration."""
    heads = config["num_attention_heads"]
    return LTX2VideoTransformer3DModel(
        num_layers=config["num_layers"],
        num_attention_heads=heads,
        attention_head_dim=config["attention_head_dim"],
        cross_attention_dim=config["cross_attention_dim"],
        audio_num_attention_heads=heads,
        audio_attention_head_dim=AUDIO_HEAD,
        audio_cross_attention_dim=heads * AUDIO_HEAD,
        gated_attn=True,
        cross_attn_mod=True,
        audio_gated_attn=True,
        audio_cross_attn_mod=True,
        rope_type="split",
        use_prompt_embeddings=False,
    )


def is_video(key):
    """Whether a key belongs to the transformer's video stream."""
    return key.startswith(PREFIX) and not any(part in key for part in ("audio", "av_", "a2v", "v2a", "connector"))


def add_adapters(model, rank):
    """Freezes the model and adds a LoRA to every attention of the video side."""
    model.requires_grad_(False)
    targets = [f"transformer_blocks.{block}.{target}" for block in range(model.config.num_layers) for target in TARGETS]
    model.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=targets))


def renamed(key):
    return ".".join(NAMES.get(part, part) for part in key.removeprefix(PREFIX).split("."))


def adapters(model):
    """Every LoRA factor by its module's checkpoint name and `lora_A` or `lora_B`."""
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            yield name.replace(".default.weight", ""), parameter


def read_case(model, path):
    case = load_file(path)
    with torch.no_grad():
        for name, parameter in adapters(model):
            parameter.copy_(case[name])
    return case


def velocity(model, case, grid):
    """What the model predicts for the noised case; `grid` is frames, height and width of its latents."""
    clean, noise, kept, sigma = (case[name] for name in ("clean", "noise", "kept", "sigma"))
    kept = kept[..., None]
    latents = kept * clean + (1 - kept) * ((1 - sigma) * clean + sigma * noise)
    frames, height, width = grid
    audio = model.config.audio_num_attention_heads * model.config.audio_attention_head_dim
    return model(
        hidden_states=latents,
        audio_hidden_states=clean.new_zeros(1, 1, model.config.audio_in_channels),
        encoder_hidden_states=case["context"],
        audio_encoder_hidden_states=clean.new_zeros(1, 1, audio),
        timestep=1000 * sigma * (1 - kept[..., 0]),
        audio_timestep=clean.new_zeros(1, 1),
        sigma=1000 * sigma,
        num_frames=frames,
        height=height,
        width=width,
        fps=24.0,
        audio_num_frames=1,
        isolate_modalities=True,
        use_cross_timestep=True,
        return_dict=False,
    )[0]


def square(tokens):
    """The latent grid of eight square frames."""
    side = round((tokens // 8) ** 0.5)
    return 8, side, side


def loss_of(model, case, grid):
    """The loss of a case, whose latents are tokens of `grid`: frames, height, width."""
    kept = case["kept"][..., None]
    error = velocity(model, case, grid) - (case["noise"] - case["clean"])
    return (error.square() * (1 - kept)).mean() / (1 - kept).mean()


def gradients(model, case, tokens, path):
    loss = loss_of(model, case, square(tokens))
    loss.backward()
    found = {name: parameter.grad.contiguous() for name, parameter in adapters(model)}
    save_file({"loss": loss.detach().reshape(1), **found}, path)


def serve(model, case, tokens):
    parameters = [parameter for _, parameter in adapters(model)]
    optimizer = torch.optim.AdamW(parameters, lr=2e-4)
    for _ in sys.stdin:
        start = time.perf_counter()
        loss_of(model, case, square(tokens)).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        print(time.perf_counter() - start, flush=True)
    status = Path("/proc/self/status").read_text()
    print(int(status.split("VmHWM:")[1].split()[0]) * 1024)


def main(mode, folder, layers, tokens, *options):
    torch.set_num_threads(2)
    folder, tokens = Path(folder), int(tokens)
    model = build(folder / f"model-{layers}.safetensors")
    add_adapters(model, RANK)
    model.train()
    if "--checkpointing" in options:
        model.enable_gradient_checkpointing()
    case = read_case(model, folder / f"case-{layers}-{tokens}.safetensors")
    if mode == "gradients":
        gradients(model, case, tokens, folder / f"gradients-{layers}-{tokens}.safetensors")
    else:
        serve(model, case, tokens)


if __name__ == "__main__":
    main(*sys.argv[1:])
