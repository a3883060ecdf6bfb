import {
  BackSide, Color, LinearFilter, Mesh, NearestFilter, NoColorSpace, PerspectiveCamera, RepeatWrapping, Scene, ShaderMaterial,
  SphereGeometry, Texture, Vector2, Vector3, Vector4, WebGLRenderer,
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
  private readonly globe: Mesh;
  private readonly ahead = new Vector3();
  private size = { width: 1, height: 1 }; // of the canvas, pixels of the page
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
    tokensCovered: { value: new Vector2(1, 1) },
    activationCovered: { value: new Vector2(1, 1) },
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
    this.globe = new Mesh(new SphereGeometry(5, 48, 24), material);
    this.scene.add(this.globe);
    this.renderer.xr.setReferenceSpaceType("local");
    this.renderer.xr.addEventListener("sessionstart", () => this.globe.rotation.set(0, radians(this.yaw), 0)); // what was ahead stays ahead
    this.renderer.xr.addEventListener("sessionend", () => {
      this.globe.rotation.set(0, 0, 0);
      this.globe.position.set(0, 0, 0);
      this.camera.position.set(0, 0, 0);
      this.resize();
    });
    canvas.addEventListener("webglcontextrestored", () => this.draw()); // it comes back empty
    new ResizeObserver(() => this.resize()).observe(canvas.parentElement ?? canvas);
    this.resize();
    this.renderer.setAnimationLoop(() => this.frame());
  }

  /** Show a picture as received or sent, or a map as an overlay. One of the same size goes into the same texture. */
  show(which: Layer, image: ImageBitmap): void {
    const layer = this.uniforms[which];
    const old = layer.value.image as ImageBitmap | null;
    if (old?.width === image.width && old.height === image.height) {
      layer.value.image = image;
      layer.value.needsUpdate = true;
    } else {
      layer.value.dispose();
      layer.value = texture(image, which === "tokens");
    }
    old?.close();
    this.draw();
  }

  /** Say which part of a map, from its left and its top, lies on the sphere. */
  cover(which: "tokens" | "activation", part: [number, number]): void {
    this.uniforms[`${which}Covered`].value.set(...part);
  }

  set(mode: Mode, divider: number, overlay: Overlay, foci: Focus[]): void {
    this.mode = mode;
    this.uniforms.divider.value = divider;
    this.overlay = OVERLAYS.indexOf(overlay);
    this.uniforms.foci.value = Math.min(foci.length, MOST_FOCI);
    foci.slice(0, MOST_FOCI).forEach(({ yaw, pitch, width }, index) => {
      const [right, up] = [radians(yaw), radians(pitch)];
      this.uniforms.focus.value[index]?.set(Math.sin(right) * Math.cos(up), Math.sin(up), -Math.cos(right) * Math.cos(up), radians(width) / 2);
    });
    this.draw();
  }

  /** Whether two views are one above the other instead of side by side. */
  get stacked(): boolean {
    return this.size.height > this.size.width;
  }

  /** Degrees that a pixel of the page is wide. */
  get degreesPerPixel(): number {
    const { width, height } = this.view(this.mode === "beside" ? 2 : 1);
    return this.fov / Math.max(width, height);
  }

  /** Turn to a direction in degrees: yaw to the right of the middle, pitch above the horizon. */
  look(yaw: number, pitch: number, fov = this.fov): void {
    this.yaw = within180(yaw);
    this.pitch = Math.max(-89, Math.min(89, pitch));
    this.fov = Math.max(25, Math.min(120, fov));
    this.draw();
  }

  draw(): void {
    this.dirty = true;
  }

  private frame(): void {
    if (this.renderer.xr.isPresenting) this.framesOfHeadset();
    else if (this.dirty) this.frameOfPage();
    else return;
    this.dirty = false;
    this.canvas.dataset.yaw = this.yaw.toFixed(1);
    this.canvas.dataset.pitch = this.pitch.toFixed(1);
    this.canvas.dataset.fov = this.fov.toFixed(0);
  }

  /** Draw for both eyes. The head turns and moves the camera; the sphere moves with it, for a panorama has one viewpoint. */
  private framesOfHeadset(): void {
    this.globe.position.copy(this.camera.position);
    this.renderer.setScissorTest(false);
    this.part(this.size, 0, this.mode === "beside" || this.mode === "compare" ? "received" : this.mode);
    this.camera.getWorldDirection(this.ahead);
    const { x, y, z } = this.ahead;
    this.yaw = within180(degrees(this.globe.rotation.y + Math.atan2(x, -z)));
    this.pitch = degrees(Math.asin(Math.max(-1, Math.min(1, y))));
  }

  private frameOfPage(): void {
    const both = this.mode === "beside";
    const view = this.view(both ? 2 : 1);
    const aspect = (this.camera.aspect = view.width / view.height);
    // `fov` is that of the longer side, so that phones held upright do not see the panorama through a slit.
    const half = Math.tan(radians(this.fov) / 2);
    this.camera.fov = 2 * degrees(Math.atan(aspect > 1 ? half / aspect : half));
    this.camera.rotation.set(radians(this.pitch), -radians(this.yaw), 0, "YXZ");
    this.camera.updateProjectionMatrix();
    this.renderer.setScissorTest(both);
    this.part(view, 0, both ? "sent" : this.mode);
    if (both) this.part(view, 1, "received");
  }

  /** Size of one of several views, pixels of the page. */
  private view(count: number): { width: number; height: number } {
    const { width, height } = this.size;
    return this.stacked ? { width, height: height / count } : { width: width / count, height };
  }

  /** Draw the first or the second view. */
  private part({ width, height }: { width: number; height: number }, place: number, mode: Mode): void {
    this.uniforms.mode.value = mode === "beside" ? 0 : SHADER_MODES[mode];
    this.uniforms.overlay.value = this.mode === "beside" && mode === "sent" ? 0 : this.overlay; // of two, on what was received
    if (!this.renderer.xr.isPresenting) {
      // from the bottom left, where the second of two that are stacked is
      const [x, y] = this.stacked ? [0, this.size.height - height * (place + 1)] : [width * place, 0];
      this.renderer.setViewport(x, y, width, height);
      this.renderer.setScissor(x, y, width, height);
    }
    this.renderer.render(this.scene, this.camera);
  }

  private resize(): void {
    const { clientWidth: width, clientHeight: height } = this.canvas.parentElement ?? this.canvas;
    if (!width || !height || this.renderer.xr.isPresenting) return;
    this.size = { width, height };
    this.renderer.setSize(width, height, false);
    this.renderer.getDrawingBufferSize(this.uniforms.size.value);
    this.draw();
    this.frame();
  }
}

function radians(degrees: number): number {
  return (degrees * Math.PI) / 180;
}

function degrees(radians: number): number {
  return (radians * 180) / Math.PI;
}

function within180(degrees: number): number {
  return ((((degrees + 180) % 360) + 360) % 360) - 180;
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
