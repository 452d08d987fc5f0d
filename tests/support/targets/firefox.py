#!/usr/bin/python3
"""Firefox with one field on a page from this machine: `firefox.py LOG [text|password|limited|shouting|private]`.

limited: ten characters; shouting: a script makes it upper case; private: a private window. Becomes Firefox itself,
so that the caller has its process id; a child serves the page and keeps the record.
"""

import ctypes
import json
import os
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from record import Record

FIELDS = {
    "text": "<textarea id=field></textarea>",
    "private": "<textarea id=field></textarea>",
    "password": "<input id=field type=password>",
    "limited": "<textarea id=field maxlength=10></textarea>",
    "shouting": "<textarea id=field></textarea>",
}
PAGE = """<!doctype html><meta charset=utf-8><title>v2m target KIND</title>
<style>#field { width: 95vw; height: 90vh }</style>FIELD
<script>
const field = document.getElementById("field"), queue = [];
let last = "", sending = false;
async function send(fact) {
  queue.push(fact);
  if (sending) return;
  sending = true;
  while (queue.length) await fetch("/facts", { method: "POST", body: JSON.stringify(queue.splice(0)) });
  sending = false;
}
function change() {
  if ("KIND" == "shouting" && field.value != field.value.toUpperCase()) field.value = field.value.toUpperCase();
  const at = performance.timeOrigin + performance.now(), text = field.value;
  if (text == last) return;
  const more = text.startsWith(last);
  send({ at, more, text: more ? text.slice(last.length) : text });
  last = text;
}
field.addEventListener("input", change);
for (const kind of ["compositionstart", "compositionupdate", "compositionend"])
  field.addEventListener(kind, event => send({ preedit: kind == "compositionend" ? "" : event.data }));
const units = (text, characters) => Array.from(text).slice(0, characters).join("").length;
new EventSource("/orders").onmessage = event => {
  const order = JSON.parse(event.data);
  field.value = order.set;
  const [from, to] = [order.anchor, order.cursor].map(at => units(order.set, at));
  field.setSelectionRange(Math.min(from, to), Math.max(from, to), from > to ? "backward" : "forward");
  change();
  // By then the process that talks to input methods knows it as well.
  requestAnimationFrame(() => requestAnimationFrame(() => send({ done: order.order })));
};
const ready = () => { field.focus(); if (document.hasFocus()) send({ ready: true }); };
window.addEventListener("focus", ready);
ready();
</script>"""
# No first-run pages, no requests to anybody, times at full resolution.
SETTINGS = {
    "app.update.enabled": False,
    "browser.aboutwelcome.enabled": False,
    "browser.discovery.enabled": False,
    "browser.preonboarding.enabled": False,
    "browser.safebrowsing.downloads.remote.enabled": False,
    "browser.sessionstore.resume_from_crash": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage_override.mstone": "ignore",
    "browser.tabs.warnOnClose": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.getAddons.cache.enabled": False,
    "extensions.systemAddon.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "network.prefetch-next": False,
    "privacy.reduceTimerPrecision": False,
    "services.settings.server": "data:,",
    "startup.homepage_welcome_url": "",
    "termsofuse.bypassNotification": True,
    "toolkit.telemetry.enabled": False,
    "trailhead.firstrun.didSeeAboutWelcome": True,
}
PR_SET_PDEATHSIG = 1


def handler(record, page):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def do_GET(self):
            if self.path == "/orders":
                self.stream()
            else:
                found = self.path == "/"
                self.answer(200 if found else 404, page if found else b"")

        def do_POST(self):
            for fact in json.loads(self.rfile.read(int(self.headers["Content-Length"]))):
                self.keep(fact)
            self.answer(200, b"")

        def keep(self, fact):
            if "at" in fact:
                age_ns = time.time_ns() - int(fact["at"] * 1e6)
                text = (record.text if fact["more"] else "") + fact["text"]
                record.changed(text, time.monotonic_ns() - age_ns)
            elif "ready" in fact:
                record.note(ready=time.monotonic_ns(), pid=os.getppid())
            else:
                record.note(**fact)

        def stream(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            os.set_blocking(record.orders, True)
            while True:
                for order in record.taken():
                    self.wfile.write(b"data: " + json.dumps(order).encode() + b"\n\n")
                    self.wfile.flush()

        def answer(self, status, body):
            self.send_response(status)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler


def main():
    log, kind = (*sys.argv[1:], "text")[:2]
    record = Record(log)
    page = PAGE.replace("FIELD", FIELDS[kind]).replace("KIND", kind).encode()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(record, page))
    server.daemon_threads = True
    if os.fork() == 0:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        server.serve_forever()
    profile = log + ".profile"
    os.mkdir(profile)
    with open(os.path.join(profile, "user.js"), "w") as settings:
        for name, value in SETTINGS.items():
            settings.write(f"user_pref({json.dumps(name)}, {json.dumps(value)});\n")
    url = f"http://127.0.0.1:{server.server_port}/"
    private = ["--private-window"] if kind == "private" else []
    os.execvp("firefox-esr", ["firefox-esr", "--no-remote", "--profile", profile, *(private or ["--new-window"]), url])


if __name__ == "__main__":
    main()
