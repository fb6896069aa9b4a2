"""No key reaches a log, an error or a cache, whatever a server says."""

from __future__ import annotations

import asyncio
import base64
import json
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentnet import Run
from agentnet.backend import Reply, make_backend
from agentnet.config import Settings
from agentnet.config.secrets import secrets_held
from agentnet.experiment import Source
from agentnet.runner import Runner, create, prepare
from agentnet.testing.server import LIKE_VLLM, ServerDouble, start_server
from agentnet_backends.failures import Peer, error_of_answer
from agentnet_backends.redaction import redact, redact_reply

KEY = "sk+abc/DEF-0123456789=="
KEYS = st.text(string.ascii_letters + string.digits + "-_+/=.", min_size=8, max_size=60)


def in_base64(text: str) -> list[str]:
    return [encode(text.encode()).decode() for encode in (base64.b64encode, base64.urlsafe_b64encode)]


@given(key=KEYS, before=st.text(max_size=9), after=st.text(max_size=9))
def test_a_key_is_found_wherever_it_stands_also_in_base64(key, before, after):
    assert key not in redact(f"{before}{key}{after}", [key])
    for spelled in in_base64(f"{before}{key}{after}"):
        shown = redact(f"Authorization: {spelled}", [key])
        # Three bytes of a key are four characters: what is left over at both ends says less than one byte.
        assert (
            len(shown.replace("[key]", "")) <= len("Authorization: ") + len(spelled) - len(key) * 8 // 6 + 1
        )
        assert "[key]" in shown


def test_percent_encoded_keys_and_escaped_slashes_are_found():
    for spelled in ("sk%2Babc%2FDEF-0123456789%3D%3D", json.dumps(KEY).replace("/", "\\/")):
        assert redact(f"at {spelled}!", [KEY]).count("[key]") == 1
        assert "abc" not in redact(f"at {spelled}!", [KEY])


@pytest.mark.parametrize("key", ["x", "none", "EMPTY", "1234567"])
def test_a_key_too_short_to_be_secret_spoils_no_words(key):
    text = f"max_tokens {key} EMPTY none 1234567 exceeded"
    assert redact(text, [key]) == text
    said = str(error_of_answer(Peer("openai", "http://x/v1", "KEY", (key,)), 400, {}, text.encode()))
    assert text in said


def test_a_reply_without_a_key_is_the_very_reply():
    reply = Reply(("yes", "no"), model="m", fingerprint=None)
    assert redact_reply(reply, [KEY]) is reply
    assert redact_reply(reply, []) is reply
    spoilt = Reply((f"yes {KEY}", "no"), 3, 4, f"m-{KEY}", (), {"yes": -1.0}, KEY)
    assert redact_reply(spoilt, [KEY]) == Reply(
        ("yes [key]", "no"), 3, 4, "m-[key]", (), {"yes": -1.0}, "[key]"
    )


def test_a_long_error_is_scrubbed_before_it_is_cut():
    peer = Peer("openai", "http://x/v1", "KEY", (KEY,))
    for spelled in (KEY, *in_base64(f"Bearer {KEY}")):
        body = json.dumps({"error": {"message": "y" * 290 + spelled}})
        said = str(error_of_answer(peer, 500, {}, body.encode()))
        assert spelled[:8] not in said.partition("yyy")[2].replace("QmVhcmVy", "")


SMALL = """
from agentnet import CascadeExperiment

class Small(CascadeExperiment):
    n_agents, degree, steps, repeats, items_per_severity = 16, 3, 2, 1, 1
"""


class Telltale:
    """Repeats the key in good replies, and in bad ones."""

    name, model_name = "telltale", "m"

    def __init__(self) -> None:
        self.n = 0

    async def complete(self, request):
        self.n += 1
        reason = f"You sent Authorization: Bearer {KEY} or {in_base64('user:' + KEY)[0]}"
        text = json.dumps({"share": self.n % 3 > 0, "reason": reason}) if self.n % 4 else reason
        return Reply((text,) * request.n, 5, 5, self.model_name, fingerprint=KEY)

    async def aclose(self):
        """Hold nothing."""


def test_no_file_of_a_run_holds_the_key(tmp_path: Path):
    async def main() -> None:
        async with start_server(ServerDouble(Telltale(), key=KEY, manners=LIKE_VLLM)) as server:
            url = server.base_url
            settings = Settings.model_validate(
                {"runs": tmp_path / "runs", "backend": {"name": "openai", "model": "double", "base_url": url}}
            )
            backend = make_backend("openai", settings.backend.options, {"OPENAI_API_KEY": KEY})
            source = Source(Path("small.py"), SMALL)
            prepared = prepare(source, settings, tmp_path / "run")
            create(prepared, source, backend="openai", model_name="m")
            await Runner(prepared, backend).play()

    asyncio.run(main())
    texts = [text for (text,) in Run(tmp_path / "run").rows("SELECT text FROM replies")[1]]
    assert any("Bearer [key]" in text for text in texts)
    told = [KEY.encode(), *(part.encode()[4:20] for part in in_base64("user:" + KEY))]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 5
    for path in files:
        content = path.read_bytes()
        assert not [form for form in told if form in content], path


def test_a_key_in_the_experiment_file_a_sibling_or_a_setting_is_refused(command, tmp_path, monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", KEY)
    path = tmp_path / "small.py"
    path.write_text(f"import os\nos.environ['SOME_API_KEY'] = {KEY!r}\n{SMALL}")
    done = command("run", path)
    assert done.code == 2
    assert "SOME_API_KEY" in done.err
    assert KEY not in done.err
    path.write_text(f"import helper\n{SMALL}")
    (tmp_path / "helper.py").write_text(f"key = {KEY!r}\n")
    assert "SOME_API_KEY" in command("run", path).err
    path.write_text(SMALL)
    assert "SOME_API_KEY" in command("run", path, "--out", "a", "-S", f'embedder.model="{KEY}"').err
    assert not Path("runs").exists()
    assert not Path("a").exists()
    assert command("run", path, "--quiet").code == 0


def test_only_variables_that_look_secret_and_are_long_enough_count():
    environ = {"MY_TOKEN": "0123456789", "HOME": "/home/somebody", "OPENAI_API_KEY": "x", "DB_PASSWORD": ""}
    assert secrets_held("x /home/somebody 0123456789", environ) == ["MY_TOKEN"]
