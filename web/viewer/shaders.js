"use strict";
// The ray marcher. Pixels are those of models/pigan/cameras.py: the centres of the outermost ones lie on the edges of
// the field of view. Samples lie in the middle of equal steps between the camera's near and far distance.

(() => {
  const sem2nerf = globalThis.sem2nerf ??= {};

  /** What a pixel holds. */
  sem2nerf.MODES = Object.freeze({ colour: 0, labels: 1, labelNumbers: 2, fetches: 3 });
  sem2nerf.CELL = 4;   // texels along each side of a cell of the map of empty space

  sem2nerf.VERTEX_SHADER = `#version 300 es
void main() { gl_Position = vec4(vec2(gl_VertexID & 1, gl_VertexID >> 1) * 4. - 1., 0, 1); }`;

  sem2nerf.FRAGMENT_SHADER = `#version 300 es
precision highp float;
precision highp int;
precision highp sampler3D;
precision highp usampler3D;
precision highp usampler2D;
uniform sampler3D volume, background, empty;
uniform usampler3D labels;
uniform usampler2D palette;
uniform mat3 axes;              // right, up, back; the camera stands at the end of back
uniform float slope;            // of the field of view's edge
uniform float side;             // pixels
uniform float near, far, steps;
uniform float half_side, background_half;
uniform float texels;           // along each side of the volume
uniform float density_scale;    // density of a byte
uniform float cover;            // texels of the volume in parts of those that the map of empty space covers
uniform int mode;
out vec4 pixel;

const float OPAQUE = .002;      // light that is left when nothing more can be seen

/* The label that has most weight among the eight texels around a place. */
uint label_at(vec3 place) {
  vec3 centre = place * texels - .5, low = floor(centre), part = centre - low;
  uint around[8];
  float weight[8];
  for (int k = 0; k < 8; k++) {
    ivec3 corner = ivec3(k & 1, k >> 1 & 1, k >> 2);
    around[k] = texelFetch(labels, clamp(ivec3(low) + corner, ivec3(0), ivec3(texels) - 1), 0).r;
    vec3 share = mix(1. - part, part, vec3(corner));
    weight[k] = share.x * share.y * share.z;
  }
  uint best = 0u;
  float most = -1.;
  for (int k = 0; k < 8; k++) {
    float sum = 0.;
    for (int j = 0; j < 8; j++) if (around[j] == around[k]) sum += weight[j];
    if (sum > most) { most = sum; best = around[k]; }
  }
  return best;
}

void main() {
  vec2 at = side > 1. ? (gl_FragCoord.xy - .5) / (side - 1.) * 2. - 1. : vec2(-1);
  vec3 origin = axes[2], ray = normalize(axes * vec3(at * slope, -1.));
  vec3 a = (-half_side - origin) / ray, b = (half_side - origin) / ray, enter = min(a, b), leave = max(a, b);
  float dt = (far - near) / steps;
  float i = ceil((max(near, max(enter.x, max(enter.y, enter.z))) - near) / dt - .5);
  float last = (min(far, min(leave.x, min(leave.y, leave.z))) - near) / dt - .5;
  vec3 speed = abs(ray) * dt / (2. * half_side) * texels / ${sem2nerf.CELL}.;
  float per_cell = 1. / max(speed.x, max(speed.y, speed.z));   // steps
  float light = 1., fetches = 1.;
  vec3 colour = vec3(0), middle = vec3(-1);                    // middle: where half of the light is gone
  for (int n = 0; n < 1024; n++) {
    if (i > last || light < OPAQUE) break;
    vec3 place = (origin + ray * (near + (i + .5) * dt)) / (2. * half_side) + .5;
    float away = textureLod(empty, place * cover, 0.).r * 255.;
    fetches += 1.;
    if (away > .5) { i += max(1., floor((away - 1.) * per_cell)); continue; }
    vec4 texel = textureLod(volume, place, 0.);
    fetches += 1.;
    float passed = exp(-max(0., (texel.a * 255. - 128.) * density_scale) * dt);
    colour += texel.rgb * (light * (1. - passed));
    if (light > .5 && light * passed <= .5) middle = place;
    light *= passed;
    i += 1.;
  }
  if (mode == ${sem2nerf.MODES.fetches}) {
    pixel = vec4(mod(fetches, 256.), floor(fetches / 256.), 0, 255) / 255.;
  } else if (mode == ${sem2nerf.MODES.colour}) {
    colour += light * textureLod(background, (origin + ray * far) / (2. * background_half) + .5, 0.).rgb;
    pixel = vec4(colour, 1);
  } else {
    uint label = middle.x < 0. ? 0u : label_at(middle);
    pixel = mode == ${sem2nerf.MODES.labels} ? vec4(vec3(texelFetch(palette, ivec2(int(label), 0), 0).rgb) / 255., 1)
                                  : vec4(float(label) / 255., 0, 0, 1);
  }
}`;
})();
