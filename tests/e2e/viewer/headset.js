// A headset for pages: what three.js asks of WebXR, drawn side by side into the page's own canvas. `window.head` is how it is turned.
window.head = { yaw: 0, pitch: 0, height: 0 };
window.headset = null;

(() => {
  const radians = (degrees) => (degrees * Math.PI) / 180;

  function transform(aside) {
    const [y, p] = [-radians(window.head.yaw), radians(window.head.pitch)];
    const [cy, sy, cp, sp] = [Math.cos(y), Math.sin(y), Math.cos(p), Math.sin(p)];
    const right = [cy, 0, -sy];
    return {
      matrix: new Float32Array([
        ...right, 0, // columns: right, up, back, position
        sy * sp, cp, cy * sp, 0,
        sy * cp, -sp, cy * cp, 0,
        right[0] * aside, window.head.height, right[2] * aside, 1,
      ]),
    };
  }

  function view(eye) {
    const [near, far] = [0.1, 100];
    const depth = [(far + near) / (near - far), (2 * far * near) / (near - far)];
    return {
      eye,
      transform: transform(eye === "left" ? -0.032 : 0.032),
      projectionMatrix: new Float32Array([1, 0, 0, 0, 0, 1, 0, 0, 0, 0, depth[0], -1, 0, 0, depth[1], 0]),
    };
  }

  class Session extends EventTarget {
    renderState = {};
    inputSources = [];
    enabledFeatures = [];
    environmentBlendMode = "opaque";
    updateRenderState(state) {
      Object.assign(this.renderState, state);
    }
    async requestReferenceSpace(type) {
      if (type !== "local") throw new Error(`no reference space ${type}`); // as a headset without a floor has it
      return {};
    }
    requestAnimationFrame(call) {
      const frame = { session: this, getViewerPose: () => ({ transform: transform(0), views: [view("left"), view("right")] }) };
      return requestAnimationFrame((time) => call(time, frame));
    }
    cancelAnimationFrame(number) {
      cancelAnimationFrame(number);
    }
    async end() {
      this.dispatchEvent(new Event("end"));
    }
  }

  window.XRWebGLBinding = undefined;
  window.XRWebGLLayer = class {
    framebuffer = null;
    constructor(session, gl) {
      this.framebufferWidth = gl.canvas.width;
      this.framebufferHeight = gl.canvas.height;
    }
    getViewport({ eye }) {
      const width = this.framebufferWidth / 2;
      return { x: eye === "left" ? 0 : width, y: 0, width, height: this.framebufferHeight };
    }
  };
  WebGL2RenderingContext.prototype.makeXRCompatible = async () => {};
  Object.defineProperty(navigator, "xr", {
    value: {
      isSessionSupported: async (mode) => mode === "immersive-vr",
      requestSession: async () => (window.headset = new Session()),
    },
  });
})();
