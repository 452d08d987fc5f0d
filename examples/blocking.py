"""Dictate once and print the text."""

from v2m.client import Client

with Client() as v2m:
    v2m.call("START_RECORDING")
    input("Speak, then press Enter. ")
    print(v2m.call("STOP_RECORDING", deliver="none")["transcription"])
