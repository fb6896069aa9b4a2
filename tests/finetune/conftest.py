"""What the tests of update rule ``finetune`` with PyTorch share: tiny models, made anew for each session."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest

# Nothing is downloaded: a test that tries to is a test that fails.
os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(scope="session")
def tiny_model():
    """Give the module that makes tiny models."""
    spec = importlib.util.spec_from_file_location("tiny_model", Path(__file__).parent / "tiny_model.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def make_tiny(tiny_model, tmp_path_factory):
    """Give the function that makes a tiny model in a folder of its own."""

    def make(name, **wishes):
        folder = tmp_path_factory.mktemp(name)
        tiny_model.make_model(folder, **wishes)
        return folder

    return make


@pytest.fixture(scope="session")
def tiny(make_tiny):
    """Make a tiny model whose marks are single tokens."""
    return make_tiny("tiny")
