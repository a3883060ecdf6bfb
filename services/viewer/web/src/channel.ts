import { button, choice, el, field } from "./dom";
import type { Conditions, Request } from "./messages";

const MODELS: [string, string][] = [
  ["ideal", "Ideal: neither noise nor fading"],
  ["awgn", "AWGN: noise only"],
  ["rayleigh", "Rayleigh: fading without line of sight"],
  ["rician", "Rician: fading with line of sight"],
  ["jakes", "Jakes: a moving receiver"],
  ["tdl-a", "TDL-A: echoes in a city"],
  ["tdl-b", "TDL-B"],
  ["tdl-c", "TDL-C"],
  ["tdl-d", "TDL-D"],
  ["tdl-e", "TDL-E"],
];

const WAIT = 120;
/** Milliseconds after a change in which what the channel says moves no control: one may be being dragged. */
const HELD = 1000;

/** Model, SNR and losses of the channel, and scenarios. */
export function channelPanel(place: HTMLElement, send: (request: Request) => void) {
  const snr = slider(-5, 30, 0.5, (value) => change({ snr_db: value }));
  const erasures = slider(0, 0.9, 0.01, (value) => change({ erasure_rate: value }));
  const model = choice(MODELS, "rayleigh", (value) => change({ model: value }));
  const [snrText, erasureText] = [el("output", {}), el("output", {})];
  const scheduled = el("p", { className: "scheduled", role: "status", hidden: true }, "A scenario is running. ", button("End it", () => send({ type: "conditions", scenario: "off" }), { className: "quiet" }));
  const kill = button("Kill the receiver", () => send({ type: "kill" }), { className: "danger", hidden: true, title: "Ends the receiver's process at once; it is started anew" });
  let touched = 0;
  let latest: Conditions | null = null;
  let timer = 0;

  function change(changes: Partial<Conditions>): void {
    touched = Date.now();
    send({ type: "conditions", changes });
  }

  /** Say what is in force, which may be more than the sliders have, or what is being chosen. */
  function label(found: { snr_db: number; erasure_rate: number } | null): void {
    snrText.textContent = found ? `${found.snr_db.toFixed(1)} dB` : "–";
    erasureText.textContent = found ? `${Math.round(100 * found.erasure_rate)} %` : "–";
  }

  /** Show what the channel says, as soon as the controls are left alone. */
  function settle(): void {
    clearTimeout(timer);
    const left = touched + HELD - Date.now();
    if (left > 0) timer = window.setTimeout(settle, left);
    else if (latest) {
      snr.value = String(latest.snr_db);
      erasures.value = String(latest.erasure_rate);
      model.value = latest.model;
      label(latest);
    }
  }

  for (const each of [snr, erasures])
    each.addEventListener("input", () => {
      touched = Date.now();
      label({ snr_db: Number(snr.value), erasure_rate: Number(erasures.value) });
    });
  snr.id = "snr";
  place.append(
    field("Signal-to-noise ratio", snr, snrText),
    field("Model", model),
    field("Erased packets", erasures, erasureText),
    el("h3", {}, "Scenarios"),
    el(
      "div",
      { className: "buttons" },
      button("Drive through a tunnel", () => send({ type: "conditions", scenario: "tunnel" })),
      button("City drive", () => send({ type: "conditions", scenario: "drive" })),
    ),
    el("h3", {}, "Break it"),
    el("div", { className: "buttons" }, button("Deep fade", () => send({ type: "conditions", scenario: "fade" }), { className: "danger" }), kill),
    scheduled,
  );
  label(latest);

  return {
    conditions(found: Conditions): void {
      scheduled.hidden = !found.scheduled;
      latest = found;
      settle();
    },
    /** A request was refused, which may have been a change: show what is. */
    refused(): void {
      touched = 0;
      settle();
    },
    supervised(can: boolean): void {
      kill.hidden = !can;
    },
  };
}

/** A slider that reports its value at most every `WAIT` ms, and always its last one. */
function slider(min: number, max: number, step: number, report: (value: number) => void): HTMLInputElement {
  const made = el("input", { type: "range" });
  Object.assign(made, { min: String(min), max: String(max), step: String(step) });
  let timer = 0;
  made.addEventListener("input", () => {
    timer ||= window.setTimeout(() => {
      timer = 0;
      report(Number(made.value));
    }, WAIT);
  });
  return made;
}
