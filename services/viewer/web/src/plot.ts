import { el, unhurried } from "./dom";

const POINTS = 60;
const DRAW_MS = 250;

/** A line over the last values, drawn in a frame of its own. `null` leaves a gap. */
export class Plot {
  readonly canvas = el("canvas", { className: "plot", role: "img" });
  private readonly values: (number | null)[] = [];
  private size = { width: 0, height: 0 };
  private readonly redraw = unhurried(DRAW_MS, () => requestAnimationFrame(() => this.draw()));

  constructor(
    private readonly label: string,
    private readonly unit: string,
    private readonly bottom: number | null = null,
  ) {
    this.canvas.setAttribute("aria-label", `${label}: no values yet`);
    new ResizeObserver(([entry]) => {
      if (entry) this.size = entry.contentRect;
      this.redraw();
    }).observe(this.canvas);
    addEventListener("theme", () => this.redraw());
  }

  add(value: number | null): void {
    this.values.push(value);
    if (this.values.length > POINTS) this.values.shift();
    const last = value === null ? "no value" : `${value.toFixed(2)} ${this.unit}`;
    this.canvas.setAttribute("aria-label", `${this.label}: ${last} now, ${this.values.length} values`);
    this.redraw();
  }

  private draw(): void {
    const { canvas } = this;
    const { width, height } = this.size;
    const context = canvas.getContext("2d");
    if (!context || !width) return;
    const [across, down] = [Math.round(width * devicePixelRatio), Math.round(height * devicePixelRatio)];
    if (canvas.width !== across || canvas.height !== down) [canvas.width, canvas.height] = [across, down];
    context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    context.clearRect(0, 0, width, height);
    const style = getComputedStyle(canvas);
    const known = this.values.filter((value): value is number => value !== null);
    if (!known.length) return;
    const low = Math.min(this.bottom ?? Infinity, ...known);
    const high = Math.max(...known, low + 1e-9);
    const margin = high - low > 1e-6 ? 0 : 1;
    const y = (value: number): number => height - 5 - ((value - low + margin) / (high - low + 2 * margin)) * (height - 10);
    const x = (index: number): number => width - 5 - ((this.values.length - 1 - index) * (width - 10)) / (POINTS - 1);
    context.strokeStyle = context.fillStyle = style.color;
    context.lineWidth = 1.75;
    context.lineJoin = "round";
    context.beginPath();
    let pen = false;
    this.values.forEach((value, index) => {
      if (value === null) pen = false;
      else if (pen) context.lineTo(x(index), y(value));
      else {
        context.moveTo(x(index), y(value));
        pen = true;
      }
    });
    context.stroke();
    const last = this.values.at(-1);
    if (last !== null && last !== undefined) {
      context.beginPath();
      context.arc(x(this.values.length - 1), y(last), 3, 0, 2 * Math.PI);
      context.fill();
    }
  }
}
