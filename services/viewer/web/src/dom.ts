/** Few helpers instead of a framework. */

type Child = Node | string | null;

export function $<T extends HTMLElement = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`no #${id}`);
  return found as T;
}

export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Record<string, unknown> = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("aria-") || name.startsWith("data-") || name === "role" || name === "for")
      made.setAttribute(name, String(value));
    else Object.assign(made, { [name]: value });
  }
  made.append(...children.filter((child): child is Node | string => child !== null));
  return made;
}

export function button(text: string, onclick: () => void, properties: Record<string, unknown> = {}): HTMLButtonElement {
  return el("button", { type: "button", onclick, ...properties }, text);
}

let numbers = 0;

/** A labelled control. */
export function field(label: string, control: HTMLElement, extra: Child = null): HTMLDivElement {
  control.id ||= `field-${++numbers}`;
  return el("div", { className: "field" }, el("label", { for: control.id }, label), extra, control);
}

export function choice(options: [string, string][], value: string, onchange: (value: string) => void): HTMLSelectElement {
  const made = el("select", {}, ...options.map(([v, text]) => el("option", { value: v }, text)));
  made.value = value;
  made.onchange = () => onchange(made.value);
  return made;
}

/** Calls `work` at most every so many milliseconds: at once, and for what comes meanwhile once more. */
export function unhurried(ms: number, work: () => void): () => void {
  let [again, waiting] = [false, false];
  const run = (): void => {
    [again, waiting] = [false, true];
    work();
    setTimeout(() => {
      waiting = false;
      if (again) run();
    }, ms);
  };
  return () => {
    if (waiting) again = true;
    else run();
  };
}
