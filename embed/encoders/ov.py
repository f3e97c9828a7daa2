"""One model compiled by OpenVINO for this machine's CPU. Imports neither PyTorch nor the model's library."""

from __future__ import annotations

import os
import queue
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from embed.encoders.base import Vectors
from embed.encoders.batches import Tokens

if TYPE_CHECKING:
    import openvino

INPUTS: Final = ("input_ids", "attention_mask")
_SPARE_REQUESTS = 4
_GROUP = 384
_FIRST = threading.Lock()


class Compiled:
    """Token ids and masks in, vectors out; thread-safe, one stream a thread, first come, first served.

    Args:
        graph: the `.xml` file, its weights beside it.
        threads: streams, each on one core.
    """

    def __init__(self, graph: Path, *, threads: int) -> None:
        import openvino

        core = openvino.Core()
        self.bf16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        model = core.compile_model(graph, "CPU", _options(threads, self.bf16))
        self._requests: queue.LifoQueue[openvino.InferRequest] = queue.LifoQueue()
        # Last in, first out: a request keeps the memory of the largest batch it ran. The spare ones are so that a query
        # never waits behind a whole document.
        for _ in range(threads + _SPARE_REQUESTS):
            self._requests.put(model.create_infer_request())
        # What OpenVINO's binding prepares at the first inference of a process it prepares in C++, letting go of the
        # interpreter meanwhile: a second thread that comes then takes the interpreter and waits for it, for ever.
        with _FIRST:
            self.infer(np.ones((1, 1), np.int64), np.ones((1, 1), np.int64))

    def infer(self, tokens: Tokens, mask: Tokens) -> Vectors:
        """Vectors of shape (rows, dimension) for arrays of shape (rows, width)."""
        request = self._requests.get()
        try:
            request.infer(dict(zip(INPUTS, (tokens, mask), strict=True)), share_inputs=True)
            return np.array(request.get_output_tensor(0).data, np.float32)
        finally:
            self._requests.put(request)


def _options(threads: int, bf16: bool) -> dict[str, object]:
    """Unpinned: pinned, the threads of two processes would share one core."""
    return {
        "INFERENCE_PRECISION_HINT": "bf16" if bf16 else "f32",
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": _GROUP,
        "NUM_STREAMS": threads,
        "INFERENCE_NUM_THREADS": threads,
        "ENABLE_CPU_PINNING": False,
    }


def usable_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0))
