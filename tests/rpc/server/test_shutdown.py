"""SIGTERM ends a service's process, whatever hangs in it: real processes."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

PROGRAM = """
import sys, threading, time
from panolink.rpc.observability.metrics import ServiceMetrics
from panolink.rpc.server import server
from panolink.services.channel.settings import ChannelSettings

server._FORCE_SECONDS = 1.0

def build(settings):
    made = server.Server("channel", settings, ServiceMetrics())
    {hang}
    return made

sys.exit(server.run(ChannelSettings, build))
"""

HANGS = {
    "a thread": "threading.Thread(target=time.sleep, args=(60,)).start()",
    "a callback that blocks the event loop": (
        "import asyncio; asyncio.get_running_loop().call_later(0.3, time.sleep, 60)"
    ),
    "closing": "made.on_close(lambda: time.sleep(60))",
}


@pytest.mark.slow
@pytest.mark.parametrize(("hang", "sign"), [*((hang, "SIGTERM") for hang in HANGS), ("closing", "its parent's death")])
def test_a_process_ends_in_time(hang: str, sign: str) -> None:
    environment = {
        **os.environ,
        "PANOLINK_CHANNEL_LISTEN": "127.0.0.1:0",
        "PANOLINK_CHANNEL_METRICS_LISTEN": "off",
        "PANOLINK_CHANNEL_DRAIN_SECONDS": "0",
        "PANOLINK_LOG_FORMAT": "json",
    }
    command = [sys.executable, "-c", PROGRAM.format(hang=HANGS[hang]), "--until-stdin-ends"]
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    )
    assert process.stdin and process.stdout and process.stderr
    try:
        assert json.loads(process.stdout.readline())["ready"] == "channel"
        time.sleep(0.6)
        start = time.monotonic()
        if sign == "SIGTERM":
            process.send_signal(signal.SIGTERM)
        else:
            process.stdin.close()
        status = process.wait(timeout=20)
        assert time.monotonic() - start < 5
        last = json.loads(process.stderr.read().strip().splitlines()[-1])
        assert status == 1 and "did not end within 1 s" in last["message"]
    finally:
        process.kill()
