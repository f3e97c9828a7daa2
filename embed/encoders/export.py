"""`python -m embed.encoders.export FOLDER NAME TARGET`: writes a model for OpenVINO, with weights in 8 bits.

It runs as a process of its own, so that PyTorch's memory goes with it. PyTorch's trace is handed to OpenVINO's
frontend directly: its `convert_model` would send usage data.
"""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import AmbitError, SettingError
from embed.encoders.base import Vectors
from embed.encoders.exported import GRAPH, seal
from embed.encoders.files import ModelFiles
from embed.encoders.ov import INPUTS, Compiled

if TYPE_CHECKING:
    import openvino
    import torch

LEAST_COSINE = 0.99
_LARGE = 4096
_PROBES = (
    (1, 3),
    (3, 17),
    (2, 90),
)


def main(folder: str, name: str, target: str) -> int:
    """Exit status 0 when `target` holds the sealed model; else the reason stands on standard error."""
    try:
        export(ModelFiles(name, Path(folder)), Path(target))
    except (AmbitError, RuntimeError, OSError, ValueError, KeyError, ImportError, TypeError, AttributeError) as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    return 0


def export(files: ModelFiles, target: Path) -> None:
    """Writes graph, weights and seal into `target`: 8-bit weights where they keep the vectors, else 16-bit ones.

    Raises:
        SettingError: the exported model makes other vectors than PyTorch does.
    """
    import openvino

    module = _module(files)
    target.mkdir(parents=True, exist_ok=True)
    for weights in ("int8", "fp16"):
        model = _convert(module)
        if weights == "int8":
            quantise(model)
        openvino.save_model(model, target / GRAPH, compress_to_fp16=weights == "fp16")
        lowest = _agreement(module, Compiled(target / GRAPH, threads=1), _vocabulary(files))
        if lowest >= LEAST_COSINE:
            seal(target, weights=weights, cosine=lowest)
            return
    raise SettingError(f"exported, encoder {files.name!r} agrees with PyTorch only to {lowest:.4f}, not {LEAST_COSINE}")


def quantise(model: openvino.Model) -> None:
    """Turns large weights into signed 8-bit integers with one scale a row: output channel, or token of a table.

    The engine multiplies such weights with activations that it quantises as it goes.
    """
    from openvino import Type, opset13

    for node in model.get_ordered_ops():
        place = {"MatMul": 1, "Gather": 0}.get(node.get_type_name())
        source = None if place is None else node.input_value(place).get_node()
        if place is None or source is None or source.get_type_name() != "Constant":
            continue
        values = np.array(source.data)
        by_row = node.get_type_name() == "Gather" or bool(node.get_attributes().get("transpose_b"))
        if values.ndim != 2 or values.dtype != np.float32 or values.size < _LARGE or not by_row:
            continue
        scale = np.maximum(np.abs(values).max(axis=1, keepdims=True), np.finfo(np.float32).tiny) / 127
        whole = np.clip(np.round(values / scale), -127, 127).astype(np.int8)
        wide = opset13.convert(opset13.constant(whole, Type.i8), "f32")
        scaled = opset13.multiply(wide, opset13.constant(scale.astype(np.float32)))
        node.input(place).replace_source_output(scaled.output(0))


def _module(files: ModelFiles) -> torch.nn.Module:
    """Transformer, pooling and normalisation as one module from token ids and mask to unit vectors."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    warnings.simplefilter("ignore")
    import torch
    from transformers import AutoModel
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    pooling = files.pooling
    if pooling is None:
        raise SettingError(f"encoder {files.name!r} is more than a transformer with mean or first-token pooling")

    class Whole(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.transformer = AutoModel.from_pretrained(files.transformer, local_files_only=True, dtype=torch.float32)

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            states = self.transformer(input_ids=input_ids, attention_mask=attention_mask, return_dict=False)[0]
            if pooling == "cls":
                return torch.nn.functional.normalize(states[:, 0], dim=1)
            kept = attention_mask.unsqueeze(-1).to(states.dtype)
            return torch.nn.functional.normalize((states * kept).sum(1) / kept.sum(1).clamp(min=1e-9), dim=1)

    return Whole().eval()


def _convert(module: torch.nn.Module) -> openvino.Model:
    import openvino
    import torch
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    example = (torch.full((2, 7), 5), torch.ones((2, 7), dtype=torch.int64))
    with torch.no_grad():
        traced = torch.jit.trace(module, example, check_trace=False, strict=False)  # type: ignore[no-untyped-call]
    decoder = TorchScriptPythonDecoder(traced, example_input=example)  # must outlive the conversion
    frontend = FrontEndManager().load_by_framework("pytorch")
    model = frontend.convert(frontend.load(decoder))
    for name, port in zip(INPUTS, model.inputs, strict=True):
        port.get_tensor().set_names({name})
        port.get_node().set_partial_shape(openvino.PartialShape([-1, -1]))
        port.get_node().set_element_type(openvino.Type.i64)
    model.validate_nodes_and_infer_types()
    return model


def _agreement(module: torch.nn.Module, compiled: Compiled, vocabulary: int) -> float:
    """Lowest cosine to PyTorch's vectors over batches of several widths, padded rows among them."""
    import torch

    chance = np.random.default_rng(5)
    lowest = 1.0
    for rows, width in _PROBES:
        ids = chance.integers(0, vocabulary, (rows, width))
        mask = np.ones_like(ids)
        mask[1:, width * 2 // 3 :] = 0
        with torch.inference_mode():
            wanted: Vectors = module(torch.from_numpy(ids), torch.from_numpy(mask)).numpy()
        lowest = min(lowest, float(np.sum(wanted * compiled.infer(ids, mask), axis=1).min()))
    return lowest


def _vocabulary(files: ModelFiles) -> int:
    from tokenizers import Tokenizer

    engine: Any = Tokenizer.from_file(str(files.tokenizer))
    return int(engine.get_vocab_size(with_added_tokens=False))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
