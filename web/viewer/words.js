"use strict";
// Names of labels in plain words. Left and right are the person's own.

(() => {
  const sem2nerf = globalThis.sem2nerf ??= {};
  const WORDS = {
    eye_g: "glasses", ear_r: "earring", neck_l: "necklace", cloth: "clothes", mouth: "mouth, teeth",
    u_lip: "upper lip", l_lip: "lower lip", l_eye: "left eye", r_eye: "right eye", l_brow: "left brow",
    r_brow: "right brow", l_ear: "left ear", r_ear: "right ear",
  };

  sem2nerf.wordsOf = name => WORDS[name] ?? name.replaceAll("_", " ");
})();
