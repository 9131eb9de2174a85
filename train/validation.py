"""The loss on the validation split while a run trains."""

import itertools
from collections.abc import Iterator

from jax.sharding import Mesh

from ostinato.configs.schema import DataConfig
from ostinato.data.records import Dataset
from ostinato.model.network import MusicModel
from ostinato.train.data import Batch, evaluation_batches
from ostinato.train.hosts.watchdog import Watchdog
from ostinato.train.step import Params, evaluate, make_eval_step, means, rows_of_this_host


class Validation:
    """Measures parameters on every piece of the split; tells the watchdog how far that is."""

    def __init__(self, dataset: Dataset, data: DataConfig, model: MusicModel, mesh: Mesh, watchdog: Watchdog) -> None:
        """Takes the dataset, whose split "validation" it reads, and compiles at the first call."""
        self._source = dataset.source("validation")
        self._field_names = tuple(field.name for field in dataset.codec.fields)
        self._data = data
        self._model = model
        self._mesh = mesh
        self._watchdog = watchdog
        self._eval_step = make_eval_step(model, mesh)

    def __call__(self, params: Params, step: int) -> dict[str, float]:
        """Returns the means over the split, as `means` names them."""
        size, length = self._data.batch_size, self._data.sequence_length
        rows, copy = rows_of_this_host(self._mesh, size), self._model.config.copy
        batches = evaluation_batches(self._source, size, length, rows=rows, copy=copy)
        with self._watchdog.validation(step):
            totals = evaluate(
                self._eval_step,
                params,
                self._model,
                self._announced(batches, step),
                mesh=self._mesh,
                batch_size=size,
            )
        return means(totals, self._field_names)

    def _announced(self, batches: Iterator[Batch], step: int) -> Iterator[Batch]:
        """Yields the batches and tells the watchdog what is waited for before and after each."""
        for number in itertools.count(1):
            self._watchdog.set_activity("input", f"batch {number} of the validation data")
            batch = next(batches, None)
            kind = "compiling" if number == 1 else "devices"
            self._watchdog.set_activity(kind, f"the devices in the validation after step {step}")
            if batch is None:
                return  # the devices still work
            yield batch
