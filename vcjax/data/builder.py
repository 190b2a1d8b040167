"""The TFDS builder: a prepared data set as TensorFlow Datasets knows them, made and read without TensorFlow."""

from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
from tensorflow_datasets.core.dataset_builder import FileReaderBuilder

from vcjax.data.prepare import Job, prepare
from vcjax.data.records import FORMAT, NAME, SCHEMA, Description
from vcjax.progress import Tell

INFO = "dataset_info.json"  # TFDS's file


class Clips(FileReaderBuilder, skip_registration=True):
    """A data set of clips, of people's own videos (`Videos`) or of the sprite world (`SpriteClips`).

    ```python
    builder = Clips(job=Job(source=Videos(path="videos")), data_dir="data/mine")
    builder.download_and_prepare()
    builder.as_data_source("train")[0]["caption"]
    ```

    Once made, `tfds.builder_from_directory("data/mine")` reads it without this class. In TFDS's examples conditions are
    in the form that they are stored in; `vcjax.data.records.Prepared` gives them decoded.

    Args:
        job: what is to be made.
        data_dir: the folder that it lies in, itself.
        tell: see `prepare`.
    """

    name = NAME
    VERSION = tfds.core.Version(f"{SCHEMA}.0.0")

    def __init__(self, *, job: Job, data_dir: str | Path, tell: Tell | None = None):
        self._job = job
        self._tell = tell
        super().__init__(data_dir=str(data_dir), file_format=FORMAT)

    def download_and_prepare(self, *, download_config: Any = None, **_: Any) -> None:
        """Make the data set, or go on with it where a run was stopped; see `vcjax.data.prepare.prepare`.

        It is made in place, not in a temporary folder as TFDS does, so that what is finished is kept.

        Args:
            download_config: TFDS's, of which `beam_options` is taken.
        """
        self._download_and_prepare(None, download_config)

    def _download_and_prepare(self, dl_manager: Any, download_config: Any = None) -> None:
        options = getattr(download_config, "beam_options", None)
        description = prepare(self._job, Path(self.data_dir), options=options, tell=self._tell)
        if not (self.data_path / INFO).exists():
            self.info.set_splits(tfds.core.SplitDict(self._splits(description)))
            self.info.write_to_directory(self.data_path)

    def _splits(self, description: Description) -> list[tfds.core.SplitInfo]:
        return [
            tfds.core.SplitInfo(
                name=name,
                shard_lengths=list(lengths),
                num_bytes=sum(
                    path.stat().length for path in self.data_path.glob(f"{NAME}-{name}.{FORMAT}-*")
                ),
                filename_template=self._get_filename_template(split_name=name),
            )
            for name, lengths in description.splits.items()
        ]

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="Clips with their latents and conditions, prepared by vcjax; see dataset.json.",
            features=self._job.workshop().form.features,
        )

    def _build_data_dir(self, given_data_dir: str | None) -> tuple[str, str]:
        """The folder itself, without TFDS's subfolders for name and version."""
        return str(given_data_dir), str(given_data_dir)
