import type { Sphere } from "./sphere";

const STEP = 6;

/** Drag, wheel, pinch and keys turn the sphere. */
export function looking(canvas: HTMLCanvasElement, sphere: Sphere): void {
  const fingers = new Map<number, { x: number; y: number }>();

  canvas.onpointerdown = (event) => {
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  };
  canvas.onpointerup = canvas.onpointercancel = (event) => fingers.delete(event.pointerId);
  canvas.onpointermove = (event) => {
    const last = fingers.get(event.pointerId);
    if (!last) return;
    const before = spread(fingers);
    const degrees = sphere.degreesPerPixel;
    const [dx, dy] = [event.clientX - last.x, event.clientY - last.y];
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    const after = spread(fingers);
    if (before && after) sphere.look(sphere.yaw, sphere.pitch, (sphere.fov * before) / after);
    else sphere.look(sphere.yaw - dx * degrees, sphere.pitch + dy * degrees);
  };
  canvas.onwheel = (event) => {
    event.preventDefault();
    sphere.look(sphere.yaw, sphere.pitch, sphere.fov * Math.exp(event.deltaY * 0.001));
  };
  canvas.onkeydown = (event) => {
    const { yaw, pitch, fov } = sphere;
    switch (event.key) {
      case "ArrowLeft": sphere.look(yaw - STEP, pitch); break;
      case "ArrowRight": sphere.look(yaw + STEP, pitch); break;
      case "ArrowUp": sphere.look(yaw, pitch + STEP); break;
      case "ArrowDown": sphere.look(yaw, pitch - STEP); break;
      case "+": case "=": sphere.look(yaw, pitch, fov - STEP); break;
      case "-": sphere.look(yaw, pitch, fov + STEP); break;
      case "Home": sphere.look(0, 0, 105); break;
      default: return;
    }
    event.preventDefault();
  };
}

function spread(fingers: Map<number, { x: number; y: number }>): number | null {
  if (fingers.size !== 2) return null;
  const [a, b] = [...fingers.values()];
  return Math.hypot(a.x - b.x, a.y - b.y) || 1;
}

type Asking = typeof DeviceOrientationEvent & { requestPermission?: () => Promise<string> };

/** On devices that can be turned, a button that lets them turn the sphere. */
export function turning(button: HTMLButtonElement, sphere: Sphere): void {
  if (!("DeviceOrientationEvent" in window) || !matchMedia("(pointer: coarse)").matches) return;
  button.hidden = false;
  let start: { alpha: number; yaw: number } | null = null;
  let on = false;
  const turn = ({ alpha, beta }: DeviceOrientationEvent) => {
    if (alpha === null || beta === null) return;
    start ??= { alpha, yaw: sphere.yaw };
    sphere.look(start.yaw - (alpha - start.alpha), beta - 90);
  };
  button.onclick = async () => {
    on = !on;
    if (on && (await (DeviceOrientationEvent as Asking).requestPermission?.()) === "denied") on = false;
    start = null;
    if (on) addEventListener("deviceorientation", turn);
    else removeEventListener("deviceorientation", turn);
    button.setAttribute("aria-pressed", String(on));
  };
}

/** Where the browser has a headset, a button that enters it. */
export async function headset(button: HTMLButtonElement, sphere: Sphere): Promise<void> {
  const xr = (navigator as Navigator & { xr?: XRSystem }).xr;
  if (!(await xr?.isSessionSupported("immersive-vr").catch(() => false)) || !xr) return;
  button.hidden = false;
  button.onclick = async () => {
    sphere.renderer.xr.enabled = true;
    const session = await xr.requestSession("immersive-vr", { optionalFeatures: ["local-floor"] });
    session.addEventListener("end", () => {
      sphere.renderer.xr.enabled = false;
      sphere.draw();
    });
    await sphere.renderer.xr.setSession(session);
  };
}

const AGAIN = 1000;

/** Tell `send` where we look, at most five times a second: when it has changed, and every second while the page is in view. */
export function gazing(sphere: Sphere, send: (yaw: number, pitch: number, fov: number) => void): void {
  let last = "";
  let told = 0;
  setInterval(() => {
    if (document.hidden) return;
    const now = `${sphere.yaw.toFixed(1)} ${sphere.pitch.toFixed(1)} ${sphere.fov.toFixed(0)}`;
    if (now === last && Date.now() - told < AGAIN) return;
    last = now;
    told = Date.now();
    send(sphere.yaw, sphere.pitch, sphere.fov);
  }, 200);
}
