"""What the tests of backend ``local`` share: a tiny model that is made on the spot."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny():
    """Give the module that makes tiny models."""
    spec = importlib.util.spec_from_file_location("tiny_llama", Path(__file__).parent / "tiny_llama.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def made(tiny):
    """Draw the tiny model's weights."""
    return tiny.weights()


@pytest.fixture(scope="session")
def folder(tiny, made, tmp_path_factory):
    """Write the tiny model as a folder."""
    return tiny.write_folder(tmp_path_factory.mktemp("tiny") / "tiny", made)
