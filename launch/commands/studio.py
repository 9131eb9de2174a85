"""Hands the flags of `ostinato studio` over."""

from pathlib import Path

from ostinato.configs.errors import UserError
from ostinato.configs.studio import StudioConfig
from ostinato.launch.extras import needs_extra


def run_studio(workdir: Path, config: StudioConfig) -> None:
    """Serves the studio of a run until Ctrl-C or SIGTERM.

    Raises:
        UserError: what it needs is not installed, there is no model, or the address cannot be used.
    """
    from ostinato.launch.cache import cache_folder
    from ostinato.launch.commands.stages import cache_compilations
    from ostinato.train.checkpoint import load_params

    with needs_extra("listen", who="the studio"):
        from ostinato.studio.serve import choose_folder, serve
    if config.soundfont is not None and not config.soundfont.is_file():
        raise UserError(f"{config.soundfont}: no such file; --soundfont takes a SoundFont (.sf2)")
    cache_compilations()
    run = load_params(workdir, config.checkpoint)
    folder = config.folder or choose_folder(workdir, run, cache_folder())
    serve(run, workdir, folder, config, announce=_announce)


def _announce(line: str) -> None:
    print(line, flush=True)
