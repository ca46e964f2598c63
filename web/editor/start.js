// `makeEngine` is the engine's script's; `sem2nerf.editor` is for whoever looks at the running editor.
globalThis.sem2nerf.starting = globalThis.sem2nerf.startEditor(globalThis.sem2nerf.makeEngine())
  .then(editor => { globalThis.sem2nerf.editor = editor; }, error => console.error(error.message));
