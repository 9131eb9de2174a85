"""`ostinato studio`."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from ostinato.configs.errors import UserError
from ostinato.configs.studio import StudioConfig
from ostinato.launch.commands.show import say, starting

if TYPE_CHECKING:
    from starlette.types import ASGIApp


@dataclass(frozen=True, kw_only=True)
class Studio:
    """Opens a page on which a musician plays with a trained model: controls, piano roll, sound, history."""

    workdir: tyro.conf.Positional[Path | None] = None
    """The folder of a training run, or a model: its name, hub:USER/NAME, or its folder. Without it the page offers all
    models that `ostinato models` lists."""
    config: Annotated[StudioConfig, tyro.conf.arg(name="")] = field(default_factory=StudioConfig)

    def run(self) -> None:
        """Serves the studio until Ctrl-C or SIGTERM.

        Raises:
            UserError: what it needs is not installed, there is no model, or address or folder cannot be used.
        """
        starting("opening the studio of %s", "all models" if self.workdir is None else self.workdir)
        from ostinato.data.atomic import make_folder
        from ostinato.launch.extras import needs_extra

        with needs_extra("listen", who="the studio"):
            from ostinato.studio.serve import serve
        config = self.config
        if config.soundfont is not None and not config.soundfont.is_file():
            raise UserError(f"{config.soundfont}: no such file; --soundfont takes a SoundFont (.sf2)")
        if config.folder is not None:
            make_folder(config.folder)
            if not os.access(config.folder, os.W_OK | os.X_OK):
                raise UserError(f"{config.folder}: cannot be written to; --folder takes one where pieces can be kept")
        app, what = self._all_models() if self.workdir is None else self._one_model(self.workdir)
        serve(app, config, what=what, announce=say)

    def _one_model(self, source: Path) -> tuple["ASGIApp", str]:
        from ostinato.launch.cache import load_run
        from ostinato.pretrained.find import find_source
        from ostinato.pretrained.models import cache_folder
        from ostinato.studio.app import application
        from ostinato.studio.serve import choose_folder

        workdir = find_source(source)
        run = load_run(workdir, self.config.checkpoint)
        folder = self.config.folder or choose_folder(workdir, run, cache_folder())
        return application(run, source, folder, self.config), str(source)

    def _all_models(self) -> tuple["ASGIApp", str]:
        from ostinato.launch.cache import load_run
        from ostinato.pretrained.models import Model, cache_folder, list_models
        from ostinato.studio.app import Studio
        from ostinato.studio.choice import choice_application
        from ostinato.studio.serve import choose_folder

        models, config = list_models(), self.config
        if not models:
            raise UserError(
                "no model is on this machine: name a run (ostinato studio RUN), or fetch a model (ostinato models "
                "fetch hub:USER/NAME)"
            )

        def open_studio(model: Model) -> Studio:
            run = load_run(model.folder)
            folder = choose_folder(model.folder, run, cache_folder())
            folder = config.folder / folder.name if config.folder else folder
            return Studio(run, model.name, folder, config.soundfont, is_one_of_many=True)

        return choice_application(models, open_studio, config), f"{len(models)} models"
