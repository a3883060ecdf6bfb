import { $, button, choice, el, field } from "./dom";
import type { Request, Service } from "./messages";
import type { Notices } from "./notices";

/** Samples, uploads and how they are sent. */
export function sendPanel(place: HTMLElement, send: (request: Request) => void, notices: Notices) {
  const chosen = new Set<string>();
  const samples = el("div", { className: "samples", role: "group", "aria-label": "Samples" });
  const file = el("input", { type: "file", accept: "image/*,video/*", className: "for-readers", id: "file" });
  const width = choice([["512", "512 × 256"], ["1024", "1024 × 512"], ["2048", "2048 × 1024"], ["", "as it is"]], "1024", resend);
  const model = choice([["", "default"]], "", resend);
  const rate = choice(
    [["", "default"], ["bpp:0.05", "0.05 bits per pixel"], ["bpp:0.1", "0.1 bits per pixel"], ["bpp:0.3", "0.3 bits per pixel"], ["bpp:1", "1 bit per pixel"], ["bitrate:100000", "100 kbit/s"], ["bitrate:300000", "300 kbit/s"], ["bitrate:1000000", "1 Mbit/s"], ["tau:0", "no features (τ = 0)"], ["tau:0.25", "a quarter of the features (τ = 0.25)"], ["tau:1", "all features (τ = 1)"], ["adaptive", "adaptive: follow the channel"]],
    "",
    resend,
  );
  const harq = choice([["", "default"], ["0", "never"], ["1", "once"], ["2", "twice"], ["3", "three times"]], "", resend);
  const speed = choice([["1", "1 per second"], ["2", "2 per second"], ["5", "5 per second"], ["10", "10 per second"]], "1", resend);
  const predicted = el("input", { type: "checkbox", checked: true, onchange: resend });
  const stop = button("Stop", () => send({ type: "stop" }), { hidden: true });
  const going = el("p", { className: "going", role: "status" });
  let playing = false;
  let sent = ""; // what `going` says of what is being sent
  let most = Infinity;
  let single = ""; // the sample that was sent last, by itself

  function options(repeat: boolean): object {
    const [kind, value] = rate.value.split(":");
    return {
      repeat,
      width: width.value ? Number(width.value) : null,
      model: model.value,
      harq: harq.value ? Number(harq.value) : null,
      per_second: Number(speed.value),
      stream: predicted.checked,
      adaptive: kind === "adaptive",
      ...(value === undefined ? {} : { [kind]: Number(value) }),
    };
  }

  function stream(): void {
    single = "";
    const names = [...chosen];
    const all = [...samples.querySelectorAll("button")].map((each) => each.dataset.name ?? "");
    send({ type: "send", samples: names.length ? names : all, options: options(true) });
  }

  function resend(): void {
    if (playing) stream();
  }

  function sendSingle(name: string): void {
    single = name;
    send({ type: "send", samples: [name], options: options(false) });
  }

  async function upload(given: File): Promise<void> {
    if (given.size > most) {
      notices.add(`${given.name} has ${mebibytes(given.size)}; allowed are ${mebibytes(most)}.`);
      return;
    }
    single = "";
    going.textContent = `Uploading ${given.name} …`;
    const query = new URLSearchParams({ name: given.name, options: JSON.stringify(options(false)) });
    try {
      const response = await fetch(`api/upload?${query}`, { method: "POST", body: given });
      if (!response.ok) notices.add(((await response.json()) as { error: string }).error);
    } catch {
      notices.add(`${given.name}: the viewer did not take it.`);
    }
    going.textContent = sent;
  }

  file.onchange = () => {
    const [given] = file.files ?? [];
    if (given) void upload(given);
    file.value = "";
  };
  for (const kind of ["dragover", "dragleave", "drop"] as const)
    addEventListener(kind, (event) => {
      event.preventDefault();
      document.body.classList.toggle("dropping", kind === "dragover");
      const [given] = kind === "drop" ? (event.dataTransfer?.files ?? []) : [];
      if (given) void upload(given);
    });

  place.append(
    samples,
    el(
      "div",
      { className: "buttons" },
      button("Stream samples", stream, { className: "primary", id: "stream" }),
      stop,
      el("label", { for: "file", className: "button" }, "Open a file …"),
      file,
    ),
    going,
    el(
      "details",
      {},
      el("summary", {}, "How it is sent"),
      el("div", { className: "grid" }, field("Size", width), field("Speed", speed), field("Rate", rate), field("Send lost parts again", harq), field("Model", model)),
      el("label", { className: "check" }, predicted, "Loops and videos as a stream: each picture is predicted from the last, and sharpens where you look"),
    ),
  );

  return {
    /** Send a single sample once more, where one was what was sent last. */
    again(): void {
      if (single && !playing) sendSingle(single);
    },
    stream,
    /** Whether there are samples. */
    get ready(): boolean {
      return samples.childElementCount > 0;
    },
    /** The largest file that the viewer takes, in bytes. */
    limit(bytes: number): void {
      most = bytes;
    },
    samples(names: string[]): void {
      const shown = [...samples.querySelectorAll("button")].map((each) => each.dataset.name);
      if (names.join("/") === shown.join("/")) return; // after a reconnection: the choice and the focus stay
      for (const name of chosen) if (!names.includes(name)) chosen.delete(name);
      samples.replaceChildren(
        ...names.map((name) => {
          const one = button("", () => {
            if (chosen.delete(name)) one.setAttribute("aria-pressed", "false");
            else {
              chosen.add(name);
              one.setAttribute("aria-pressed", "true");
              if (playing) stream();
              else sendSingle(name);
            }
          }, { "data-name": name, "aria-pressed": String(chosen.has(name)) });
          one.append(el("img", { src: `api/samples/${encodeURIComponent(name)}`, alt: "" }), name);
          return one;
        }),
      );
    },
    models(models: NonNullable<Service["models"]>): void {
      const names = models.map(({ name }) => name);
      if (names.join() === [...model.options].slice(1).map((option) => option.value).join()) return;
      const before = model.value;
      model.replaceChildren(el("option", { value: "" }, "default"), ...names.map((name) => el("option", { value: name }, name)));
      model.value = names.includes(before) ? before : "";
    },
    sending(name: string | null, repeat = false): void {
      playing = name !== null && repeat;
      stop.hidden = name === null;
      going.textContent = sent = name === null ? "" : `Sending ${name}`;
      $("stream").textContent = playing ? "Stream anew" : "Stream samples";
    },
  };
}

function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(bytes < 2 ** 20 ? 2 : 0)} MiB`;
}
