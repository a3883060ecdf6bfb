import { el } from "./dom";
import type { Delivery, Picture } from "./messages";
import { Plot } from "./plot";

const LAYERS = ["header", "mask", "indices", "features"];
const STAGES_SHOWN = 6;
const REMEMBERED = 64;

/** A card: a number, a sentence that explains it, and what it was before. */
class Card {
  readonly element: HTMLElement;
  private readonly value = el("p", { className: "value" }, "–");

  constructor(title: string, hint: string, extra: HTMLElement | null = null) {
    this.element = el(
      "article",
      { className: "card", tabIndex: 0 },
      el("h3", {}, title),
      this.value,
      extra,
      el("p", { className: "hint" }, hint),
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
  private readonly cards = {
    bpp: new Card("Bits per pixel", "How many bits each pixel of the panorama costs on average. A PNG needs about 12, a good JPEG 1.", null),
    symbols: new Card("Symbols per pixel", "A symbol is one use of the radio channel. Error protection is included: more of it takes more symbols for the same bits."),
    snr: new Card("SNR", "How much stronger the signal is than the noise, in decibels: 20 is a clear line, 0 means noise as strong as the signal.", this.snrPlot.canvas),
    losses: new Card("Losses", "Parts of the panorama that did not survive the channel, in percent of its segments. What is lost is guessed from its neighbours.", this.lossPlot.canvas),
    vpsnr: new Card("VPSNR", "How close the received views are to the original, in decibels; the mean over 14 directions. Above 30 is hard to tell apart. Known only where the original is."),
    vssim: new Card("VSSIM", "How well structures survive in those views: 1 is identical, 0 unrelated."),
    layers: new Card("Bits by layer", "The header says how to read the rest, indices name an entry of the codebook for each patch (the base picture), features refine some patches, and the mask says which.", el("div", {}, this.layers, this.layerList)),
    latency: new Card("Time by stage", "Where the time goes between the panorama's last byte and its receipt.", this.stages),
  };
  private readonly deliveries = new Map<string, Delivery>();
  private readonly qualities = new Map<string, [number, number]>();
  private chosen = "";

  constructor(place: HTMLElement) {
    place.append(
      el("p", { className: "lead" }, "Point at a number, or move to it with Tab, to read what it means."),
      el("div", { className: "cards" }, ...Object.values(this.cards).map((card) => card.element)),
    );
    for (const wide of [this.cards.layers, this.cards.latency]) wide.element.classList.add("wide");
  }

  picture(header: Picture): void {
    this.snrPlot.add(header.snr_db);
    const sum = (counts: Record<string, number>): number => Object.values(counts).reduce((a, b) => a + b, 0);
    const [sent, lost] = [sum(header.segments.sent), sum(header.segments.lost)];
    this.lossPlot.add(sent ? (100 * lost) / sent : 0);
    this.cards.snr.set(header.snr_db === null ? "no noise" : `${header.snr_db.toFixed(1)} dB`);
    this.cards.losses.set(`${lost} / ${sent}`);
  }

  delivery(delivery: Delivery): void {
    remember(this.deliveries, delivery.source, delivery);
    if (delivery.source === this.chosen) this.show();
  }

  quality(source: string, vpsnr: number, vssim: number): void {
    remember(this.qualities, source, [vpsnr, vssim]);
    if (source === this.chosen) this.show();
  }

  /** Show the measurements of one panorama. */
  choose(source: string): void {
    this.chosen = source;
    this.show();
  }

  private show(): void {
    const quality = this.qualities.get(this.chosen);
    if (quality) {
      this.cards.vpsnr.set(`${quality[0].toFixed(1)} dB`);
      this.cards.vssim.set(quality[1].toFixed(3));
    }
    const delivery = this.deliveries.get(this.chosen);
    if (!delivery?.delivered) return;
    this.cards.bpp.set(delivery.bpp.toFixed(3));
    this.cards.symbols.set(delivery.symbols_per_pixel.toFixed(3));
    this.showLayers(delivery);
    this.showStages(delivery);
  }

  private showLayers({ bits, schemes, kept, tokens }: Delivery): void {
    const total = Object.values(bits).reduce((a, b) => a + b, 0) || 1;
    this.cards.layers.set(`${(total / 8192).toFixed(1)} KiB`);
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
        el("li", { className: layer }, `${layer} ${((bits[layer] ?? 0) / 8192).toFixed(1)} KiB`, el("small", {}, ` ${(schemes[layer] ?? []).join(", ")}`)),
      ),
      el("li", { className: "kept" }, `${kept} of ${tokens} tokens refined`),
    );
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

function remember<T>(map: Map<string, T>, key: string, value: T): void {
  map.set(key, value);
  while (map.size > REMEMBERED) map.delete(map.keys().next().value as string);
}
