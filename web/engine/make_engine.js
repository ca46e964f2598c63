// The engine of a page that holds everything: model, kernels and samples are in the page.
(() => {
  "use strict";
  const sem2nerf = globalThis.sem2nerf ??= {};

  const inflated = bytes =>
    new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).arrayBuffer();

  sem2nerf.makeEngine = options => {
    const about = sem2nerf.pageValue("about");
    return new sem2nerf.LocalEngine({
      model: inflated(sem2nerf.pageBytes("model")), wasm: sem2nerf.pageBytes("kernels"),
      source: new TextDecoder().decode(sem2nerf.pageBytes("worker")), about,
      sample: name => sem2nerf.pageBytes(`sample-${about.samples.indexOf(name)}`), ...options,
    });
  };
})();
