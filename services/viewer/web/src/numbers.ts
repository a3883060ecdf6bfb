import { el, unhurried } from "./dom";
import { KINDS, type Delivery, type Picture } from "./messages";
import { kindName, predicted, tokenLegend } from "./overlays";
import { Plot } from "./plot";

const LAYERS = ["header", "mask", "indices", "features"];
const STAGES_SHOWN = 6;
const REMEMBERED = 64;
const RATE_WINDOW = 5000;
const READ_MS = 250;
/** From a panorama to its delivery and quality, at most; in a stream the next one is there before. */
const EXPECTED_MS = 1500;
const UNKNOWN = "not known";

/** A card: a number, a sentence that explains it, and what it was before. */
class Card {
  readonly element: HTMLElement;
  private readonly value = el("p", { className: "value" }, "–");

  constructor(title: string, hint: string, extra: HTMLElement | null = null) {
    const id = `hint-${title.toLowerCase().replaceAll(" ", "-")}`;
    this.element = el(
      "article",
      { className: "card", tabIndex: 0, "aria-describedby": id },
      el("h3", {}, title),
      this.value,
      extra,
      el("p", { className: "hint", id, role: "tooltip" }, hint),
    );
  }

  set(text: string): void {
    if (this.value.textContent !== text) this.value.textContent = text;
  }
}

/** Measurements of the panorama that is shown, and their course. */
export class Numbers {
  private readonly snrPlot = new Plot("Signal-to-noise ratio", "dB");
  private readonly lossPlot = new Plot("Lost segments", "%", 0);
  private readonly layers = el("div", { className: "bar-of-parts", role: "img", "aria-label": "Bits by layer: no values yet" });
  private readonly layerList = el("ul", { className: "legend" });
  private readonly stages = el("ul", { className: "stages" });
  private readonly tokens = el("div", { className: "bar-of-parts", role: "img", "aria-label": "Tokens by kind: no values yet" });
  private readonly tokenPlace = el("div", {});
  private readonly cards = {
    rate: new Card("Pictures a second", "How many panoramas arrive each second, in the last five. From about 10 on they look like a film, below 2 like a slide show."),
    age: new Card("Age", "How old the panorama was when it was ready to be shown: from the moment it was taken or handed to the link, by the clocks of both ends."),
    kinds: new Card("Tokens", "The panorama is sent in patches, the tokens. In a stream most of them stay (unchanged), some get sharper (refined), and new ones come where something has moved. Of a single panorama some are kept: sent with their feature, the others as an entry of the codebook only. Concealed ones were lost, and are concealed from their neighbours; of a stream, what was lost stays as it was in the picture before.", el("div", {}, this.tokens, this.tokenPlace)),
    bpp: new Card("Bits per pixel", "How many bits each pixel of the panorama costs on average. A PNG needs about 12, a good JPEG 1.", null),
    symbols: new Card("Symbols per pixel", "A symbol is one use of the radio channel. Error protection is included: more of it takes more symbols for the same bits."),
    snr: new Card("SNR", "How much stronger the signal is than the noise, in decibels: 20 is a clear line, 0 means noise as strong as the signal.", this.snrPlot.canvas),
    losses: new Card("Losses", "Parts of the panorama, its segments, that did not survive the channel, of all that were sent; the line below shows them in percent. What is lost is concealed from its neighbours, or stays as it was.", this.lossPlot.canvas),
    vpsnr: new Card("VPSNR", "How close the received views are to the original, in decibels; the mean over 14 directions. Above 30 is hard to tell apart. Known only where the original is."),
    vssim: new Card("VSSIM", "How well structures survive in those views: 1 is identical, 0 unrelated."),
    layers: new Card("Bits by layer", "The header says how to read the rest, indices name an entry of the codebook for each patch (the base picture), features refine some patches, and the mask says which. Of several pictures, also how many bits all of it takes each second.", el("div", {}, this.layers, this.layerList)),
    latency: new Card("Time by stage", "Where the time goes between the panorama's last byte and its receipt.", this.stages),
  };
  private readonly deliveries = new Map<string, Delivery>();
  private readonly qualities = new Map<string, [number, number]>();
  /** The newest of each, shown while those of the panorama itself may still come: of a fast stream they come too late. */
  private newest: { delivery?: Delivery; quality?: [number, number] } = {};
  private readonly arrivals: number[] = [];
  private readonly spent: { at: number; bits: number }[] = [];
  private seen = false;
  private chosen: Picture | null = null;
  private readonly arrivedAt = new WeakMap<Picture, number>();
  private readonly showSoon = unhurried(READ_MS, () => this.show());

  constructor(place: HTMLElement) {
    place.append(
      el("p", { className: "lead" }, "Point at a number, or move to it with Tab, to read what it means."),
      el("div", { className: "cards" }, ...Object.values(this.cards).map((card) => card.element)),
    );
    setInterval(() => this.showRate(), 1000);
    const { kinds, layers, latency, ...narrow } = this.cards;
    for (const { element } of [kinds, layers, latency]) element.classList.add("wide");
    Object.values(narrow).forEach(({ element }, place) => element.classList.add(place % 2 ? "right" : "left"));
    latency.element.classList.add("last");
  }

  picture(header: Picture): void {
    this.arrivals.push(performance.now());
    this.showRate();
    this.snrPlot.add(header.snr_db);
    const { sent, lost } = segments(header);
    this.lossPlot.add(sent ? (100 * lost) / sent : 0);
    this.arrivedAt.set(header, performance.now());
    setTimeout(this.showSoon, EXPECTED_MS); // by when what has not come is not known
  }

  delivery(delivery: Delivery): void {
    remember(this.deliveries, delivery.source, delivery);
    this.newest.delivery = delivery;
    const now = performance.now();
    this.spent.push({ at: now, bits: Object.values(delivery.bits).reduce((a, b) => a + b, 0) });
    while (this.spent.length && now - (this.spent[0]?.at ?? now) > RATE_WINDOW) this.spent.shift();
    if (delivery.source === this.chosen?.source || this.expected) this.showSoon();
  }

  quality(source: string, vpsnr: number, vssim: number): void {
    remember(this.qualities, source, [vpsnr, vssim]);
    this.newest.quality = [vpsnr, vssim];
    if (source === this.chosen?.source || this.expected) this.showSoon();
  }

  /** Show the measurements of one panorama, as often as somebody can read them. */
  choose(header: Picture): void {
    this.chosen = header;
    this.showSoon();
  }

  /** Whether delivery and quality of the panorama may still come: until then the newest that are known stay. */
  private get expected(): boolean {
    return Boolean(this.chosen?.original) && performance.now() - (this.arrivedAt.get(this.chosen as Picture) ?? 0) < EXPECTED_MS;
  }

  private showRate(): void {
    const now = performance.now();
    while (this.arrivals.length && now - (this.arrivals[0] ?? 0) > RATE_WINDOW) this.arrivals.shift();
    const [first = now] = this.arrivals;
    if (!this.seen && !this.arrivals.length) return;
    this.seen = true;
    const several = this.arrivals.length > 2;
    this.cards.rate.set((several ? (1000 * (this.arrivals.length - 1)) / ((this.arrivals.at(-1) ?? now) - first || 1) : (1000 * this.arrivals.length) / RATE_WINDOW).toFixed(1));
  }

  private showKinds({ kinds }: Picture): void {
    if (!kinds) {
      this.cards.kinds.set(UNKNOWN);
      this.tokens.setAttribute("aria-label", `Tokens by kind: ${UNKNOWN}`);
      this.tokens.replaceChildren();
      this.tokenPlace.replaceChildren();
      return;
    }
    const total = KINDS.reduce((sum, kind) => sum + kinds[kind], 0);
    const stream = predicted(kinds);
    const there = KINDS.filter((kind) => kinds[kind]);
    this.cards.kinds.set(stream ? `${total - kinds.unchanged - kinds.concealed - kinds.lost} of ${total} sent` : `${total}`);
    this.tokens.setAttribute("aria-label", there.map((kind) => `${kindName(kind, stream)} ${kinds[kind]}`).join(", "));
    this.tokens.replaceChildren(
      ...there.map((kind) => {
        const part = el("span", { className: `part ${kind}` });
        part.style.flexGrow = String(kinds[kind] / total);
        return part;
      }),
    );
    this.tokenPlace.replaceChildren(tokenLegend(kinds));
  }

  private show(): void {
    if (!this.chosen) return;
    const { source, age_seconds: age, snr_db: snr } = this.chosen;
    const { sent, lost } = segments(this.chosen);
    this.cards.snr.set(snr === null ? "no noise" : `${snr.toFixed(1)} dB`);
    this.cards.losses.set(`${lost} / ${sent}`);
    this.cards.age.set(age === null ? UNKNOWN : age < 1 ? `${(1000 * age).toFixed(0)} ms` : `${age.toFixed(1)} s`);
    this.showKinds(this.chosen);
    const { expected } = this;
    const quality = this.qualities.get(source) ?? (expected ? this.newest.quality : undefined);
    if (quality) {
      this.cards.vpsnr.set(`${quality[0].toFixed(1)} dB`);
      this.cards.vssim.set(quality[1].toFixed(3));
    } else if (!expected) {
      this.cards.vpsnr.set(UNKNOWN);
      this.cards.vssim.set(UNKNOWN);
    }
    const delivery = this.deliveries.get(source) ?? (expected ? this.newest.delivery : undefined);
    if (delivery?.delivered) {
      this.cards.bpp.set(delivery.bpp.toFixed(3));
      this.cards.symbols.set(delivery.symbols_per_pixel.toFixed(3));
      this.showLayers(delivery);
      this.showStages(delivery);
    } else if (!expected) this.forgetDelivery();
  }

  /** What only a delivery tells is not known: a panorama that others have sent, or one of long ago. */
  private forgetDelivery(): void {
    const { bpp, symbols, layers, latency } = this.cards;
    for (const card of [bpp, symbols, layers, latency]) card.set(UNKNOWN);
    this.layers.setAttribute("aria-label", `Bits by layer: ${UNKNOWN}`);
    for (const part of [this.layers, this.layerList, this.stages]) part.replaceChildren();
  }

  private showLayers({ bits, schemes, kept, tokens }: Delivery): void {
    const total = Object.values(bits).reduce((a, b) => a + b, 0) || 1;
    this.cards.layers.set(this.spent.length > 2 ? `${size(total)} · ${this.bitrate()}` : size(total));
    this.layers.setAttribute("aria-label", LAYERS.map((layer) => `${layer} ${Math.round((100 * (bits[layer] ?? 0)) / total)} %`).join(", "));
    this.layers.replaceChildren(
      ...LAYERS.filter((layer) => bits[layer]).map((layer) => {
        const part = el("span", { className: `part ${layer}` });
        part.style.flexGrow = String((bits[layer] ?? 0) / total);
        return part;
      }),
    );
    this.layerList.replaceChildren(
      ...LAYERS.filter((layer) => bits[layer]).map((layer) =>
        el("li", { className: layer }, `${layer} ${size(bits[layer] ?? 0)}`, el("small", {}, ` ${(schemes[layer] ?? []).join(", ")}`)),
      ),
      el("li", { className: "kept" }, `${kept} of ${tokens} tokens with a feature`),
    );
  }

  private bitrate(): string {
    const [first, ...others] = this.spent;
    const seconds = ((this.spent.at(-1)?.at ?? 0) - (first?.at ?? 0)) / 1000 || 1;
    const kbit = others.reduce((sum, { bits }) => sum + bits, 0) / seconds / 1000;
    return kbit < 1000 ? `${kbit.toFixed(0)} kbit/s` : `${(kbit / 1000).toFixed(1)} Mbit/s`;
  }

  private showStages({ seconds }: Delivery): void {
    const total = seconds.total ?? 0;
    this.cards.latency.set(`${(1000 * total).toFixed(0)} ms`);
    const longest = Object.entries(seconds).filter(([name]) => name !== "total").sort((a, b) => b[1] - a[1]).slice(0, STAGES_SHOWN);
    this.stages.replaceChildren(
      ...longest.map(([name, value]) => {
        const line = el("li", {}, el("span", {}, name.replaceAll("_", " ")), el("span", {}, `${(1000 * value).toFixed(0)} ms`));
        line.style.setProperty("--share", String(total ? Math.min(1, value / total) : 0));
        return line;
      }),
    );
  }
}

/** How many segments of a panorama were sent, and how many of them were lost. */
function segments({ segments: { sent, lost } }: Picture): { sent: number; lost: number } {
  const sum = (counts: Record<string, number>): number => Object.values(counts).reduce((a, b) => a + b, 0);
  return { sent: sum(sent), lost: sum(lost) };
}

function size(bits: number): string {
  return bits < 8192 ? `${Math.ceil(bits / 8)} bytes` : `${(bits / 8192).toFixed(1)} KiB`;
}

function remember<T>(map: Map<string, T>, key: string, value: T): void {
  map.set(key, value);
  while (map.size > REMEMBERED) map.delete(map.keys().next().value as string);
}
