"""An engine whose library is not installed names the command that installs it."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.contract

LOAD = """
import importlib, sys
from v2m.domain.errors import ModelMissingError

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == sys.argv[1]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
engine = getattr(importlib.import_module(f"v2m.infrastructure.engines.{sys.argv[2]}"), sys.argv[3])
try:
    engine(model="small").load()
except ModelMissingError as error:
    print(error)
    print(error.hint)
"""


@pytest.mark.parametrize(
    ("library", "module", "engine", "extra"),
    [
        ("faster_whisper", "faster_whisper", "FasterWhisperEngine", "whisper"),
        ("ctranslate2", "faster_whisper", "FasterWhisperEngine", "whisper"),
        ("sherpa_onnx", "sherpa_onnx", "SherpaOnnxEngine", "sherpa"),
        ("onnx_asr", "onnx_asr", "OnnxAsrEngine", "onnx-asr"),
    ],
)
def test_a_missing_library_is_named_with_its_command(library, module, engine, extra):
    done = subprocess.run([sys.executable, "-c", LOAD, library, module, engine], capture_output=True, text=True)
    assert done.stderr == ""
    message, hint = done.stdout.splitlines()
    assert f"No module named '{library}'" in message
    assert hint == f"pip install 'v2m[{extra}]'"


@pytest.mark.parametrize(
    ("module", "engine"),
    [("faster_whisper", "FasterWhisperEngine"), ("sherpa_onnx", "SherpaOnnxEngine"), ("onnx_asr", "OnnxAsrEngine")],
)
def test_an_engine_that_is_not_used_loads_no_library(module, engine):
    code = (
        f"import sys; from v2m.infrastructure.engines.{module} import {engine}; {engine}(model='small')\n"
        "libraries = {'faster_whisper', 'ctranslate2', 'sherpa_onnx', 'onnx_asr', 'onnxruntime'}\n"
        "print(sorted(libraries & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
