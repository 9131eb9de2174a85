"""`ostinato models`: lists trained models, shows their cards, fetches and removes them."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from ostinato.configs.errors import UserError
from ostinato.launch.commands.show import print_table, say


@dataclass(frozen=True, kw_only=True)
class ModelsList:
    """Lists the trained models that are on this machine (short: ostinato models)."""

    def run(self) -> None:
        """Prints one line for each."""
        from ostinato.pretrained.models import fetched_folder, list_models

        cells = [
            [
                model.name,
                model.config["summary"],
                f"{model.config['num_parameters']:,}",
                f"{model.num_bytes / 1e6:.1f} MB",
                model.config["licence"],
                "in the box" if model.is_in_box else "fetched",
            ]
            for model in list_models()
        ]
        if not cells:
            say(f"no model is in the box or in {fetched_folder()}; 'ostinato models fetch hub:USER/NAME' brings one")
            return
        print_table("Models", ["name", "", "parameters", "size", "licence", "where"], cells, words=(0, 1, 4, 5))


@dataclass(frozen=True, kw_only=True)
class ModelsShow:
    """Shows the card of a model: data, licence, recipe, figures, limits."""

    name: tyro.conf.Positional[str]
    """A model that `ostinato models` lists, or a model folder."""

    def run(self) -> None:
        """Prints where it is, and its card."""
        from ostinato.pretrained.models import find_model
        from ostinato.train.folders import CARD

        model = find_model(self.name)
        card = model.folder / CARD
        if not card.is_file():
            raise UserError(f"{model.folder}: has no card ({CARD} is missing)")
        say(str(model.folder), "", *card.read_text(errors="replace").splitlines())


@dataclass(frozen=True, kw_only=True)
class ModelsFetch:
    """Fetches a model from the Hub, the newest version of it."""

    source: tyro.conf.Positional[str]
    """hub:USER/NAME or hub:USER/NAME@REVISION (a branch, tag or commit); needs the extra `hub`."""

    def run(self) -> None:
        """Writes it to the user's cache folder."""
        from ostinato.pretrained.hub import fetch
        from ostinato.pretrained.models import HUB

        folder = fetch(self.source)
        say(f"{folder}: fetched; 'ostinato models show {self.source.removeprefix(HUB)}' shows its card")


@dataclass(frozen=True, kw_only=True)
class ModelsRemove:
    """Removes a model that was fetched."""

    name: tyro.conf.Positional[str]
    """USER/NAME, as `ostinato models` lists it."""

    def run(self) -> None:
        """Deletes its folder."""
        from ostinato.pretrained.models import remove_model

        say(f"{remove_model(self.name)}: removed")


@dataclass(frozen=True, kw_only=True)
class Models:
    """Lists, shows, fetches and removes trained models, which every command takes in place of a run."""

    command: (
        Annotated[ModelsList, tyro.conf.subcommand("list")]
        | Annotated[ModelsShow, tyro.conf.subcommand("show")]
        | Annotated[ModelsFetch, tyro.conf.subcommand("fetch")]
        | Annotated[ModelsRemove, tyro.conf.subcommand("remove")]
    )

    def run(self) -> None:
        """Does what is asked for."""
        self.command.run()
