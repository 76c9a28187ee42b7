"""Recipes are valid, survive JSON, and refuse what makes no sense."""

import dataclasses
import json
from typing import Any

import pytest

from training.config import RECIPES, DataConfig, ModelConfig, TrainingConfig, recipe
from training.errors import RecipeError


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_survive_json(name: str) -> None:
    config = recipe(name)
    assert TrainingConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_unknown_recipe_lists_the_known() -> None:
    with pytest.raises(RecipeError, match=r"there is no recipe 'huge': choose one of default, demo, tiny"):
        recipe("huge")


@pytest.mark.parametrize(
    ("config", "change", "word"),
    [
        (ModelConfig(), {"heads": 3}, "heads must divide width"),
        (ModelConfig(), {"dropout": 1.0}, "dropout"),
        (ModelConfig(), {"width": 0}, "positive"),
        (DataConfig(), {"test_share": 1.0}, "test_share"),
        (DataConfig(), {"validation_share": 0.0}, "validation_share"),
        (DataConfig(), {"gap_boundaries_s": (0.0, 5.0, 5.0)}, "increase"),
        (DataConfig(), {"gap_boundaries_s": (1.0, 5.0)}, "start at 0"),
        (TrainingConfig(), {"batch_size": 0}, "batch_size"),
        (TrainingConfig(), {"learning_rate": 0.0}, "learning_rate"),
        (TrainingConfig(), {"time_limit_s": 0.0}, "time_limit_s"),
    ],
)
def test_values_out_of_range_are_refused(config: Any, change: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        dataclasses.replace(config, **change)


def test_configurations_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe("tiny").seed = 1  # type: ignore[misc]
