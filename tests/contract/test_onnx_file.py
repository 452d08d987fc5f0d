"""What an ONNX file says of its model is read as the library reads it, however the file is damaged."""

import os
from pathlib import Path

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.onnx_models import parakeet_for_onnx_asr, parakeet_for_sherpa, streaming_zipformer, zipformer
from support.onnx_whispers import sense_voice, whisper_for_sherpa
from v2m.infrastructure.engines._onnx_file import read_metadata

pytestmark = pytest.mark.contract

MAKERS = [parakeet_for_sherpa, parakeet_for_onnx_asr, streaming_zipformer, zipformer, sense_voice, whisper_for_sherpa]


@pytest.fixture(params=MAKERS, ids=lambda make: make.__name__)
def model(request, tmp_path):
    return request.param(tmp_path / "model")


def test_metadata_are_read_as_onnx_reads_them(model):
    for file in model.glob("*.onnx"):
        assert read_metadata(file) == {entry.key: entry.value for entry in onnx.load(str(file)).metadata_props}


def test_a_file_that_is_cut_anywhere_is_never_half_read(tmp_path):
    whole = next(parakeet_for_sherpa(tmp_path / "model").glob("encoder*")).read_bytes()
    (tmp_path / "cut.onnx").write_bytes(whole)
    remarks = read_metadata(tmp_path / "cut.onnx")
    assert remarks["model_type"] == "EncDecRNNTBPEModel"
    file = tmp_path / "cut.onnx"
    for length in range(0, len(whole), 7):
        file.write_bytes(whole[:length])
        try:
            found = read_metadata(file)
        except ValueError:
            continue
        assert found.items() <= remarks.items()


@given(st.binary(max_size=200))
def test_garbage_is_no_model(content):
    file = Path(f"/proc/self/fd/{os.memfd_create('garbage')}")
    try:
        file.write_bytes(content)
        assert isinstance(read_metadata(file), dict)
    except ValueError:
        pass
    finally:
        os.close(int(file.name))
