import { $, button, el } from "./dom";
import type { Delivery, Picture } from "./messages";
import type { Numbers } from "./numbers";
import { Overlays, type Overlay } from "./overlays";
import { MODES, type Mode, type Sphere } from "./sphere";

const KEPT = 16;
const THUMB = { width: 128, height: 64 };

interface Shot {
  header: Picture;
  jpeg: Blob;
  tokens: Blob | null;
  activation: boolean;
  /** Why its original, which was asked for, is not there. */
  missing: string;
  item: HTMLLIElement;
}

/** What a view needs beside the received picture, as far as it was fetched. */
interface Beside {
  sent?: ImageBitmap;
  tokens?: ImageBitmap;
  activation?: ImageBitmap;
}

/** The panoramas that have arrived: the newest or a chosen one on the sphere, the last ones in the strip. */
export class Gallery {
  private readonly shots: Shot[] = [];
  private shown: Shot | null = null; // or is to be, once it is decoded
  private current: Shot | null = null; // on the sphere
  private mode: Mode = "received";
  private paused = false;
  private dividing = 0.5;
  private busy = false;
  private compared = "";
  private mapped = "";
  private tokened: Shot | null = null;
  private readonly mappable = new Set<string>();
  private readonly overlays: Overlays;
  private readonly pause = button("Pause", () => this.setPaused(!this.paused));

  constructor(
    private readonly sphere: Sphere,
    private readonly numbers: Numbers,
  ) {
    const names: Record<Mode, string> = { received: "Received", compare: "Compare", sent: "Sent", difference: "Difference", beside: "Side by side" };
    $("views").append(...MODES.map((mode) => button(names[mode], () => this.setMode(mode), { "data-mode": mode })));
    this.overlays = new Overlays(() => void this.update());
    $("strip-tools").append(
      this.pause,
      button("Back", () => this.step(-1), { title: "One panorama back (B)" }),
      button("Forward", () => this.step(1), { title: "One panorama forward (F)" }),
      button("Save", () => this.save(), { title: "Save the panorama that is shown" }),
    );
    $<HTMLInputElement>("divider").oninput = ({ target }) => {
      this.dividing = Number((target as HTMLInputElement).value);
      this.apply();
    };
    $("sphere").addEventListener("keydown", (event) => {
      const does: Record<string, () => void> = { " ": () => this.setPaused(!this.paused), b: () => this.step(-1), f: () => this.step(1) };
      const found = event.ctrlKey || event.metaKey || event.altKey ? undefined : does[event.key];
      if (!found) return;
      event.preventDefault();
      found();
    });
    void this.update();
  }

  /** Whether a panorama is the last one that has arrived: the viewer tells its last one to whoever connects, again, too. */
  knows({ burst_id, number, realism }: Picture): boolean {
    const last = this.shots.at(-1)?.header;
    return last?.burst_id === burst_id && last.number === number && last.realism === realism;
  }

  /** A panorama has arrived. It is skipped where the last one is still being decoded: the newest wins. */
  async arrived(header: Picture, jpeg: Blob, tokens: Blob | null): Promise<void> {
    const shot: Shot = { header, jpeg, tokens, activation: this.mappable.has(header.source), missing: "", item: el("li") };
    this.shots.push(shot);
    while (this.shots.length > KEPT) this.shots.shift()?.item.remove();
    if (this.paused || this.busy) void this.decodeThumbnail(shot); // else it is made of the picture that is shown
    if (!this.paused) await this.show(shot);
  }

  delivered(delivery: Delivery): void {
    if (!delivery.activation) return;
    this.mappable.add(delivery.source); // which may come before its panorama
    while (this.mappable.size > KEPT) this.mappable.delete(this.mappable.values().next().value as string);
    const shot = this.shots.find(({ header }) => header.source === delivery.source);
    if (!shot) return;
    shot.activation = true;
    if (shot === this.current) void this.update();
  }

  private async show(shot: Shot): Promise<void> {
    this.shown = shot;
    if (this.busy) return;
    this.busy = true;
    try {
      while (this.shown) {
        const now: Shot = this.shown;
        try {
          const picture = await createImageBitmap(now.jpeg); // decoded beside the page's own thread
          this.thumbnail(now, picture);
          const asked = this.wanted(now);
          const beside = await this.beside(now); // or it would be compared with the one before it meanwhile
          this.sphere.show("received", picture);
          this.current = now;
          this.put(now, beside);
          this.apply();
          document.body.dataset.shown = String(now.header.number);
          if (asked !== this.wanted(now)) await this.update();
        } catch (error) {
          console.error(error); // a picture that cannot be shown keeps no other one back
        }
        if (this.shown === now) break;
      }
    } finally {
      this.busy = false;
    }
  }

  /** On what it depends which things are fetched: where it has changed meanwhile, something else is needed. */
  private wanted({ activation }: Shot): string {
    return `${this.mode} ${this.overlays.chosen} ${activation}`;
  }

  /** Fetch what the view needs beside the received picture, and set the view; what comes too late is not shown. */
  private async update(): Promise<void> {
    const shot = this.current;
    if (shot) {
      const beside = await this.beside(shot);
      if (shot !== this.current) return Object.values(beside).forEach((image: ImageBitmap) => image.close());
      this.put(shot, beside);
    }
    this.apply();
  }

  /** Fetch what the view needs of a panorama and is not on the sphere. */
  private async beside(shot: Shot): Promise<Beside> {
    const { header, tokens, activation } = shot;
    const found: Beside = {};
    if (header.original && this.mode !== "received" && this.compared !== header.source) {
      const sent = await fetched("sent", header.source);
      if (typeof sent === "string") shot.missing = sent;
      else found.sent = sent;
    }
    if (tokens && this.overlays.chosen === "tokens" && this.tokened !== shot)
      found.tokens = await createImageBitmap(tokens, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
    if (activation && this.overlays.chosen === "activation" && this.mapped !== header.source) {
      const map = await fetched("activation", header.source);
      if (typeof map !== "string") found.activation = map;
    }
    return found;
  }

  private put(shot: Shot, { sent, tokens, activation }: Beside): void {
    const { header } = shot;
    if (sent) {
      this.sphere.show("sent", sent);
      this.compared = header.source;
      shot.missing = "";
    }
    if (tokens) {
      this.sphere.show("tokens", tokens);
      this.sphere.cover("tokens", covered(header, tokens));
      this.tokened = shot;
    }
    if (activation) {
      this.sphere.show("activation", activation);
      this.sphere.cover("activation", covered(header, activation));
      this.mapped = header.source;
    }
  }

  private apply(): void {
    const shot = this.current;
    const original = Boolean(shot?.header.original);
    const mode = original && this.compared === shot?.header.source ? this.mode : "received";
    const divider = $<HTMLInputElement>("divider");
    divider.hidden = mode !== "compare";
    $("labels").hidden = mode !== "compare" && mode !== "beside";
    const stage = $("stage");
    stage.classList.toggle("beside", mode === "beside");
    stage.classList.toggle("stacked", mode === "beside" && this.sphere.stacked);
    stage.style.setProperty("--divider", mode === "beside" ? "0.5" : String(this.dividing));
    this.sphere.set(mode, this.dividing, this.overlay(shot), shot?.header.focus ?? []);
    this.overlays.explain(shot?.header, this.mapped === shot?.header.source);
    for (const each of $("views").querySelectorAll("button")) {
      const name = each.dataset.mode;
      each.setAttribute("aria-pressed", String(name === this.mode));
      each.disabled = Boolean(shot) && name !== "received" && !original;
      each.title = each.disabled ? "Only for panoramas that were sent from this page: the link carries no original" : "";
    }
    for (const each of this.shots) each.item.classList.toggle("shown", each === shot);
    const missing = shot?.missing && this.mode !== "received" ? `  ·  its original ${shot.missing}` : "";
    $("caption").textContent = shot ? caption(shot.header) + missing : "";
    if (shot) this.numbers.choose(shot.header);
  }

  /** The overlay that is chosen, where what it needs is there. */
  private overlay(shot: Shot | null): Overlay {
    const { chosen } = this.overlays;
    const known = { none: true, focus: true, tokens: shot !== null && this.tokened === shot, activation: this.mapped === shot?.header.source };
    return known[chosen] ? chosen : "none";
  }

  private async decodeThumbnail(shot: Shot): Promise<void> {
    const small = await createImageBitmap(shot.jpeg, { resizeWidth: THUMB.width, resizeHeight: THUMB.height, resizeQuality: "low" });
    this.thumbnail(shot, small);
    small.close();
  }

  /** Put a panorama into the strip, at its end: the strip grows from right to left, and stays there without being scrolled. */
  private thumbnail(shot: Shot, picture: ImageBitmap): void {
    if (shot.item.firstChild || !this.shots.includes(shot)) return;
    const canvas = el("canvas", THUMB);
    canvas.getContext("2d")?.drawImage(picture, 0, 0, THUMB.width, THUMB.height);
    const lost = Object.values(shot.header.segments.lost).some(Boolean);
    const choose = button("", () => {
      this.setPaused(true);
      void this.show(shot);
    }, { "aria-label": `Show number ${shot.header.number}, ${shot.header.source}${lost ? ", with losses" : ""}` });
    choose.append(canvas, el("span", { className: lost ? "number lost" : "number", "aria-hidden": "true" }, String(shot.header.number)));
    shot.item.append(choose);
    const next = this.shots.slice(this.shots.indexOf(shot) + 1).find(({ item }) => item.isConnected);
    if (next) next.item.after(shot.item);
    else $("strip").prepend(shot.item);
  }

  private setMode(mode: Mode): void {
    this.mode = mode;
    void this.update();
  }

  private setPaused(paused: boolean): void {
    this.paused = paused;
    this.pause.textContent = paused ? "Live" : "Pause";
    this.pause.classList.toggle("primary", paused);
    const last = this.shots.at(-1);
    if (!paused && last) void this.show(last);
  }

  private step(by: number): void {
    const now = this.shown ? this.shots.indexOf(this.shown) : this.shots.length;
    const next = this.shots[Math.max(0, Math.min(this.shots.length - 1, now + by))];
    if (!next) return;
    this.setPaused(true);
    void this.show(next);
  }

  private save(): void {
    const shot = this.current;
    if (!shot) return;
    const link = el("a", { href: URL.createObjectURL(shot.jpeg) });
    link.download = `panolink-${shot.header.number}.jpg`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }
}

const TOKEN = 16;

/** The part of a map of tokens that the panorama covers: at the right and the bottom, tokens may reach beyond it. */
function covered({ width, height }: Picture, map: ImageBitmap): [number, number] {
  const whole = map.width === Math.ceil(width / TOKEN) && map.height === Math.ceil(height / TOKEN); // and no reduced sides
  return whole ? [width / (TOKEN * map.width), height / (TOKEN * map.height)] : [1, 1];
}

/** Milliseconds in which an original has to be there: live pictures wait for it. */
const FETCH = 10_000;

/** An original or a map; or why there is none. */
async function fetched(what: string, source: string): Promise<ImageBitmap | string> {
  try {
    const response = await fetch(`api/${what}?source=${encodeURIComponent(source)}`, { signal: AbortSignal.timeout(FETCH) });
    if (response.status === 404) return "is not kept any more";
    return response.ok ? await createImageBitmap(await response.blob()) : `is refused (${response.status})`;
  } catch {
    return "did not come";
  }
}

function caption({ number, source, width, height, snr_db, concealed, decoder, realism, kinds }: Picture): string {
  const parts = [`No. ${number}`, source, `${width} × ${height}`];
  if (snr_db !== null) parts.push(`${snr_db.toFixed(1)} dB SNR`);
  if (decoder === "perceptual") parts.push("perceptual");
  else if (realism) parts.push(`realism ${realism}`);
  if (concealed) parts.push(`${concealed} tokens concealed`);
  if (kinds?.lost) parts.push(`${kinds.lost} tokens not updated`);
  return parts.join("  ·  ");
}
