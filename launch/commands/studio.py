"""`ostinato studio`."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from ostinato.configs.errors import UserError
from ostinato.configs.studio import StudioConfig


@dataclass(frozen=True, kw_only=True)
class Studio:
    """Opens a page on which a musician plays with a trained model: wishes, piano roll, sound, and what was written."""

    workdir: tyro.conf.Positional[Path]
    """The folder of a training run."""
    config: Annotated[StudioConfig, tyro.conf.arg(name="")] = field(default_factory=StudioConfig)

    def run(self) -> None:
        """Serves the studio until Ctrl-C or SIGTERM.

        Raises:
            UserError: what it needs is not installed, there is no model, or address or folder cannot be used.
        """
        from ostinato.data.atomic import make_folder
        from ostinato.launch.cache import cache_folder, load_run
        from ostinato.launch.extras import needs_extra

        with needs_extra("listen", who="the studio"):
            from ostinato.studio.serve import choose_folder, serve
        config = self.config
        if config.soundfont is not None and not config.soundfont.is_file():
            raise UserError(f"{config.soundfont}: no such file; --soundfont takes a SoundFont (.sf2)")
        if config.folder is not None:
            make_folder(config.folder)
            if not os.access(config.folder, os.W_OK | os.X_OK):
                raise UserError(f"{config.folder}: cannot be written to; --folder takes one where pieces can be kept")
        run = load_run(self.workdir, config.checkpoint)
        serve(
            run,
            self.workdir,
            config.folder or choose_folder(self.workdir, run, cache_folder()),
            config,
            announce=lambda line: print(line, flush=True),
        )
