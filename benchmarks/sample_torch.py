"""The same network drawn from by an eager loop over torch.nn.LSTMCell, for `benchmarks.worker`.

Of torch's ways it is the fastest: torch.nn.LSTM called a step at a time takes several times as long. Nothing is
forbidden and no grammar is looked at. A unit is ROWS rows of each piece. Axes: b batch, f field.
"""

from collections.abc import Callable
from typing import Any

import torch  # pyright: ignore[reportMissingImports]  # the extra bench
from torch import nn  # pyright: ignore[reportMissingImports]
from torch.nn import functional  # pyright: ignore[reportMissingImports]

ROWS = 128


class _Network(nn.Module):
    def __init__(self, request: dict[str, Any]) -> None:
        super().__init__()
        sizes, hidden, head = request["field_sizes"], request["hidden_size"], request["head_size"]
        self.embeddings = nn.ModuleList(nn.Embedding(size, request["embedding_size"]) for size in sizes)
        widths = [request["embedding_size"], *[hidden] * (request["num_layers"] - 1)]
        self.cells = nn.ModuleList(nn.LSTMCell(width, hidden) for width in widths)
        self.parts = nn.Linear(hidden, len(sizes) * head)
        self.contexts = nn.ModuleList(
            nn.ModuleList(nn.Embedding(sizes[i], head) for i in range(j)) for j in range(len(sizes))
        )
        self.outputs = nn.ModuleList(nn.Linear(head, size) for size in sizes)

    def forward(self, row_bf: Any, carry: list[Any]) -> tuple[Any, list[Any]]:
        """Returns the next row and the new carry."""
        x: Any = sum(table(row_bf[:, i]) for i, table in enumerate(self.embeddings))
        new = []
        for k, cell in enumerate(self.cells):
            h, c = cell(x, carry[k])
            new.append((h, c))
            x = x + h if k else h
        values: list[Any] = []
        contexts: Any = self.contexts
        for j, part in enumerate(self.parts(x).chunk(len(self.outputs), dim=1)):
            for i, value in enumerate(values):
                part = part + contexts[j][i](value)
            logits = self.outputs[j](functional.gelu(part, approximate="tanh"))
            values.append(torch.multinomial(torch.softmax(logits, dim=1), 1)[:, 0])
        return torch.stack(values, dim=1), new


def make_run(request: dict[str, Any]) -> Callable[[int], float]:
    """Returns what writes k units and returns the rows of each, of all pieces together."""
    torch.set_num_threads(request["threads"])
    torch.manual_seed(0)
    device = request.get("device", "cpu")
    network, batch_size = _Network(request).to(device), request["batch_size"]
    row = torch.zeros(batch_size, len(request["field_sizes"]), dtype=torch.long, device=device)
    zeros = torch.zeros(batch_size, request["hidden_size"], device=device)
    carry = [(zeros, zeros)] * request["num_layers"]

    def run(num_units: int) -> float:
        nonlocal row, carry
        with torch.inference_mode():
            for _ in range(num_units * ROWS):
                row, carry = network(row, carry)
        row.sum().item()  # what runs on a GPU has to be done
        return ROWS * batch_size

    return run
