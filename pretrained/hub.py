"""Models from and to a Hub, through huggingface_hub: HF_ENDPOINT says which one, HF_TOKEN who writes there."""

import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ostinato.configs.errors import UserError
from ostinato.configs.versions import package_version
from ostinato.data.atomic import atomic_folder
from ostinato.pretrained.models import hub_folder, parse_hub
from ostinato.train.folders import FILES, read_config, read_parameters

if TYPE_CHECKING:
    from huggingface_hub import HfApi

logger = logging.getLogger(__name__)


class HubError(UserError):
    """What the Hub refuses, has not got, or cannot be asked."""


def fetch(source: str) -> Path:
    """Fetches a model into the user's cache folder, in place of an older one, and returns its folder.

    Args:
        source: hub:USER/NAME, or hub:USER/NAME@REVISION: a branch, a tag or a commit.

    Raises:
        HubError: there is no such model, or no way to it.
        ModelFolderError: it is damaged, or of another version; what was fetched before stays.
    """
    user, name, revision = parse_hub(source)
    folder = hub_folder(source)
    logger.info("%s: fetching the model", source)
    with tempfile.TemporaryDirectory() as received, _asking(source) as api:
        # All files of one commit, whatever happens to the branch in the meantime.
        commit = api.model_info(f"{user}/{name}", revision=revision or None).sha
        for file in FILES:
            api.hf_hub_download(f"{user}/{name}", file, revision=commit, local_dir=received)
        read_parameters(Path(received), read_config(Path(received)))
        with atomic_folder(folder) as partial:
            for file in FILES:
                (partial / file).write_bytes((Path(received) / file).read_bytes())
    return folder


def upload(folder: Path, source: str) -> str:
    """Writes a model folder to the Hub, as one commit, and returns the address of the model.

    Raises:
        HubError: the Hub refuses it, or cannot be reached.
    """
    user, name, revision = parse_hub(source)
    with _asking(source) as api:
        repository = api.create_repo(f"{user}/{name}", exist_ok=True)
        api.upload_folder(
            repo_id=repository.repo_id,
            folder_path=folder,
            allow_patterns=list(FILES),
            revision=revision or None,
            commit_message=f"{name}, by ostinato {package_version('ostinato')}",
        )
    return str(repository)


@contextmanager
def _asking(source: str) -> Iterator["HfApi"]:
    """Returns the Hub; what it and the network raise becomes one line."""
    try:
        from httpx2 import HTTPError
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError
        from huggingface_hub.utils import disable_progress_bars
    except ModuleNotFoundError as error:
        raise HubError(f"{source} needs {error.name}: pip install 'ostinato[hub]'") from error
    if not sys.stderr.isatty():
        disable_progress_bars()
    endpoint = os.environ.get("HF_ENDPOINT")
    try:
        yield HfApi(endpoint=endpoint, library_name="ostinato", library_version=package_version("ostinato"))
    except UserError:
        raise
    except HfHubHTTPError as error:
        raise HubError(f"{source}: {_one_line(error)}") from error
    except (HTTPError, OSError, ValueError, RuntimeError) as error:  # no network, offline, a name that it refuses
        raise HubError(f"{source}: the Hub cannot be asked ({_one_line(error)})") from error


def _one_line(error: Any) -> str:
    return " ".join(str(error).split())[:300]
