import {
  BackSide, Color, LinearFilter, Mesh, NearestFilter, NoColorSpace, PerspectiveCamera, RepeatWrapping, Scene, ShaderMaterial,
  SphereGeometry, Texture, Vector2, Vector4, WebGLRenderer,
} from "three";
import { KINDS, type Focus } from "./messages";
import { OVERLAYS, type Overlay } from "./overlays";
import { fragmentShader, vertexShader } from "./shaders";

export const MODES = ["received", "compare", "beside", "sent", "difference"] as const;
export type Mode = (typeof MODES)[number];

const SHADER_MODES = { received: 0, compare: 1, sent: 2, difference: 3 };
const MOST_FOCI = 4;
type Layer = "received" | "sent" | "activation" | "tokens";

/** The panorama on the inside of a sphere. A new picture replaces the texture and nothing else: the direction stays. */
export class Sphere {
  readonly renderer: WebGLRenderer;
  readonly camera = new PerspectiveCamera(75, 1, 0.1, 10);
  private readonly scene = new Scene();
  private readonly uniforms = {
    received: { value: texture() },
    sent: { value: texture() },
    activation: { value: texture() },
    tokens: { value: texture() },
    mode: { value: 0 },
    divider: { value: 0.5 },
    overlay: { value: 0 },
    foci: { value: 0 },
    focus: { value: Array.from({ length: MOST_FOCI }, () => new Vector4()) },
    kinds: { value: ["black", ...KINDS].map((kind) => kindColour(kind)) },
    size: { value: new Vector2(1, 1) },
  };
  private dirty = true;
  private mode: Mode = "received";
  private overlay = 0;
  yaw = 0;
  pitch = 0;
  fov = 105;

  constructor(private readonly canvas: HTMLCanvasElement) {
    this.renderer = new WebGLRenderer({ canvas, antialias: true });
    this.renderer.setPixelRatio(Math.min(devicePixelRatio, 2));
    this.renderer.setClearColor(0x000000, 0);
    const material = new ShaderMaterial({ uniforms: this.uniforms, vertexShader, fragmentShader, side: BackSide });
    this.scene.add(new Mesh(new SphereGeometry(5, 48, 24), material));
    new ResizeObserver(() => this.resize()).observe(canvas.parentElement ?? canvas);
    this.resize();
    this.renderer.setAnimationLoop(() => this.frame());
  }

  /** Show a picture as received or sent, or a map as an overlay. */
  show(which: Layer, image: ImageBitmap | null): void {
    const old = this.uniforms[which].value;
    this.uniforms[which].value = texture(image, which === "tokens");
    (old.image as ImageBitmap | null)?.close?.();
    old.dispose();
    this.draw();
  }

  set(mode: Mode, divider: number, overlay: Overlay, foci: Focus[]): void {
    this.mode = mode;
    this.uniforms.divider.value = divider;
    this.overlay = OVERLAYS.indexOf(overlay);
    this.uniforms.foci.value = Math.min(foci.length, MOST_FOCI);
    foci.slice(0, MOST_FOCI).forEach(({ yaw, pitch, width }, index) => {
      const [right, up] = [(yaw * Math.PI) / 180, (pitch * Math.PI) / 180];
      this.uniforms.focus.value[index]?.set(Math.sin(right) * Math.cos(up), Math.sin(up), -Math.cos(right) * Math.cos(up), (width * Math.PI) / 360);
    });
    this.draw();
  }

  /** Whether two views are one above the other instead of side by side. */
  get stacked(): boolean {
    return this.canvas.clientHeight > this.canvas.clientWidth;
  }

  /** Degrees that a pixel of the page is wide. */
  get degreesPerPixel(): number {
    const { width, height } = this.view(this.mode === "beside" ? 2 : 1);
    return this.fov / Math.max(width, height);
  }

  /** Turn to a direction in degrees: yaw to the right of the middle, pitch above the horizon. */
  look(yaw: number, pitch: number, fov = this.fov): void {
    this.yaw = ((((yaw + 180) % 360) + 360) % 360) - 180;
    this.pitch = Math.max(-89, Math.min(89, pitch));
    this.fov = Math.max(25, Math.min(120, fov));
    this.draw();
  }

  draw(): void {
    this.dirty = true;
  }

  private frame(): void {
    if (!this.dirty && !this.renderer.xr.isPresenting) return;
    this.dirty = false;
    this.canvas.dataset.yaw = this.yaw.toFixed(1);
    this.canvas.dataset.pitch = this.pitch.toFixed(1);
    const both = this.mode === "beside" && !this.renderer.xr.isPresenting;
    const view = this.view(both ? 2 : 1);
    const aspect = (this.camera.aspect = view.width / view.height);
    // `fov` is that of the longer side, so that phones held upright do not see the panorama through a slit.
    const half = Math.tan((this.fov * Math.PI) / 360);
    this.camera.fov = (Math.atan(aspect > 1 ? half / aspect : half) * 360) / Math.PI;
    this.camera.rotation.set((this.pitch * Math.PI) / 180, (-this.yaw * Math.PI) / 180, 0, "YXZ");
    this.camera.updateProjectionMatrix();
    this.renderer.setScissorTest(both);
    this.part(view, 0, both ? "sent" : this.mode);
    if (both) this.part(view, 1, "received");
  }

  /** Size of one of several views, pixels of the page. */
  private view(count: number): { width: number; height: number } {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    return this.stacked ? { width, height: height / count } : { width: width / count, height };
  }

  /** Draw the first or the second view. */
  private part({ width, height }: { width: number; height: number }, place: number, mode: Mode): void {
    this.uniforms.mode.value = mode === "beside" ? 0 : SHADER_MODES[mode];
    this.uniforms.overlay.value = this.mode === "beside" && mode === "sent" ? 0 : this.overlay; // of two, on what was received
    if (!this.renderer.xr.isPresenting) {
      // from the bottom left, where the second of two that are stacked is
      const [x, y] = this.stacked ? [0, this.canvas.clientHeight - height * (place + 1)] : [width * place, 0];
      this.renderer.setViewport(x, y, width, height);
      this.renderer.setScissor(x, y, width, height);
    }
    this.renderer.render(this.scene, this.camera);
  }

  private resize(): void {
    const { clientWidth: width, clientHeight: height } = this.canvas.parentElement ?? this.canvas;
    if (!width || !height) return;
    this.renderer.setSize(width, height, false);
    this.renderer.getDrawingBufferSize(this.uniforms.size.value);
    this.draw();
    this.dirty = true;
    this.frame();
  }
}

/** The colour of a kind of tokens, as the page's style has it. */
function kindColour(kind: string): Color {
  const colour = getComputedStyle(document.documentElement).getPropertyValue(`--token-${kind.replace("_", "-")}`);
  return new Color().setStyle(colour.trim() || "#000", "srgb-linear"); // numbers as they are, like the pictures'
}

function texture(image: ImageBitmap | null = null, sharp = false): Texture {
  const made = new Texture(image ?? undefined);
  made.wrapS = RepeatWrapping;
  made.minFilter = made.magFilter = sharp ? NearestFilter : LinearFilter;
  made.generateMipmaps = false;
  made.colorSpace = NoColorSpace; // the shader hands sRGB through as it is
  made.flipY = false;
  made.needsUpdate = image !== null;
  return made;
}
