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
    if (event.ctrlKey || event.metaKey || event.altKey) return; // the browser's own: zoom, back, forward
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

/**
 * Where the back of a device points: degrees clockwise from where its yaw is 0, and above the horizon.
 * The same however its screen is turned, upright or on its side.
 */
export function pointing(alpha: number, beta: number, gamma: number): { heading: number; pitch: number } {
  const [z, x, y] = [alpha, beta, gamma].map((angle) => (angle * Math.PI) / 180) as [number, number, number];
  const east = -Math.cos(z) * Math.sin(y) - Math.sin(z) * Math.sin(x) * Math.cos(y);
  const north = -Math.sin(z) * Math.sin(y) + Math.cos(z) * Math.sin(x) * Math.cos(y);
  return {
    heading: (Math.atan2(east, north) * 180) / Math.PI,
    pitch: (Math.asin(-Math.cos(x) * Math.cos(y)) * 180) / Math.PI,
  };
}

/** On devices that can be turned, a button that lets them turn the sphere. A finger may turn it further. */
export function turning(button: HTMLButtonElement, sphere: Sphere, problem: (text: string) => void): void {
  if (!("DeviceOrientationEvent" in window) || !matchMedia("(pointer: coarse)").matches) return;
  button.hidden = false;
  let last: number | null = null;
  let on = false;
  const turn = ({ alpha, beta, gamma }: DeviceOrientationEvent) => {
    if (alpha === null || beta === null || gamma === null) return;
    const { heading, pitch } = pointing(alpha, beta, gamma);
    sphere.look(sphere.yaw + heading - (last ?? heading), pitch);
    last = heading;
  };
  button.onclick = async () => {
    on = !on;
    if (on && (await (DeviceOrientationEvent as Asking).requestPermission?.().catch(() => "denied")) === "denied") {
      on = false;
      problem("This browser was not allowed to tell how the device is turned.");
    }
    last = null;
    if (on) addEventListener("deviceorientation", turn);
    else removeEventListener("deviceorientation", turn);
    button.setAttribute("aria-pressed", String(on));
  };
}

/** Where the browser has a headset, a button that enters and leaves it. */
export async function headset(button: HTMLButtonElement, sphere: Sphere, problem: (text: string) => void): Promise<void> {
  const xr = (navigator as Navigator & { xr?: XRSystem }).xr;
  if (!(await xr?.isSessionSupported("immersive-vr").catch(() => false)) || !xr) return;
  button.hidden = false;
  let session: XRSession | null = null;
  button.onclick = async () => {
    if (session) return void session.end();
    try {
      session = await xr.requestSession("immersive-vr");
      session.addEventListener("end", () => {
        session = null;
        button.textContent = "Enter VR";
        sphere.renderer.xr.enabled = false;
        sphere.draw();
      });
      sphere.renderer.xr.enabled = true;
      await sphere.renderer.xr.setSession(session);
      button.textContent = "Leave VR";
    } catch (error) {
      problem(`The headset could not be entered: ${(error as Error).message}`);
    }
  };
}

const AGAIN = 1000;

/** Say to `send` where we look, at most five times a second: when it has changed, and every second while the page is in view. */
export function gazing(sphere: Sphere, send: (yaw: number, pitch: number, fov: number) => void): void {
  let last = "";
  let lastSent = 0;
  setInterval(() => {
    if (document.hidden && !sphere.renderer.xr.isPresenting) return;
    const now = `${sphere.yaw.toFixed(1)} ${sphere.pitch.toFixed(1)} ${sphere.fov.toFixed(0)}`;
    if (now === last && Date.now() - lastSent < AGAIN) return;
    last = now;
    lastSent = Date.now();
    send(sphere.yaw, sphere.pitch, sphere.fov);
  }, 200);
}
