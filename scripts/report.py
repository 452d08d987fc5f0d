"""What scripts/run tells about outputs and dictations."""

from typing import Any

from v2m.client import Client

STAGES = {
    "open": "key → microphone asked to open",
    "first_sample": "key → first sample",
    "released": "release → microphone let go",
    "transcribed": "release → text",
    "delivered": "release → text in the window",
}


def show_outputs(daemon: Client) -> None:
    """Say where words will go, and why each way of typing is in or out."""
    status = daemon.call("GET_STATUS")
    print(f"Speech engine: {status['engine']['name']}. Your words will go out by: {status['output'] or 'nothing'}")
    for output in status["outputs"]:
        print(f"  {'+' if output['usable'] else '-'} {output['name']:<17} {output['reason']}")


def show_dictation(entry: dict[str, Any]) -> None:
    """Print the text, where it was typed, and the time of each stage."""
    print(f"\n  {entry['text'] or '(nothing)'}\n")
    where = f" into {entry['target']}" if entry["target"] else ""
    how = f"{entry['certainty']} by {entry['method']}{where}" if entry["method"] else entry["phase"]
    print(f"{entry['phase']}: {how}; {entry['duration_s']:.1f} s of speech. {entry['reason']}".rstrip())
    for stage, words in STAGES.items():
        if stage in entry["stages"]:
            print(f"  {words:<32} {entry['stages'][stage]:8.1f} ms", flush=True)
