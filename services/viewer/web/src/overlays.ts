import { $, choice, el } from "./dom";
import { KINDS, type Kind, type Picture } from "./messages";

export const OVERLAYS = ["none", "tokens", "focus", "activation"] as const;
export type Overlay = (typeof OVERLAYS)[number];

const NAMES: Record<Overlay, string> = { none: "No overlay", tokens: "Tokens", focus: "Focus", activation: "Activation" };

/** What is laid over the panorama, how it is chosen, and what its colours mean. */
export class Overlays {
  chosen: Overlay = "none";
  private readonly select: HTMLSelectElement;

  constructor(changed: () => void) {
    this.select = choice(OVERLAYS.map((name) => [name, NAMES[name]]), "none", (value) => {
      this.chosen = value as Overlay;
      changed();
    });
    this.select.id = "overlay";
    this.select.setAttribute("aria-label", "Overlay");
    $("overlays").append(this.select);
  }

  /** Say what the overlay shows of a panorama; `activation`: whether its map is known. */
  explain(header: Picture | undefined, activation: boolean): void {
    const legend = $("legend");
    legend.hidden = this.chosen === "none" || !header;
    if (!header || legend.hidden) return;
    legend.replaceChildren(...this.words(header, activation));
  }

  private words({ kinds, focus }: Picture, activation: boolean): HTMLElement[] {
    if (this.chosen === "activation")
      return [el("p", {}, activation ? "The brighter, the more detail the encoder finds there." : "Not known: only what was sent from this page, and not predicted from a picture before, has an activation map.")];
    if (this.chosen === "focus")
      return [el("p", {}, focus.length ? "Fine inside the ring, coarser and coarser outside of it." : "No focus: all of the panorama is equally fine. Streams follow where you look.")];
    if (!kinds) return [el("p", {}, "Not known of this panorama.")];
    return [tokenLegend(kinds)];
  }
}

/** Which tokens there are, each with its colour and how many; of a single panorama all are new. */
export function tokenLegend(kinds: Record<Kind, number>): HTMLElement {
  const total = KINDS.reduce((sum, kind) => sum + kinds[kind], 0) || 1;
  const stream = predicted(kinds);
  return el(
    "ul",
    { className: "legend" },
    ...KINDS.filter((kind) => kinds[kind]).map((kind) =>
      el("li", { className: kind }, `${kindName(kind, stream)} `, el("small", {}, share(kinds[kind], total))),
    ),
  );
}

/** Whether a panorama is predicted from one before it. */
export function predicted({ unchanged, refined, lost }: Record<Kind, number>): boolean {
  return unchanged + refined + lost > 0;
}

/** What a kind of tokens is called, in a stream and in a single panorama. */
export function kindName(kind: Kind, stream: boolean): string {
  if (kind === "new") return stream ? "new" : "index only";
  if (kind === "new_feature") return stream ? "new, with feature" : "kept: with feature";
  if (kind === "lost") return "lost: as they were";
  return kind;
}

function share(count: number, total: number): string {
  const percent = (100 * count) / total;
  return percent > 0 && percent < 1 ? `${count}` : `${percent.toFixed(0)} %`;
}
