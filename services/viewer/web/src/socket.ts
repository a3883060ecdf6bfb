import type { Message, Picture, Request } from "./messages";

/** Milliseconds without a word after which a connection is dead: the viewer says something every ten seconds. */
const SILENCE = 25_000;

/** The WebSocket to the viewer service; it connects again by itself. */
export class Socket {
  private socket: WebSocket | null = null;
  private delay = 500;

  constructor(
    private readonly on: {
      message: (message: Message) => void;
      picture: (header: Picture, jpeg: Blob, tokens: Blob | null) => void;
      open: () => void;
      /** `reason`: what the viewer said, or nothing. */
      lost: (reason: string) => void;
      /** Before a further attempt, where the viewer let nobody in; a promise of when to make it. */
      refused: () => Promise<void>;
    },
  ) {}

  connect(): void {
    const url = new URL("ws", location.href);
    url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(url);
    socket.binaryType = "arraybuffer";
    let timer = 0;
    const ended = (reason: string): void => {
      clearTimeout(timer);
      socket.onmessage = socket.onclose = null; // a dead connection may take minutes to close
      this.socket = null;
      this.on.lost(reason);
      setTimeout(async () => {
        if (!heard) await this.on.refused();
        this.connect();
      }, this.delay);
      this.delay = Math.min(this.delay * 2, 8000);
    };
    const alive = (): void => {
      clearTimeout(timer);
      timer = window.setTimeout(() => {
        socket.close();
        ended("");
      }, SILENCE);
    };
    let heard = false; // a viewer that lets us in speaks first; a full one opens the connection, and closes it
    socket.onmessage = ({ data }) => {
      alive();
      if (!heard) {
        heard = true;
        this.delay = 500;
        this.on.open();
      }
      if (typeof data === "string") this.on.message(JSON.parse(data) as Message);
      else this.on.picture(...parsed(data as ArrayBuffer));
    };
    socket.onclose = ({ reason }) => ended(reason);
    this.socket = socket;
    alive();
  }

  send(request: Request): void {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(request));
  }
}

function parsed(data: ArrayBuffer): [Picture, Blob, Blob | null] {
  const length = new DataView(data).getUint32(0);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length))) as Picture;
  const end = data.byteLength - header.token_bytes;
  const jpeg = new Blob([new Uint8Array(data, 4 + length, end - 4 - length)], { type: "image/jpeg" });
  return [header, jpeg, header.token_bytes ? new Blob([new Uint8Array(data, end)], { type: "image/png" }) : null];
}
