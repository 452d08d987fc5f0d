"""Talks to the daemon; standard library only, so that importing it costs nothing.

`Client` blocks, `AsyncClient` is for asyncio; both raise `ClientError`.
"""
MAX_PAYLOAD_SIZE = 1 << 20
