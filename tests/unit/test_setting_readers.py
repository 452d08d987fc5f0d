"""No setting without a reader: each key is looked up where the program is put together."""

import ast
import inspect
from pathlib import Path

import pytest
from faster_whisper.vad import VadOptions

import v2m
from v2m.config import describe, describe_rules
from v2m.infrastructure.desktop.notifications import DesktopNotifier
from v2m.infrastructure.engines.faster_whisper import FasterWhisperEngine
from v2m.infrastructure.engines.onnx_asr import OnnxAsrEngine
from v2m.infrastructure.engines.sherpa_onnx import SherpaOnnxEngine

pytestmark = pytest.mark.unit

ROOT = Path(v2m.__file__).parent
# The last: `Hotkeys.shortcuts` knows what empty keys mean.
FILES = (*(str(path.relative_to(ROOT)) for path in sorted(ROOT.glob("core/di/*.py"))), "_settings_desktop.py")


def parameters(adapter) -> set[str]:
    return set(inspect.signature(adapter.__init__).parameters)


# Tables that go as keywords to one adapter, which takes no others; what is excluded is read by its name.
WHOLE_TABLES = {
    "notifications": parameters(DesktopNotifier),
    "transcription.whisper": parameters(FasterWhisperEngine) | {"keep_warm"},
    "transcription.whisper.vad_parameters": set(VadOptions.__dataclass_fields__),
    "transcription.sherpa": parameters(SherpaOnnxEngine),
    "transcription.onnx_asr": parameters(OnnxAsrEngine),
}


def read_in(*files: str) -> set[str]:
    """Names that are read as attributes or spelt as text in these files."""
    names = set()
    for file in files:
        for node in ast.walk(ast.parse((ROOT / file).read_text())):
            if isinstance(node, ast.Attribute):
                names.add(node.attr)
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                names.add(node.value)
    return names


@pytest.mark.parametrize("key", [key.key for key in (*describe(), *describe_rules())])
def test_every_setting_is_read(key):
    names = read_in(*FILES)
    table, _, name = key.rpartition(".")
    if table in WHOLE_TABLES:
        assert name in WHOLE_TABLES[table]
    elif table == "paths":
        assert name.removesuffix("_dir") in names  # by the methods that know what empty means
    else:
        assert {name, f"{name}_s"} & names


def test_a_setting_that_nobody_reads_would_be_noticed():
    assert "no_such_setting" not in read_in(*FILES)
