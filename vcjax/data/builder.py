"""TFDS builder of prepared data sets; works without TensorFlow."""

from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
from tensorflow_datasets.core.dataset_builder import FileReaderBuilder

from vcjax.data.prepare import Job, prepare
from vcjax.data.records import SCHEMA, Description
from vcjax.data.shards import FORMAT, NAME
from vcjax.progress import ProgressCallback

INFO = "dataset_info.json"  # metadata of TFDS


class Clips(FileReaderBuilder, skip_registration=True):
    """Data set of clips from video files (`Videos`) or the sprite world (`SpriteClips`).

    ```python
    builder = Clips(job=Job(source=Videos(path="videos")), data_dir="data/mine")
    builder.download_and_prepare()
    builder.as_data_source("train")[0]["caption"]
    ```

    `tfds.builder_from_directory("data/mine")` reads a finished data set without this class. Examples of TFDS
    contain conditions in their storage format; `vcjax.data.records.PreparedDataset` decodes them.

    Args:
        job: source and settings of the data set.
        data_dir: folder of the data set.
        progress: progress callback, in files.
    """

    name = NAME
    VERSION = tfds.core.Version(f"{SCHEMA}.0.0")

    def __init__(self, *, job: Job, data_dir: str | Path, progress: ProgressCallback | None = None):
        self._job = job
        self._progress = progress
        super().__init__(data_dir=str(data_dir), file_format=FORMAT)

    def download_and_prepare(self, *, download_config: Any = None, **_: Any) -> None:
        """Prepare the data set, or resume its preparation; see `vcjax.data.prepare.prepare`.

        Unlike TFDS, which writes to a temporary folder, this writes to the folder itself, so that finished
        shards survive an interruption.

        Args:
            download_config: TFDS's `DownloadConfig`, of which only `beam_options` is used.
        """
        self._download_and_prepare(None, download_config)

    def _download_and_prepare(self, dl_manager: Any, download_config: Any = None) -> None:
        options = getattr(download_config, "beam_options", None)
        description = prepare(self._job, Path(self.data_dir), options=options, progress=self._progress)
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
            features=self._job.extractor().codec.features,
        )

    def _build_data_dir(self, given_data_dir: str | None) -> tuple[str, str]:
        """Return the folder itself, without TFDS's subfolders for name and version."""
        return str(given_data_dir), str(given_data_dir)
