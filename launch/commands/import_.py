"""`ostinato import`."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from ostinato.launch.commands.show import say, starting


@dataclass(frozen=True, kw_only=True)
class Import:
    """Makes a run out of an exported model, to be sampled and trained further."""

    file: tyro.conf.Positional[Path]
    """The parameters.safetensors that `ostinato export` wrote, or its folder; or a model: its name or its folder."""
    workdir: tyro.conf.Positional[Path]
    """Folder for the new run."""

    def run(self) -> None:
        """Writes the run."""
        starting("reading %s", self.file)
        from ostinato.pretrained.find import find_source
        from ostinato.sample.export.exchange import PARAMETERS, import_run
        from ostinato.train.folders import is_model_folder

        file = self.file if self.file.is_file() else find_source(self.file)
        if file.is_dir() and not is_model_folder(file):
            file /= PARAMETERS
        num_parameters = import_run(file, self.workdir)
        say(f"{self.workdir}: {num_parameters:,} parameters; 'ostinato sample' and 'ostinato train' take it")
