"use strict";
// Draws a volume with WebGL2: sem2nerf.VolumeRenderer. Knows nothing of pages, pointers or time.

(() => {
  const sem2nerf = globalThis.sem2nerf ??= {};
  const STEPS = 96;   // of a ray
  const MOST_LABELS = 256;
  const UNITS = ["volume", "background", "empty", "labels", "palette"];

  sem2nerf.VolumeRenderer = class {
    /** @param {{rayStart: number, rayEnd: number}} preset distances from the camera between which rays take samples */
    constructor(canvas, preset) {
      this.canvas = canvas;
      this.preset = preset;
      this.gl = canvas.getContext("webgl2", { antialias: false, alpha: false, depth: false });
      if (!this.gl) throw Error("This browser cannot show the head: it offers no WebGL2.");
      this.restore();
    }

    get lost() { return this.gl.isContextLost(); }

    /** Program and textures anew, after a lost context too; volume and palette have to be given again. */
    restore() {
      const gl = this.gl, program = gl.createProgram();
      this.volume = null;
      for (const [kind, source] of [[gl.VERTEX_SHADER, sem2nerf.VERTEX_SHADER],
                                    [gl.FRAGMENT_SHADER, sem2nerf.FRAGMENT_SHADER]]) {
        const shader = gl.createShader(kind);
        gl.shaderSource(shader, source);
        gl.compileShader(shader);
        if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS) && !this.lost) throw Error(gl.getShaderInfoLog(shader));
        gl.attachShader(program, shader);
        gl.deleteShader(shader);
      }
      gl.linkProgram(program);
      if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !this.lost) throw Error(gl.getProgramInfoLog(program));
      gl.useProgram(program);
      this.uniforms = new Proxy({}, { get: (known, name) => known[name] ??= gl.getUniformLocation(program, name) });
      gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
      gl.pixelStorei(gl.PACK_ALIGNMENT, 1);
      UNITS.forEach((name, unit) => {
        const kind = name === "palette" ? gl.TEXTURE_2D : gl.TEXTURE_3D;
        const filter = name === "volume" || name === "background" ? gl.LINEAR : gl.NEAREST;
        gl.activeTexture(gl.TEXTURE0 + unit);
        gl.bindTexture(kind, gl.createTexture());
        for (const axis of ["S", "T", "R"]) gl.texParameteri(kind, gl[`TEXTURE_WRAP_${axis}`], gl.CLAMP_TO_EDGE);
        for (const way of ["MIN", "MAG"]) gl.texParameteri(kind, gl[`TEXTURE_${way}_FILTER`], filter);
        gl.uniform1i(this.uniforms[name], unit);
      });
      this.setLabels(null, 1);
      this.setPalette([]);
    }

    /** A volume as `sem2nerf.unpackVolume` gives it. */
    setVolume(volume) {
      const gl = this.gl, { size, background } = volume, empty = sem2nerf.emptySpace(volume.rgba, size);
      this.fill("volume", gl.RGBA8, size, gl.RGBA, gl.UNSIGNED_BYTE, volume.rgba);
      this.fill("background", gl.RGB8, background.size, gl.RGB, gl.UNSIGNED_BYTE, background.rgb);
      this.fill("empty", gl.R8, empty.cells, gl.RED, gl.UNSIGNED_BYTE, empty.map);
      this.setLabels(volume.labels, size);
      gl.uniform1f(this.uniforms.texels, size);
      gl.uniform1f(this.uniforms.half_side, volume.half);
      gl.uniform1f(this.uniforms.background_half, background.half);
      gl.uniform1f(this.uniforms.density_scale, volume.densityScale / 127);
      gl.uniform1f(this.uniforms.cover, size / (empty.cells * sem2nerf.CELL));
      this.volume = volume;
    }

    setLabels(labels, size) {
      const gl = this.gl;
      this.fill("labels", gl.R8UI, labels ? size : 1, gl.RED_INTEGER, gl.UNSIGNED_BYTE, labels ?? new Uint8Array(1));
    }

    /** Colour of each label: rows of three bytes, flat or as arrays. */
    setPalette(palette) {
      const gl = this.gl, colours = new Uint8Array(3 * MOST_LABELS);
      colours.set(Array.from(palette).flat().slice(0, colours.length));
      gl.activeTexture(gl.TEXTURE0 + UNITS.indexOf("palette"));
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGB8UI, MOST_LABELS, 1, 0, gl.RGB_INTEGER, gl.UNSIGNED_BYTE, colours);
    }

    fill(name, inner, size, outer, type, bytes) {
      const gl = this.gl;
      gl.activeTexture(gl.TEXTURE0 + UNITS.indexOf(name));
      gl.texImage3D(gl.TEXTURE_3D, 0, inner, size, size, size, 0, outer, type, bytes);
    }

    /** Onto the canvas, which gets this size. Pose: offsets from the frontal one, radians; fov in degrees. */
    draw(pose, side, mode = sem2nerf.MODES.colour) {
      if (this.canvas.width !== side) this.canvas.width = side;
      if (this.canvas.height !== side) this.canvas.height = side;
      this.drawInto(pose, side, mode);
    }

    drawInto(pose, side, mode) {
      const gl = this.gl, { uniforms, preset } = this;
      gl.viewport(0, 0, side, side);
      gl.uniformMatrix3fv(uniforms.axes, false, sem2nerf.cameraAxes(pose));
      gl.uniform1f(uniforms.slope, Math.tan(pose.fov * Math.PI / 360));
      gl.uniform1f(uniforms.side, side);
      gl.uniform1f(uniforms.near, preset.rayStart);
      gl.uniform1f(uniforms.far, preset.rayEnd);
      gl.uniform1f(uniforms.steps, STEPS);
      gl.uniform1i(uniforms.mode, mode);
      gl.drawArrays(gl.TRIANGLES, 0, 3);
    }

    /** RGBA bytes of an image apart from the canvas, rows from top to bottom. */
    async read(pose, side, mode = sem2nerf.MODES.colour) {
      const gl = this.gl, target = gl.createFramebuffer(), image = gl.createRenderbuffer(), buffer = gl.createBuffer();
      gl.bindFramebuffer(gl.FRAMEBUFFER, target);
      gl.bindRenderbuffer(gl.RENDERBUFFER, image);
      gl.renderbufferStorage(gl.RENDERBUFFER, gl.RGBA8, side, side);
      gl.framebufferRenderbuffer(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.RENDERBUFFER, image);
      this.drawInto(pose, side, mode);
      // through a buffer and not straight into memory, for which the graphics processor would be waited for
      gl.bindBuffer(gl.PIXEL_PACK_BUFFER, buffer);
      gl.bufferData(gl.PIXEL_PACK_BUFFER, 4 * side * side, gl.STREAM_READ);
      gl.readPixels(0, 0, side, side, gl.RGBA, gl.UNSIGNED_BYTE, 0);
      gl.bindBuffer(gl.PIXEL_PACK_BUFFER, null);
      gl.bindFramebuffer(gl.FRAMEBUFFER, null);
      await this.finished();
      const bytes = new Uint8Array(4 * side * side), row = 4 * side;
      gl.bindBuffer(gl.PIXEL_PACK_BUFFER, buffer);
      gl.getBufferSubData(gl.PIXEL_PACK_BUFFER, 0, bytes);
      gl.bindBuffer(gl.PIXEL_PACK_BUFFER, null);
      gl.deleteBuffer(buffer);
      gl.deleteRenderbuffer(image);
      gl.deleteFramebuffer(target);
      if (this.lost) throw Error("The graphics processor was taken away while the picture was drawn.");
      const out = new Uint8Array(bytes.length);
      for (let y = 0; y < side; y++) out.set(bytes.subarray(y * row, (y + 1) * row), (side - 1 - y) * row);
      return out;
    }

    /** Resolves when everything that was asked for is drawn, without blocking the page. */
    async finished() {
      const gl = this.gl, sync = gl.fenceSync(gl.SYNC_GPU_COMMANDS_COMPLETE, 0);
      gl.flush();
      while (sync && !gl.isContextLost() && gl.getSyncParameter(sync, gl.SYNC_STATUS) !== gl.SIGNALED)
        await new Promise(resolve => setTimeout(resolve));
      gl.deleteSync(sync);
    }
  };

  /** Columns right, up, back. Yaw and pitch as those of `models.pigan.cameras.Camera`, less pi / 2. */
  sem2nerf.cameraAxes = ({ yaw, pitch }) => {
    const [sy, cy, sp, cp] = [Math.sin(yaw), Math.cos(yaw), Math.sin(pitch), Math.cos(pitch)];
    return [cy, 0, sy, -sy * sp, cp, cy * sp, -sy * cp, -sp, cy * cp];
  };

  /**
   * How far each cell is from the nearest one that holds density: 0 in such a cell, 1 beside it (corners too), ...
   * @returns {{map: Uint8Array, cells: number}}
   */
  sem2nerf.emptySpace = (rgba, size) => {
    const { CELL } = sem2nerf, cells = Math.ceil(size / CELL), map = new Uint8Array(cells ** 3).fill(255);
    const first = i => Math.floor(Math.max(i - 1, 0) / CELL), last = i => Math.floor(Math.min(i + 1, size - 1) / CELL);
    for (let z = 0, at = 3; z < size; z++) for (let y = 0; y < size; y++) for (let x = 0; x < size; x++, at += 4) {
      if (rgba[at] <= 128) continue;   // a texel reaches to the centres of its neighbours
      for (let k = first(z); k <= last(z); k++) for (let j = first(y); j <= last(y); j++)
        for (let i = first(x); i <= last(x); i++) map[(k * cells + j) * cells + i] = 0;
    }
    // there and back: each cell from those of its neighbours that were treated before
    for (const back of [false, true]) for (let n = 0; n < map.length; n++) {
      const at = back ? map.length - 1 - n : n, x = at % cells, y = Math.floor(at / cells) % cells;
      const z = Math.floor(at / cells ** 2);
      for (let k = -1; k <= 1; k++) for (let j = -1; j <= 1; j++) for (let i = -1; i <= 1; i++) {
        const inside = x + i >= 0 && x + i < cells && y + j >= 0 && y + j < cells && z + k >= 0 && z + k < cells;
        if (inside) map[at] = Math.min(map[at], map[at + (k * cells + j) * cells + i] + 1);
      }
    }
    return { map, cells };
  };
})();
