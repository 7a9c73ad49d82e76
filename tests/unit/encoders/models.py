"""Small models with random weights, written to files: the real loading code, no hub."""

from pathlib import Path
from typing import Any

import numpy as np

from photoorg.encoders.spaces import OnnxPreprocessing, OnnxSpec, OpenClipSpec
from photoorg.encoders.weights import ModelFile

TINY_CLIP: dict[str, Any] = {
    "embed_dim": 48,
    "vision_cfg": {
        "image_size": 64,
        "layers": 2,
        "width": 64,
        "patch_size": 16,
        "head_width": 32,
    },
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}


def tiny_clip(folder: Path, **changes: Any) -> OpenClipSpec:
    """A ViT of two layers; 64 px in, 48-d out."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(7)
    model = open_clip.create_model("ViT-B-32", **TINY_CLIP)
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(state, folder / "tiny.safetensors")
    torch.save(state, folder / "tiny.pt")
    keys = {
        "kind": "openclip",
        "name": "tiny-clip",
        "model": "ViT-B-32",
        "weights": {"file": "tiny.safetensors"},
        "overrides": TINY_CLIP,
        **changes,
    }
    return OpenClipSpec.model_validate(keys)


def tiny_onnx(
    folder: Path,
    *,
    size: int = 32,
    batch: int | str = "n",
    layout: str = "nchw",
    dtype: str = "float32",
    **changes: Any,
) -> OnnxSpec:
    """A convolution and a pool; `features` are 16-d, a second output holds the raw map."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    types = {
        "float32": TensorProto.FLOAT,
        "float16": TensorProto.FLOAT16,
        "uint8": TensorProto.UINT8,
    }
    rng = np.random.default_rng(3)
    kernel = rng.normal(0, 0.3, (16, 3, 4, 4)).astype(np.float32)
    shape = [batch, 3, size, size] if layout == "nchw" else [batch, size, size, 3]
    steps = [helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT)]
    if layout == "nhwc":
        steps.append(helper.make_node("Transpose", ["float"], ["planes"], perm=[0, 3, 1, 2]))
    steps += [
        helper.make_node(
            "Conv", ["planes" if layout == "nhwc" else "float", "kernel"], ["map"], strides=[4, 4]
        ),
        helper.make_node("Relu", ["map"], ["positive"]),
        helper.make_node("GlobalAveragePool", ["positive"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["features"]),
    ]
    graph = helper.make_graph(
        steps,
        "tiny",
        [helper.make_tensor_value_info("image", types[dtype], shape)],
        [
            helper.make_tensor_value_info("features", TensorProto.FLOAT, [batch, 16]),
            helper.make_tensor_value_info("map", TensorProto.FLOAT, [batch, 16, None, None]),
        ],
        [numpy_helper.from_array(kernel, "kernel")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(folder / "tiny.onnx"))
    plan = {"size": size, "scale": 127.5, "mean": (1.0, 1.0, 1.0), **changes.pop("plan", {})}
    return OnnxSpec(
        kind="onnx",
        name="tiny-onnx",
        weights=ModelFile(file="tiny.onnx"),
        preprocessing=OnnxPreprocessing(**plan),
        **changes,
    )


def pictures(*shapes: tuple[int, int], seed: int = 0) -> list[np.ndarray]:
    """Smooth colour fields with noise, one per (height, width)."""
    rng = np.random.default_rng(seed)
    images = []
    for height, width in shapes:
        y, x = np.mgrid[:height, :width] / max(height, width)
        turns = rng.uniform(1, 9, (3, 2))
        waves = [np.sin(a * x * 6 + b * y * 6) for a, b in turns]
        field = 127 + 90 * np.stack(waves, axis=-1) + rng.normal(0, 12, (height, width, 3))
        images.append(np.clip(field, 0, 255).astype(np.uint8))
    return images
