"""Study 3 of Helm et al. (2024) in small, with models that are fine-tuned; ``make test-finetune`` runs this."""

from __future__ import annotations

import os

import pytest

if not os.environ.get("AGENTNET_TEST_FINETUNE"):
    pytest.skip(
        "AGENTNET_TEST_FINETUNE is not set: study 3 is NOT played with fine-tuned models here; see make "
        "test-finetune",
        allow_module_level=True,
    )
