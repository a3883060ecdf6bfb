import {
  BackSide, LinearFilter, Mesh, NoColorSpace, PerspectiveCamera, RepeatWrapping, Scene, ShaderMaterial,
  SphereGeometry, Texture, Vector2, WebGLRenderer,
} from "three";
import { fragmentShader, vertexShader } from "./shaders";

export const MODES = ["received", "compare", "sent", "difference"] as const;
export type Mode = (typeof MODES)[number];

/** The panorama on the inside of a sphere. A new picture replaces the texture and nothing else: the direction stays. */
export class Sphere {
  readonly renderer: WebGLRenderer;
  readonly camera = new PerspectiveCamera(75, 1, 0.1, 10);
  private readonly scene = new Scene();
  private readonly uniforms = {
    received: { value: texture() },
    sent: { value: texture() },
    activation: { value: texture() },
    mode: { value: 0 },
    divider: { value: 0.5 },
    overlay: { value: 0 },
    size: { value: new Vector2(1, 1) },
  };
  private dirty = true;
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

  /** Show a picture as received, sent or activation. */
  show(which: "received" | "sent" | "activation", image: ImageBitmap | null): void {
    const old = this.uniforms[which].value;
    this.uniforms[which].value = texture(image);
    (old.image as ImageBitmap | null)?.close?.();
    old.dispose();
    this.draw();
  }

  set(mode: Mode, divider: number, overlay: number): void {
    this.uniforms.mode.value = MODES.indexOf(mode);
    this.uniforms.divider.value = divider;
    this.uniforms.overlay.value = overlay;
    this.draw();
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
    const aspect = this.camera.aspect;
    // `fov` is that of the longer side, so that phones held upright do not see the panorama through a slit.
    const half = Math.tan((this.fov * Math.PI) / 360);
    this.camera.fov = (Math.atan(aspect > 1 ? half / aspect : half) * 360) / Math.PI;
    this.camera.rotation.set((this.pitch * Math.PI) / 180, (-this.yaw * Math.PI) / 180, 0, "YXZ");
    this.camera.updateProjectionMatrix();
    this.renderer.render(this.scene, this.camera);
  }

  private resize(): void {
    const { clientWidth: width, clientHeight: height } = this.canvas.parentElement ?? this.canvas;
    if (!width || !height) return;
    this.camera.aspect = width / height;
    this.renderer.setSize(width, height, false);
    this.renderer.getDrawingBufferSize(this.uniforms.size.value);
    this.draw();
    this.dirty = true;
    this.frame();
  }
}

function texture(image: ImageBitmap | null = null): Texture {
  const made = new Texture(image ?? undefined);
  made.wrapS = RepeatWrapping;
  made.minFilter = made.magFilter = LinearFilter;
  made.generateMipmaps = false;
  made.colorSpace = NoColorSpace; // the shader hands sRGB through as it is
  made.flipY = false;
  made.needsUpdate = image !== null;
  return made;
}
