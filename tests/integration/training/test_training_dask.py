"""The NVTabular workflow fitted on a real Dask cluster must equal the one fitted in this process."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.planted_sessions import planted_events, write_archive
from training.config import DataConfig
from training.data.preprocess import EVENT_ARRAYS, encode, fit_workflow, load_workflow, read_vocabulary
from training.data.sessions import read_events, read_items
from training.settings import TrainingSettings


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A scheduler and one worker in a process of its own, on free ports."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # dask 2024.2 warns of its own dependencies
        from distributed import LocalCluster

        with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
            yield cluster


def test_workflow_fitted_on_dask_is_the_same(cluster: Any, tmp_path: Path) -> None:
    settings = TrainingSettings(nextclick_home=tmp_path)
    write_archive(settings, planted_events(sessions=60))
    events, items = read_events(settings.archive_path), read_items(settings.items_path)
    config = DataConfig(partition_rows=100)
    fit_workflow(events, items, config, tmp_path / "here")
    fit_workflow(events, items, config, tmp_path / "dask", cluster.scheduler_address)
    assert cluster.scheduler.transition_log, "the cluster had nothing to do"
    assert read_vocabulary(tmp_path / "here", config) == read_vocabulary(tmp_path / "dask", config)
    here, there = (encode(load_workflow(tmp_path / name), events, items, config) for name in ("here", "dask"))
    for name in ("offsets", "start_ms", *EVENT_ARRAYS):
        np.testing.assert_array_equal(getattr(here, name), getattr(there, name), err_msg=name)
