"""A LoRA of ours in other people's hands: each must predict what we predict.

    interop.py CHECKPOINT LORA CASE

CASE is what the program `interop` wrote: an input of the transformer, and our prediction with and without the LoRA. The
LoRA is read by peft, by diffusers' loader for LTX-2, and by nobody, its products added to the weights by hand.
"""

import json
import sys
import tempfile
from pathlib import Path

import torch
from diffusers.loaders.lora_pipeline import LTX2LoraLoaderMixin
from peft import PeftModel
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(Path(__file__).parents[2] / "benches" / "pytorch"))
from step import build, velocity  # noqa: E402

TOLERANCE = 1e-4
KEY = "diffusion_model."


def factors(lora):
    """Every adapted module's name with its A and B, float32."""
    for key, a in lora.items():
        if key.endswith(".lora_A.weight"):
            module = key.removeprefix(KEY).removesuffix(".lora_A.weight")
            yield module, a.float(), lora[key.replace("lora_A", "lora_B")].float()


def by_peft(model, path):
    """peft's own folder format; the module names are those of the PyTorch model."""
    lora = load_file(path)
    modules = {module: a.shape[0] for module, a, _ in factors(lora)}
    (rank,) = set(modules.values())
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": rank, "target_modules": sorted(modules)}
    with tempfile.TemporaryDirectory() as folder:
        save_file({f"base_model.model.{key.removeprefix(KEY)}": tensor for key, tensor in lora.items()}, f"{folder}/adapter_model.safetensors")
        Path(folder, "adapter_config.json").write_text(json.dumps(config))
        return PeftModel.from_pretrained(model, folder)


def by_diffusers(model, path):
    """What `LTX2Pipeline.load_lora_weights` does with the file."""
    state = LTX2LoraLoaderMixin.lora_state_dict(str(path))
    LTX2LoraLoaderMixin.load_lora_into_transformer(state, transformer=model)
    return model


def by_hand(model, path):
    for module, a, b in factors(load_file(path)):
        model.get_submodule(module).weight.add_(b @ a)
    return model


def off(found, right):
    """The largest difference, relative to the largest value."""
    return float((found - right).abs().max() / right.abs().max())


@torch.no_grad()
def main(checkpoint, lora, case):
    torch.set_num_threads(2)
    case = load_file(case)
    grid = [int(length) for length in case["grid"]]
    wrong = 0
    without = off(case["without"], case["with"])
    print(f"{'the LoRA makes a difference of':<40} {without:.1e}")
    for name, load, right in (
        ("nobody: the model without the LoRA", lambda model, _: model, case["without"]),
        ("peft", by_peft, case["with"]),
        ("diffusers' loader for LTX-2", by_diffusers, case["with"]),
        ("merged into the weights by hand", by_hand, case["with"]),
    ):
        distance = off(velocity(load(build(checkpoint), lora), case, grid), right)
        # Without the LoRA it must not come out right by chance.
        good = distance <= TOLERANCE < without / 10
        wrong += not good
        print(f"{name:<40} {distance:.1e}  {'ok' if good else 'FAILED'}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
