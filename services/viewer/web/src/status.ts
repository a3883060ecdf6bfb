import { $, button, el } from "./dom";
import type { Service } from "./messages";


/** The chain of services in the bar, and what the stage says while there is nothing to see. */
export class Status {
  private names = ["transmitter", "channel", "receiver"];
  private online = false;
  private reason = "";
  private seen = false;
  private known: Record<string, Service> = {};

  /** `stream`: what the button does that is offered while nothing has arrived. */
  constructor(private readonly stream: () => void) {}

  /** `reason`: why the viewer has ended the connection, where it said so. */
  connected(online: boolean, reason = ""): void {
    this.online = online;
    this.reason = reason;
    this.show();
  }

  withChannel(there: boolean): void {
    this.names = there ? ["transmitter", "channel", "receiver"] : ["transmitter", "receiver"];
    this.show();
  }

  services(services: Record<string, Service>): void {
    this.known = services;
    this.show();
  }

  arrived(): void {
    if (this.seen) return;
    this.seen = true;
    this.show();
  }

  private show(): void {
    $("chain").replaceChildren(
      ...this.names.map((name) => {
        const up = this.online && this.known[name]?.up;
        const text = up ? "running" : this.online && this.known[name] ? "not running" : "unknown";
        return el(
          "li",
          { className: up ? "up" : "down", title: this.known[name]?.error ?? this.known[name]?.address ?? "" },
          name,
          el("span", { className: "for-readers" }, ` ${text}`),
        );
      }),
    );
    const [title, text, command] = this.words();
    const empty = $("empty");
    empty.hidden = !title;
    empty.classList.toggle("over", this.seen);
    empty.replaceChildren(
      ...(title ? [el("h2", {}, title), ...this.offer(), el("p", {}, text), ...(command ? [el("code", {}, command)] : [])] : []),
    );
  }

  /** Whether all services are there. */
  get complete(): boolean {
    return this.online && this.names.every((name) => this.known[name]?.up);
  }

  /** The shortest way to see something, where all is there that it takes. */
  private offer(): HTMLElement[] {
    return this.complete && !this.seen ? [button("Stream the samples", this.stream, { className: "primary" })] : [];
  }

  private words(): [string, string, string] {
    if (!this.online && this.reason) return ["No connection to the viewer", `It says: ${this.reason}. The page tries again by itself.`, ""];
    if (!this.online) return ["No connection to the viewer", "The page connects again as soon as it answers.", "panolink up --viewer"];
    for (const name of this.names.toReversed()) {
      const service = this.known[name];
      if (service && !service.up) {
        const why = service.error ?? `no ${name} answers at ${service.address}`;
        if (service.version) return [`The ${name} at ${service.address} is not watched`, `${why}. The viewer tries again by itself.`, ""];
        return [`No ${name} answers at ${service.address}`, `${why}. Start it with:`, `python -m panolink.services.${name}`];
      }
    }
    if (!Object.keys(this.known).length) return ["Looking for the link …", `Asking ${this.names.join(", ")}.`, ""];
    if (this.seen) return ["", "", ""];
    return ["Nothing has arrived yet", "or choose a sample under “Send”, drop a panorama or a video anywhere on this page, or send one from a terminal:", "panolink send PANORAMA.jpg --to " + (this.known.transmitter?.address ?? "")];
  }
}
