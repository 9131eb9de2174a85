"""Every knob of training and sampling, as frozen dataclasses; the command line is built from them.

Only the standard library is imported here, so that `ostinato --help` opens at once. Paths are command-line arguments,
not configuration: equal configurations mean equal runs.
"""

import math
from dataclasses import dataclass, field
from typing import Literal

from ostinato.configs.adversary import AdversaryConfig
from ostinato.configs.checks import check_bounds, check_positive
from ostinato.configs.errors import UserError

CellName = Literal["lstm", "gru", "rnn", "mlstm", "transformer"]
Precision = Literal["float32", "bf16"]

COPY_LAGS = (1, 2, 4, 8, 16, 32)
"""The bars back that a copy gate knows of."""

MAX_SEED = 2**63 - 1
"""The largest that `jax.random.key` takes."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The shape of the network. The size of each field comes from the dataset's codec."""

    cell: CellName = "lstm"
    """The recurrent cell: lstm, gru, a plain (tanh) rnn; mlstm, the matrix memory of xLSTM, which trains in parallel
    over time and pays on accelerators; or transformer, attention to the last memory_size events, to compare with. The
    last two need norm pre."""
    inputs: Literal["embedding", "normalized"] = "embedding"
    """embedding: each field of a note is looked up in a table. normalized: each field is a number from 0 to 1, as in
    the paper."""
    embedding_size: int = 128
    """Width of the embedding of a note."""
    hidden_size: int = 256
    """Units in each recurrent layer."""
    num_layers: int = 2
    """Recurrent layers, one on top of the other."""
    num_heads: int = 4
    """mlstm and transformer only: heads of a layer, which divide hidden_size. A state of an mlstm has
    2 hidden_size^2 / num_heads numbers."""
    memory_size: int = 512
    """transformer only: how many events attention reaches back."""
    residual: bool = True
    """From the second layer on, a layer's output is added to its input, so that deep networks learn as fast as shallow
    ones. False is the plain stack of the paper."""
    norm: Literal["none", "pre"] = "none"
    """pre: a residual stream, of which each layer reads what is normalised (RMS) and to which it adds its output.
    none: layers as `residual` says."""
    copy: bool = False
    """A gate that may copy, field by field, what was heard some bars before (copy_lags): music that comes back.
    Only for datasets of the score codec."""
    copy_lags: tuple[int, ...] = COPY_LAGS
    """How many bars back the gate may copy from: some of 1, 2, 4, 8, 16 and 32."""
    key_condition: bool = False
    """With each event of half of the training pieces the network hears their key, which is found by their pitches; then
    --key can be asked of it. Only for datasets of the score codec."""
    head_size: int = 128
    """Hidden width of the head, for each field."""
    dropout: float = 0.2
    """Share of activations dropped between layers while training."""
    precision: Precision = "float32"
    """What matrix products read. bf16: numbers rounded to bfloat16, for accelerators; sums, states and parameters stay
    float32."""
    recompute: Literal["auto", "never", "always"] = "auto"
    """Whether training keeps every gate for the backward pass, or only the layers' outputs and some states, and
    computes the gates again, a part of the sequence at a time: slower, with less memory. auto: only where they would
    take more than half of a device's memory. An mlstm computes nearly all of it again in any case, and keeps its
    up-projection with never."""

    def __post_init__(self) -> None:
        check_bounds(self, "embedding_size hidden_size num_layers num_heads memory_size head_size", 1)
        if not self.copy_lags or not set(self.copy_lags) <= set(COPY_LAGS):
            raise UserError(f"copy_lags {self.copy_lags} must be one or more of {COPY_LAGS}")
        if not 0.0 <= self.dropout < 1.0:
            raise UserError(f"dropout {self.dropout} must be at least 0 and below 1")
        if self.cell in ("mlstm", "transformer"):
            self._check_block()
        if self.key_condition and self.inputs != "embedding":
            raise UserError("key_condition needs inputs embedding: a key is no number from 0 to 1")

    def _check_block(self) -> None:
        if self.norm != "pre":
            raise UserError(
                f"cell {self.cell} is a block that adds to a residual stream: it needs norm pre, not {self.norm}"
            )
        if self.hidden_size % self.num_heads:
            raise UserError(f"num_heads {self.num_heads} must divide hidden_size {self.hidden_size}")
        if self.cell == "mlstm":
            return
        if self.hidden_size // self.num_heads % 2:
            raise UserError(f"a head of a transformer has an even size, not {self.hidden_size // self.num_heads}")
        if self.inputs != "embedding" or self.embedding_size != self.hidden_size:
            raise UserError(
                "cell transformer adds to what it reads: it needs inputs embedding, and embedding_size "
                f"{self.embedding_size} the same as hidden_size {self.hidden_size}"
            )


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """How pieces become batches."""

    order: Literal["streams", "windows"] = "streams"
    """streams: each row of the batch plays whole pieces one after the other and keeps its memory from batch to batch.
    windows: excerpts of sequence_length steps from random places (the paper)."""
    batch_size: int = 32
    """Rows in a batch, over all devices and hosts together."""
    sequence_length: int = 128
    """Steps in each row of a batch."""
    max_transpose: int = 0
    """Training pieces are moved up or down by at most this many semitones, by others in each epoch. Drums stay, and so
    does a piece that would leave the range of pitches."""
    mark_transposed: bool = False
    """The first event of a training piece tells the network by how many semitones the piece was moved (distribution
    augmentation, Jun et al. 2020): it learns from all keys and generates in those of the collection."""
    max_tempo_change: int = 0
    """Training pieces are played faster or slower by at most this many per cent, by another in each epoch."""
    max_velocity_change: int = 0
    """Training pieces are played louder or softer by at most this many of MIDI's 127 velocities."""
    key_quarters: int = 0
    """A network with --model.key-condition is given the key of this many quarters around each event (long pieces change
    theirs); with 0, that of the whole piece."""
    misheard: float = 0.0
    """Share of the notes that training hears up to five semitones too high or low, while it has to predict them as
    they are: so one slip does not end a return."""
    old_share: float = 0.0
    """Share of the rows of each batch that are read from --old-dataset, so that fine-tuning does not forget it."""

    def __post_init__(self) -> None:
        check_bounds(self, "batch_size sequence_length", 1)
        check_bounds(self, "max_transpose", 0, 24)
        check_bounds(self, "max_tempo_change", 0, 50)
        check_bounds(self, "max_velocity_change", 0, 64)
        check_bounds(self, "misheard", 0, 1)
        check_bounds(self, "key_quarters", 0)
        if not 0 <= self.old_share < 1:
            raise UserError(f"old_share {self.old_share} must be at least 0 and below 1")
        if self.old_share and self.batch_size < 2:
            raise UserError(f"old_share {self.old_share} needs a batch_size of at least 2, not {self.batch_size}")


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """Adam, its learning rate over time, and gradient clipping."""

    learning_rate: float = 2e-3
    """The highest learning rate."""
    schedule: Literal["constant", "cosine"] = "cosine"
    """constant, or a cosine that falls to a hundredth of learning_rate at the last step."""
    warmup_steps: int = 100
    """Steps in which the learning rate rises from zero."""
    weight_decay: float = 0.0
    """Decoupled weight decay (AdamW); 0 is Adam."""
    clip_norm: float = 1.0
    """Gradients with a larger norm are scaled down to it."""
    frozen_layers: int = 0
    """The embeddings and this many recurrent layers, from the first on, stay as they are; 0 freezes nothing."""

    def __post_init__(self) -> None:
        check_positive(self, "learning_rate clip_norm")
        check_bounds(self, "warmup_steps weight_decay frozen_layers", 0)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A training run."""

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    adversary: AdversaryConfig = field(default_factory=AdversaryConfig)
    num_epochs: int = 50
    """Passes over the training split, unless num_steps says otherwise or early stopping ends the run."""
    num_steps: int = 0
    """Optimizer steps in the whole run; 0 leaves it to num_epochs."""
    evaluate_every: int = 0
    """Steps between measurements on the validation split; 0 is once an epoch."""
    patience: int = 5
    """Stop after this many measurements in a row without a better validation loss; 0 never stops early."""
    checkpoint_every: int = 0
    """Steps between checkpoints; 0 is at every validation."""
    accumulate: int = 1
    """Parts that a batch is computed in, one after the other, to save memory. The update is that of the whole batch."""
    kernels: Literal["auto", "rule", "measure"] = "auto"
    """How recurrent layers are computed; results are the same up to rounding. measure: the ways that there are (cuDNN,
    loops of several steps in an iteration) are tried for some seconds when a run begins, and what was found is
    remembered. rule: what is known to be quick. auto: measured on accelerators alone. A run keeps to its choice."""
    head_steps: int = 0
    """Steps whose logits exist at the same time; all where it does not divide sequence_length. 0 chooses: as many as
    fit in the cache of a CPU, all elsewhere."""
    keep_checkpoints: int = 3
    """Newest checkpoints that are kept, beside the best one."""
    log_every: int = 20
    """Steps between lines in metrics.jsonl."""
    skip_limit: int = 10
    """A step whose loss or gradient is not a number is skipped; after this many in a row the run is rolled back."""
    rollbacks: int = 3
    """How often an unstable run is rolled back to its latest checkpoint, with a lower learning rate, before it ends."""
    rollback_factor: float = 0.5
    """What the learning rate is multiplied by at each rollback."""
    peer_timeout_s: float = 60.0
    """Seconds until a host that has died or does not get on ends all others."""
    seed: int = 0
    """Seed of the parameters, of dropout and of the order of the data."""

    def __post_init__(self) -> None:
        check_bounds(self, "num_epochs accumulate keep_checkpoints log_every skip_limit", 1)
        check_bounds(self, "num_steps head_steps evaluate_every patience checkpoint_every rollbacks", 0)
        check_bounds(self, "seed", 0, MAX_SEED)
        check_positive(self, "rollback_factor peer_timeout_s")
        check_bounds(self, "rollback_factor", 0, 1)
        if self.optimizer.frozen_layers > self.model.num_layers:
            raise UserError(
                f"frozen_layers {self.optimizer.frozen_layers} must be at most the number of layers "
                f"{self.model.num_layers}"
            )
        if self.data.batch_size % self.accumulate:
            raise UserError(
                f"batch_size {self.data.batch_size} cannot be split into accumulate {self.accumulate} parts"
            )
        if self.adversary.weight and self.adversary.window >= self.data.sequence_length:
            raise UserError(
                f"adversary.window {self.adversary.window} must be less than sequence_length "
                f"{self.data.sequence_length}: real music comes before it"
            )


@dataclass(frozen=True, kw_only=True)
class SampleConfig:
    """How new music is drawn from a trained model."""

    num_pieces: int = 8
    """Pieces to generate."""
    seed: int = 0
    """The same seed gives the same pieces; piece i does not depend on how many others are generated."""
    batch_size: int = 32
    """Pieces computed at the same time; changes the speed, not the music."""
    num_notes: int = 0
    """Notes in each piece, after its primer; 0 lets the model end a piece by itself (at most max_notes)."""
    num_bars: int = 0
    """Instead of num_notes: bars in each piece, after its primer."""
    ending: bool | None = None
    """True: a piece of num_bars comes to an end in its last bar, as far as the model finds one, and a piece without a
    length, if the model does not end it, before it has max_notes. False: it is cut there. Nothing is True for models
    with a copy gate (--model.copy), False for others, whose pieces were always cut."""
    final_chord: bool = True
    """Of the takes of an end, those that hold what sounds first in the last bar hold a major or minor chord."""
    num_seconds: float = 0.0
    """Instead of num_notes: seconds in each piece, after its primer."""
    max_notes: int = 1024
    """Notes after which a piece without a length is cut, if the model has not ended it; see ending."""
    temperature: float = 1.0
    """Below 1 is safer, above 1 is bolder; 0 always takes the most probable value."""
    field_temperature: tuple[tuple[str, float], ...] = ()
    """Temperatures of single fields, as `rhythm 1.2 pitch 0.8`: shift (time since the note before), instrument, pitch,
    duration, velocity; rhythm is shift and duration."""
    top_k: int = 0
    """Choose only among the k most probable values of each field; 0 is all."""
    top_p: float | None = None
    """Choose only among the most probable values that together have this probability; 1 is all. Copies of a copy gate
    are not cut. Nothing is 0.9 for a model with a copy gate, 1 for others and with --harmonise and --fill."""
    min_p: float = 0.0
    """Choose only among values at least this share as probable as the most probable; 0 is all."""
    style: str = ""
    """One of the styles that the model was trained on."""
    tempo: float = 0
    """Beats per minute, from beginning to end; 0 leaves it to the model."""
    meter: str = ""
    """Such as 3/4, from beginning to end; nothing leaves it to the model."""
    key: str = ""
    """A tonic and a mode ('D minor', 'Dm', 'F# dorian'; Bb is Bb major) or a list of notes ('C,E,G'). Drums have no
    key."""
    key_bias: float = 0.0
    """0: no pitch outside the key. Above 0: such pitches are e to the power of this less likely; 2 is a lean, 5 is
    nearly a rule."""
    key_tries: int = 8
    """A piece of a model that is given its key (--model.key-condition), and that is not clearly in it, is generated
    again, up to this many times in all."""
    instruments: tuple[str, ...] = ()
    """The only ones: General MIDI names (Flute), programs from 0 to 127, or drums; none leaves them to the model."""
    pitch_range: tuple[str, str] | None = None
    """Lowest and highest pitch, but for drums: MIDI note numbers or names such as C4, which is 60. Nothing is 1 to 127
    for models with a copy gate (--model.copy), 0 to 127 for others."""
    density: float = 0.0
    """Notes in a bar, of all instruments together; 0 leaves it to the model."""
    repeat_strength: float | None = None
    """Above 0 the music comes back more often than the model would let it, below 0 less often; in nats. Only for
    models with a copy gate (--model.copy), for which nothing is 0.5."""
    form: str = ""
    """Which sections return, as AABA: each has eight bars, or as many as it says (A16B8A16). Where a letter comes again
    its notes return, after a ' (AA'BA) only those on quarters. It says how long the piece is."""
    loop_guard: int = 4
    """A pattern that is heard this many times running (for at least 32 notes) raises the temperature until it breaks;
    0 lets it continue."""
    best_of: int = 1
    """Keep the best of this many candidates for each piece."""
    best_by: Literal["likelihood", "statistics", "judge"] = "likelihood"
    """What is best. likelihood: the most probable to the model, per note. statistics: its pitches, lengths, chords and
    loudness are nearest to those of the dataset that the model was trained on. judge: a network that has learned to
    tell the model's music from real music (--judge) takes it for real, note by note."""
    diverse: bool = False
    """With --best-of: not the best candidate of each piece but, of the better half, the one that is least like the
    pieces before it, in rhythm and melody."""
    melody: tuple[str, ...] = ()
    """With --harmonise: the instruments of the file that are given; none gives all of them."""
    fill_bars: tuple[int, int] = (1, 1)
    """With --fill: the first bar that is generated again, and how many are; 1 is the first bar of the piece."""
    look_ahead_bars: int = 2
    """With --fill: bars after the new ones by whose likelihood attempts are compared."""
    particles: int = 32
    """With --harmonise and --fill: attempts that are generated side by side and compared."""
    primer_notes: int = 32
    """Notes taken of each primer, when there is one."""
    primer_start: int = 1
    """Bar of the primer from which it is taken; 1 is the first."""
    primer_bars: int = 0
    """Bars taken of each primer, instead of primer_notes; 0 goes by notes. New music begins with the bar after them."""
    without_primer: bool = False
    """Keep only what is new: from the bar line after the primer's bars, or that before its last note."""

    def __post_init__(self) -> None:
        check_bounds(
            self,
            "num_pieces batch_size max_notes primer_notes primer_start best_of look_ahead_bars particles key_tries",
            1,
        )
        check_bounds(self, "seed", 0, MAX_SEED)
        check_bounds(self, "num_notes num_bars num_seconds top_k tempo key_bias density loop_guard", 0)
        check_bounds(self, "primer_bars", 0, 100_000)
        if min(self.fill_bars) < 1:
            raise UserError(f"fill_bars {self.fill_bars} must be a bar and a number of bars, both at least 1")
        if self.diverse and self.best_of < 2:
            raise UserError("diverse chooses among candidates: best_of must be at least 2")
        if self.repeat_strength is not None:
            check_bounds(self, "repeat_strength", -100, 100)
        if self.loop_guard == 1:
            raise UserError("loop_guard 1 would take every pattern for a loop; it must be 0 (off) or at least 2")
        lengths = [name for name in ("num_notes", "num_bars", "num_seconds", "form") if getattr(self, name)]
        if len(lengths) > 1:
            raise UserError(f"{' and '.join(lengths)} exclude each other; give one of them")
        for name, temperature in (("temperature", self.temperature), *self.field_temperature):
            if not 0 <= temperature < math.inf:
                raise UserError(f"temperature {temperature} of {name} must be at least 0")
        check_bounds(self, "min_p", 0, 1)
        if self.top_p is not None:
            check_positive(self, "top_p")
            check_bounds(self, "top_p", 0, 1)
