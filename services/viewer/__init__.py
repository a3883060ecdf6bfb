"""The live viewer: a web page that shows what a receiver receives, what it costs, and lets the channel be changed.

`server` runs the process, `app` answers HTTP and WebSocket, `hub` hands messages out to browsers, `link` talks to the
other services, `uploads` and `sender` put panoramas on the link, `control` checks what browsers ask for. The page
itself is in `web` (TypeScript) and, built, in `static`.
"""
