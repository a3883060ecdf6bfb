export const vertexShader = /* glsl */ `
varying vec3 direction;
void main() {
  direction = position;
  gl_Position = projectionMatrix * modelViewMatrix * vec4(position, 1.0);
}`;

/** Equirectangular look-up by direction: exact at the poles, and without a seam, for nothing is interpolated but directions. */
export const fragmentShader = /* glsl */ `
precision highp float;
varying vec3 direction;
uniform sampler2D received, sent, activation, tokens;
uniform int mode, overlay, foci;
uniform float divider;
uniform vec4 focus[4]; // direction, and half the width in radians
uniform vec3 kinds[7];
uniform vec2 size, tokensCovered, activationCovered; // maps of tokens may reach beyond the picture
const float PI = 3.14159265358979;
const int UNCHANGED = 2;
void main() {
  vec3 d = normalize(direction);
  vec2 uv = vec2(0.5 + atan(d.x, -d.z) / (2.0 * PI), 0.5 - asin(clamp(d.y, -1.0, 1.0)) / PI);
  vec3 there = texture2D(sent, uv).rgb;
  vec3 here = texture2D(received, uv).rgb;
  vec3 colour = here;
  if (mode == 1) {
    float x = gl_FragCoord.x / size.x;
    colour = x < divider ? there : here;
    if (abs(x - divider) * size.x < 1.5) colour = vec3(1.0);
  } else if (mode == 2) colour = there;
  else if (mode == 3) colour = clamp(abs(there - here) * 4.0, 0.0, 1.0);
  bool original = mode == 1 && gl_FragCoord.x < divider * size.x; // overlays are of what was received
  if (original) {
  } else if (overlay == 1) {
    int kind = int(texture2D(tokens, uv * tokensCovered).r * 255.0 + 0.5);
    colour = mix(vec3(dot(colour, vec3(0.3, 0.6, 0.1))) * 0.7, kinds[kind], kind == UNCHANGED ? 0.0 : 0.5);
  } else if (overlay == 2 && foci > 0) {
    float outside = PI;
    for (int i = 0; i < 4; i++)
      if (i < foci) outside = min(outside, acos(clamp(dot(d, focus[i].xyz), -1.0, 1.0)) - focus[i].w);
    colour *= mix(1.0, 0.3, smoothstep(0.0, 1.0, outside)); // coarsest after 60 degrees
    float line = abs(outside) / max(fwidth(outside), 1e-5);
    colour = mix(vec3(1.0, 0.48, 0.27), colour, smoothstep(1.0, 2.2, line));
  } else if (overlay == 3) {
    float a = texture2D(activation, uv * activationCovered).r;
    colour = mix(colour * 0.35, vec3(1.0, 0.48, 0.27), a * 0.75);
  }
  gl_FragColor = vec4(colour, 1.0);
}`;
