// Labels in a mirror, and on the keyboard.
(() => {
  "use strict";
  const sem2nerf = (globalThis.sem2nerf ??= {});

  /** For each label the one it becomes in a mirror: left and right parts change places. */
  sem2nerf.mirrorTable = labels => {
    const indices = new Map(labels.map(label => [label.name, label.index]));
    const table = new Uint8Array(256).map((_, index) => index);
    for (const { name, index } of labels) {
      const other = name.startsWith("l_") ? "r_" + name.slice(2) : name.startsWith("r_") ? "l_" + name.slice(2) : name;
      table[index] = indices.get(other) ?? index;
    }
    return table;
  };

  /** The key that chooses a label: digits, then digits with Shift. */
  sem2nerf.keyOf = index => (index < 10 ? `${index}` : index < 20 ? `⇧${index - 10}` : "");

  /** The label that a key event chooses, or null. Digits by their place on the keyboard, whatever Shift makes of them. */
  sem2nerf.labelOfKey = event => {
    const digit = /^(?:Digit|Numpad)(\d)$/.exec(event.code);
    return digit ? +digit[1] + (event.shiftKey ? 10 : 0) : null;
  };
})();
