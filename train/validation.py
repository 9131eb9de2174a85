"""The loss on the validation split, or on those of a mixture, while a run trains."""

import itertools
import logging
from collections.abc import Iterator
from typing import NamedTuple

import jax
from jax.sharding import Mesh

from ostinato.configs.schema import DataConfig
from ostinato.data.mixture import Mixture
from ostinato.data.records import TFRecordSource
from ostinato.model.network import MusicModel
from ostinato.train.batch import Batch
from ostinato.train.data import evaluation_batches
from ostinato.train.hosts.watchdog import Watchdog
from ostinato.train.step import Params, Totals, evaluate, make_eval_step, means, rows_of_this_host

logger = logging.getLogger(__name__)


class Measured(NamedTuple):
    """A validation split."""

    name: str
    """Of its dataset."""
    source: TFRecordSource
    share: float
    """Its weight in the mean."""


def open_validation(
    mixture: Mixture, data: DataConfig, model: MusicModel, mesh: Mesh, watchdog: Watchdog
) -> "Validation | None":
    """Returns the validation of a run, or None where no dataset has such a split; old music is not measured."""
    parts = [(name, part) for name, part in zip(mixture.names, mixture.parts, strict=True) if not part.is_old]
    has = {name: "validation" in part.dataset.splits for name, part in parts}
    if any(has.values()) and not all(has.values()):
        missing = ", ".join(name for name, found in has.items() if not found)
        logger.warning("%s: no validation split; the loss that decides is that of the other datasets", missing)
    splits = [Measured(name, part.dataset.source("validation"), part.share) for name, part in parts if has[name]]
    return Validation(splits, data, model, mesh, watchdog) if splits else None


class Validation:
    """Measures parameters on every piece of one or several splits; tells the watchdog how far that is."""

    def __init__(
        self, splits: list[Measured], data: DataConfig, model: MusicModel, mesh: Mesh, watchdog: Watchdog
    ) -> None:
        """Takes at least one split, and compiles at the first call."""
        self._splits = splits
        self._field_names = tuple(field.name for field in splits[0].source.codec.fields)
        self._data = data
        self._model = model
        self._mesh = mesh
        self._watchdog = watchdog
        self._eval_step = make_eval_step(model, mesh)

    def __call__(self, params: Params, step: int) -> dict[str, float]:
        """Returns the means over the split, as `means` names them.

        Of several splits they are the means of their means, weighted by the shares; `name/loss`, `name/perplexity` and
        `name/accuracy` are those of each.
        """
        totals = [self._measure(split.source, params, step) for split in self._splits]
        if len(totals) == 1:
            return means(totals[0], self._field_names)
        weights = [split.share / float(one.weight) for split, one in zip(self._splits, totals, strict=True)]
        scale = sum(split.share for split in self._splits)
        mean = jax.tree.map(
            lambda *sums: sum(weight * each for weight, each in zip(weights, sums, strict=True)) / scale, *totals
        )
        values = means(mean, self._field_names)
        for split, one in zip(self._splits, totals, strict=True):
            alone = means(one, self._field_names)
            values |= {f"{split.name}/{name}": alone[name] for name in ("loss", "perplexity", "accuracy")}
        return values

    def _measure(self, source: TFRecordSource, params: Params, step: int) -> Totals:
        size, length = self._data.batch_size, self._data.sequence_length
        rows, copy = rows_of_this_host(self._mesh, size), self._model.config.copy
        batches = evaluation_batches(source, size, length, rows=rows, copy=copy)
        with self._watchdog.validation(step):
            return evaluate(
                self._eval_step,
                params,
                self._model,
                self._announced(batches, step),
                mesh=self._mesh,
                batch_size=size,
            )

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
