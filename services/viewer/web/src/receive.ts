import { choice, el, field } from "./dom";
import type { Request, Service } from "./messages";

const NAMES: Record<string, string> = { "": "as the receiver is set", fidelity: "Fidelity: least error", perceptual: "Perceptual: sharper looks" };

/** How received panoramas are made of what arrives: a choice where the receiver has one. */
export function receivePanel(place: HTMLElement, send: (request: Request) => void, chosen: () => void) {
  const decoder = choice([["", NAMES[""] ?? ""]], "", (value) => {
    send({ type: "decoder", decoder: value });
    chosen();
  });
  decoder.id = "decoder";
  place.append(
    field("Decoder", decoder),
    el("p", { className: "lead" }, "The bits are the same. The perceptual one draws texture that looks right, and need not be the original’s. All who look at this page see the choice."),
  );

  return {
    models(models: NonNullable<Service["models"]>): void {
      const kinds = [...new Set(models.flatMap((model) => model.decoders))];
      place.hidden = kinds.length < 2;
      const values = ["", ...kinds];
      if (values.join() === [...decoder.options].map((option) => option.value).join()) return;
      const before = decoder.value;
      decoder.replaceChildren(...values.map((value) => el("option", { value }, NAMES[value] ?? value)));
      decoder.value = before;
    },
    chosen(value: string): void {
      if (![...decoder.options].some((option) => option.value === value)) decoder.append(el("option", { value }, NAMES[value] ?? value));
      decoder.value = value;
    },
  };
}
