"""Whoever asks where words would go disturbs no text that is on its way, and is answered soon."""

import asyncio

import pytest

from support.container import ask, private_home, run
from support.exclusive import Exclusive

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("cmd", ["GET_STATUS", "LIST_OUTPUTS", "TEST_POLICY"])
@pytest.mark.parametrize("preview", [False, True], ids=["", "with a preview"])
def test_questions_during_a_text(tmp_path, monkeypatch, cmd, preview):
    monkeypatch.setattr("v2m.application.survey.SURVEY_WAIT_S", 0.01)
    settings, _ = private_home(tmp_path, monkeypatch)
    output = Exclusive()
    about = {"text": "hello", "app": "foot"} if cmd == "TEST_POLICY" else {}

    async def scenario(container, _output, _notifier):
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            typed = group.create_task(ask(container, "TYPE_TEXT", text="hello"))
            await output.typing.wait()
            answer = await ask(container, cmd, **about)
            assert not typed.done()
            output.go_on.set()
        return answer, (await ask(container, cmd, **about))

    during, afterwards = run({**settings, "output.preview": preview}, scenario, outputs=[output])
    assert (during["output"], afterwards["output"]) == ("memory", "memory")
    assert (output.disturbed, output.probed, output.texts) == (False, 2, ["hello"])
