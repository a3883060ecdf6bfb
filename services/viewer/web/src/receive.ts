import { choice, el, field } from "./dom";
import type { Request, Service } from "./messages";

const SET = "as the receiver is set";
/** What values of the choice are called; between the two ends a receiver has quarters. */
const NAMES = new Map([
  ["fidelity", "Fidelity: least error"],
  ["0.25", "Realism 0.25"],
  ["0.5", "Realism 0.5"],
  ["0.75", "Realism 0.75"],
  ["perceptual", "Perceptual: sharper looks"],
]);
const ENDS: Record<string, number> = { fidelity: 0, perceptual: 1 };

/** How received panoramas are made of what arrives: a choice where the receiver has one. */
export function receivePanel(place: HTMLElement, send: (request: Request) => void, chosen: () => void) {
  let kinds = new Set<string>(); // of the decoders of the receiver's models
  let fromFile = false; // the receiver's own decoder is, as its pictures say

  const decoder = choice([["", SET]], "", (value) => {
    send({ type: "decoder", realism: value === "" ? null : realismOf(value) });
    chosen();
  });
  decoder.id = "decoder";
  const texture = el("span", {}, " The perceptual one draws texture that looks right, and need not be the original’s; realism is how much of that.");
  place.append(
    field("Decoder", decoder),
    el("p", { className: "lead" }, "The bits are the same.", texture, " All who look at this page see the choice."),
  );

  /** Offer what there is, and what is chosen, which may be something else: an API client chooses any realism. */
  function offer(value: string): void {
    const values = [...NAMES.keys()].filter((name) => kinds.has("perceptual") || kinds.has(name));
    if (value !== "" && !values.includes(value)) values.push(value);
    values.sort((one, other) => realismOf(one) - realismOf(other));
    const options = new Map([["", fromFile ? `${SET}: a decoder from a file` : SET]]);
    for (const name of values) options.set(name, NAMES.get(name) ?? `Realism ${name}`);
    if ([...options.values()].join() !== [...decoder.options].map((option) => option.text).join())
      decoder.replaceChildren(...[...options].map(([name, text]) => el("option", { value: name }, text)));
    decoder.value = value;
    texture.hidden = !kinds.has("perceptual");
    place.hidden = kinds.size === 0 || (kinds.size === 1 && !fromFile && value === "");
  }

  return {
    receiver(service: Service | undefined): void {
      kinds = new Set(service?.models?.flatMap((model) => model.decoders));
      if (!service?.up) fromFile = false; // it may come back with another one
      offer(decoder.value);
    },
    chosen(realism: number | null): void {
      offer(realism === null ? "" : (Object.keys(ENDS).find((name) => ENDS[name] === realism) ?? String(realism)));
    },
    picture(realism: number | null): void {
      if (realism !== null || fromFile) return;
      fromFile = true;
      offer(decoder.value);
    },
  };
}

function realismOf(value: string): number {
  return ENDS[value] ?? Number(value);
}
