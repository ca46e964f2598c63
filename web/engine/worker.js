// A worker: calls of its core, one after another. Message: {call, method, argument}; answer: {call, result} or {call,
// error}.
(() => {
  "use strict";
  const core = new globalThis.sem2nerf.Core();
  let last = Promise.resolve();

  const buffers = result => [result].flat().filter(ArrayBuffer.isView).map(view => view.buffer);

  onmessage = ({ data: { call, method, argument } }) => {
    last = last.then(async () => {
      try {
        const result = await core[method](argument);
        postMessage({ call, result }, buffers(result));
      } catch (error) {
        postMessage({ call, error: error.message });
      }
    });
  };
})();
