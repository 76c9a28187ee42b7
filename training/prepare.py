"""From archive to training data: split by time, fit the workflow, encode; kept in the run's folder."""

import pandas as pd

from feature_repo.schema import FIRST_INDEX
from training.config import TrainingConfig
from training.data.dataset import question_windows
from training.data.preprocess import EncodedSessions, encode, fit_workflow, read_vocabulary
from training.data.sessions import read_events, read_items, split_by_time
from training.errors import DataError
from training.models.session_transformer import ItemEncoder
from training.runs import Run
from training.settings import TrainingSettings


def prepare(run: Run, config: TrainingConfig, settings: TrainingSettings) -> None:
    """Write the run's workflow, vocabulary.json and sessions.npz.

    The vocabulary covers the validation sessions too: what is newest is what will be asked for.
    Raises DataError when the archive is too small to train on.
    """
    data = config.data
    split = split_by_time(read_events(settings.archive_path), data.validation_share, data.test_share)
    items = read_items(settings.items_path)
    events = pd.concat([split.train, split.validation], ignore_index=True)
    workflow = fit_workflow(events, items, data, run.workflow_folder, settings.dask_scheduler_address)
    encode(workflow, events, items, data).save(run.sessions_file)
    if not len(question_windows(load_sessions(run, config)[1], exclude_seen=True).start):
        raise DataError("no validation session asks for an item it has not seen: archive more sessions")
    read_vocabulary(run.workflow_folder, data).save(run.path)


def load_sessions(run: Run, config: TrainingConfig) -> tuple[EncodedSessions, EncodedSessions]:
    """Training and validation sessions of a prepared run; the same cut as `split_by_time` made."""
    sessions = EncodedSessions.load(run.sessions_file)
    count = len(sessions.session_ids)
    validation_from = round(count * (1 - config.data.validation_share))
    return sessions.slice(0, validation_from), sessions.slice(validation_from, count)


def fill_item_features(encoder: ItemEncoder, sessions: EncodedSessions) -> None:
    """Set the encoder's buffers to each item's category and price, as its events carry them."""
    import torch

    known = sessions.item_index >= FIRST_INDEX
    index_N = torch.from_numpy(sessions.item_index[known])
    encoder.category_index_V[index_N] = torch.from_numpy(sessions.category_index[known])
    encoder.price_V[index_N] = torch.from_numpy(sessions.price[known])
