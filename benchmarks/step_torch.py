"""The training step of the same network on torch.nn.LSTM with fused Adam, for `benchmarks.worker`.

On the CPU, or on the `device` that the request names, where `precision` says how floats are multiplied. The memory is
kept from batch to batch, but not reset where pieces begin. Axes: t time step, b batch, f field, s head.
"""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports]  # the extra bench
from torch import nn  # pyright: ignore[reportMissingImports]
from torch.nn import functional  # pyright: ignore[reportMissingImports]


class _Network(nn.Module):
    def __init__(self, request: dict[str, Any]) -> None:
        super().__init__()
        sizes, head = request["field_sizes"], request["head_size"]
        # One table for all fields, and the rows of a note added up as they are read: faster than a table for each.
        self.register_buffer("first_rows", torch.tensor(np.cumsum([0, *sizes[:-1]])))
        self.embedding = nn.EmbeddingBag(sum(sizes), request["embedding_size"], mode="sum")
        self.lstm = nn.LSTM(request["embedding_size"], request["hidden_size"], request["num_layers"])
        self.parts = nn.Linear(request["hidden_size"], len(sizes) * head)
        self.contexts = nn.ModuleList(
            nn.EmbeddingBag(sum(sizes[:field]), head, mode="sum") for field in range(1, len(sizes))
        )
        self.outputs = nn.ModuleList(nn.Linear(head, size) for size in sizes)

    def forward(self, inputs_tbf: Any, targets_tbf: Any, carry: Any) -> Any:
        length, batch_size, num_fields = inputs_tbf.shape
        x = self.embedding((inputs_tbf + self.first_rows).view(-1, num_fields))
        x, carry = self.lstm(x.view(length, batch_size, -1), carry)
        parts = self.parts(x).view(length * batch_size, num_fields, -1).unbind(1)
        rows = (targets_tbf + self.first_rows).view(-1, num_fields)
        logits = []
        for field, part in enumerate(parts):
            if field:
                part = part + self.contexts[field - 1](rows[:, :field].contiguous())
            logits.append(self.outputs[field](functional.gelu(part, approximate="tanh")))
        return logits, carry


def make_run(request: dict[str, Any]) -> Callable[[int], float]:
    """Returns what runs k steps on the batches of `request`, with as many threads as it says."""
    torch.set_num_threads(request["threads"])
    torch.manual_seed(0)
    arrays = np.load(request["batches"])
    device, precision = request.get("device", "cpu"), request.get("precision", "float32")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    columns = {
        name: [torch.from_numpy(one).to(device) for one in np.ascontiguousarray(arrays[name].swapaxes(1, 2))]
        for name in ("inputs", "targets", "weights")
    }
    batches = itertools.cycle(list(zip(*columns.values(), strict=True)))
    network = _Network(request).to(device)
    optimizer = torch.optim.Adam(network.parameters(), request["learning_rate"], fused=True)
    carry = None

    def run(num_steps: int) -> float:
        nonlocal carry
        loss: Any = np.nan
        for _ in range(num_steps):
            inputs, targets, weights = next(batches)
            inputs, targets = inputs.long(), targets.long()
            with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
                logits, carry = network(inputs, targets, carry)
                carry = tuple(one.detach() for one in carry)
                nll: Any = sum(
                    functional.cross_entropy(one, targets[..., field].reshape(-1), reduction="none")
                    for field, one in enumerate(logits)
                )
                loss = (nll * weights.view(-1)).sum() / weights.sum()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
        return float(loss)

    return run
