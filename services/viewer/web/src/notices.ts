import { button, el } from "./dom";

const SECONDS = 12;

/** Errors, one under the other, each with a way to close it. */
export class Notices {
  constructor(private readonly place: HTMLElement) {}

  add(text: string, fix = ""): void {
    for (const shown of this.place.children) if ((shown as HTMLElement).dataset.text === text) shown.remove();
    const notice = el(
      "div",
      { className: "notice", "data-text": text },
      el("p", {}, text, fix ? el("span", {}, " Start it with ", el("code", {}, fix)) : null),
      button("Close", () => notice.remove(), { className: "quiet" }),
    );
    this.place.append(notice);
    while (this.place.children.length > 3) this.place.firstElementChild?.remove();
    setTimeout(() => notice.remove(), SECONDS * 1000);
  }
}
