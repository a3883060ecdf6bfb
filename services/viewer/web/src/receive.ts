import { choice, el, field } from "./dom";
import type { Request, Service } from "./messages";

const SET: [string, string] = ["", "as the receiver is set"];
/** Values of the choice, and what they are called; between the two ends a receiver has quarters. */
const SCALE: [string, string][] = [
  ["fidelity", "Fidelity: least error"],
  ["0.25", "Realism 0.25"],
  ["0.5", "Realism 0.5"],
  ["0.75", "Realism 0.75"],
  ["perceptual", "Perceptual: sharper looks"],
];
const ENDS: Record<string, number> = { fidelity: 0, perceptual: 1 };

/** How received panoramas are made of what arrives: a choice where the receiver has one. */
export function receivePanel(place: HTMLElement, send: (request: Request) => void, chosen: () => void) {
  const decoder = choice([SET], "", (value) => {
    send({ type: "decoder", realism: value === "" ? null : (ENDS[value] ?? Number(value)) });
    chosen();
  });
  decoder.id = "decoder";
  place.append(
    field("Decoder", decoder),
    el("p", { className: "lead" }, "The bits are the same. The perceptual one draws texture that looks right, and need not be the original’s; realism is how much of that. All who look at this page see the choice."),
  );

  return {
    models(models: NonNullable<Service["models"]>): void {
      const kinds = new Set(models.flatMap((model) => model.decoders));
      place.hidden = kinds.size < 2;
      const scale = kinds.has("perceptual") ? SCALE : SCALE.filter(([value]) => kinds.has(value));
      const options = [SET, ...scale];
      if (options.map(([value]) => value).join() === [...decoder.options].map((option) => option.value).join()) return;
      const before = decoder.value;
      decoder.replaceChildren(...options.map(([value, text]) => el("option", { value }, text)));
      decoder.value = before;
    },
    chosen(realism: number | null): void {
      const value = realism === null ? "" : (Object.keys(ENDS).find((name) => ENDS[name] === realism) ?? String(realism));
      if (![...decoder.options].some((option) => option.value === value)) decoder.append(el("option", { value }, new Map(SCALE).get(value) ?? `Realism ${value}`));
      decoder.value = value;
    },
  };
}
